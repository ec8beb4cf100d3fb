"""Actions that change what a server's machine does: start, stop, pause, suspend, reboot.

What is wanted is written down and the host told; the host's report ends the task.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.services.compute.api import NOTHING
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.reboot import begin_reboot
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


def _want(tx: Tx, request: Request, *, verb: str, wanted: str, task: str) -> None:
    server = permitted(tx, request, verb)
    action_begin(tx, request.context, [server["id"]], verb)
    change(tx, request.context, server, wanted=wanted, task_state=task, task_since=request.context.now)
    wake(tx, request, server, task_state=task)


def _wanting(rule: str, verb: str, wanted: str, task: str, argument: Type = NOTHING) -> Action:
    """An action that asks of a server's host to bring it into another state."""
    unit = partial(_want, verb=verb, wanted=wanted, task=task)

    async def act(request: Request, argument: Any) -> Reply:
        await request.write(unit, request)
        return Reply.empty(202)

    return Action(argument, act, rule=f"os_compute_api:{rule}", summary=f"{verb.capitalize()} a server")


def _reboot(tx: Tx, request: Request, kind: str, parts: Parts) -> None:
    hard = kind == "HARD"
    server = permitted(tx, request, "reboot_hard" if hard else "reboot_soft", "reboot")
    action_begin(tx, request.context, [server["id"]], "reboot")
    begin_reboot(tx, request.context, server, kind, parts)
    change(
        tx,
        request.context,
        server,
        wanted=states.WANT_RUNNING,
        task_state=states.REBOOTING_HARD if hard else states.REBOOTING,
        task_since=request.context.now,
    )
    wake(tx, request, server, task_state="reboot")


def _rebooting(parts: Parts) -> Action:
    async def reboot(request: Request, argument: Any) -> Reply:
        """SOFT asks the guest, HARD does not."""
        await request.write(_reboot, request, argument["type"], parts)
        return Reply.empty(202)

    return Action(_REBOOT, reboot, rule="os_compute_api:servers:reboot", summary="Reboot a server")


def _parse_reboot(value: Any) -> str:
    text = value.upper() if isinstance(value, str) else value
    return str(types.enum("SOFT", "HARD").parse(text))


_REBOOT = types.dict_of(
    {"type": Type("reboot", _parse_reboot, {"enum": ["SOFT", "HARD"]})}, required=("type",)
)


def power_actions(parts: Parts) -> dict[str, Action]:
    """The actions by name."""
    return {
        "os-start": _wanting(
            "servers:start", "start", states.WANT_RUNNING, states.POWERING_ON, types.anything
        ),
        "os-stop": _wanting("servers:stop", "stop", states.WANT_STOPPED, states.POWERING_OFF, types.anything),
        "pause": _wanting("os-pause-server:pause", "pause", states.WANT_PAUSED, states.PAUSING),
        "unpause": _wanting("os-pause-server:unpause", "unpause", states.WANT_RUNNING, states.UNPAUSING),
        "suspend": _wanting("os-suspend-server:suspend", "suspend", states.WANT_SUSPENDED, states.SUSPENDING),
        "resume": _wanting("os-suspend-server:resume", "resume", states.WANT_RUNNING, states.RESUMING),
        "reboot": _rebooting(parts),
    }


POWER = Noun(
    name="server_power",
    rules=rules(
        {
            "servers:start": ADMIN_OR_MEMBER,
            "servers:stop": ADMIN_OR_MEMBER,
            "servers:reboot": ADMIN_OR_MEMBER,
            "os-pause-server:pause": ADMIN_OR_MEMBER,
            "os-pause-server:unpause": ADMIN_OR_MEMBER,
            "os-suspend-server:suspend": ADMIN_OR_MEMBER,
            "os-suspend-server:resume": ADMIN_OR_MEMBER,
        }
    ),
    extensions=(
        Extension("os-server-start-stop", "ServerStartStop", "Start/Stop instance compute API support."),
    ),
)
