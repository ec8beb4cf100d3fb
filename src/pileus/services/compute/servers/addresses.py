"""Addresses of servers. Source: Compute API reference, "Servers IPs"."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import NotFound
from pileus.resource.declaration import Extension
from pileus.services.compute.policy import ADMIN_OR_READER, rules
from pileus.services.compute.replies import named
from pileus.services.compute.servers.attached import attached_ports
from pileus.services.compute.servers.lookup import find_server
from pileus.services.compute.servers.replies import ADDRESSES
from pileus.services.compute.servers.view import addresses, plain
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class NetworkNotFound(NotFound):
    message = "Instance does not have network {name}"


def _read(tx: Tx, request: Request) -> dict[str, Any]:
    server = find_server(tx, request)
    return plain(addresses(attached_ports(tx, [server["id"]]).get(server["id"], [])))


async def list_addresses(request: Request) -> Reply:
    """List a server's addresses by network."""
    return Reply.json({"addresses": await request.read(_read, request)})


async def show_addresses(request: Request) -> Reply:
    """List its addresses on one network, by the network's name."""
    found = await request.read(_read, request)
    name = request.path["network"]
    if name not in found:
        raise NetworkNotFound(name=name)
    return Reply.json({name: found[name]})


SERVER_ADDRESSES = Noun(
    name="server_address",
    rules=rules({"ips:index": ADMIN_OR_READER, "ips:show": ADMIN_OR_READER}),
    extensions=(
        Extension("OS-EXT-IPS", "ExtendedIps", "Adds type parameter to the ip list."),
        Extension("OS-EXT-IPS-MAC", "ExtendedIpsMac", "Adds mac address parameter to the ip list."),
    ),
    routes=(
        Route(
            "GET",
            "/v2.1/servers/{id}/ips",
            list_addresses,
            rule="os_compute_api:ips:index",
            reply=named("addresses", ADDRESSES),
            summary="List a server's addresses",
        ),
        Route(
            "GET",
            "/v2.1/servers/{id}/ips/{network}",
            show_addresses,
            rule="os_compute_api:ips:show",
            reply=ADDRESSES,
            summary="List a server's addresses on a network",
        ),
    ),
)
