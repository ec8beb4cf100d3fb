"""Lists of the compute API. Source: Compute API reference (nova's api-ref, parameters.yaml).

Not here, since no answer can tell: ``soft_deleted`` (nothing is, by default), ``reserved`` of limits
(nothing is ever reserved), ``limit`` and ``offset`` of a server's volumes (it has none in this scene).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.compute.cloud import IMAGE, LATEST, OTHER_IMAGE, P1, P2, Cloud, cloud
from tests.api.compute.volume_cases import Volumes
from tests.api.reference.runner import Example, Operations, Scene

from pileus.core.ids import new_id
from pileus.services.compute.tables.servers import server_migrations

_SERVERS: dict[str, str | Example] = {
    "name": "name=alpha",
    "status": "status=SHUTOFF",
    "image": f"image={OTHER_IMAGE}",
    "flavor": "flavor=2",
    "ip": "ip={address}",
    "ip6": "ip6=fd00",
    "reservation_id": "reservation_id={reservation}",
    "changes-since": "changes-since={between}",
    "changes-before": "changes-before={between}",
    "tags": "tags=blue",
    "tags-any": "tags-any=blue,red",
    "not-tags": "not-tags=blue",
    "not-tags-any": "not-tags-any=blue,red",
    "locked": "locked=true",
    "all_tenants": Example("all_tenants=true", person="admin"),
    "limit": "limit=1",
    "marker": "marker={second}",
    "sort_key": Example("sort_key=display_name", without="sort_key=created_at"),
    "sort_dir": Example("sort_dir=asc&sort_key=display_name", without="sort_dir=desc&sort_key=display_name"),
    # open to all since 2.83
    "availability_zone": "availability_zone=west",
    "config_drive": "config_drive=true",
    "key_name": "key_name=k",
    "created_at": "created_at={first_created}",
    "launched_at": "launched_at={first_launched}",
    "terminated_at": "terminated_at={between}",
    "power_state": "power_state=4",
    "progress": "progress=50",
    "task_state": "task_state=spawning",
    "vm_state": "vm_state=stopped",
    "user_id": "user_id=u9",
    "hostname": "hostname=first-host",
    "description": "description=the.first",
    "launch_index": "launch_index=7",
    "root_device_name": "root_device_name=/dev/sdb",
    **{
        name: Example(f"all_tenants=true&{text}", without="all_tenants=true", person="admin")
        for name, text in {
            "host": "host=h2",
            "node": "node=h2.example",
            "project_id": f"project_id={P2}",
            "tenant_id": f"tenant_id={P2}",
            "uuid": "uuid={first}",
            "deleted": "deleted=true",
            "access_ip_v4": "access_ip_v4=192.0.2.9",
            "access_ip_v6": "access_ip_v6=fd00::9",
            "auto_disk_config": "auto_disk_config=true",
            "locked_by": "locked_by=owner",
            "kernel_id": "kernel_id=k",
            "ramdisk_id": "ramdisk_id=r",
        }.items()
    },
}
_FLAVORS: dict[str, str | Example] = {
    "sort_key": "sort_key=memory_mb&sort_dir=desc",
    "sort_dir": "sort_dir=desc",
    "limit": "limit=1",
    "marker": "marker=2",
    "minDisk": "minDisk=30",
    "minRam": "minRam=3000",
    "is_public": Example("is_public=false", person="admin"),
}
_HYPERVISORS: dict[str, str | Example] = {
    name: Example(query, person="admin")
    for name, query in {
        "limit": "limit=1",
        "marker": "marker={hypervisor}",
        "hypervisor_hostname_pattern": "hypervisor_hostname_pattern=h2",
        "with_servers": "with_servers=true",
    }.items()
}
_USAGE: dict[str, str | Example] = {
    name: Example(f"detailed=1&{query}", without="detailed=1", person="admin")
    for name, query in {
        "start": "start={between_plain}",
        "end": "end={between_plain}",
        "limit": "limit=1",
        "marker": "marker={first}",
    }.items()
}
_MIGRATIONS: dict[str, str | Example] = {
    name: Example(query, person="admin")
    for name, query in {
        "instance_uuid": "instance_uuid={first}",
        "host": "host=h2",
        "source_compute": "source_compute=h1",
        "status": "status=finished",
        "migration_type": "migration_type=evacuation",
        "user_id": "user_id=u9",
        "project_id": f"project_id={P2}",
        "changes-since": "changes-since={between}",
        "changes-before": "changes-before={between}",
        "limit": "limit=1",
        "marker": "marker={migration}",
    }.items()
}
OLD = "2.35"
_VOLUMES: dict[str, str | Example] = {
    "limit": Example("limit=1", version=OLD),
    "offset": Example("offset=1", version=OLD),
}
_IMAGES: dict[str, str | Example] = {
    name: Example(query, version=OLD)
    for name, query in {
        "name": "name=small",
        "status": "status=SAVING",
        "server": f"server={IMAGE}",
        "type": "type=snapshot",
        "minDisk": "minDisk=7",
        "minRam": "minRam=7",
        "changes-since": "changes-since=2036-01-01T00:00:00Z",
        "limit": "limit=1",
        "marker": f"marker={IMAGE}",
    }.items()
}
OPERATIONS: Operations = {
    "/v2.1/servers": _SERVERS,
    "/v2.1/servers/detail": _SERVERS,
    "/v2.1/flavors": _FLAVORS,
    "/v2.1/flavors/detail": _FLAVORS,
    "/v2.1/os-hypervisors": _HYPERVISORS,
    "/v2.1/os-hypervisors/detail": _HYPERVISORS,
    "/v2.1/os-keypairs": {
        "user_id": Example("user_id=u1", person="admin"),
        "limit": "limit=1",
        "marker": "marker=k",
    },
    "/v2.1/limits": {"tenant_id": Example(f"tenant_id={P1}", person="admin")},
    "/v2.1/os-server-groups": {
        "all_projects": Example("all_projects=true", person="admin"),
        "limit": "limit=1",
        "offset": "offset=1",
    },
    "/v2.1/os-services": {
        "binary": Example("binary=nova-conductor", person="admin"),
        "host": Example("host=h2", person="admin"),
    },
    "/v2.1/os-migrations": _MIGRATIONS,
    "/v2.1/servers/{id}/migrations": {},
    "/v2.1/os-hosts": {"zone": Example("zone=west", person="admin", version="2.42")},
    "/v2.1/os-simple-tenant-usage": {
        **_USAGE,
        "detailed": Example("detailed=1", person="admin"),
    },
    "/v2.1/servers/{id}/os-instance-actions": {
        "limit": "limit=1",
        "marker": "marker={request}",
        "changes-since": "changes-since={after_boot}",
        "changes-before": "changes-before={after_boot}",
    },
    "/v2.1/extensions": {},
    "/v2.1/os-certificates/root": {},
    "/consoles/vnc": {},
    "/consoles/serial": {},
    "/v2.1/flavors/{id}/os-extra_specs": {},
    "/v2.1/flavors/{id}/os-flavor-access": {},
    "/v2.1/os-aggregates": {},
    "/v2.1/os-availability-zone": {},
    "/v2.1/os-availability-zone/detail": {},
    "/v2.1/os-hypervisors/{id}/search": {},
    "/v2.1/os-hypervisors/{id}/servers": {},
    "/v2.1/servers/{id}/ips": {},
    "/v2.1/servers/{id}/os-interface": {},
    "/v2.1/servers/{id}/os-pileus-timeline": {},
    "/v2.1/servers/{id}/os-security-groups": {},
    "/v2.1/servers/{id}/os-volume_attachments": {},
    "/v2.1/servers/{id}/tags": {},
    "/v2.1/os-networks": {},
    "/v2.1/os-tenant-networks": {},
    "/v2.1/os-floating-ips": {},
    "/v2.1/os-floating-ip-pools": {},
    "/v2.1/os-security-groups": {
        "limit": Example("limit=1", version=OLD),
        "offset": Example("offset=1", version=OLD),
        "all_tenants": Example("all_tenants=true", person="admin", version=OLD),
    },
    "/v2.1/os-volumes": _VOLUMES,
    "/v2.1/os-volumes/detail": _VOLUMES,
    "/v2.1/os-snapshots": _VOLUMES,
    "/v2.1/os-snapshots/detail": _VOLUMES,
    "/v2.1/images": _IMAGES,
    "/v2.1/images/detail": _IMAGES,
}
NO_LISTS = {
    "/v2.1/images/{id}/metadata",
    "/v2.1/os-instance_usage_audit_log",
    "/v2.1/os-hosts/{host}/reboot",
    "/v2.1/os-hosts/{host}/shutdown",
    "/v2.1/os-hosts/{host}/startup",
    "/v2.1/os-hypervisors/statistics",
    "/v2.1/os-hypervisors/{id}/uptime",
    "/v2.1/os-quota-sets/{project_id}/defaults",
    "/v2.1/os-quota-sets/{project_id}/detail",
    "/v2.1/servers/{id}/diagnostics",
    "/v2.1/servers/{id}/metadata",
    "/v2.1/servers/{id}/os-server-password",
}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Servers, flavors and hosts that differ in everything that a list can ask for."""
    with databases.fresh("sqlite", folder) as url:
        async with cloud(url, images_in=folder, with_volumes=True) as api:
            facts = await _fill(api)

            async def ask(person: str, version: str, path: str) -> tuple[int, Any]:
                answer = await api.as_(person or "alice", version or LATEST)("GET", path, root=True)
                return answer.status, answer.json

            yield Scene(api.compute.service, ask, facts)


async def _fill(api: Cloud) -> dict[str, str]:
    h1, h2 = await api.host("h1"), await api.host("h2", zone="west")
    admin = api.as_("admin")
    network_id = await api.a_network()
    for person in (api, admin):
        group = {"security_group": {"name": "g", "description": "d"}}
        old = person.as_(person.token or "", OLD)
        assert (await old("POST", "/os-security-groups", group)).status == 200
    for name in ("k", "l"):
        assert (await api.at("2.1")("POST", "/os-keypairs", {"keypair": {"name": name}})).status == 200
    flavor = {"flavor": {"name": "p", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": False}}
    assert (await admin("POST", "/flavors", flavor)).status == 200
    for person in (api, api, admin):
        body = {"server_group": {"name": "g", "policy": "affinity"}}
        assert (await person("POST", "/os-server-groups", body)).status == 200
    volumes = Volumes(api, "h1")
    await volumes.set_up()
    for _ in range(2):
        body = {"snapshot": {"volume_id": await volumes.make()}}
        assert (await api("POST", "/volume/v3/snapshots", body)).status == 202
    first = await api.boot(
        h1,
        "alpha",
        networks=[{"uuid": network_id}],
        key_name="k",
        config_drive=True,
        hostname="first-host",
        description="the first",
        tags=["blue"],
        accessIPv4="192.0.2.9",
        accessIPv6="fd00::9",
        availability_zone="nova",
        **{"OS-DCF:diskConfig": "AUTO"},
    )
    api.clock.advance(60)
    after_boot = api.clock.now().isoformat() + "Z"
    api.clock.advance(60)
    for host in (h1, h2):
        await host.heartbeat()
    values = {"flavorRef": "2", "imageRef": OTHER_IMAGE, "networks": "none", "availability_zone": "west"}
    second = await api.boot(h2, "omega", tags=["red"], **values)
    api.clock.advance(60)
    between = api.clock.now()
    api.clock.advance(60)
    for host in (h1, h2):
        await host.heartbeat()
    third = await api.boot(h1, "middle", networks="none")
    assert (await api.act(third["id"], "lock")).status == 202
    assert (await api.act(first["id"], "os-stop")).status == 202
    await h1.pass_()
    assert (await admin.ask_for("another's", networks="none")).status == 202
    gone = (await api.ask_for("gone", networks="none")).json["server"]["id"]
    assert (await api("DELETE", f"/servers/{gone}")).status == 204
    actions = (await api("GET", f"/servers/{first['id']}/os-instance-actions")).json["instanceActions"]
    hypervisors = (await admin("GET", "/os-hypervisors")).json["hypervisors"]
    shown = await admin("GET", f"/servers/{first['id']}")
    return {
        "id": first["id"],
        "host": "h1",
        "first": first["id"],
        "second": second["id"],
        "address": first["addresses"]["net"][0]["addr"],
        "reservation": shown.json["server"]["OS-EXT-SRV-ATTR:reservation_id"],
        "between": between.isoformat() + "Z",
        "between_plain": between.isoformat(),
        "after_boot": after_boot,
        "first_created": first["created"],
        "first_launched": first["OS-SRV-USG:launched_at"] + "Z",
        "request": actions[0]["request_id"],
        "hypervisor": hypervisors[0]["id"],
        "migration": await _migrate(api, first["id"], second["id"], between),
        "image": IMAGE,
    }


async def _migrate(api: Cloud, first: str, second: str, between: dt.datetime) -> str:
    """Two migrations that were; the newer one's id."""
    minute = dt.timedelta(minutes=1)
    old, new = between - minute, between + minute
    rows = [
        _migration(first, "resize", "finished", "h1", "h2", "u1", P1, old),
        _migration(second, "evacuation", "done", "h3", "h4", "u9", P2, new),
    ]
    await api.store.write(lambda tx: tx.insert(server_migrations, rows))
    return str(rows[1]["id"])


def _migration(
    server_id: str, kind: str, status: str, source: str, dest: str, user: str, project: str, at: dt.datetime
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "server_id": server_id,
        "kind": kind,
        "status": status,
        "source_host": source,
        "source_node": f"{source}.example",
        "dest_host": dest,
        "dest_node": f"{dest}.example",
        "old_values": {"flavor_id": "1"},
        "new_values": {"flavor_id": "2"},
        "held_host": None,
        "held_vcpus": 0,
        "held_memory_mib": 0,
        "held_disk_gib": 0,
        "user_id": user,
        "project_id": project,
        "created_at": at,
        "updated_at": at,
    }
