"""The ports of servers: those that ``server_interfaces`` names.

A port's ``device_id`` is its owner's to write and proves nothing: it is set when a port is attached, for
those who read the network API, and never read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.resource.declaration import Values
from pileus.services.compute.tables.servers import server_interfaces, servers
from pileus.services.compute.uses.network import floating_ips_of, networks_of, ports_by_id
from pileus.store.column_in import column_in
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx

_c = server_interfaces.c
_INTERFACES = narrowed(
    select(server_interfaces).order_by(_c.server_id, _c.position, _c.port_id), _c.server_id
)


class AttachedPort(msgspec.Struct, frozen=True):
    """One port of a server: its values, whether it was made for the server, and its device tag."""

    port: Values
    made: bool
    position: int
    tag: str | None
    network_name: str
    floating_ips: dict[str, list[str]]


def interfaces_of(tx: Tx, server_ids: Sequence[str]) -> list[Any]:
    """The rows of ``server_interfaces`` of servers, in the order of their ports."""
    return _INTERFACES.rows(tx, {}, server_ids) if server_ids else []


def ports_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[Values]]:
    """The ports of servers in their order, by server; one statement, and those that read ports by id."""
    rows = interfaces_of(tx, server_ids)
    ports = ports_by_id(tx, [row.port_id for row in rows])
    found: dict[str, list[Values]] = {}
    for row in rows:
        if row.port_id in ports:
            found.setdefault(row.server_id, []).append(ports[row.port_id])
    return found


def ports_of(tx: Tx, server_id: str) -> list[Values]:
    """The ports of one server in their order."""
    return ports_of_servers(tx, [server_id]).get(server_id, [])


def attached_ports(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[AttachedPort]]:
    """The ports of servers in their order, with what views of them show."""
    rows = interfaces_of(tx, server_ids)
    ports = ports_by_id(tx, [row.port_id for row in rows])
    if not ports:
        return {}
    networks = networks_of(tx, {port["network_id"] for port in ports.values()})
    floating = floating_ips_of(tx, ports)
    found: dict[str, list[AttachedPort]] = {}
    for row in rows:
        port = ports.get(row.port_id)
        if port is None:
            continue
        network = networks.get(port["network_id"])
        found.setdefault(row.server_id, []).append(
            AttachedPort(
                port,
                row.made,
                row.position,
                row.tag,
                network["name"] if network is not None else "",
                floating.get(port["id"], {}),
            )
        )
    return found


def holders_of(tx: Tx, port_ids: Iterable[str]) -> dict[str, str]:
    """The servers that ports are attached to, by port."""
    wanted = sorted(set(port_ids))
    if not wanted:
        return {}
    c = server_interfaces.c
    rows = tx.rows(select(c.port_id, c.server_id).where(column_in(tx, c.port_id, wanted)))
    return {row.port_id: row.server_id for row in rows}


def projects_of_servers(tx: Tx, server_ids: Sequence[str]) -> dict[str, str]:
    """The projects of those of the servers that exist, by id."""
    c = servers.c
    rows = tx.rows(select(c.id, c.project_id).where(column_in(tx, c.id, server_ids), c.deleted_at.is_(None)))
    return {row.id: row.project_id for row in rows}
