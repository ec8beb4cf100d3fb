"""The action ``os-migrateLive``: a server goes to another host while its guest runs.

Source: Compute API reference, "Live-Migrate Server". Up to 2.33 what prevents it is answered at once; since
then it is told in the server's actions and in the state of its migration.
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import host_is_up, nodes_read
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.live_migration import (
    ACTION,
    HostIsDown,
    NotOnSharedStorage,
    begin_live_migration,
    target_choose,
)
from pileus.services.compute.servers.chains.placing import NoValidHost
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change, target_of
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.services.compute.servers.verbs.resize import HOST
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion


def _argument(version: Version) -> Type:
    fields: dict[str, Type] = {"block_migration": types.boolean, "host": HOST}
    required: tuple[str, ...] = ("block_migration", "host")
    if not at_least(version, "2.25"):
        fields["disk_over_commit"] = types.boolean
        required += ("disk_over_commit",)
    else:
        fields["block_migration"] = types.one_of(types.enum("auto"), types.boolean)
    if at_least(version, "2.30") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


def _live(tx: Tx, request: Request, asked: dict[str, Any], parts: Parts) -> None:
    server = permitted(tx, request, "os-migrateLive")
    host, now = asked.get("host"), request.context.now
    if host is not None:
        request.access.require("os_compute_api:os-migrate-server:migrate_live:host", target_of(server))
        if all(one.row.host != host for one in nodes_read(tx, parts.config, now)):
            raise BadRequest(f"Compute host {host} could not be found.")
        if host == server["host"]:
            raise BadRequest(f"Unable to migrate instance ({server['id']}) to current host ({host}).")
    elif asked.get("force"):
        raise BadRequest("Can't force to a non-provided destination")
    copies = bool(asked["block_migration"])
    if not since(request, "2.34"):
        _check_now(tx, request, server, host, copies, parts)
    action_begin(tx, request.context, [server["id"]], ACTION)
    begin_live_migration(tx, request.context, server, host, copies, parts)
    change(tx, request.context, server, task_state=states.MIGRATING, task_since=now)
    wake(tx, request, server, task_state=states.MIGRATING)


def _check_now(tx: Tx, request: Request, server: Any, host: str | None, copies: bool, parts: Parts) -> None:
    """BadRequest where the server could not go."""
    try:
        if not host_is_up(tx, parts.config, request.context.now, server["host"]):
            raise HostIsDown(host=server["host"])
        if not copies:
            raise NotOnSharedStorage(host=server["host"])
        target_choose(tx, request.context, server, host, parts)
    except (NoValidHost, HostIsDown, NotOnSharedStorage) as refused:
        raise BadRequest(refused.text) from None


def live_migrate_actions(parts: Parts) -> dict[str, Action]:
    """The action by name."""

    async def migrate_live(request: Request, argument: Any) -> Reply:
        await request.write(_live, request, argument, parts)
        return Reply.empty(202)

    return {
        "os-migrateLive": Action(
            ByVersion(_argument),
            migrate_live,
            rule="os_compute_api:os-migrate-server:migrate_live",
            summary="Have a server go to another host while it runs",
        )
    }


LIVE_MIGRATIONS = Noun(
    name="server_live_migration",
    rules=rules(
        {
            "os-migrate-server:migrate_live": ADMIN_OR_MANAGER,
            "os-migrate-server:migrate_live:host": ADMIN,
        }
    ),
)
