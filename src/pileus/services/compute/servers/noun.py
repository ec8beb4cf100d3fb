"""Handlers of servers: list, create, show, update, delete, addresses."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any

from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.event import event
from pileus.services.compute.api import COMPUTE, enforce, links, root_url
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import host_is_up
from pileus.services.compute.policy import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    ATTACH_EXTERNAL,
    ITSEC,
    rules,
)
from pileus.services.compute.rules import states
from pileus.services.compute.rules.host_query import BadQuery, read_query_hint
from pileus.services.compute.servers import replies
from pileus.services.compute.servers.block_device_mappings import read_mappings
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.delete import begin_deletion
from pileus.services.compute.servers.creation import servers_create
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.listing import Wanted, list_servers, read_listing
from pileus.services.compute.servers.lookup import change, find_server, must_be_unlocked
from pileus.services.compute.servers.requested_networks import NONE
from pileus.services.compute.servers.requests import create_body, new_password, renamed, update_body
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.servers.server_spec import ServerSpec, forced_host
from pileus.services.compute.servers.verbs.restore import delete_softly
from pileus.services.compute.servers.view import Viewer, brief
from pileus.services.compute.servers.view_facts import view_facts_for
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Action, ByVersion, Route

_LARGEST_REQUEST = 1000
_RESTORABLE = frozenset(
    {states.ACTIVE, states.STOPPED, states.PAUSED, states.SUSPENDED, states.RESCUED, states.ERROR}
)
"""States in which a server has a machine that can be kept for a time."""


class ServerHandlers:
    """Handlers that know the settings of compute and network."""

    def __init__(self, parts: Parts) -> None:
        self._config = parts.config
        self._parts = parts

    # -- reading

    def _page(self, tx: Tx, request: Request, asked: Wanted, detail: bool) -> list[dict[str, Any]]:
        servers = list_servers(tx, request, asked)
        if not detail:
            return [brief(request, server) for server in servers]
        viewer = Viewer(request, view_facts_for(tx, request, servers, self._config))
        return [viewer.detail(server) for server in servers]

    async def _list(self, request: Request, *, detail: bool) -> Reply:
        asked = read_listing(request)
        views = await request.read(self._page, request, asked, detail)
        listing = asked.listing
        reply: dict[str, Any] = {"servers": views}
        more = listing.limit is not None and len(views) >= listing.limit
        reply |= COMPUTE.list_links(request, SERVER, listing, [view["id"] for view in views], more)
        return Reply.json(reply)

    async def list_brief(self, request: Request) -> Reply:
        """List ids and names."""
        return await self._list(request, detail=False)

    async def list_detail(self, request: Request) -> Reply:
        """List servers with all their values."""
        return await self._list(request, detail=True)

    def _show(self, tx: Tx, request: Request) -> dict[str, Any]:
        server = find_server(tx, request)
        return Viewer(request, view_facts_for(tx, request, [server], self._config)).detail(server, one=True)

    async def show(self, request: Request) -> Reply:
        """Show one server."""
        return Reply.json({"server": await request.read(self._show, request)})

    # -- creating

    async def create(self, request: Request) -> Reply:
        """Create servers: written down here, brought up afterwards."""
        enforce(request, own_target(request))
        body = declared_body(request)
        spec = read_server_spec(request, body)
        servers = await request.write(servers_create, request.access, spec, parts=self._parts)
        if body["server"].get("return_reservation_id"):
            return Reply.json({"reservation_id": spec.reservation_id}, 202)
        first = servers[0]["id"]
        view = {
            "id": first,
            "links": links(request, "servers", first),
            "OS-DCF:diskConfig": spec.disk_config,
            "security_groups": [{"name": name} for name in spec.groups or ("default",)],
            "adminPass": spec.password,
        }
        reply = Reply.json({"server": view}, 202)
        return reply.header("location", f"{root_url(request)}/servers/{first}")

    # -- changing

    def _update(self, tx: Tx, request: Request, changes: dict[str, Any]) -> dict[str, Any]:
        server = find_server(tx, request, lock=True)
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
        return Viewer(request, view_facts_for(tx, request, [server], self._config)).changed(server)

    async def update(self, request: Request) -> Reply:
        """Change name, description, access addresses or hostname."""
        asked = declared_body(request)["server"]
        changes = renamed(asked)
        return Reply.json({"server": await request.write(self._update, request, changes)})

    def _delete(self, tx: Tx, request: Request, forced: bool) -> None:
        server = find_server(tx, request, lock=True)
        must_be_unlocked(request, server)
        if server["wanted"] == states.WANT_GONE and server["task_state"] == states.DELETING:
            return
        keeps = self._config.reclaim_instance_interval_s > 0 and not forced
        if keeps and server["vm_state"] == states.SOFT_DELETED:
            return
        still = server["host"] is not None and server["task_state"] not in states.MOVING
        if keeps and still and server["vm_state"] in _RESTORABLE:
            delete_softly(tx, request.context, server, self._parts)
            return
        action_begin(tx, request.context, [server["id"]], "delete")
        up = host_is_up(tx, self._config, request.context.now, server["host"])
        begin_deletion(tx, request.context, server, self._parts, at_once=not up)

    async def delete(self, request: Request) -> Reply:
        """Delete a server, whatever it is doing; for a time it can be restored, where the settings say so."""
        await request.write(self._delete, request, False)
        return Reply.empty()

    async def force_delete(self, request: Request, argument: Any) -> Reply:
        """The action ``forceDelete``: a deletion that nobody can take back."""
        await request.write(self._delete, request, True)
        return Reply.empty(202)


def read_hints(given: dict[str, Any]) -> dict[str, Any]:
    """The hints that are kept: ``query`` as a condition, and the network that ``build_near_host_ip`` and
    ``cidr`` mean in ``near``. BadRequest for what can't be read."""
    hints = {name: given[name] for name in ("group", "same_host", "different_host") if given.get(name)}
    if given.get("query"):
        try:
            hints["query"] = read_query_hint(given["query"])
        except BadQuery as bad:
            raise BadRequest(f"Invalid scheduler hint query: {bad}.") from None
    near = given.get("build_near_host_ip")
    if near:
        length = given.get("cidr", "/24").lstrip("/")
        try:
            hints["near"] = str(ipaddress.ip_network(f"{near}/{length}", strict=False))
        except ValueError:
            raise BadRequest(f"Invalid scheduler hints: {near}/{length} is no network.") from None
    return hints


def own_target(request: Request) -> dict[str, Any]:
    """The target of the policy for what is to be the caller's."""
    return {"project_id": request.context.project_id, "user_id": request.context.user_id}


def read_server_spec(request: Request, body: dict[str, Any]) -> ServerSpec:
    """Read a create request as a spec; what can be refused without the database is refused here."""
    asked = body["server"]
    hints = body.get("os:scheduler_hints") or body.get("OS-SCH-HNT:scheduler_hints") or {}
    mappings = read_mappings(asked)
    minimum = asked.get("min_count") or 1
    maximum = asked.get("max_count") or minimum
    if minimum > maximum:
        raise BadRequest("min_count must be <= max_count")
    if maximum > 1 and asked.get("hostname"):
        raise BadRequest("Unable to allocate a single hostname to multiple instances")
    if asked.get("trusted_image_certificates"):
        raise BadRequest("Image signature certificates are not available in this cloud: none is checked.")
    if maximum > _LARGEST_REQUEST:
        raise BadRequest(f"max_count: at most {_LARGEST_REQUEST} servers are made by one request")
    zone, host, node = None, asked.get("host"), asked.get("hypervisor_hostname")
    forced = False
    if host or node:
        request.authorise("os_compute_api:servers:create:forced_host")
    if asked.get("availability_zone"):
        zone, forced_to, forced_node = forced_host(request.access, asked["availability_zone"])
        if forced_to or forced_node:
            host, node, forced = forced_to, forced_node, True
    if asked.get("networks") and asked["networks"] != NONE:
        request.authorise("os_compute_api:servers:create:attach_network", own_target(request))
    return ServerSpec(
        name=asked["name"],
        flavor_id=asked["flavorRef"],
        image_id=mappings.image_id,
        devices=mappings.devices,
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
        hints=read_hints(hints),
        qos_policy_id=asked.get("interface_qos") or hints.get("interface_qos"),
    )


def server_actions(handlers: ServerHandlers) -> dict[str, Action]:
    """The actions that are these handlers' own."""
    return {
        "forceDelete": Action(
            types.anything,
            handlers.force_delete,
            rule="os_compute_api:os-deferred-delete:force",
            summary="Delete a server at once",
        )
    }


_RULES = (
    ATTACH_EXTERNAL,
    *rules(
        {
            "servers:index": ADMIN_OR_READER,
            "servers:detail": ADMIN_OR_READER,
            "servers:index:get_all_tenants": ADMIN,
            "servers:detail:get_all_tenants": ADMIN,
            "servers:allow_all_filters": ADMIN,
            "servers:show": f"{ADMIN_OR_READER} or {ITSEC}",
            "servers:show:host_status": ADMIN,
            "servers:create": ADMIN_OR_MEMBER,
            "servers:create:forced_host": ADMIN,
            "servers:create:attach_network": ADMIN_OR_MEMBER,
            "servers:create:zero_disk_flavor": ADMIN,
            "servers:update": ADMIN_OR_MEMBER,
            "servers:delete": ADMIN_OR_MEMBER,
            "os-deferred-delete:force": ADMIN_OR_MEMBER,
            "os-extended-server-attributes": ADMIN,
        }
    ),
)
_EXTENSIONS = (
    Extension("OS-DCF", "DiskConfig", "Disk Management Extension."),
    Extension("OS-EXT-SRV-ATTR", "ExtendedServerAttributes", "Extended Server Attributes support."),
    Extension("OS-EXT-STS", "ExtendedStatus", "Extended Status support."),
    Extension("OS-SCH-HNT", "SchedulerHints", "Pass arbitrary key/value pairs to the scheduler."),
    Extension("OS-SRV-USG", "ServerUsage", "Adds launched_at and terminated_at on Servers."),
    Extension("os-config-drive", "ConfigDrive", "Config Drive Extension."),
    Extension("os-deferred-delete", "DeferredDelete", "Instance deferred delete."),
    Extension("os-multiple-create", "MultipleCreate", "Allow multiple create in the Create Server v2.1 API."),
    Extension(
        "os-server-list-multi-status",
        "ServerListMultiStatus",
        "Allow to filter the servers by a set of status values.",
    ),
    Extension("os-server-sort-keys", "ServerSortKeys", "Add sorting support in get Server v2 API."),
    Extension("os-user-data", "UserData", "Add user_data to the Create Server API."),
)


def servers_noun(handlers: ServerHandlers) -> Noun:
    """The noun; its actions are ``server_actions``."""
    return Noun(name="server", rules=_RULES, extensions=_EXTENSIONS, routes=_routes(handlers))


_CREATION: dict[str, Any] = {
    "body": ByVersion(create_body),
    "reply": replies.CREATED,
    "statements": 40,
    "status": 202,
}


def _routes(handlers: ServerHandlers) -> tuple[Route, ...]:
    every, one = "/v2.1/servers", "/v2.1/servers/{id}"

    def route(method: str, path: str, handler: Handler, rule: str, summary: str, **more: Any) -> Route:
        return Route(method, path, handler, rule=f"os_compute_api:servers:{rule}", summary=summary, **more)

    return (
        route(
            "GET",
            every,
            handlers.list_brief,
            "index",
            "List servers",
            reply=ByVersion(replies.brief_list),
            statements=10,
        ),
        route("POST", every, handlers.create, "create", "Create servers", **_CREATION),
        # the same under the name that it had for servers with volumes
        route(
            "POST",
            "/v2.1/os-volumes_boot",
            handlers.create,
            "create",
            "Create servers of volumes",
            **_CREATION,
        ),
        route(
            "GET",
            f"{every}/detail",
            handlers.list_detail,
            "detail",
            "List servers with their values",
            reply=ByVersion(replies.full_list),
            statements=20,
        ),
        route(
            "GET",
            one,
            handlers.show,
            "show",
            "Show a server",
            reply=ByVersion(replies.shown),
            statements=20,
        ),
        route(
            "PUT",
            one,
            handlers.update,
            "update",
            "Change a server",
            body=ByVersion(update_body),
            reply=ByVersion(replies.updated),
            statements=20,
        ),
        route("DELETE", one, handlers.delete, "delete", "Delete a server", status=204, statements=34),
    )
