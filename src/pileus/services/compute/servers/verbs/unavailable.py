"""Actions of the Compute API that this cloud does not have yet: whatever Nova would refuse is refused first.

Source: Compute API reference, "Live-Migrate Server".
"""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import NotHereYet
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, rules
from pileus.services.compute.servers.lookup import find_server, must_be_unlocked, must_permit, target_of
from pileus.services.compute.servers.verbs.resize import HOST
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion


def _live_argument(version: Version) -> Type:
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


def _live(tx: Tx, request: Request, argument: dict[str, Any]) -> None:
    server = find_server(tx, request)
    if argument.get("host"):
        request.access.require("os_compute_api:os-migrate-server:migrate_live:host", target_of(server))
    must_be_unlocked(request, server)
    must_permit("os-migrateLive", server)
    raise NotHereYet(what="Live migration")


async def migrate_live(request: Request, argument: Any) -> Reply:
    """Refuse: in Nova's words what it would refuse, the rest as not available yet."""
    await request.read(_live, request, argument)
    return Reply.empty(202)


UNAVAILABLE_ACTIONS = {
    "os-migrateLive": Action(
        ByVersion(_live_argument),
        migrate_live,
        rule="os_compute_api:os-migrate-server:migrate_live",
        summary="Live migration: not available yet",
    )
}

UNAVAILABLE = Noun(
    name="server_unavailable",
    rules=rules(
        {
            "os-migrate-server:migrate_live": ADMIN_OR_MANAGER,
            "os-migrate-server:migrate_live:host": ADMIN,
        }
    ),
)
