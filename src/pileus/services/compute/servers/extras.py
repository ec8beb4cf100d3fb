"""What a view of servers needs beside their rows, for many servers in a constant number of statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.services.compute.neighbours import (
    floating_ips_of,
    group_names,
    networks_of,
    ports_of_servers,
)
from pileus.services.compute.servers.tables import server_interfaces
from pileus.store.tx import Tx
from pileus.web.among import among
from pileus.web.resource import Values
from pileus.web.tag_table import tags_load


class Plugged(msgspec.Struct, frozen=True):
    """One port of a server: its values, whether it was made for the server, and its device tag."""

    port: Values
    made: bool
    position: int
    tag: str | None
    network_name: str
    floating_ips: dict[str, list[str]]


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """By server id: ports in their order, tags, names of security groups."""

    ports: dict[str, list[Plugged]]
    tags: dict[str, list[str]]
    groups: dict[str, list[str]]
    host_status: dict[str, str] = msgspec.field(default_factory=dict)
    zones: dict[str, str] = msgspec.field(default_factory=dict)


def interfaces_of(tx: Tx, server_ids: Sequence[str]) -> dict[str, Any]:
    """The rows of ``server_interfaces`` of servers, by port."""
    if not server_ids:
        return {}
    rows = tx.rows(
        select(server_interfaces).where(among(tx, server_interfaces.c.server_id, list(server_ids)))
    )
    return {row.port_id: row for row in rows}


def plugged_of(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[Plugged]]:
    """The ports of servers in their order; those that nobody wrote down as the server's come last."""
    ports = ports_of_servers(tx, server_ids)
    if not ports:
        return {}
    known = interfaces_of(tx, server_ids)
    networks = networks_of(tx, {port["network_id"] for port in ports})
    floating = floating_ips_of(tx, [port["id"] for port in ports])
    found: dict[str, list[Plugged]] = {}
    for port in ports:
        row = known.get(port["id"])
        found.setdefault(port["device_id"], []).append(
            Plugged(
                port,
                bool(row is not None and row.made),
                row.position if row is not None else 10_000,
                row.tag if row is not None else None,
                networks[port["network_id"]]["name"] if port["network_id"] in networks else "",
                floating.get(port["id"], {}),
            )
        )
    for several in found.values():
        several.sort(key=lambda one: (one.position, one.port["created_at"], one.port["id"]))
    return found


def extras_of(tx: Tx, server_ids: Sequence[str]) -> Extras:
    """Everything for views of these servers."""
    ports = plugged_of(tx, server_ids)
    names = group_names(
        tx, {group for several in ports.values() for one in several for group in one.port["security_groups"]}
    )
    groups = {
        server_id: sorted(
            {names[group] for one in several for group in one.port["security_groups"] if group in names}
        )
        for server_id, several in ports.items()
    }
    return Extras(ports=ports, tags=tags_load(tx, list(server_ids)) if server_ids else {}, groups=groups)
