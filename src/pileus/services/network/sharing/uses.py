"""The projects that use what is shared with them: by that a policy can't be taken away."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Executable, bindparam, select

from pileus.core.errors import Conflict
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.tables import router_policies
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.security_groups.tables import security_group_ports, security_group_rules
from pileus.services.network.sharing.tables import rbac_policies
from pileus.services.network.sharing.targets import (
    ADDRESS_GROUPS,
    ADDRESS_SCOPES,
    EVERYBODY,
    EXTERNAL,
    NETWORKS,
    QOS_POLICIES,
    SECURITY_GROUPS,
    SHARED,
    SUBNETPOOLS,
    Kind,
)
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx


class RbacPolicyInUse(Conflict):
    message = (
        "RBAC policy on object {object_id} cannot be removed because other objects depend on it.\n"
        "Details: {details}"
    )


_OBJECT: Any = bindparam("object")
_USERS: dict[tuple[str, str], Executable] = {
    # ports without a project are the network's own
    (NETWORKS.object_type, SHARED): select(ports.c.project_id).where(
        ports.c.network_id == _OBJECT, ports.c.project_id != ""
    ),
    (NETWORKS.object_type, EXTERNAL): (
        select(routers.c.project_id)
        .select_from(
            routers.join(router_ports, router_ports.c.router_id == routers.c.id).join(
                ports, ports.c.id == router_ports.c.port_id
            )
        )
        .where(ports.c.network_id == _OBJECT, router_ports.c.port_type == device_owners.ROUTER_GATEWAY)
    ),
    (QOS_POLICIES.object_type, SHARED): (
        select(networks.c.project_id)
        .where(networks.c.qos_policy_id == _OBJECT)
        .union(
            select(ports.c.project_id).where(ports.c.qos_policy_id == _OBJECT),
            select(floating_ips.c.project_id).where(floating_ips.c.qos_policy_id == _OBJECT),
            select(routers.c.project_id)
            .select_from(routers.join(router_policies, router_policies.c.router_id == routers.c.id))
            .where(router_policies.c.qos_policy_id == _OBJECT),
        )
    ),
    (SECURITY_GROUPS.object_type, SHARED): (
        select(ports.c.project_id)
        .select_from(ports.join(security_group_ports, security_group_ports.c.port_id == ports.c.id))
        .where(security_group_ports.c.security_group_id == _OBJECT)
    ),
    (SUBNETPOOLS.object_type, SHARED): select(subnets.c.project_id).where(subnets.c.subnetpool_id == _OBJECT),
    (ADDRESS_SCOPES.object_type, SHARED): select(subnetpools.c.project_id).where(
        subnetpools.c.address_scope_id == _OBJECT
    ),
    (ADDRESS_GROUPS.object_type, SHARED): select(security_group_rules.c.project_id).where(
        security_group_rules.c.remote_address_group_id == _OBJECT
    ),
}
_TARGETS = select(rbac_policies.c.target_project).where(
    rbac_policies.c.object_id == _OBJECT, rbac_policies.c.action == bindparam("action")
)


def stranded(
    tx: Tx, kind: Kind, action: str, object_id: str, owner: str, target: str, new: str | None = None
) -> set[str]:
    """Find the projects that use an object and could not any more, if ``target`` lost its policy (or ``new``
    had it instead). As in Neutron, the owner's own ports keep no network shared, while what he uses of
    another kind does that. Two statements at most."""
    if target == owner:
        return set()
    here = {"object": object_id}
    left = {row[0] for row in tx.rows(_TARGETS, {**here, "action": action})} - {target}
    left |= {new} if new else set()
    if kind is NETWORKS and action == SHARED:
        left.add(owner)
    if EVERYBODY in left:
        return set()
    users = {row[0] for row in tx.rows(_USERS[kind.object_type, action], here)}
    return (users if target == EVERYBODY else users & {target}) - left


def refuse_stranded(object_id: str, projects: Collection[str], details: str = "") -> None:
    """RbacPolicyInUse where projects would be without something that they use."""
    if projects:
        raise RbacPolicyInUse(object_id=object_id, details=details or f"project_id={min(projects)}")
