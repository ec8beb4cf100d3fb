"""Availability zones (``os-availability-zone``). Source: Compute API reference, "Availability zones"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.api import enforce
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, INTERNAL_ZONE, ServiceFacts, services_read
from pileus.services.compute.nodes.services import stamp
from pileus.services.compute.policy import ADMIN, EVERYBODY, rules
from pileus.services.compute.replies import FLAG, MOMENT, NULL, TEXT, always, named, named_list
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


class ZoneHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def _all(self, request: Request) -> list[ServiceFacts]:
        return await request.read(services_read, self._config, request.context.now)

    async def list_zones(self, request: Request) -> Reply:
        """List the zones that servers may ask for."""
        enforce(request)
        services = [one for one in await self._all(request) if one.zone != INTERNAL_ZONE]
        return Reply.json({"availabilityZoneInfo": self._zones(services, detail=False)})

    async def list_zones_detail(self, request: Request) -> Reply:
        """List the zones with their hosts and services, the conductor's own included."""
        enforce(request)
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


_STATE = always({"available": FLAG, "active": FLAG, "updated_at": MOMENT})
_HOSTS = types.dict_of({}, additional=types.dict_of({}, additional=_STATE))
_ZONE = {"zoneName": TEXT, "zoneState": named("available", FLAG)}
_BRIEF = named_list("availabilityZoneInfo", always({**_ZONE, "hosts": NULL}))
_DETAIL = named_list("availabilityZoneInfo", always({**_ZONE, "hosts": _HOSTS}))
_RULE = "os_compute_api:os-availability-zone:"


def zones_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = ZoneHandlers(config)
    return Noun(
        name="availability_zone",
        rules=rules({"os-availability-zone:list": EVERYBODY, "os-availability-zone:detail": ADMIN}),
        extensions=(
            Extension(
                "os-availability-zone", "AvailabilityZone", "Availability zone list and server creation."
            ),
            Extension("OS-EXT-AZ", "ExtendedAvailabilityZone", "Extended Availability Zone support."),
        ),
        routes=(
            Route(
                "GET",
                "/v2.1/os-availability-zone",
                handlers.list_zones,
                rule=_RULE + "list",
                reply=_BRIEF,
                summary="List zones",
            ),
            Route(
                "GET",
                "/v2.1/os-availability-zone/detail",
                handlers.list_zones_detail,
                rule=_RULE + "detail",
                reply=_DETAIL,
                summary="List zones with their hosts",
            ),
        ),
    )
