"""Facts about a server that its guest is told; read for many at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pileus.resource.declaration import Values
from pileus.services.compute.servers.attached import AttachedPort, attached_ports
from pileus.services.compute.uses.network import networks_of, subnets_of
from pileus.store.tx import Tx


class MetadataFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A server, its ports in order, and the networks and subnets that they are in, by id."""

    server: Values
    ports: list[AttachedPort]
    networks: dict[str, Values]
    subnets: dict[str, Values]


def metadata_facts_read(tx: Tx, servers: Sequence[Values]) -> dict[str, MetadataFacts]:
    """Read the facts of servers, by server id."""
    if not servers:
        return {}
    ports = attached_ports(tx, [server["id"] for server in servers])
    network_ids = {one.port["network_id"] for several in ports.values() for one in several}
    networks = networks_of(tx, network_ids)
    subnets = {subnet["id"]: subnet for subnet in subnets_of(tx, network_ids)}
    return {
        server["id"]: MetadataFacts(
            server=server, ports=ports.get(server["id"], []), networks=networks, subnets=subnets
        )
        for server in servers
    }
