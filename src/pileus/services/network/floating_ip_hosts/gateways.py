"""Ports of hosts on external networks (``network:floatingip_agent_gateway``): made where a host is to
translate floating IPs and can, deleted where it has none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Row, and_, bindparam, delete, null, or_, select, union_all

from pileus.core import log
from pileus.core.context import Context
from pileus.core.errors import Fault
from pileus.resource.rows import fetch
from pileus.services.network.agents.floating_hosts import IN_FORCE, fixed, may_be_translated, on_hosts
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.tables import (
    floating_ip_gateways,
    floating_ip_hosts,
    floating_ips,
)
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.work import port_create
from pileus.services.network.rules import device_owners
from pileus.services.network.rules.agent_types import L3_AGENT, OPEN_VSWITCH_AGENT
from pileus.store.tx import Tx

_log = log.get("network.floating_ip_hosts")
_LOCK = "floating_ip_gateways"
_NETWORKS: BindParameter[str] = bindparam("networks", expanding=True)
# Those that are wanted (of no port), and those that are there.
_WANTED_AND_PRESENT = union_all(
    select(
        fixed.c.host,
        floating_ips.c.floating_network_id.label("network_id"),
        networks.c.physical_network,
        null().label("port_id"),
    )
    .distinct()
    .select_from(
        on_hosts()
        .join(networks, networks.c.id == floating_ips.c.floating_network_id)
        .outerjoin(floating_ip_hosts, and_(IN_FORCE, floating_ip_hosts.c.host == fixed.c.host))
    )
    .where(
        floating_ips.c.floating_network_id.in_(_NETWORKS),
        # Also what one host translates until the router's agent does.
        or_(may_be_translated(), floating_ip_hosts.c.host.is_not(None)),
    ),
    select(
        floating_ip_gateways.c.host,
        floating_ip_gateways.c.network_id,
        null(),
        floating_ip_gateways.c.port_id,
    ).where(floating_ip_gateways.c.network_id.in_(_NETWORKS)),
)
_AGENTS = select(agents.c.id, agents.c.host, agents.c.agent_type, agents.c.configurations).where(
    agents.c.host.in_(bindparam("hosts", expanding=True)),
    agents.c.agent_type.in_((OPEN_VSWITCH_AGENT, L3_AGENT)),
)
_DISOWN = delete(floating_ip_gateways).where(
    floating_ip_gateways.c.port_id.in_(bindparam("ids", expanding=True))
)
_WITH_FLOATING_IPS = ("dvr", "dvr_snat")
"""Modes of L3 agents on hosts that translate; where there is none the switch agent is enough."""

Key = tuple[str, str]


def gateways_sync(tx: Tx, context: Context, network_ids: Collection[str], config: NetworkConfig) -> set[str]:
    """Make and delete the gateways of hosts on external networks; the hosts that got or lost one.

    Two statements where there are none and none is wanted, three where all are there."""
    if not network_ids:
        return set()
    tx.lock(_LOCK)
    rows = tx.rows(_WANTED_AND_PRESENT, {"networks": sorted(network_ids)})
    present = {(row.host, row.network_id): row.port_id for row in rows if row.port_id is not None}
    able = _able(tx, [row for row in rows if row.port_id is None])
    gone = {key: port_id for key, port_id in present.items() if key not in able}
    new = sorted(able.keys() - present.keys())
    as_admin = elevated(context)
    if gone:
        tx.execute(_DISOWN, {"ids": sorted(gone.values())})
        delete_ports(tx, as_admin, fetch(tx, PORT, sorted(gone.values()), lock=True), config)
    made = [key for key in new if _make(tx, as_admin, key, able, config)]
    return {host for host, _ in (*gone, *made)}


def _make(tx: Tx, context: Context, key: Key, able: Mapping[Key, str], config: NetworkConfig) -> bool:
    """Make one gateway; where the network has no address left its floating IPs stay the router's."""
    host, network_id = key
    spec = new_port(
        context,
        project_id="",
        network_id=network_id,
        device_id=able[key],
        device_owner=device_owners.AGENT_GATEWAY,
        **{"binding:host_id": host},
    )
    try:
        with tx.savepoint():
            (port,) = port_create(tx, context, [spec], config=config)
    except Fault as fault:
        _log.warning("a host gets no gateway to a network", host=host, network=network_id, why=str(fault))
        return False
    tx.insert(floating_ip_gateways, [{"port_id": port["id"], "host": host, "network_id": network_id}])
    return True


def _able(tx: Tx, wanted: Sequence[Row[Any]]) -> dict[Key, str]:
    """Those of the wanted gateways that a host can have, with the agent that they belong to."""
    if not wanted:
        return {}
    found: dict[str, dict[str, Row[Any]]] = {}
    for row in tx.rows(_AGENTS, {"hosts": sorted({one.host for one in wanted})}):
        found.setdefault(row.host, {})[row.agent_type] = row
    able = {}
    for one in wanted:
        host, network_id = one.host, one.network_id
        switch, router = found.get(host, {}).get(OPEN_VSWITCH_AGENT), found.get(host, {}).get(L3_AGENT)
        if switch is None or not switch.configurations.get("enable_distributed_routing"):
            continue
        if one.physical_network not in (switch.configurations.get("bridge_mappings") or {}):
            continue
        if router is not None and router.configurations.get("agent_mode") not in _WITH_FLOATING_IPS:
            continue
        able[host, network_id] = (router or switch).id
    return able
