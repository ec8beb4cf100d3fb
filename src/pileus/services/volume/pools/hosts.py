"""Hosts, pools, capabilities and zones, as administrators and users read them.

Source: Block Storage API reference, "Hosts extension", "Back-end storage pools", "Capabilities for
storage back ends", "Availability zones".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import FLAG, MOMENT, TEXT, TEXT_OR_NULL, TEXTS, always, named, named_list
from pileus.services.volume.api import enforce, flag, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, EVERYBODY, rules
from pileus.services.volume.pools.reading import (
    VENDOR,
    VOLUME_BINARY,
    ServiceFacts,
    pools_read,
    services_read,
)
from pileus.services.volume.pools.services import stamp
from pileus.services.volume.rules.placement import Pool, lacking
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.services.volume.types.work import type_named
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_TOTAL = "(total)"
_COUNTS = ("volume_count", "total_volume_gb", "snapshot_count", "total_snapshot_gb")


class HostNotFound(NotFound):
    message = "Host {host} could not be found."


def _usage(tx: Tx, host: str) -> dict[str, dict[str, int]]:
    """How many volumes and snapshots each project has on a host. Two statements."""
    v, s = volumes.c, volume_snapshots.c
    of_host = v.host.startswith(f"{host}#", autoescape=True)
    found: dict[str, dict[str, int]] = {_TOTAL: dict.fromkeys(_COUNTS, 0)}
    counted = (
        (
            _COUNTS[:2],
            select(v.project_id, func.count(), func.sum(v.size_gib)).where(of_host).group_by(v.project_id),
        ),
        (
            _COUNTS[2:],
            select(s.project_id, func.count(), func.sum(s.size_gib))
            .where(s.volume_id == v.id, of_host)
            .group_by(s.project_id),
        ),
    )
    for names, statement in counted:
        for row in tx.rows(statement):
            project_id, numbers = row[0], list(row)[1:]
            of_project = found.setdefault(project_id, dict.fromkeys(_COUNTS, 0))
            for name, number in zip(names, numbers, strict=True):
                of_project[name] += int(number)
                found[_TOTAL][name] += int(number)
    return found


class PoolHandlers:
    """Handlers that know how long a silent pool counts as alive."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    def _services(self, tx: Tx, request: Request) -> list[ServiceFacts]:
        return services_read(tx, self._config, request.context.now)

    def _pools(self, tx: Tx, request: Request) -> list[Pool]:
        found = [one for one in pools_read(tx, self._config, request.context.now) if one.up]
        wanted = request.parameter("volume_type")
        if wanted and since(request, "3.35"):
            specs = type_named(tx, request.access, wanted)["extra_specs"]
            found = [one for one in found if lacking(one, specs) is None]
        return found

    # -- hosts

    async def list_hosts(self, request: Request) -> Reply:
        """List the hosts of services, or those of one ``zone``."""
        enforce(request)
        zone = request.parameter("zone")
        hosts = [
            {
                "host_name": one.host,
                "service": one.binary,
                "zone": one.zone,
                "service-status": "available" if one.up else "unavailable",
                "service-state": "disabled" if one.disabled else "enabled",
                "last-update": stamp(one.seen_at),
            }
            for one in await request.read(self._services, request)
            if not zone or one.zone == zone
        ]
        return Reply.json({"hosts": hosts})

    def _host(self, tx: Tx, request: Request) -> dict[str, dict[str, int]]:
        host = request.path["host"]
        if not any(one.host == host and one.binary == VOLUME_BINARY for one in self._services(tx, request)):
            raise HostNotFound(host=host)
        return _usage(tx, host)

    async def show_host(self, request: Request) -> Reply:
        """Show how much a host has of each project."""
        enforce(request)
        used = await request.read(self._host, request)
        return Reply.json(
            {
                "host": [
                    {
                        "resource": {
                            "host": request.path["host"],
                            "project": project_id,
                            **{name: str(number) for name, number in numbers.items()},
                        }
                    }
                    for project_id, numbers in used.items()
                ]
            }
        )

    # -- pools

    async def list_pools(self, request: Request) -> Reply:
        """List pools; with ``detail``, what they have."""
        enforce(request)
        detail = flag(request, "detail")
        pools: list[dict[str, Any]] = []
        for one in await request.read(self._pools, request):
            if not _asked_for(request, one):
                continue
            view: dict[str, Any] = {"name": one.host}
            if detail:
                view["capabilities"] = dict(one.capabilities)
            pools.append(view)
        return Reply.json({"pools": pools})

    async def show_capabilities(self, request: Request) -> Reply:
        """Show what a pool (``NODE@POOL``) can do."""
        enforce(request)
        host = request.path["host"]
        for one in await request.read(self._pools, request):
            if host in (one.host, one.host.partition("#")[0]):
                return Reply.json(_capabilities_view(one))
        raise NotFound(f"Service could not be found with filters: {{'host': '{host}'}}.")

    # -- zones

    async def list_zones(self, request: Request) -> Reply:
        """List the zones that volumes may ask for."""
        enforce(request)
        zones: dict[str, bool] = {}
        for one in await request.read(self._services, request):
            if one.binary == VOLUME_BINARY:
                zones[one.zone] = zones.get(one.zone, False) or not one.disabled
        if not zones:
            zones[self._config.default_zone] = True  # where volumes will go
        view = [
            {"zoneName": zone, "zoneState": {"available": available}}
            for zone, available in sorted(zones.items())
        ]
        return Reply.json({"availabilityZoneInfo": view})


def _asked_for(request: Request, pool: Pool) -> bool:
    """Whether a pool fulfils the query's filters, which are capabilities' names. Raises BadRequest."""
    for name, text in request.query:
        if name in ("detail", "volume_type"):
            continue
        if name == "name":
            if pool.host != text:
                return False
        elif name not in pool.capabilities:
            raise BadRequest(f"Invalid filters {name} are found in query options.")
        elif str(pool.capabilities[name]).lower() != text.lower():
            return False
    return True


_PROPERTIES = {
    "compression": ("Compression", "Whether volumes are compressed."),
    "thin_provisioning": ("Thin Provisioning", "Whether volumes take room when they are written."),
    "replication_enabled": ("Replication", "Whether volumes have replicas."),
    "qos": ("QoS", "Whether the pool itself limits rates."),
}


def _capabilities_view(pool: Pool) -> dict[str, Any]:
    can = pool.capabilities
    return {
        "namespace": f"OS::Storage::Capabilities::{pool.host.partition('#')[0]}",
        "vendor_name": VENDOR,
        "volume_backend_name": can["volume_backend_name"],
        "pool_name": pool.name,
        "driver_version": can["driver_version"],
        "storage_protocol": can["storage_protocol"],
        "display_name": pool.name,
        "description": None,
        "visibility": "public",
        "replication_targets": [],
        "properties": {
            name: {"title": title, "description": description, "type": "boolean"}
            for name, (title, description) in _PROPERTIES.items()
        },
    }


_HOST = always({**dict.fromkeys(_COUNTS, TEXT), "host": TEXT, "project": TEXT})
_LISTED = always(
    {
        "host_name": TEXT,
        "service": TEXT,
        "zone": TEXT,
        "service-status": TEXT,
        "service-state": TEXT,
        "last-update": MOMENT,
    }
)
_PROPERTY = always({"title": TEXT, "description": TEXT, "type": TEXT})
_CAPABILITIES = always(
    {
        **dict.fromkeys(("namespace", "vendor_name", "volume_backend_name", "pool_name"), TEXT),
        **dict.fromkeys(("driver_version", "storage_protocol", "display_name", "visibility"), TEXT),
        "description": TEXT_OR_NULL,
        "replication_targets": TEXTS,
        "properties": types.dict_of({}, additional=_PROPERTY),
    }
)
_POOLS = named_list(
    "pools", always({"name": TEXT}, {"capabilities": types.dict_of({}, additional=types.anything)})
)
_ZONES = named_list("availabilityZoneInfo", always({"zoneName": TEXT, "zoneState": named("available", FLAG)}))


def _routes(handlers: PoolHandlers) -> tuple[Route, ...]:
    return (
        Route(
            "GET",
            "/v3/os-hosts",
            handlers.list_hosts,
            rule="volume_extension:hosts",
            reply=named_list("hosts", _LISTED),
            summary="List hosts of services",
        ),
        Route(
            "GET",
            "/v3/os-hosts/{host}",
            handlers.show_host,
            rule="volume_extension:hosts",
            reply=named_list("host", named("resource", _HOST)),
            summary="Show how much a host has",
        ),
        Route(
            "GET",
            "/v3/scheduler-stats/get_pools",
            handlers.list_pools,
            rule="scheduler_extension:scheduler_stats:get_pools",
            reply=_POOLS,
            summary="List pools",
        ),
        Route(
            "GET",
            "/v3/capabilities/{host}",
            handlers.show_capabilities,
            rule="volume_extension:capabilities",
            reply=_CAPABILITIES,
            summary="Show what a pool can do",
        ),
        Route(
            "GET",
            "/v3/os-availability-zone",
            handlers.list_zones,
            rule="volume_extension:availability_zone_list",
            reply=_ZONES,
            summary="List zones",
        ),
    )


def pools_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = PoolHandlers(config)
    return Noun(
        name="pool",
        rules=rules(
            {
                "volume_extension:hosts": ADMIN,
                "scheduler_extension:scheduler_stats:get_pools": ADMIN,
                "volume_extension:capabilities": ADMIN,
                "volume_extension:availability_zone_list": EVERYBODY,
            }
        ),
        extensions=(
            Extension("os-hosts", "Hosts", "Admin-only host administration."),
            Extension("scheduler-stats", "Scheduler_stats", "Scheduler stats support."),
            Extension("capabilities", "Capabilities", "Capabilities support."),
            Extension("os-availability-zone", "AvailabilityZones", "Describe Availability Zones."),
        ),
        routes=_routes(handlers),
    )
