"""Handlers of servers: list, create, show, update, delete, addresses."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from pileus.core.errors import NotFound
from pileus.core.ids import new_id
from pileus.resource.declaration import Values
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.declared import COMPUTE, body_of, links, root_url, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.events import event
from pileus.services.compute.neighbours import NetworkConfig
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, ServiceFacts, services_read
from pileus.services.compute.policy import is_admin
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.delete import begin_deletion
from pileus.services.compute.servers.extras import Extras, extras_of
from pileus.services.compute.servers.finding import change, find_server, must_be_unlocked
from pileus.services.compute.servers.history import action_begin
from pileus.services.compute.servers.listing import Wanted, list_servers, read_listing
from pileus.services.compute.servers.mappings import check_mappings
from pileus.services.compute.servers.ordering import Order, forced_host, servers_order
from pileus.services.compute.servers.requests import create_type, update_type
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.servers.view import Viewer, addresses, brief, plain
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_PASSWORD_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # noqa: S105 - no password
_LARGEST_ORDER = 1000


class NetworkNotFound(NotFound):
    message = "Instance does not have network {name}"


def host_statuses(services: Sequence[ServiceFacts]) -> dict[str, str]:
    """``host_status`` by host: UP, DOWN or MAINTENANCE."""
    return {
        one.host: "MAINTENANCE" if one.disabled else "UP" if one.up else "DOWN"
        for one in services
        if one.binary == COMPUTE_BINARY
    }


class ServerHandlers:
    """Handlers that know the settings of compute and network."""

    def __init__(self, config: ComputeConfig, network: NetworkConfig) -> None:
        self._config = config
        self.parts = Parts(config, network)

    # -- reading

    def _extras(self, tx: Tx, request: Request, servers: Sequence[Values]) -> Extras:
        extras = extras_of(tx, [server["id"] for server in servers])
        if since(request, "2.16") and is_admin(request.context.roles, request.context.is_admin):
            extras.host_status.update(host_statuses(services_read(tx, self._config, request.context.now)))
        return extras

    def _page(self, tx: Tx, request: Request, asked: Wanted, detail: bool) -> list[dict[str, Any]]:
        servers = list_servers(tx, request, asked)
        if not detail:
            return [brief(request, server) for server in servers]
        viewer = Viewer(request, self._extras(tx, request, servers))
        return [viewer.detail(server) for server in servers]

    async def _list(self, request: Request, *, detail: bool) -> Reply:
        asked = read_listing(request, "detail" if detail else "index")
        views = await request.read(self._page, request, asked, detail)
        listing = asked.listing
        reply: dict[str, Any] = {"servers": views}
        more = listing.limit is not None and len(views) >= listing.limit
        reply |= COMPUTE.list_links(request, SERVER, listing, [view["id"] for view in views], more)
        return Reply.json(reply)

    async def list_brief(self, request: Request) -> Reply:
        """Ids and names."""
        return await self._list(request, detail=False)

    async def list_detail(self, request: Request) -> Reply:
        """All of each."""
        return await self._list(request, detail=True)

    def _show(self, tx: Tx, request: Request) -> dict[str, Any]:
        server = find_server(tx, request)
        return Viewer(request, self._extras(tx, request, [server])).detail(server, one=True)

    async def show(self, request: Request) -> Reply:
        """One server."""
        return Reply.json({"server": await request.read(self._show, request)})

    def _addresses(self, tx: Tx, request: Request, rule: str) -> dict[str, Any]:
        server = find_server(tx, request, rule=rule)
        return addresses(extras_of(tx, [server["id"]]).ports.get(server["id"], []))

    async def list_addresses(self, request: Request) -> Reply:
        """Its addresses by network."""
        found = await request.read(self._addresses, request, "os_compute_api:ips:index")
        return Reply.json({"addresses": plain(found)})

    async def show_addresses(self, request: Request) -> Reply:
        """Its addresses on one network, by the network's name."""
        found = await request.read(self._addresses, request, "os_compute_api:ips:show")
        name = request.path["network"]
        if name not in found:
            raise NetworkNotFound(name=name)
        return Reply.json({name: plain(found)[name]})

    # -- creating

    async def create(self, request: Request) -> Reply:
        """New servers: promised here, brought up afterwards."""
        context = request.context
        request.authorise("os_compute_api:servers:create", {"project_id": context.project_id})
        body = body_of(request, create_type(request))
        order = read_order(request, body)
        servers = await request.write(servers_order, context, order, config=self._config)
        if body["server"].get("return_reservation_id"):
            return Reply.json({"reservation_id": order.reservation_id}, 202)
        first = servers[0]["id"]
        view = {
            "id": first,
            "links": links(request, "servers", first),
            "OS-DCF:diskConfig": order.disk_config,
            "security_groups": [{"name": name} for name in order.groups or ("default",)],
            "adminPass": order.password,
        }
        reply = Reply.json({"server": view}, 202)
        return reply.header("location", f"{root_url(request)}/servers/{first}")

    # -- changing

    def _update(self, tx: Tx, request: Request, changes: dict[str, Any]) -> dict[str, Any]:
        server = find_server(tx, request, rule="os_compute_api:servers:update", lock=True)
        if changes:
            server = change(tx, request.context, server, **changes)
            tx.emit(
                event(
                    request.context,
                    "server.update",
                    server["id"],
                    server["project_id"],
                    host=server["host"],
                    changed=sorted(changes),
                )
            )
        return Viewer(request, self._extras(tx, request, [server])).changed(server)

    async def update(self, request: Request) -> Reply:
        """Name, description, access addresses, hostname."""
        asked = body_of(request, update_type(request))["server"]
        changes = renamed(asked)
        return Reply.json({"server": await request.write(self._update, request, changes)})

    def _delete(self, tx: Tx, request: Request, rule: str) -> None:
        server = find_server(tx, request, rule=rule, lock=True)
        must_be_unlocked(request, server)
        if server["wanted"] == states.WANT_GONE and server["task_state"] == states.DELETING:
            return
        action_begin(tx, request.context, [server["id"]], "delete")
        up = server["host"] is not None and any(
            one.host == server["host"] and one.binary == COMPUTE_BINARY and one.up
            for one in services_read(tx, self._config, request.context.now)
        )
        begin_deletion(tx, request.context, server, self.parts, at_once=not up)

    async def delete(self, request: Request) -> Reply:
        """Delete a server, whatever it is doing."""
        await request.write(self._delete, request, "os_compute_api:servers:delete")
        return Reply.empty()

    async def force_delete(self, request: Request) -> Reply:
        """The action ``forceDelete``: there is no waiting before a deletion here, so it is one."""
        await request.write(self._delete, request, "os_compute_api:os-deferred-delete:force")
        return Reply.empty(202)


def renamed(asked: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the API as columns."""
    names = {
        "name": "name",
        "description": "description",
        "hostname": "hostname",
        "OS-DCF:diskConfig": "disk_config",
        "accessIPv4": "access_ip_v4",
        "accessIPv6": "access_ip_v6",
    }
    changes = {names[name]: value for name, value in asked.items() if name in names}
    for name in ("access_ip_v4", "access_ip_v6"):
        if name in changes:
            changes[name] = changes[name] or None
    return changes


def new_password() -> str:
    """What Nova would make up for a guest's administrator."""
    return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(12))


def read_order(request: Request, body: dict[str, Any]) -> Order:
    """A create request as an order; what can be refused without the database is refused here."""
    asked = body["server"]
    hints = body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}
    image_id = check_mappings(asked)
    minimum = asked.get("min_count") or 1
    maximum = asked.get("max_count") or minimum
    if minimum > maximum:
        raise BadRequest("min_count must be <= max_count")
    if maximum > 1 and asked.get("hostname"):
        raise BadRequest("Unable to allocate a single hostname to multiple instances")
    if asked.get("trusted_image_certificates"):
        raise BadRequest("Image signature certificates are not available in this cloud: none is checked.")
    if maximum > _LARGEST_ORDER:
        raise BadRequest(f"max_count: at most {_LARGEST_ORDER} servers are made by one request")
    zone, host, node = None, asked.get("host"), asked.get("hypervisor_hostname")
    forced = False
    if host or node:
        request.authorise("os_compute_api:servers:create:forced_host")
    if asked.get("availability_zone"):
        zone, forced_to, forced_node = forced_host(request.context, asked["availability_zone"])
        if forced_to or forced_node:
            host, node, forced = forced_to, forced_node, True
    return Order(
        name=asked["name"],
        flavor_id=asked["flavorRef"],
        image_id=image_id,
        ids=tuple(new_id() for _ in range(maximum)),
        operation_id=new_id(),
        reservation_id=f"r-{secrets.token_hex(4)}",
        minimum=minimum,
        networks=asked.get("networks"),
        groups=tuple(
            dict.fromkeys(one["name"] for one in asked.get("security_groups", ()) if one.get("name"))
        ),
        key_name=asked.get("key_name"),
        metadata=asked.get("metadata") or {},
        user_data=asked.get("user_data"),
        files=asked.get("personality") or [],
        config_drive=bool(asked.get("config_drive")),
        disk_config=asked.get("OS-DCF:diskConfig") or "MANUAL",
        access_ip_v4=asked.get("accessIPv4") or None,
        access_ip_v6=asked.get("accessIPv6") or None,
        description=asked.get("description"),
        hostname=asked.get("hostname"),
        tags=tuple(sorted(asked.get("tags") or ())),
        password=asked.get("adminPass") or new_password(),
        zone=zone,
        host=host,
        node=node,
        forced=forced,
        hints={name: hints[name] for name in ("group", "same_host", "different_host") if hints.get(name)},
        qos_policy_id=asked.get("interface_qos") or hints.get("interface_qos"),
    )


def routes(handlers: ServerHandlers) -> tuple[Route, ...]:
    """Paths and verbs."""
    one = "/v2.1/servers/{id}"
    return (
        Route("GET", "/v2.1/servers", handlers.list_brief, summary="List servers"),
        Route("POST", "/v2.1/servers", handlers.create, status=202, summary="Create servers"),
        Route("GET", "/v2.1/servers/detail", handlers.list_detail, summary="List servers with their values"),
        Route("GET", one, handlers.show, summary="Show a server"),
        Route("PUT", one, handlers.update, summary="Change a server"),
        Route("DELETE", one, handlers.delete, status=204, summary="Delete a server"),
        Route("GET", f"{one}/ips", handlers.list_addresses, summary="List a server's addresses"),
        Route(
            "GET",
            f"{one}/ips/{{network}}",
            handlers.show_addresses,
            summary="List a server's addresses on a network",
        ),
    )
