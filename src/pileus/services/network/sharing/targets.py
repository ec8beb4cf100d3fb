"""The kinds of things that are shared, and with whom one is, as conditions that policy rules look at."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Table, or_, select

from pileus.core.context import Context
from pileus.resource.declaration import Seen
from pileus.services.network.address_groups.tables import address_groups
from pileus.services.network.networks.tables import networks
from pileus.services.network.qos.tables import policies
from pileus.services.network.security_groups.tables import security_groups
from pileus.services.network.sharing.tables import rbac_policies
from pileus.services.network.subnetpools.tables import address_scopes, subnetpools

SHARED, EXTERNAL = "access_as_shared", "access_as_external"
EVERYBODY = "*"


class Kind(NamedTuple):
    """``object_type`` is the API's name of it."""

    object_type: str
    table: Table
    actions: tuple[str, ...] = (SHARED,)

    @property
    def flag(self) -> ColumnElement[bool] | None:
        """The column that says of one that it is shared with everybody."""
        return self.table.c.get("shared")

    @property
    def object_column(self) -> str:
        """The column of policies that names one of this kind."""
        return f"{self.object_type}_id"


NETWORKS = Kind("network", networks, (SHARED, EXTERNAL))
QOS_POLICIES = Kind("qos_policy", policies)
SECURITY_GROUPS = Kind("security_group", security_groups)
SUBNETPOOLS = Kind("subnetpool", subnetpools)
ADDRESS_SCOPES = Kind("address_scope", address_scopes)
ADDRESS_GROUPS = Kind("address_group", address_groups)
BY_TYPE = {
    kind.object_type: kind
    for kind in (NETWORKS, QOS_POLICIES, SECURITY_GROUPS, SUBNETPOOLS, ADDRESS_SCOPES, ADDRESS_GROUPS)
}


def shared_to(kind: Kind, caller: Any) -> ColumnElement[bool]:
    """Whether one is shared with a project (an id, or a parameter), or with everybody."""
    if kind.flag is None:
        return kind.table.c.id.in_(_granted(SHARED, caller, EVERYBODY))
    return or_(kind.flag, kind.table.c.id.in_(_granted(SHARED, caller)))


def external_to(caller: Any) -> ColumnElement[bool]:
    """Whether a network leads outside for a project."""
    return networks.c.id.in_(_granted(EXTERNAL, caller, EVERYBODY))


def _granted(action: str, *targets: Any) -> Any:
    target = rbac_policies.c.target_project
    who = or_(*(target == one for one in targets))
    return select(rbac_policies.c.object_id).where(who, rbac_policies.c.action == action)


def seen_shared(kind: Kind) -> Seen:
    """Make the column ``shared`` as a caller sees it."""
    return lambda context: shared_to(kind, caller_of(context))


def seen_external(context: Context) -> ColumnElement[bool]:
    """Whether a network leads outside for the caller."""
    return external_to(caller_of(context))


def caller_of(context: Context) -> str:
    """The project that a caller looks for; none is not everybody."""
    return context.project_id or ""
