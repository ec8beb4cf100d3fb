"""The action ``trigger_crash_dump``: an interrupt that no guest can mask (2.17).

Source: Compute API reference, "Trigger Crash Dump In Server".
"""

from __future__ import annotations

from typing import Any

from pileus.services.compute.api import NOTHING
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.crash_dump import begin_crash_dump
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


def _dump(tx: Tx, request: Request, parts: Parts) -> None:
    server = permitted(tx, request, "trigger_crash_dump")
    action_begin(tx, request.context, [server["id"]], "trigger_crash_dump")
    begin_crash_dump(tx, request.context, server, parts)
    wake(tx, request, server)


def crash_dump_actions(parts: Parts) -> dict[str, Action]:
    """The action by name."""

    async def trigger(request: Request, argument: Any) -> Reply:
        await request.write(_dump, request, parts)
        return Reply.empty(202)

    action = Action(
        NOTHING,
        trigger,
        rule="os_compute_api:servers:trigger_crash_dump",
        versions=("2.17", ""),
        summary="Have a guest dump its memory",
    )
    return {"trigger_crash_dump": action}


CRASH_DUMPS = Noun(name="server_crash_dump", rules=rules({"servers:trigger_crash_dump": ADMIN_OR_MEMBER}))
