"""Lists of the volume API. Source: Block Storage API v3 reference (cinder's api-ref, parameters.yaml).

``all_tenants`` of others than administrators means
nothing, as in Cinder.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests import databases
from tests.api.reference.runner import Example, Operations, Scene
from tests.api.volume.cloud import IMAGE, LATEST, P1, Cloud, StorageHost, cloud, pool

from pileus.core.context import system_context
from pileus.services.volume.pools.work import services_seen

_PAGES: dict[str, str | Example] = {
    "limit": "limit=1",
    "offset": "offset=1",
    "marker": "marker={newest}",
    "sort_key": Example("sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc"),
    "sort_dir": Example("sort_dir=asc&sort_key=created_at", without="sort_dir=desc&sort_key=created_at"),
    "sort": Example("sort=name:asc", without="sort=name:desc"),
    "with_count": "with_count=True",
}
_VOLUMES: dict[str, str | Example] = {
    **_PAGES,
    "all_tenants": Example("all_tenants=1", person="admin"),
    "name": "name=alpha",
    "name~": "name~=alph",
    "status": "status=error",
    "metadata": "metadata={{'a':'1'}}",
    "bootable": "bootable=true",
    "availability_zone": "availability_zone=west",
    "migration_status": "migration_status=starting",
    "group_id": f"group_id={IMAGE}",
    "created_at": "created_at=gt:{between}",
    "updated_at": "updated_at=gt:2030-01-01T00:00:00",
    "image_metadata": "image_metadata={{'image_name':'small'}}",
    "consumes_quota": "consumes_quota=false",
    "size": "size=2",
    "project_id": Example("all_tenants=1&project_id=" + P1, without="all_tenants=1", person="admin"),
    "host": Example("all_tenants=1&host=h2@far%23far", without="all_tenants=1", person="admin"),
}
_SNAPSHOTS: dict[str, str | Example] = {
    **{name: one for name, one in _PAGES.items() if name != "marker"},
    "marker": "marker={newest_snapshot}",
    "all_tenants": Example("all_tenants=1", person="admin"),
    "name": "name=one",
    "name~": "name~=on",
    "status": "status=error",
    "volume_id": "volume_id={second}",
    "metadata": "metadata={{'a':'1'}}",
    "availability_zone": "availability_zone=west",
    "created_at": "created_at=gt:2030-01-01T00:00:00",
    "updated_at": "updated_at=gt:2030-01-01T00:00:00",
    "consumes_quota": "consumes_quota=false",
}
_ATTACHMENTS: dict[str, str | Example] = {
    "limit": "limit=1",
    "offset": "offset=1",
    "sort_dir": Example("sort_dir=asc&sort_key=created_at", without="sort_dir=desc&sort_key=created_at"),
    "all_tenants": Example("all_tenants=1", person="admin"),
    "volume_id": "volume_id={second}",
    "status": "status=attached",
    "attach_status": "attach_status=attached",
    "instance_id": f"instance_id={IMAGE}",
}
_TRANSFERS: dict[str, str | Example] = {
    "limit": "limit=1",
    "offset": "offset=1",
    "sort_dir": Example("sort_dir=asc&sort_key=created_at", without="sort_dir=desc&sort_key=created_at"),
    "all_tenants": Example("all_tenants=1", person="admin"),
}
_BACKUPS: dict[str, str | Example] = {
    **{name: one for name, one in _PAGES.items() if name != "marker"},
    "marker": "marker={newest_backup}",
    "all_tenants": Example("all_tenants=1", person="admin"),
    "name": "name=one",
    "name~": "name~=on",
    "status": "status=error",
    "volume_id": "volume_id={second}",
    "snapshot_id": "snapshot_id={snapshot}",
    "size": "size=2",
    "project_id": Example("all_tenants=1&project_id=" + P1, without="all_tenants=1", person="admin"),
}
_GROUP_PAGES: dict[str, str | Example] = {
    **{name: one for name, one in _PAGES.items() if name not in ("marker", "with_count")},
    "all_tenants": Example("all_tenants=1", person="admin"),
    "name": "name=one",
    "name~": "name~=on",
    "status": "status=error",
    "project_id": Example("all_tenants=1&project_id=" + P1, without="all_tenants=1", person="admin"),
}
_GROUPS: dict[str, str | Example] = {
    **_GROUP_PAGES,
    "marker": "marker={newest_group}",
    "availability_zone": "availability_zone=west",
    "group_type": "group_type={group_type}",
    "host": "host=h2@far%23far",
    "group_snapshot_id": f"group_snapshot_id={IMAGE}",
    "source_group_id": f"source_group_id={IMAGE}",
}
_GROUP_SNAPSHOTS: dict[str, str | Example] = {
    **_GROUP_PAGES,
    "marker": "marker={newest_group_snapshot}",
    "group_id": "group_id={newest_group}",
    "group_type_id": "group_type_id={group_type}",
}
_ADMINS: dict[str, dict[str, str | Example]] = {
    "/v3/os-services": {
        "host": Example("host=h2", person="admin"),
        "binary": Example("binary=cinder-scheduler", person="admin"),
    },
    "/v3/os-hosts": {"zone": Example("zone=west", person="admin")},
    "/v3/scheduler-stats/get_pools": {
        "detail": Example("detail=true", person="admin"),
        "volume_type": Example("volume_type=gold", person="admin"),
        "name": Example("name=h2@far%23far", person="admin"),
    },
}
OPERATIONS: Operations = {
    "/v3/volumes": _VOLUMES,
    "/v3/volumes/detail": _VOLUMES,
    "/v3/snapshots": _SNAPSHOTS,
    "/v3/snapshots/detail": _SNAPSHOTS,
    "/v3/attachments": _ATTACHMENTS,
    "/v3/attachments/detail": _ATTACHMENTS,
    "/v3/os-volume-transfer": _TRANSFERS,
    "/v3/os-volume-transfer/detail": _TRANSFERS,
    "/v3/volume-transfers": _TRANSFERS,
    "/v3/volume-transfers/detail": _TRANSFERS,
    "/v3/backups": _BACKUPS,
    "/v3/backups/detail": _BACKUPS,
    "/v3/groups": _GROUPS,
    "/v3/groups/detail": _GROUPS,
    "/v3/group_snapshots": _GROUP_SNAPSHOTS,
    "/v3/group_snapshots/detail": _GROUP_SNAPSHOTS,
    "/v3/group_types": {
        "is_public": Example("is_public=false", person="admin"),
        "limit": "limit=1",
        "offset": "offset=1",
        "marker": "marker={group_type}",
        "sort": Example("sort=name:asc", without="sort=name:desc"),
        "sort_key": Example("sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc"),
        "sort_dir": Example("sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc"),
    },
    "/v3/group_types/{id}/group_specs": {},
    "/v3/messages": {
        "limit": "limit=1",
        "offset": "offset=1",
        "sort_dir": Example("sort_dir=asc&sort_key=created_at", without="sort_dir=desc&sort_key=created_at"),
        "resource_uuid": f"resource_uuid={IMAGE}",
        "resource_type": "resource_type=VOLUME_BACKUP",
        "event_id": "event_id=x",
        "message_level": "message_level=INFO",
        "request_id": "request_id=x",
    },
    "/v3/types": {
        "is_public": Example("is_public=false", person="admin"),
        "limit": "limit=1",
        "offset": "offset=1",
        "marker": "marker={type}",
        "sort": Example("sort=name:asc", without="sort=name:desc"),
        "sort_key": Example("sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc"),
        "sort_dir": Example("sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc"),
        "extra_specs": "extra_specs={{'volume_backend_name':'far'}}",
    },
    "/v3/qos-specs": {
        "limit": Example("limit=1", person="admin"),
        "offset": Example("offset=1", person="admin"),
        "marker": Example("marker={qos}", person="admin"),
        "sort": Example("sort=name:asc", without="sort=name:desc", person="admin"),
        "sort_key": Example(
            "sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc", person="admin"
        ),
        "sort_dir": Example(
            "sort_key=name&sort_dir=asc", without="sort_key=name&sort_dir=desc", person="admin"
        ),
    },
    "/v3/qos-specs/{id}/associations": {},
    "/v3/types/{id}/extra_specs": {},
    "/v3/types/{id}/os-volume-type-access": {},
    "/v3/default-types": {},
    "/v3/clusters": {},
    "/v3/clusters/detail": {},
    **_ADMINS,
    "/v3/os-availability-zone": {},
    "/v3/extensions": {},
    "/v3/resource_filters": {"resource": "resource=volume"},
}
NO_LISTS = {
    "/v3/limits",
    "/v3/group_types/default",
    "/v3/backups/{id}/export_record",
    "/v3/qos-specs/{id}/associate",
    "/v3/qos-specs/{id}/disassociate",
    "/v3/qos-specs/{id}/disassociate_all",
    "/v3/volumes/summary",
    "/v3/types/default",
    "/v3/types/{id}/encryption",
    "/v3/os-quota-sets/{project_id}/defaults",
    "/v3/volumes/{id}/metadata",
    "/v3/snapshots/{id}/metadata",
}


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Volumes, snapshots and types that differ in everything that a list can ask for."""
    with databases.fresh("sqlite", folder) as url:
        async with cloud(url) as api:
            facts = await _fill(api)

            async def ask(person: str, version: str, path: str) -> tuple[int, Any]:
                speaker = api.as_(person or "alice", version or LATEST)
                answer = await speaker.request("GET", f"/volume{path}")
                return answer.status, answer.json

            yield Scene(api.volumes.service, ask, facts)


async def _fill(api: Cloud) -> dict[str, str]:
    admin = api.as_("admin")
    near, far = await api.host("h1"), await api.host("h2", pool("far", availability_zone="west"))
    context = system_context(api.clock.now())
    await api.store.write(services_seen, context, ["c1"], "cinder-scheduler")
    await api.a_type("gold", extra_specs={"volume_backend_name": "far"})
    await api.a_type("hidden", **{"os-volume-type-access:is_public": False})
    for name in ("slow", "slower"):
        answer = await admin("POST", "/qos-specs", {"qos_specs": {"name": name}})
        assert answer.status == 200, answer
        api.clock.advance(1)
    first = await api.make(near, 1, name="alpha", metadata={"a": "1"}, availability_zone="nova")
    api.clock.advance(10)
    between = api.clock.now().isoformat()
    api.clock.advance(10)
    second = await api.make(far, 2, name="omega", imageRef=IMAGE, availability_zone="west")
    api.clock.advance(10)
    for host in (near, far):
        await host.heartbeat()
    assert (await admin.ask_for(1)).status == 202
    await near.pass_()
    await far.pass_()
    for _ in range(2):
        api.clock.advance(1)
        assert (await api.ask_for(300)).status == 202  # no pool has room
    snapshot = await api.snapshot(near, first["id"], name="one", metadata={"a": "1"})
    api.clock.advance(1)
    await api.snapshot(far, second["id"], name="two")
    groups = await _fill_groups(api, {"nova": near, "west": far})
    for name, host, volume in (("one", near, first), ("two", far, second)):
        api.clock.advance(1)
        await api.backup(host, volume["id"], name=name)
    api.clock.advance(1)
    admins = await admin.make(near, 1, availability_zone="nova")
    await admin.backup(near, admins["id"])
    for volume in (first, second):
        api.clock.advance(1)
        body = {"attachment": {"volume_uuid": volume["id"]}}
        assert (await api("POST", "/attachments", body)).status == 200
    for _ in range(2):
        api.clock.advance(1)
        volume = await api.make(near, 1, availability_zone="nova")
        body = {"transfer": {"volume_id": volume["id"]}}
        assert (await api("POST", "/volume-transfers", body)).status == 202
    newest = (await api("GET", "/volumes?limit=1")).json["volumes"][0]["id"]
    kinds = (await api("GET", "/types?limit=1")).json["volume_types"]
    listed = (await api("GET", "/snapshots?limit=1")).json["snapshots"]
    return {
        "id": kinds[0]["id"],
        "type": kinds[0]["id"],
        "qos": answer.json["qos_specs"]["id"],
        "first": first["id"],
        "second": second["id"],
        "newest": newest,
        "newest_snapshot": listed[0]["id"],
        **groups,
        "newest_backup": (await api("GET", "/backups?limit=1")).json["backups"][0]["id"],
        "snapshot": snapshot["id"],
        "between": between,
        "project_id": P1,
    }


async def _fill_groups(api: Cloud, hosts: dict[str, StorageHost]) -> dict[str, str]:
    """Groups of two types, in two zones, and of two projects; a snapshot of each."""
    kinds, made, snapshots = [], "", ""
    for name in ("first", "second", "third"):
        api.clock.advance(1)
        body = {"group_type": {"name": name, "is_public": name != "third"}}
        answer = await api.as_("admin")("POST", "/group_types", body)
        assert answer.status == 202, answer
        kinds.append(answer.json["group_type"]["id"])
    people = (("one", "nova", api), ("two", "west", api), ("two", "west", api.as_("admin")))
    for (name, zone, speaker), kind in zip(people, kinds[:2] * 2, strict=False):
        api.clock.advance(1)
        group = {"group_type": kind, "volume_types": ["__DEFAULT__"], "name": name, "availability_zone": zone}
        answer = await speaker("POST", "/groups", {"group": group})
        assert answer.status == 202, answer
        found = answer.json["group"]["id"]
        await speaker.make(hosts[zone], 1, group_id=found)
        answer = await speaker(
            "POST", "/group_snapshots", {"group_snapshot": {"group_id": found, "name": name}}
        )
        assert answer.status == 202, answer
        await hosts[zone].pass_()
        if speaker is api:
            made, snapshots = found, answer.json["group_snapshot"]["id"]
    return {"group_type": kinds[1], "newest_group": made, "newest_group_snapshot": snapshots}
