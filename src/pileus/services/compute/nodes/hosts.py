"""``os-hosts``: what a host has, what of it is used, and by whom (the seed's ``host-describe``).

Nova gave the paths up with microversion 2.43; so does this. Source: Compute API reference, "Hosts".
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import func, select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import BadValue, Type
from pileus.services.compute.api import enforce
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest, ComputeHostNotFound
from pileus.services.compute.nodes.reading import (
    COMPUTE_BINARY,
    PROMISED,
    NodeFacts,
    nodes_read,
    services_read,
)
from pileus.services.compute.nodes.work import service_change
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import COUNT, TEXT, always, named, named_list
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route


def _word(first: str, second: str) -> Type:
    """One of two words, whatever its case."""

    def parse(value: Any) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in (first, second):
            raise BadValue(
                f"'{value}' is not a valid word", f"{value!r} is not one of {[first, second]!r}", value=value
            )
        return word

    return Type("word", parse, {"enum": [first, second]})


_UPDATE = types.dict_of(
    {"status": _word("enable", "disable"), "maintenance_mode": _word("enable", "disable")}
)


def _describe(
    tx: Tx, config: ComputeConfig, now: dt.datetime, host: str
) -> tuple[NodeFacts | None, list[Any]]:
    node = next((one for one in nodes_read(tx, config, now) if one.row.host == host), None)
    rows = tx.rows(
        select(
            PROMISED.c.project_id,
            func.sum(PROMISED.c.vcpus).label("vcpus"),
            func.sum(PROMISED.c.memory_mib).label("memory_mib"),
            func.sum(PROMISED.c.disk_gib).label("disk_gib"),
        )
        .where(PROMISED.c.host == host)
        .group_by(PROMISED.c.project_id)
        .order_by(PROMISED.c.project_id)
    )
    return node, rows


def _row(host: str, project: str, cpu: int, memory_mib: int, disk_gib: int) -> dict[str, Any]:
    return {
        "resource": {
            "host": host,
            "project": project,
            "cpu": int(cpu),
            "memory_mb": int(memory_mib),
            "disk_gb": int(disk_gib),
        }
    }


class HostHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def list_hosts(self, request: Request) -> Reply:
        """List the services by host, or those of a zone."""
        enforce(request)
        zone = request.parameter("zone")
        services = await request.read(services_read, self._config, request.context.now)
        hosts = [
            {"host_name": one.host, "service": one.binary.removeprefix("nova-"), "zone": one.zone}
            for one in services
            if not zone or one.zone == zone
        ]
        return Reply.json({"hosts": hosts})

    async def show(self, request: Request) -> Reply:
        """Show what is there, used now, promised at most, and a row for each project."""
        enforce(request)
        host = request.path["host"]
        node, projects = await request.read(_describe, self._config, request.context.now, host)
        if node is None:
            raise ComputeHostNotFound(host=host)
        row = node.row
        shown = [
            _row(host, "(total)", row.vcpus, row.memory_mib, row.disk_gib),
            # used by whatever runs there, as the host itself measures it
            _row(
                host,
                "(used_now)",
                node.vcpus_used,
                max(row.memory_used_mib, self._config.reserved_memory_mib),
                max(0, row.disk_gib - row.disk_free_gib),
            ),
            # what its servers may use at most
            _row(
                host,
                "(used_max)",
                sum(one.vcpus for one in projects),
                sum(one.memory_mib for one in projects),
                sum(one.disk_gib for one in projects),
            ),
            *(_row(host, one.project_id, one.vcpus, one.memory_mib, one.disk_gib) for one in projects),
        ]
        return Reply.json({"host": shown})

    async def update(self, request: Request) -> Reply:
        """Enable or disable the host's service. There is no maintenance mode here."""
        enforce(request)
        host = request.path["host"]
        asked = declared_body(request)
        if not asked:
            raise BadRequest("Invalid request body: status or maintenance_mode is needed")
        if "maintenance_mode" in asked:
            await self._must_exist(request, host)
            raise BadRequest("Virt driver does not implement host maintenance mode.")
        where = {"host": host, "binary": COMPUTE_BINARY}
        disabled = asked["status"] == "disable"
        changes = {"disabled": disabled, "disabled_reason": None}
        await request.write(service_change, request.context, where, changes)
        return Reply.json({"host": host, "status": "disabled" if disabled else "enabled"})

    async def power(self, request: Request) -> Reply:
        """Refuse: hosts are not started, shut down or rebooted from here."""
        enforce(request)
        await self._must_exist(request, request.path["host"])
        raise BadRequest("Virt driver does not implement host power management.")

    async def _must_exist(self, request: Request, host: str) -> None:
        services = await request.read(services_read, self._config, request.context.now)
        if not any(one.host == host and one.binary == COMPUTE_BINARY for one in services):
            raise ComputeHostNotFound(host=host)


_OLD = ("", "2.42")
_HOSTS = named_list("hosts", always({"host_name": TEXT, "service": TEXT, "zone": TEXT}))
_RESOURCE = always({"host": TEXT, "project": TEXT, "cpu": COUNT, "memory_mb": COUNT, "disk_gb": COUNT})
_HOST = named_list("host", named("resource", _RESOURCE))
_UPDATED = always({"host": TEXT, "status": types.enum("enabled", "disabled")})
_POWER = always({"host": TEXT, "power_action": TEXT})


def hosts_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = HostHandlers(config)

    def route(method: str, path: str, handler: Handler, rule: str, summary: str, **more: Any) -> Route:
        return Route(
            method,
            f"/v2.1/os-hosts{path}",
            handler,
            rule=f"os_compute_api:os-hosts:{rule}",
            versions=_OLD,
            summary=summary,
            **more,
        )

    return Noun(
        name="host",
        rules=rules(
            {f"os-hosts:{name}": ADMIN for name in ("list", "show", "update", "start", "shutdown", "reboot")}
        ),
        extensions=(Extension("os-hosts", "Hosts", "Admin-only host administration."),),
        routes=(
            route("GET", "", handlers.list_hosts, "list", "List hosts", reply=_HOSTS),
            route("GET", "/{host}", handlers.show, "show", "Describe a host", reply=_HOST),
            route(
                "PUT",
                "/{host}",
                handlers.update,
                "update",
                "Enable or disable a host",
                body=_UPDATE,
                reply=_UPDATED,
            ),
            *(
                route(
                    "GET", f"/{{host}}/{word}", handlers.power, rule, f"Refuse to {word} a host", reply=_POWER
                )
                for word, rule in (("startup", "start"), ("shutdown", "shutdown"), ("reboot", "reboot"))
            ),
        ),
    )
