"""``os-hypervisors``. Source: Compute API reference, "Hypervisors".

What is used is what was promised to servers, whatever they make of it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from pileus.core.times import parse_time
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import IS_UUID, at_least, enforce, flag, since
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest, ComputeHostNotFound
from pileus.services.compute.nodes.reading import NodeFacts, nodes_read
from pileus.services.compute.nodes.work import servers_on
from pileus.services.compute.paging import next_page, page_size
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import (
    COUNT,
    INTEGER,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    always,
    named,
    named_list,
)
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import ByVersion, Route


def _read(
    tx: Tx, config: ComputeConfig, now: dt.datetime, with_servers: bool
) -> tuple[list[NodeFacts], dict[str, list[dict[str, str]]]]:
    nodes = nodes_read(tx, config, now)
    return nodes, servers_on(tx, [node.row.host for node in nodes]) if with_servers and nodes else {}


def _uptime(node: NodeFacts, now: dt.datetime) -> str | None:
    """In the form of the command ``uptime``; None where the host did not say when it booted."""
    try:
        booted = parse_time(node.row.booted_at)
    except ValueError:
        return None
    passed = max(dt.timedelta(0), now - booted)
    hours, minutes = divmod(passed.seconds // 60, 60)
    return f" {now:%H:%M:%S} up {passed.days} days, {hours:2d}:{minutes:02d}"


class HypervisorHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def _all(
        self, request: Request, with_servers: bool = False
    ) -> tuple[list[NodeFacts], dict[str, list[dict[str, str]]]]:
        return await request.read(_read, self._config, request.context.now, with_servers)

    def _brief(self, request: Request, node: NodeFacts) -> dict[str, Any]:
        return {
            "id": node.row.id if since(request, "2.53") else node.row.number,
            "hypervisor_hostname": node.row.hypervisor_hostname,
            "state": "up" if node.service.up else "down",
            "status": "disabled" if node.service.disabled else "enabled",
        }

    def _full(self, request: Request, node: NodeFacts) -> dict[str, Any]:
        row = node.row
        view = self._brief(request, node) | {
            "hypervisor_type": row.hypervisor_type,
            "hypervisor_version": row.hypervisor_version,
            "host_ip": node.service.address or "127.0.0.1",
            "service": {
                "id": node.service.id if since(request, "2.53") else node.service.number,
                "host": row.host,
                "disabled_reason": node.service.disabled_reason,
            },
        }
        if since(request, "2.88"):
            view["uptime"] = _uptime(node, request.context.now)
            return view
        info = row.cpu_info
        view |= self._capacity([node])
        view["cpu_info"] = info if since(request, "2.28") else json.dumps(info)
        del view["count"]
        return view

    def _capacity(self, nodes: Sequence[NodeFacts]) -> dict[str, Any]:
        rows = [node.row for node in nodes]
        memory, disk = sum(row.memory_mib for row in rows), sum(row.disk_gib for row in rows)
        memory_used = sum(node.memory_used_mib for node in nodes)
        disk_used = sum(node.disk_used_gib for node in nodes)
        return {
            "count": len(rows),
            "vcpus": sum(row.vcpus for row in rows),
            "vcpus_used": sum(node.vcpus_used for node in nodes),
            "memory_mb": memory,
            "memory_mb_used": memory_used,
            "free_ram_mb": memory - memory_used,
            "local_gb": disk,
            "local_gb_used": disk_used,
            "free_disk_gb": disk - disk_used,
            "disk_available_least": sum(row.disk_free_gib for row in rows),
            "running_vms": sum(node.servers for node in nodes),
            "current_workload": 0,
        }

    async def list_brief(self, request: Request) -> Reply:
        """List names and states."""
        enforce(request)
        return await self._list(request, detail=False)

    async def list_detail(self, request: Request) -> Reply:
        """List hypervisors with all their values."""
        enforce(request)
        return await self._list(request, detail=True)

    async def _list(self, request: Request, *, detail: bool) -> Reply:
        modern = since(request, "2.53")
        pattern = request.parameter("hypervisor_hostname_pattern") if modern else None
        with_servers = modern and flag(request, "with_servers")
        nodes, servers = await self._all(request, with_servers)
        reply: dict[str, Any] = {}
        marker = request.parameter("marker")
        if pattern is not None:
            if request.parameter("limit") is not None or marker is not None:
                raise BadRequest(
                    "Paging over results with the 'hypervisor_hostname_pattern' query is not supported."
                )
            nodes = [node for node in nodes if pattern in node.row.hypervisor_hostname]
            if not nodes:
                raise ComputeHostNotFound(f"No hypervisor matching '{pattern}' could be found.")
        elif since(request, "2.33"):
            nodes, reply = self._page(request, nodes, marker)
        shown = [self._full(request, node) if detail else self._brief(request, node) for node in nodes]
        if with_servers:
            for node, view in zip(nodes, shown, strict=True):
                if node.row.host in servers or since(request, "2.75"):
                    view["servers"] = servers.get(node.row.host, [])
        return Reply.json({"hypervisors": shown, **reply})

    def _page(
        self, request: Request, nodes: list[NodeFacts], marker: str | None
    ) -> tuple[list[NodeFacts], dict[str, Any]]:
        size = page_size(request)
        key = "id" if since(request, "2.53") else "number"
        if marker is not None:
            keys = [str(getattr(node.row, key)) for node in nodes]
            if marker not in keys:
                raise BadRequest(f"marker [{marker}] not found")
            nodes = nodes[keys.index(marker) + 1 :]
        more = len(nodes) > size > 0
        nodes = nodes[:size]
        if not more:
            return nodes, {}
        return nodes, next_page(request, "hypervisors_links", str(getattr(nodes[-1].row, key)))

    async def _one(self, request: Request, with_servers: bool = False) -> tuple[NodeFacts, Any]:
        key = request.path["id"]
        modern = since(request, "2.53")
        if modern and not IS_UUID.fullmatch(key):
            raise BadRequest(f"Invalid uuid {key}")
        nodes, servers = await self._all(request, with_servers)
        for node in nodes:
            if key == (node.row.id if modern else str(node.row.number)):
                return node, servers.get(node.row.host, [])
        raise ComputeHostNotFound(f"Hypervisor with ID '{key}' could not be found.")

    async def show(self, request: Request) -> Reply:
        """Show one hypervisor."""
        enforce(request)
        with_servers = since(request, "2.53") and flag(request, "with_servers")
        node, servers = await self._one(request, with_servers)
        view = self._full(request, node)
        if with_servers:
            view["servers"] = servers
        return Reply.json({"hypervisor": view})

    async def show_uptime(self, request: Request) -> Reply:
        """Show how long a host has been running; part of the hypervisor itself since 2.88."""
        enforce(request)
        node, _ = await self._one(request)
        uptime = _uptime(node, request.context.now)
        if uptime is None:
            raise BadRequest("Virt driver does not implement uptime function.")
        return Reply.json({"hypervisor": self._brief(request, node) | {"uptime": uptime}})

    async def statistics(self, request: Request) -> Reply:
        """Sum up the hypervisors whose service is enabled."""
        enforce(request)
        nodes, _ = await self._all(request)
        return Reply.json(
            {"hypervisor_statistics": self._capacity([one for one in nodes if not one.service.disabled])}
        )

    async def search(self, request: Request) -> Reply:
        """List hypervisors whose name holds a text; a parameter of the list since 2.53."""
        enforce(request)
        nodes, _ = await self._matching(request)
        return Reply.json({"hypervisors": [self._brief(request, node) for node in nodes]})

    async def servers(self, request: Request) -> Reply:
        """List the same with their servers; a parameter of the list since 2.53."""
        enforce(request)
        nodes, servers = await self._matching(request, with_servers=True)
        shown = []
        for node in nodes:
            view = self._brief(request, node)
            if node.row.host in servers:
                view["servers"] = servers[node.row.host]
            shown.append(view)
        return Reply.json({"hypervisors": shown})

    async def _matching(
        self, request: Request, with_servers: bool = False
    ) -> tuple[list[NodeFacts], dict[str, list[dict[str, str]]]]:
        text = request.path["id"]
        nodes, servers = await self._all(request, with_servers)
        nodes = [node for node in nodes if text in node.row.hypervisor_hostname]
        if not nodes:
            raise ComputeHostNotFound(f"No hypervisor matching '{text}' could be found.")
        return nodes, servers


def _key(version: Version) -> Type:
    return UUID if at_least(version, "2.53") else INTEGER


def _brief(version: Version) -> dict[str, Type]:
    return {
        "id": _key(version),
        "hypervisor_hostname": TEXT,
        "state": types.enum("up", "down"),
        "status": types.enum("enabled", "disabled"),
    }


_SUMS = dict.fromkeys(
    (
        "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
        "free_disk_gb", "disk_available_least", "running_vms", "current_workload",
    ),
    INTEGER,
)  # fmt: skip


def _full(version: Version) -> dict[str, Type]:
    fields = _brief(version) | {
        "hypervisor_type": TEXT,
        "hypervisor_version": INTEGER,
        "host_ip": TEXT,
        "service": always({"id": _key(version), "host": TEXT, "disabled_reason": TEXT_OR_NULL}),
    }
    if at_least(version, "2.88"):
        return fields | {"uptime": TEXT_OR_NULL}
    info = types.dict_of({}, additional=types.anything) if at_least(version, "2.28") else TEXT
    return fields | _SUMS | {"cpu_info": info}


_SERVERS = {"servers": types.list_of(always({"name": TEXT, "uuid": UUID}))}


def _hypervisors(fields: dict[str, Type], version: Version) -> Type:
    links = "hypervisors_links" if at_least(version, "2.33") else ""
    return named_list("hypervisors", always(fields, _SERVERS), links=links)


_LIST = ByVersion(lambda version: _hypervisors(_brief(version), version))
_DETAIL = ByVersion(lambda version: _hypervisors(_full(version), version))
_SHOW = ByVersion(lambda version: named("hypervisor", always(_full(version), _SERVERS)))
_UPTIME = ByVersion(lambda version: named("hypervisor", always(_brief(version) | {"uptime": TEXT})))
_SEARCH = ByVersion(lambda version: named_list("hypervisors", always(_brief(version))))
_STATISTICS = named("hypervisor_statistics", always({"count": COUNT, **_SUMS}))


def hypervisors_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = HypervisorHandlers(config)

    def route(
        path: str, handler: Handler, action: str, reply: Type | ByVersion, summary: str, last: str = ""
    ) -> Route:
        return Route(
            "GET",
            f"/v2.1/os-hypervisors{path}",
            handler,
            rule=f"os_compute_api:os-hypervisors:{action}",
            versions=("", last),
            reply=reply,
            summary=summary,
        )

    return Noun(
        name="hypervisor",
        rules=rules(
            {
                f"os-hypervisors:{name}": ADMIN
                for name in ("list", "list-detail", "statistics", "show", "uptime", "search", "servers")
            }
        ),
        extensions=(
            Extension("os-hypervisors", "Hypervisors", "Admin-only hypervisor administration."),
            Extension("os-extended-hypervisors", "ExtendedHypervisors", "Extended hypervisors support."),
            Extension("os-hypervisor-status", "HypervisorStatus", "Show hypervisor status."),
        ),
        routes=(
            route("", handlers.list_brief, "list", _LIST, "List hypervisors"),
            route(
                "/detail", handlers.list_detail, "list-detail", _DETAIL, "List hypervisors with their values"
            ),
            route(
                "/statistics", handlers.statistics, "statistics", _STATISTICS, "Sum up hypervisors", "2.87"
            ),
            route("/{id}", handlers.show, "show", _SHOW, "Show a hypervisor"),
            route(
                "/{id}/uptime", handlers.show_uptime, "uptime", _UPTIME, "Show how long a host runs", "2.87"
            ),
            route("/{id}/search", handlers.search, "search", _SEARCH, "Find hypervisors by name", "2.52"),
            route(
                "/{id}/servers", handlers.servers, "servers", _LIST, "List the servers of hypervisors", "2.52"
            ),
        ),
    )
