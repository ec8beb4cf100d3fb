"""Actions of the Compute API that this cloud does not have yet: whatever Nova would refuse is refused first.

Source: Compute API reference, "Servers - run an action" and "run an administrative action".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least
from pileus.services.compute.errors import BadRequest, FlavorNotFound, NotHereYet
from pileus.services.compute.flavors.work import flavor_find
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, ADMIN_OR_MEMBER, rules
from pileus.services.compute.quotas.counting import spend
from pileus.services.compute.servers.lookup import find_server, must_be_unlocked, must_permit, target_of
from pileus.services.compute.servers.requests import FLAVOR_REF
from pileus.services.compute.servers.verbs.common import permitted
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

_HOST = types.nullable(types.string(255, minimum=1, pattern=r"[a-zA-Z0-9-._]*"))
_PASSWORD = types.string(255)


def _migrate_argument(version: Version) -> Type:
    if not at_least(version, "2.56"):
        return types.anything
    return types.nullable(types.dict_of({"host": _HOST}))


def _live_argument(version: Version) -> Type:
    fields: dict[str, Type] = {"block_migration": types.boolean, "host": _HOST}
    required: tuple[str, ...] = ("block_migration", "host")
    if not at_least(version, "2.25"):
        fields["disk_over_commit"] = types.boolean
        required += ("disk_over_commit",)
    else:
        fields["block_migration"] = types.one_of(types.enum("auto"), types.boolean)
    if at_least(version, "2.30") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


def _evacuate_argument(version: Version) -> Type:
    fields: dict[str, Type] = {"host": _HOST, "adminPass": _PASSWORD}
    required: tuple[str, ...] = ()
    if not at_least(version, "2.14"):
        fields["onSharedStorage"] = types.boolean
        required = ("onSharedStorage",)
    if at_least(version, "2.29") and not at_least(version, "2.68"):
        fields["force"] = types.boolean
    return types.dict_of(fields, required=required)


class _Unavailable(NamedTuple):
    """An action that this cloud does not have: its policy rule, what it would be, and its argument."""

    rule: str
    what: str
    argument: Type | ByVersion = types.anything


_UNAVAILABLE = {
    "confirmResize": _Unavailable("servers:confirm_resize", "Resizing"),
    "revertResize": _Unavailable("servers:revert_resize", "Resizing"),
    "migrate": _Unavailable("os-migrate-server:migrate", "Migrating", ByVersion(_migrate_argument)),
    "os-migrateLive": _Unavailable("os-migrate-server:migrate_live", "Migrating", ByVersion(_live_argument)),
    "evacuate": _Unavailable("os-evacuate", "Evacuating", ByVersion(_evacuate_argument)),
}
_TO_A_HOST = {
    "migrate": "os-migrate-server:migrate:host",
    "os-migrateLive": "os-migrate-server:migrate_live:host",
}
"""Rules beside the action's own where the host is chosen by the caller."""


def _refusing(name: str, unavailable: _Unavailable) -> Action:
    """An action that is refused as Nova would, and then as not being available."""

    def unit(tx: Tx, request: Request, argument: Any) -> None:
        server = find_server(tx, request)
        if name in _TO_A_HOST and isinstance(argument, dict) and argument.get("host"):
            request.access.require(f"os_compute_api:{_TO_A_HOST[name]}", target_of(server))
        must_be_unlocked(request, server)
        must_permit(name, server)
        raise NotHereYet(what=unavailable.what)

    async def act(request: Request, argument: Any) -> Reply:
        await request.read(unit, request, argument)
        return Reply.empty(202)

    return Action(
        unavailable.argument,
        act,
        rule=f"os_compute_api:{unavailable.rule}",
        summary=f"{unavailable.what}: not available yet",
    )


def _resize(tx: Tx, request: Request, flavor_id: str) -> None:
    server = permitted(tx, request, "resize")
    try:
        flavor = flavor_find(tx, request.access, flavor_id)
    except FlavorNotFound as missing:
        raise BadRequest(missing.text) from None
    if flavor["id"] == server["flavor_id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    more_cores = max(0, flavor["vcpus"] - server["vcpus"])
    more_memory = max(0, flavor["ram"] - server["memory_mib"])
    spend(tx, server["project_id"], server["user_id"], 0, more_cores, more_memory)
    raise NotHereYet(what="Resizing")


async def resize(request: Request, argument: Any) -> Reply:
    """Refuse: in Nova's words what it would refuse, the rest as not available yet."""
    await request.write(_resize, request, argument["flavorRef"])
    return Reply.empty(202)


_RESIZE = types.dict_of(
    {"flavorRef": FLAVOR_REF, "OS-DCF:diskConfig": types.enum("AUTO", "MANUAL")}, required=("flavorRef",)
)

UNAVAILABLE_ACTIONS = {
    "resize": Action(
        _RESIZE, resize, rule="os_compute_api:servers:resize", summary="Resizing: not available yet"
    ),
    **{name: _refusing(name, one) for name, one in _UNAVAILABLE.items()},
}

UNAVAILABLE = Noun(
    name="server_unavailable",
    rules=rules(
        {
            "servers:resize": ADMIN_OR_MEMBER,
            "servers:confirm_resize": ADMIN_OR_MEMBER,
            "servers:revert_resize": ADMIN_OR_MEMBER,
            "os-migrate-server:migrate": ADMIN_OR_MANAGER,
            "os-migrate-server:migrate:host": ADMIN,
            "os-migrate-server:migrate_live": ADMIN_OR_MANAGER,
            "os-migrate-server:migrate_live:host": ADMIN,
            "os-evacuate": ADMIN,
        }
    ),
)
