"""Addresses that ports gain and lose because a subnet came or went.

Guests on an automatic subnet (SLAAC) give themselves an address, so ports that are there
already have one as soon as the subnet exists, and lose it with the subnet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, select, update

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.networks.host_segments import host_segments, segments_of
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.events import GROUP_ADDRESSES, group_addresses
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules import addresses
from pileus.services.network.rules.names import assignment
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.tx import Tx
from pileus.wire import scopes

_FACTS = (
    ports.c.id,
    ports.c.project_id,
    ports.c.network_id,
    ports.c.mac_address,
    ports.c.device_owner,
    ports.c.host,
    ports.c.fixed_ips,
    ports.c.security_groups,
    ports.c.dns_name,
    ports.c.dns_domain,
    ports.c.dns_keywords,
)
# The rows are held, since their lists of addresses are written whole.
_IN_NETWORKS = (
    select(*_FACTS)
    .where(
        ports.c.network_id.in_(bindparam("ids", expanding=True)),
        ports.c.device_owner.not_like("network:router%"),
    )
    .order_by(ports.c.id)
    .with_for_update()
)
_USERS = (
    select(ip_allocations.c.subnet_id, *_FACTS)
    .select_from(ip_allocations.join(ports, ports.c.id == ip_allocations.c.port_id))
    .where(ip_allocations.c.subnet_id.in_(bindparam("ids", expanding=True)))
    .order_by(ports.c.id)
    .with_for_update(of=ports)
)
_SET_FIXED_IPS = (
    update(ports)
    .where(ports.c.id == bindparam("key"))
    .values(
        fixed_ips=bindparam("addresses"),
        dns_assignment=bindparam("names"),
        **next_revision(ports, bindparam("now")),
    )
)
_DOMAINS = select(networks.c.id, networks.c.dns_domain).where(
    networks.c.id.in_(bindparam("ids", expanding=True))
)
_DELETE_ALLOCATIONS = delete(ip_allocations).where(
    ip_allocations.c.subnet_id.in_(bindparam("ids", expanding=True))
)


def ports_using(tx: Tx, subnet_ids: Sequence[str]) -> list[Row[Any]]:
    """The ports that have addresses in these subnets: a row for each address, with its subnet."""
    return tx.rows(_USERS, {"ids": list(subnet_ids)})


def slaac_addresses_add(tx: Tx, context: Context, subnets: Sequence[Mapping[str, Any]]) -> None:
    """Give the ports of automatic subnets' networks their addresses there; four statements for any number."""
    by_network: dict[str, list[Mapping[str, Any]]] = {}
    for subnet in subnets:
        by_network.setdefault(subnet["network_id"], []).append(subnet)
    rows = tx.rows(_IN_NETWORKS, {"ids": sorted(by_network)})
    routed = {subnet["network_id"] for subnet in subnets if subnet["segment_id"]}
    near = host_segments(tx, segments_of(tx, routed), {row.host for row in rows if row.host})
    gained: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        segment = near.get((row.network_id, row.host))
        gained[row.id] = [
            {"subnet_id": subnet["id"], "ip_address": addresses.eui64(subnet["cidr"], row.mac_address)}
            for subnet in by_network[row.network_id]
            if subnet["segment_id"] is None or (segment is not None and segment.id == subnet["segment_id"])
        ]
    rows = [row for row in rows if gained[row.id]]
    if rows:
        tx.insert(
            ip_allocations,
            [{**ip, "port_id": port_id} for port_id, several in gained.items() for ip in several],
        )
        _write(tx, context, rows, {row.id: [*row.fixed_ips, *gained[row.id]] for row in rows})


def addresses_remove(tx: Tx, context: Context, rows: Sequence[Row[Any]], subnet_ids: Collection[str]) -> None:
    """Take the addresses of these subnets from the ports (``rows`` as ``ports_using`` found them)."""
    if not rows:
        return
    tx.execute(_DELETE_ALLOCATIONS, {"ids": list(subnet_ids)})
    left = {row.id: [ip for ip in row.fixed_ips if ip["subnet_id"] not in subnet_ids] for row in rows}
    _write(tx, context, list({row.id: row for row in rows}.values()), left)


def addresses_renumber(
    tx: Tx, context: Context, rows: Sequence[Row[Any]], prefixes: Mapping[str, str]
) -> None:
    """Let the ports of these subnets have the same addresses in other prefixes (``{subnet id: prefix}``)."""
    if not rows:
        return
    owners = {row.id: row for row in rows}
    after = {
        row.id: [
            {**ip, "ip_address": addresses.moved(ip["ip_address"], prefixes[ip["subnet_id"]])}
            if ip["subnet_id"] in prefixes
            else ip
            for ip in row.fixed_ips
        ]
        for row in owners.values()
    }
    tx.execute(_DELETE_ALLOCATIONS, {"ids": list(prefixes)})
    tx.insert(
        ip_allocations,
        [
            {**ip, "port_id": port_id}
            for port_id, several in after.items()
            for ip in several
            if ip["subnet_id"] in prefixes
        ],
    )
    _write(tx, context, list(owners.values()), after)


def _write(
    tx: Tx, context: Context, rows: Sequence[Row[Any]], fixed_ips: Mapping[str, list[dict[str, str]]]
) -> None:
    domains = dict(map(tuple, tx.rows(_DOMAINS, {"ids": sorted({row.network_id for row in rows})})))
    tx.execute(
        _SET_FIXED_IPS,
        [
            {
                "key": row.id,
                "addresses": fixed_ips[row.id],
                "names": assignment(
                    {**row._mapping, "fixed_ips": fixed_ips[row.id]}, domains[row.network_id]
                ),
                "now": context.now,
            }
            for row in rows
        ],
    )
    tx.emit_many(
        [
            event(
                context,
                "port.update",
                row.id,
                row.project_id,
                [
                    *([scopes.port(row.id), scopes.host(row.host)] if row.host else ()),
                    scopes.network(row.network_id),
                    scopes.dhcp_network(row.network_id),
                    *map(scopes.security_group, row.security_groups),
                ],
                host=row.host,
                network_id=row.network_id,
                changed=["fixed_ips"],
                **{
                    GROUP_ADDRESSES: group_addresses(
                        {"fixed_ips": row.fixed_ips}, {"fixed_ips": fixed_ips[row.id]}
                    )
                },
            )
            for row in rows
        ]
    )
