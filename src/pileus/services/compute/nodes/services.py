"""``os-services`` and ``os-availability-zone``. Source: Compute API reference."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from pileus.resource import types
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.declared import body_of, since
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, INTERNAL_ZONE, ServiceFacts, services_read
from pileus.services.compute.nodes.work import ServiceNotFound, service_change, service_delete
from pileus.services.compute.policy import ADMIN, ANYBODY, rules
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULES = rules(
    {
        "os-services:list": ADMIN,
        "os-services:update": ADMIN,
        "os-services:delete": ADMIN,
        "os-availability-zone:list": ANYBODY,
        "os-availability-zone:detail": ADMIN,
    }
)

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST = types.string(255, minimum=1, pattern=r"[a-zA-Z0-9\-._]+")
_BINARY = types.string(255, minimum=1)
_PAIR = types.dict_of({"host": _HOST, "binary": _BINARY}, required=("host", "binary"))
_REASON = types.string(255, minimum=1)
_WITH_REASON = types.dict_of(
    {"host": _HOST, "binary": _BINARY, "disabled_reason": _REASON},
    required=("host", "binary", "disabled_reason"),
)
_FORCE = types.dict_of(
    {"host": _HOST, "binary": _BINARY, "forced_down": types.boolean},
    required=("host", "binary", "forced_down"),
)
_CHANGE = types.dict_of(
    {
        "status": types.enum("enabled", "disabled"),
        "disabled_reason": _REASON,
        "forced_down": types.boolean,
    }
)


def stamp(moment: dt.datetime) -> str:
    """Times of services, as Nova writes them: microseconds and no zone."""
    return moment.isoformat(timespec="microseconds")


def service_view(request: Request, service: ServiceFacts) -> dict[str, Any]:
    """A service as lists show it."""
    view = {
        "id": service.id if since(request, "2.53") else service.number,
        "binary": service.binary,
        "host": service.host,
        "zone": service.zone,
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if service.up else "down",
        "updated_at": stamp(service.seen_at),
        "disabled_reason": service.disabled_reason,
    }
    if since(request, "2.11"):
        view["forced_down"] = service.forced_down
    return view


class ServiceHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def _all(self, request: Request) -> list[ServiceFacts]:
        return await request.read(services_read, self._config, request.context.now)

    async def list_services(self, request: Request) -> Reply:
        """All, or those of a ``host`` or ``binary``."""
        request.authorise("os_compute_api:os-services:list")
        host, binary = request.parameter("host"), request.parameter("binary")
        found = [
            service_view(request, one)
            for one in await self._all(request)
            if (not host or one.host == host) and (not binary or one.binary == binary)
        ]
        return Reply.json({"services": found})

    async def act(self, request: Request) -> Reply:
        """enable, disable, disable-log-reason, force-down; until 2.52."""
        request.authorise("os_compute_api:os-services:update")
        action = request.path["id"]
        shown: dict[str, Any]
        if action in ("enable", "disable"):
            body = body_of(request, _PAIR)
            changes: dict[str, Any] = {"disabled": action == "disable", "disabled_reason": None}
            shown = {"status": f"{action}d"}
        elif action == "disable-log-reason":
            body = body_of(request, _WITH_REASON)
            changes = {"disabled": True, "disabled_reason": body["disabled_reason"]}
            shown = {"status": "disabled", "disabled_reason": body["disabled_reason"]}
        elif action == "force-down" and since(request, "2.11"):
            body = body_of(request, _FORCE)
            changes = {"forced_down": body["forced_down"]}
            shown = {"forced_down": body["forced_down"]}
        else:
            raise ServiceNotFound(f"Unknown action: {action}")
        where = {"host": body["host"], "binary": body["binary"]}
        await request.write(service_change, request.context, where, changes)
        return Reply.json({"service": {**where, **shown}})

    async def update(self, request: Request) -> Reply:
        """Change one, by uuid; since 2.53."""
        request.authorise("os_compute_api:os-services:update")
        service_id = request.path["id"]
        if not UUID.fullmatch(service_id):
            raise BadRequest(f"Invalid uuid {service_id}")
        asked = body_of(request, _CHANGE)
        if not asked:
            raise BadRequest("Missing required parameter: 'status', 'disabled_reason' or 'forced_down'")
        if "disabled_reason" in asked and asked.get("status") != "disabled":
            raise BadRequest('Specifying disabled_reason requires that status is "disabled".')
        changes: dict[str, Any] = {}
        if "status" in asked:
            changes |= {
                "disabled": asked["status"] == "disabled",
                "disabled_reason": asked.get("disabled_reason"),
            }
        if "forced_down" in asked:
            changes["forced_down"] = asked["forced_down"]
        await request.write(service_change, request.context, {"id": service_id}, changes)
        one = next(one for one in await self._all(request) if one.id == service_id)
        return Reply.json({"service": service_view(request, one)})

    async def delete(self, request: Request) -> Reply:
        """Forget a service whose host has no servers."""
        request.authorise("os_compute_api:os-services:delete")
        service_id = request.path["id"]
        modern = since(request, "2.53")
        if modern and not UUID.fullmatch(service_id):
            raise BadRequest(f"Invalid uuid {service_id}")
        if not modern and not (service_id.isascii() and service_id.isdigit() and len(service_id) < 10):
            raise BadRequest(f"Service id {service_id} is not a number")
        await request.write(service_delete, request.context, service_id, not modern)
        return Reply.empty()

    async def list_zones(self, request: Request) -> Reply:
        """The zones that servers may ask for."""
        request.authorise("os_compute_api:os-availability-zone:list")
        services = [one for one in await self._all(request) if one.zone != INTERNAL_ZONE]
        return Reply.json({"availabilityZoneInfo": self._zones(services, detail=False)})

    async def list_zones_detail(self, request: Request) -> Reply:
        """The zones with their hosts and services, the servers' own included."""
        request.authorise("os_compute_api:os-availability-zone:detail")
        return Reply.json({"availabilityZoneInfo": self._zones(await self._all(request), detail=True)})

    def _zones(self, services: list[ServiceFacts], *, detail: bool) -> list[dict[str, Any]]:
        zones: dict[str, dict[str, Any]] = {}
        available: dict[str, bool] = {}
        for one in services:
            hosts = zones.setdefault(one.zone, {})
            hosts.setdefault(one.host, {})[one.binary] = {
                "available": one.up,
                "active": not one.disabled,
                "updated_at": stamp(one.seen_at),
            }
            if not one.disabled:
                available[one.zone] = True
        if not any(one.binary == COMPUTE_BINARY for one in services):
            # a cloud whose hosts have not reported yet still says where servers will go
            zones.setdefault(self._config.default_zone, {})
        return [
            {
                "zoneName": zone,
                "zoneState": {"available": available.get(zone, False)},
                "hosts": hosts if detail else None,
            }
            for zone, hosts in sorted(zones.items())
        ]


def routes(config: ComputeConfig) -> tuple[Route, ...]:
    """Paths and verbs."""
    handlers = ServiceHandlers(config)
    one = "/v2.1/os-services/{id}"
    change = "os_compute_api:os-services:update"
    return (
        Route(
            "GET",
            "/v2.1/os-services",
            handlers.list_services,
            rule="os_compute_api:os-services:list",
            summary="List compute services",
        ),
        Route(
            "PUT",
            one,
            handlers.act,
            rule=change,
            versions=("", "2.52"),
            summary="Enable, disable or force down a service",
        ),
        Route("PUT", one, handlers.update, rule=change, versions=("2.53", ""), summary="Change a service"),
        Route(
            "DELETE",
            one,
            handlers.delete,
            rule="os_compute_api:os-services:delete",
            status=204,
            summary="Forget a service",
        ),
        Route(
            "GET",
            "/v2.1/os-availability-zone",
            handlers.list_zones,
            rule="os_compute_api:os-availability-zone:list",
            summary="List zones",
        ),
        Route(
            "GET",
            "/v2.1/os-availability-zone/detail",
            handlers.list_zones_detail,
            rule="os_compute_api:os-availability-zone:detail",
            summary="List zones with their hosts",
        ),
    )
