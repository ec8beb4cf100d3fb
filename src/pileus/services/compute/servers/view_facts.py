"""Facts that views of servers show beside their rows; a constant number of statements for many servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pileus.resource.declaration import Values
from pileus.resource.tag_table import tags_load
from pileus.services.compute.api import since
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, ServiceFacts, services_read
from pileus.services.compute.servers.attached import AttachedPort, attached_ports
from pileus.services.compute.servers.attached_volumes import volumes_of_servers
from pileus.services.compute.uses.network import group_names
from pileus.store.tx import Tx
from pileus.web.request import Request


class ViewFacts(msgspec.Struct, frozen=True, kw_only=True):
    """By server id: ports in their order, tags, names of security groups, rows of volumes."""

    ports: dict[str, list[AttachedPort]]
    tags: dict[str, list[str]]
    groups: dict[str, list[str]]
    volumes: dict[str, list[Any]] = msgspec.field(default_factory=dict)
    host_status: dict[str, str] = msgspec.field(default_factory=dict)


def view_facts_for(tx: Tx, request: Request, several: Sequence[Values], config: ComputeConfig) -> ViewFacts:
    """Read what the views of a request show; the state of hosts only for those who may see it."""
    facts = view_facts_read(tx, [server["id"] for server in several])
    if since(request, "2.16") and request.access.allows("os_compute_api:servers:show:host_status"):
        facts.host_status.update(_host_statuses(services_read(tx, config, request.context.now)))
    return facts


def _host_statuses(services: Sequence[ServiceFacts]) -> dict[str, str]:
    """``host_status`` by host: UP, DOWN or MAINTENANCE."""
    return {
        one.host: "MAINTENANCE" if one.disabled else "UP" if one.up else "DOWN"
        for one in services
        if one.binary == COMPUTE_BINARY
    }


def view_facts_read(tx: Tx, server_ids: Sequence[str]) -> ViewFacts:
    """Read what views of these servers show."""
    ports = attached_ports(tx, server_ids)
    names = group_names(
        tx, {group for several in ports.values() for one in several for group in one.port["security_groups"]}
    )
    groups = {
        server_id: sorted(
            {names[group] for one in several for group in one.port["security_groups"] if group in names}
        )
        for server_id, several in ports.items()
    }
    return ViewFacts(
        ports=ports,
        tags=tags_load(tx, list(server_ids)) if server_ids else {},
        groups=groups,
        volumes=volumes_of_servers(tx, server_ids),
    )
