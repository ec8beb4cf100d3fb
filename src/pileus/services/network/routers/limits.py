"""The limits that a router enforces: of floating IPs, and of the addresses of its gateway.

The policy of a floating IP or a gateway goes before that of the external network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import func, select

from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.state import rules_for_nodes
from pileus.services.network.qos.tables import router_policies
from pileus.services.network.routers.hosted import HOSTED
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx
from pileus.wire.qos import AddressQos

_FLOATING_POLICY = func.coalesce(floating_ips.c.qos_policy_id, networks.c.qos_policy_id)
_FLOATING = select(
    floating_ips.c.router_id,
    floating_ips.c.floating_ip_address,
    _FLOATING_POLICY.label("policy_id"),
).select_from(floating_ips.join(networks, networks.c.id == floating_ips.c.floating_network_id))
_GATEWAY_POLICY = func.coalesce(router_policies.c.qos_policy_id, networks.c.qos_policy_id)
_GATEWAYS = (
    select(router_ports.c.router_id, ports.c.fixed_ips, _GATEWAY_POLICY.label("policy_id"))
    .select_from(
        router_ports.join(ports, ports.c.id == router_ports.c.port_id)
        .join(networks, networks.c.id == ports.c.network_id)
        .outerjoin(router_policies, router_policies.c.router_id == router_ports.c.router_id)
    )
    .where(router_ports.c.port_type == device_owners.ROUTER_GATEWAY)
)


_FLOATING_LIMITED = narrowed(
    _FLOATING.where(floating_ips.c.router_id.in_(HOSTED), _FLOATING_POLICY.is_not(None)),
    floating_ips.c.router_id,
)
_GATEWAYS_LIMITED = narrowed(
    _GATEWAYS.where(router_ports.c.router_id.in_(HOSTED), _GATEWAY_POLICY.is_not(None)),
    router_ports.c.router_id,
)


def router_limits(
    tx: Tx, here: Mapping[str, Any], wanted: Collection[str] | None
) -> dict[str, tuple[AddressQos, ...]]:
    """The limits by router, of an agent's routers; three statements, two where nothing has a policy."""
    held = [
        (row.router_id, row.floating_ip_address, row.policy_id)
        for row in _FLOATING_LIMITED.rows(tx, here, wanted)
    ]
    held += [
        (row.router_id, ip["ip_address"], row.policy_id)
        for row in _GATEWAYS_LIMITED.rows(tx, here, wanted)
        for ip in row.fixed_ips
    ]
    policies = rules_for_nodes(tx, {policy_id for _, _, policy_id in held})
    found: dict[str, list[AddressQos]] = {}
    for router_id, address, policy_id in sorted(held):
        limits = policies[policy_id].of_address(address) if policy_id in policies else None
        if limits is not None:
            found.setdefault(router_id, []).append(limits)
    return {router_id: tuple(several) for router_id, several in found.items()}
