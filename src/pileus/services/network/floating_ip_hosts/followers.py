"""Followers of where floating IPs of distributed routers lead: gateways of hosts, and who translates."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Row, bindparam, delete, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.network.agents.floating_hosts import fixed, may_be_translated, on_hosts, with_gateways
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import AgentSeen, NetworkConfig
from pileus.services.network.floating_ip_hosts.gateways import gateways_sync
from pileus.services.network.floating_ips.tables import floating_ip_hosts, floating_ips
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import L3_AGENT, OPEN_VSWITCH_AGENT
from pileus.store.tx import Tx
from pileus.store.upsert import upsert
from pileus.wire import scopes

_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_OUTSIDE = (
    select(routers.c.id, ports.c.network_id)
    .select_from(
        routers.join(router_ports, router_ports.c.router_id == routers.c.id).join(
            ports, ports.c.id == router_ports.c.port_id
        )
    )
    .where(
        routers.c.id.in_(_IDS),
        routers.c.distributed,
        router_ports.c.port_type == device_owners.ROUTER_GATEWAY,
    )
)
_LEADING = select(floating_ips.c.floating_network_id, floating_ips.c.router_id, floating_ips.c.fixed_port_id)
_OF_ROUTERS = _LEADING.where(floating_ips.c.router_id.in_(_IDS), floating_ips.c.fixed_port_id.is_not(None))
_OF_PORTS = _LEADING.select_from(floating_ips.join(routers, routers.c.id == floating_ips.c.router_id)).where(
    floating_ips.c.fixed_port_id.in_(_IDS), routers.c.distributed
)
_OF_HOST = _LEADING.select_from(
    floating_ips.join(routers, routers.c.id == floating_ips.c.router_id).join(
        ports, ports.c.id == floating_ips.c.fixed_port_id
    )
).where(ports.c.host == bindparam("on_host"), routers.c.distributed)
_OF_THESE = _LEADING.where(floating_ips.c.id.in_(_IDS))
_REPORTED = (
    select(
        floating_ips.c.id,
        floating_ips.c.project_id,
        floating_ips.c.status,
        floating_ips.c.router_id,
        floating_ips.c.fixed_port_id,
        floating_ips.c.fixed_ip_address,
    )
    .select_from(with_gateways(on_hosts()))
    .where(floating_ips.c.id.in_(_IDS), fixed.c.host == bindparam("on_host"), may_be_translated())
    .order_by(floating_ips.c.id)
)
_STAYING = (
    select(floating_ips.c.id)
    .select_from(with_gateways(on_hosts()))
    .where(floating_ips.c.id.in_(_IDS), may_be_translated())
)
_FORGET = delete(floating_ip_hosts).where(floating_ip_hosts.c.floating_ip_id.in_(_IDS))


def floating_ips_placed(
    tx: Tx, context: Context, leading: Mapping[str, Collection[str]], config: NetworkConfig
) -> None:
    """Wake the hosts of ports of distributed routers, and make or delete their gateways; one statement where
    no router is distributed."""
    outside = tx.rows(_OUTSIDE, {"ids": sorted(leading)})
    if not outside:
        return
    gateways_sync(tx, context, {row.network_id for row in outside}, config)
    distributed = {row.id for row in outside}
    _wake(tx, context, {one: leading[one] for one in sorted(distributed)})


def floating_ips_follow_ports(
    tx: Tx, context: Context, changed: Sequence[tuple[Values, Values]], config: NetworkConfig
) -> None:
    """Take floating IPs along to the hosts that ports move to."""
    moved = [
        port["id"]
        for before, port in changed
        if any(port[name] != before[name] for name in ("binding:host_id", "binding:vif_type"))
        and not port["device_owner"].startswith(device_owners.NETWORK)
    ]
    if moved:
        _follow(tx, context, tx.rows(_OF_PORTS, {"ids": moved}), config)


def floating_ips_follow_routers(
    tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig
) -> None:
    """Spread the floating IPs of routers over their hosts, or bring them together."""
    _follow(tx, context, tx.rows(_OF_ROUTERS, {"ids": list(router_ids)}), config)


def floating_ips_follow_agents(tx: Tx, context: Context, agent: AgentSeen, config: NetworkConfig) -> None:
    """Look at what a host can do that begins anew."""
    if agent.restarted and agent.agent_type in (OPEN_VSWITCH_AGENT, L3_AGENT):
        _follow(tx, context, tx.rows(_OF_HOST, {"on_host": agent.host}), config)


def floating_ips_on_host(
    tx: Tx, context: Context, host: str, ids: Sequence[str], config: NetworkConfig
) -> None:
    """Write that a host translates floating IPs, those that are its own; then nobody else need."""
    rows = tx.rows(_REPORTED, {"ids": list(ids), "on_host": host})
    if not rows:
        return
    columns = ("host", "port_id", "fixed_ip_address")
    tx.execute(
        upsert(tx.dialect, floating_ip_hosts, columns),
        [
            {
                "floating_ip_id": row.id,
                "host": host,
                "port_id": row.fixed_port_id,
                "fixed_ip_address": row.fixed_ip_address,
            }
            for row in rows
        ],
    )
    raised = [row.id for row in rows if row.status != "ACTIVE"]
    if raised:
        changes = {"status": "ACTIVE", **next_revision(floating_ips, context.now)}
        tx.execute(update(floating_ips).where(floating_ips.c.id.in_(raised)).values(changes))
    tx.emit_many(
        [
            event(
                context,
                "floatingip.active",
                row.id,
                row.project_id,
                [scopes.router(row.router_id)],
                host=host,
            )
            for row in rows
        ]
    )


def floating_ips_back(tx: Tx, context: Context, ids: Sequence[str], config: NetworkConfig) -> None:
    """Write that a router's agent translates floating IPs that hosts did, unless they are about to."""
    staying = {row.id for row in tx.rows(_STAYING, {"ids": list(ids)})}
    back = [one for one in ids if one not in staying]
    if back:
        rows = tx.rows(_OF_THESE, {"ids": back})
        tx.execute(_FORGET, {"ids": back})
        _follow(tx, context, rows, config)


def _follow(tx: Tx, context: Context, rows: Iterable[Row[Any]], config: NetworkConfig) -> None:
    leading: dict[str, set[str]] = {}
    outside = set()
    for row in rows:
        outside.add(row.floating_network_id)
        leading.setdefault(row.router_id, set()).add(row.fixed_port_id)
    if leading:
        gateways_sync(tx, context, outside, config)
        _wake(tx, context, leading)


def _wake(tx: Tx, context: Context, leading: Mapping[str, Collection[str]]) -> None:
    """Wake the hosts of ports, and the agents of routers."""
    tx.emit_many(
        [
            event(
                context,
                "router.floating_ips",
                router_id,
                None,
                [scopes.router(router_id), *map(scopes.port, sorted(port_ids))],
            )
            for router_id, port_ids in sorted(leading.items())
        ]
    )
