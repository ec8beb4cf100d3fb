"""Facts that views of servers need beside their rows, for many servers in a constant number of statements."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pileus.resource.declaration import Values
from pileus.resource.tag_table import tags_load
from pileus.services.compute.api import since
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, ServiceFacts, services_read
from pileus.services.compute.servers.attached import interfaces_of
from pileus.services.compute.uses.network import floating_ips_of, group_names, networks_of, ports_by_id
from pileus.store.tx import Tx
from pileus.web.request import Request


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


def plugged_of(tx: Tx, server_ids: Sequence[str]) -> dict[str, list[Plugged]]:
    """The ports of servers in their order."""
    rows = interfaces_of(tx, server_ids)
    ports = ports_by_id(tx, [row.port_id for row in rows])
    if not ports:
        return {}
    networks = networks_of(tx, {port["network_id"] for port in ports.values()})
    floating = floating_ips_of(tx, ports)
    found: dict[str, list[Plugged]] = {}
    for row in rows:
        port = ports.get(row.port_id)
        if port is None:
            continue
        network = networks.get(port["network_id"])
        found.setdefault(row.server_id, []).append(
            Plugged(
                port,
                row.made,
                row.position,
                row.tag,
                network["name"] if network is not None else "",
                floating.get(port["id"], {}),
            )
        )
    return found


def extras_shown(tx: Tx, request: Request, several: Sequence[Values], config: ComputeConfig) -> Extras:
    """Everything for the views of a request; the state of hosts only for those who may see it."""
    extras = extras_of(tx, [server["id"] for server in several])
    if since(request, "2.16") and request.access.allows("os_compute_api:servers:show:host_status"):
        extras.host_status.update(_host_statuses(services_read(tx, config, request.context.now)))
    return extras


def _host_statuses(services: Sequence[ServiceFacts]) -> dict[str, str]:
    """``host_status`` by host: UP, DOWN or MAINTENANCE."""
    return {
        one.host: "MAINTENANCE" if one.disabled else "UP" if one.up else "DOWN"
        for one in services
        if one.binary == COMPUTE_BINARY
    }


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
