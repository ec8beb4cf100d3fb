"""Where policies are used: on ports, networks, floating IPs and router gateways."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select

from pileus.core.errors import Conflict
from pileus.services.network.common.errors import InUse
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.tables import router_policies, rules
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.store.tx import Tx
from pileus.wire import scopes


class QosPolicyInUse(InUse):
    message = "QoS Policy {policy_id} is used by {object_type} {object_id}."


class QosRuleNotSupported(Conflict):
    message = "Rule {rule_type} is not supported by port {port_id}"


VIF_TYPES, VNIC_TYPES = ("ovs", "vhostuser"), ("normal", "direct")
"""Kinds of ports that the switch plugs with QoS; the second says so before a port is bound."""

_IDS: Any = bindparam("ids", expanding=True)
_USES = (
    ("port", select(ports.c.id).where(ports.c.qos_policy_id.in_(_IDS))),
    ("network", select(networks.c.id).where(networks.c.qos_policy_id.in_(_IDS))),
    ("fip", select(floating_ips.c.id).where(floating_ips.c.qos_policy_id.in_(_IDS))),
    (
        "router",
        select(router_policies.c.router_id.label("id")).where(router_policies.c.qos_policy_id.in_(_IDS)),
    ),
)
_ON_PORTS = ports.join(networks, networks.c.id == ports.c.network_id)
EFFECTIVE = func.coalesce(ports.c.qos_policy_id, networks.c.qos_policy_id)
"""The policy of a port: its own goes before that of its network."""
_HOSTS = select(ports.c.host).select_from(_ON_PORTS).where(ports.c.host != "", EFFECTIVE.in_(_IDS)).distinct()
_NETWORKS = select(networks.c.id).where(networks.c.qos_policy_id.in_(_IDS))
_ROUTERS = (
    select(floating_ips.c.router_id)
    .where(floating_ips.c.qos_policy_id.in_(_IDS), floating_ips.c.router_id.is_not(None))
    .union(select(router_policies.c.router_id).where(router_policies.c.qos_policy_id.in_(_IDS)))
)
_HOSTS_ON = (
    select(ports.c.host).where(
        ports.c.network_id.in_(_IDS), ports.c.host != "", ports.c.qos_policy_id.is_(None)
    )
).distinct()


def _unsupported(vif_type: ColumnElement[Any], vnic_type: ColumnElement[Any]) -> ColumnElement[bool]:
    unbound = vif_type.in_((UNBOUND, BINDING_FAILED))
    return or_(and_(unbound, vnic_type.not_in(VNIC_TYPES)), and_(~unbound, vif_type.not_in(VIF_TYPES)))


_ODD_PORTS = (
    select(ports.c.id)
    .select_from(_ON_PORTS)
    .where(EFFECTIVE.in_(_IDS), _unsupported(ports.c.vif_type, ports.c.vnic_type))
    .limit(1)
)
_ODD_ON = (
    select(ports.c.id)
    .where(
        ports.c.network_id.in_(_IDS),
        ports.c.qos_policy_id.is_(None),
        _unsupported(ports.c.vif_type, ports.c.vnic_type),
    )
    .limit(1)
)
_FIRST_RULES = (
    select(rules.c.qos_policy_id, func.min(rules.c.rule_type).label("rule_type"))
    .where(rules.c.qos_policy_id.in_(_IDS))
    .group_by(rules.c.qos_policy_id)
)


def refuse_used(tx: Tx, policy_ids: Sequence[str]) -> None:
    """QosPolicyInUse where one of these is on anything; at most a statement for each kind of use."""
    for kind, statement in _USES:
        used = tx.first(statement.limit(1), {"ids": list(policy_ids)})
        if used is not None:
            raise QosPolicyInUse(policy_id=policy_ids[0], object_type=kind, object_id=used.id)


def concerned(tx: Tx, policy_ids: Collection[str]) -> set[str]:
    """The scopes of whatever enforces these policies: hosts, networks (for gateways), routers."""
    ids = {"ids": sorted(policy_ids)}
    found = {scopes.host(row.host) for row in tx.rows(_HOSTS, ids)}
    found |= {scopes.network(row.id) for row in tx.rows(_NETWORKS, ids)}
    return found | {scopes.router(row[0]) for row in tx.rows(_ROUTERS, ids)}


def hosts_on(tx: Tx, network_ids: Collection[str]) -> set[str]:
    """The scopes of hosts with ports that follow their network's policy."""
    rows = tx.rows(_HOSTS_ON, {"ids": sorted(network_ids)}) if network_ids else []
    return {scopes.host(row.host) for row in rows}


def is_supported(vif_type: str, vnic_type: str) -> bool:
    """Whether the switch enforces policies on such a port."""
    return vnic_type in VNIC_TYPES if vif_type in (UNBOUND, BINDING_FAILED) else vif_type in VIF_TYPES


def refuse_unsupported_rule(tx: Tx, rule_type: str, policy_ids: Collection[str]) -> None:
    """QosRuleNotSupported where a port that has one of these policies is of a kind that no driver serves."""
    odd = tx.first(_ODD_PORTS, {"ids": sorted(policy_ids)})
    if odd is not None:
        raise QosRuleNotSupported(rule_type=rule_type, port_id=odd.id)


def refuse_unsupported_ports(tx: Tx, wanted: Collection[tuple[str, str]]) -> None:
    """The same for ports of such a kind (``(port id, policy id)``): no statement where there is none."""
    if not wanted:
        return
    found = {
        row.qos_policy_id: row.rule_type
        for row in tx.rows(_FIRST_RULES, {"ids": sorted({p for _, p in wanted})})
    }
    for port_id, policy_id in wanted:
        if policy_id in found:
            raise QosRuleNotSupported(rule_type=found[policy_id], port_id=port_id)


def refuse_unsupported_networks(tx: Tx, wanted: Collection[tuple[str, str]]) -> None:
    """The same for networks that get a policy (``(network id, policy id)``): for ports that follow it."""
    for network_id, policy_id in wanted:
        odd = tx.first(_ODD_ON, {"ids": [network_id]})
        if odd is not None:
            refuse_unsupported_ports(tx, [(odd.id, policy_id)])
