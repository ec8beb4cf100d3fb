"""Asking for new servers: everything that can be refused is refused here, in one unit of work.

What is written is a promise: the servers (building, to be scheduled), their tags and action, and one
operation for the whole request that the conductor takes up. Nothing is chosen, made or bound yet.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select

from pileus.core.context import Context
from pileus.core.errors import Forbidden
from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.resource.tag_table import tags_save
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.events import event
from pileus.services.compute.flavors.resource import FLAVOR
from pileus.services.compute.flavors.work import visible
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, nodes_read
from pileus.services.compute.policy import is_admin
from pileus.services.compute.quotas.counting import limits_of, spend_up_to
from pileus.services.compute.rules import states
from pileus.services.compute.rules.hardware import NotObeyed, read_hardware
from pileus.services.compute.servers.chains.boot import BOOT
from pileus.services.compute.servers.history import action_begin
from pileus.services.compute.servers.requested_networks import groups_check, requested_networks_check
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.keypairs import keypairs
from pileus.services.compute.tables.servers import server_groups, servers
from pileus.services.compute.uses.image import image_usable
from pileus.services.compute.uses.network import ports_free, qos_policy_usable
from pileus.store.column_in import column_in
from pileus.store.operations import operation_create
from pileus.store.tx import Tx
from pileus.wire.hypervisor import DISK_FORMATS

GIB = 1 << 30

_BESIDE = ("same_host", "different_host")
"""Hints that name servers."""


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The servers that a request wants, checked in its form. ``ids`` are for as many as there may be."""

    name: str
    flavor_id: str
    image_id: str
    ids: tuple[str, ...]
    operation_id: str
    reservation_id: str
    minimum: int = 1
    networks: Any = None
    groups: tuple[str, ...] = ()
    key_name: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    user_data: str | None = None
    files: list[dict[str, str]] = msgspec.field(default_factory=list)
    config_drive: bool = False
    disk_config: str = "MANUAL"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    description: str | None = None
    hostname: str | None = None
    tags: tuple[str, ...] = ()
    password: str = ""
    zone: str | None = None
    host: str | None = None
    node: str | None = None
    forced: bool = False
    hints: dict[str, Any] = msgspec.field(default_factory=dict)
    qos_policy_id: str | None = None


def sanitize_hostname(name: str, server_id: str) -> str:
    """A name as a host may have it: letters, digits and hyphens; the server's id where nothing is left."""
    text = re.sub(r"[ _.]", "-", name.encode("ascii", "ignore").decode())
    text = re.sub(r"[^\w-]+", "", text).lower().strip("-")[:63].rstrip("-")
    return text or f"server-{server_id}"


def servers_create(tx: Tx, access: Access, spec: ServerSpec, *, config: ComputeConfig) -> list[Values]:
    """Write the promise; returns the servers. A constant number of statements for any number of servers.

    Raises BadRequest, QuotaError and the like in Nova's words.
    """
    context = access.context
    flavor = _flavor(tx, access, spec.flavor_id)
    image = _image(tx, access, spec.image_id, flavor)
    image_boots(image, access, flavor, spec.disk_config)
    hardware = hardware_of(image, flavor["extra_specs"], flavor["vcpus"])
    if hardware.pop("config_drive", None):
        spec = msgspec.structs.replace(spec, config_drive=True)
    key = _key(tx, context, spec.key_name)
    _placement(tx, context, spec, config)
    _limits(tx, context, spec)
    _group(tx, context, spec)
    spec = _with_own_servers(tx, access, spec)
    groups = groups_check(tx, context, spec.groups)
    requested = requested_networks_check(
        tx, access, spec.networks, len(spec.ids), with_groups=bool(spec.groups)
    )
    if spec.qos_policy_id and not qos_policy_usable(tx, access, spec.qos_policy_id):
        raise BadRequest(f"QoS policy {spec.qos_policy_id} could not be found.")
    project_id = context.project_id or ""
    most = len(spec.ids)
    ports_each = sum(1 for one in requested if one["port_id"] is None)
    if ports_each:
        most = min(most, ports_free(tx, project_id) // ports_each)
        if most < spec.minimum:
            raise QuotaError("Maximum number of ports exceeded")
    count = spend_up_to(
        tx,
        project_id,
        context.user_id or "",
        spec.minimum,
        most,
        cores=flavor["vcpus"],
        ram=flavor["ram"],
    )
    rows = [
        _row(context, spec, flavor, image, key, index, server_id, hardware)
        for index, server_id in enumerate(spec.ids[:count])
    ]
    SERVER.insert(tx, context, rows)
    ids = [row["id"] for row in rows]
    if spec.tags:
        tags_save(tx, context, dict.fromkeys(ids, spec.tags))
    action_begin(tx, context, ids, "create")
    operation_create(
        tx,
        operation_id=spec.operation_id,
        kind=BOOT.kind,
        resource_id=spec.reservation_id,
        step=BOOT.first.name,
        now=context.now,
        data={
            "servers": ids,
            "plugs": requested,
            "groups": groups,
            "qos_policy_id": spec.qos_policy_id,
            "hints": spec.hints,
            "host": spec.host,
            "node": spec.node,
            "forced": spec.forced,
            "image": dict(image["properties"]),
            "user_id": context.user_id,
        },
        project_id=project_id,
        request_id=context.request_id,
    )
    tx.emit_many(
        [
            event(context, "server.create", row["id"], project_id, name=row["name"], flavor=flavor["name"])
            for row in rows
        ]
    )
    return rows


def _flavor(tx: Tx, access: Access, flavor_id: str) -> Values:
    found = fetch(tx, FLAVOR, [flavor_id], [visible(access)])
    if not found:
        raise BadRequest(f"Flavor {flavor_id} could not be found.")
    return found[0]


def _image(tx: Tx, access: Access, image_id: str, flavor: Values) -> Values:
    if not image_id:
        raise BadRequest(
            "Invalid image identifier or unable to use an image: servers begin from an image here."
        )
    image = image_usable(tx, access, image_id)
    if image is None:
        raise BadRequest(f"Image {image_id} could not be found.")
    image_fits(image, flavor)
    return image


def image_fits(image: Values, flavor: Values | dict[str, Any]) -> None:
    """BadRequest unless a server of a flavor can begin from an image."""
    if image["status"] != "active":
        raise BadRequest(f"Image {image['id']} is not active.")
    if flavor["ram"] < (image["min_ram"] or 0):
        raise BadRequest("Flavor's memory is too small for requested image.")
    disk = flavor["disk"]
    if disk:
        size = max(image["size"] or 0, image.get("virtual_size") or 0)
        if size > disk * GIB:
            raise BadRequest(
                "Flavor's disk is too small for requested image. Flavor disk is "
                f"{disk * GIB} bytes, image is {size} bytes."
            )
        if disk < (image["min_disk"] or 0):
            raise BadRequest(
                "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
                f"{disk * GIB} bytes, minimum size is {image['min_disk'] * GIB} bytes."
            )


def hardware_of(image: Values, extra_specs: dict[str, str], vcpus: int) -> dict[str, Any]:
    """What an image and a flavor ask of the machine; BadRequest for what it can't have."""
    try:
        return read_hardware(image["properties"], extra_specs, vcpus)
    except NotObeyed as refused:
        raise BadRequest(str(refused)) from None


def image_boots(image: Values, access: Access, flavor: Values, disk_config: str) -> None:
    """Refuse what a host would find out only when it makes the machine."""
    if image["disk_format"] not in DISK_FORMATS:
        raise BadRequest(
            f"Image {image['id']} is unacceptable: its disk format is {image['disk_format']}; servers begin "
            f"from {' and '.join(DISK_FORMATS)}."
        )
    if disk_config == "AUTO" and str(image["properties"].get("auto_disk_config", "")).lower() == "disabled":
        raise BadRequest(f"Requested image {image['id']} has automatic disk resize disabled.")
    if not flavor["disk"] and not access.allows("os_compute_api:servers:create:zero_disk_flavor"):
        raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")


def _key(tx: Tx, context: Context, name: str | None) -> Any:
    if name is None:
        return None
    columns = keypairs.c
    row = tx.first(
        select(columns.name, columns.type, columns.public_key).where(
            columns.user_id == (context.user_id or ""), columns.name == name
        )
    )
    if row is None:
        raise BadRequest("Invalid key_name provided.")
    return row


def _placement(tx: Tx, context: Context, spec: ServerSpec, config: ComputeConfig) -> None:
    """A zone, host or hypervisor that was asked for has to be there."""
    if not (spec.zone or spec.host or spec.node):
        return
    nodes = nodes_read(tx, config, context.now)
    if spec.host and not any(one.row.host == spec.host for one in nodes):
        raise BadRequest(f"Compute host {spec.host} could not be found.")
    if spec.node and not any(one.row.hypervisor_hostname == spec.node for one in nodes):
        raise BadRequest(f"No hypervisor matching '{spec.node}' could be found.")
    if spec.zone:
        zones = {one.service.zone for one in nodes if one.service.binary == COMPUTE_BINARY}
        if spec.zone not in {*zones, config.default_zone}:
            raise BadRequest("The requested availability zone is not available")


def _limits(tx: Tx, context: Context, spec: ServerSpec) -> None:
    if not spec.metadata and not spec.files:
        return
    limits = limits_of(tx, context.project_id or "", context.user_id)
    check_metadata(limits, spec.metadata)
    check_files(limits, spec.files)


def check_metadata(limits: dict[str, int], metadata: dict[str, str]) -> None:
    """QuotaError where there are more items than allowed."""
    most = limits["metadata_items"]
    if 0 <= most < len(metadata):
        raise QuotaError(
            f"Quota exceeded for metadata_items: Maximum number of metadata items exceeds {most}"
        )


def check_files(limits: dict[str, int], files: Sequence[dict[str, str]]) -> None:
    """QuotaError where personality files are too many or too large."""
    if 0 <= limits["injected_files"] < len(files):
        raise QuotaError("Maximum number of injected files exceeded")
    for one in files:
        if 0 <= limits["injected_file_path_bytes"] < len(one["path"].encode()):
            raise QuotaError("Maximum path length of an injected file exceeded")
        if 0 <= limits["injected_file_content_bytes"] < len(one["contents"]):
            raise QuotaError("Maximum content size of an injected file exceeded")


def _group(tx: Tx, context: Context, spec: ServerSpec) -> None:
    """The server group of the hints: it exists, and has room."""
    group_id = spec.hints.get("group")
    if group_id is None:
        return
    group = tx.first(
        select(server_groups).where(
            server_groups.c.id == group_id, server_groups.c.project_id == (context.project_id or "")
        )
    )
    if group is None:
        raise BadRequest(f"Instance group {group_id} could not be found.")
    most = limits_of(tx, context.project_id or "")["server_group_members"]
    tx.lock(f"quota:{group_id}:members")
    have = tx.scalar(
        select(func.count()).where(servers.c.group_id == group_id, servers.c.deleted_at.is_(None))
    )
    if 0 <= most < have + len(spec.ids):
        raise QuotaError("Quota exceeded, too many servers in group")


def _with_own_servers(tx: Tx, access: Access, spec: ServerSpec) -> ServerSpec:
    """The spec without those servers in its hints that the caller may not see: where another project's are
    is not to be found out by going beside them."""
    named = {key for hint in _BESIDE for key in spec.hints.get(hint) or ()}
    if not named or is_admin(access):
        return spec
    c = servers.c
    there = {
        row.id
        for row in tx.rows(
            select(c.id).where(
                column_in(tx, c.id, sorted(named)), c.project_id == (access.context.project_id or "")
            )
        )
    }
    kept = {hint: [key for key in spec.hints[hint] if key in there] for hint in _BESIDE if hint in spec.hints}
    return msgspec.structs.replace(spec, hints={**spec.hints, **kept})


def _row(
    context: Context,
    spec: ServerSpec,
    flavor: Values,
    image: Values,
    key: Any,
    index: int,
    server_id: str,
    hardware: dict[str, Any],
) -> Values:
    name = f"{spec.name}-{index + 1}" if len(spec.ids) > 1 else spec.name
    hostname = spec.hostname or sanitize_hostname(name, server_id)
    return Values(
        {
            "id": server_id,
            "project_id": context.project_id or "",
            "user_id": context.user_id or "",
            "name": name,
            "hostname": hostname,
            # before 2.19 the description was the name, and clients of old see none
            "description": spec.description,
            "vm_state": states.BUILDING,
            "task_state": states.SCHEDULING,
            "task_since": context.now,
            "power_state": states.NOSTATE,
            "wanted": states.WANT_RUNNING,
            "generation": 1,
            "in_place": False,
            "host": None,
            "node": None,
            "availability_zone": spec.zone,
            "pinned_availability_zone": spec.zone,
            "image_id": image["id"],
            "flavor_id": flavor["id"],
            "flavor": flavor_copy(flavor),
            "vcpus": flavor["vcpus"],
            "memory_mib": flavor["ram"],
            "disk_gib": flavor["disk"] + flavor["OS-FLV-EXT-DATA:ephemeral"],
            "key_name": key.name if key is not None else None,
            "key_type": key.type if key is not None else None,
            "key_data": key.public_key if key is not None else None,
            "user_data": spec.user_data,
            "config_drive": spec.config_drive,
            "properties": spec.metadata,
            "files": spec.files,
            # only a config drive carries it into the guest
            "password": spec.password if spec.config_drive else None,
            "random_seed": secrets.token_hex(32),
            "hardware": hardware or None,
            "disk_config": spec.disk_config,
            "access_ip_v4": spec.access_ip_v4,
            "access_ip_v6": spec.access_ip_v6,
            "launch_index": index,
            "reservation_id": spec.reservation_id,
            "group_id": spec.hints.get("group"),
            "locked_by": None,
            "locked_reason": None,
            "quarantined": None,
            "fault": None,
            "launched_at": None,
            "terminated_at": None,
            "deleted_at": None,
            "created_at": context.now,
            "updated_at": context.now,
        }
    )


def flavor_copy(flavor: Values) -> dict[str, Any]:
    """What a server keeps of its flavor."""
    return {
        "id": flavor["id"],
        "name": flavor["name"],
        "vcpus": flavor["vcpus"],
        "ram": flavor["ram"],
        "disk": flavor["disk"],
        "ephemeral": flavor["OS-FLV-EXT-DATA:ephemeral"],
        "swap": flavor["swap"],
        "extra_specs": dict(flavor["extra_specs"]),
    }


def forced_host(access: Access, zone: str) -> tuple[str | None, str | None, str | None]:
    """``zone:host:node`` taken apart; only administrators may name more than a zone."""
    parts = zone.split(":")
    if len(parts) == 1:
        return zone, None, None
    if len(parts) > 3:
        raise BadRequest("Unable to parse availability_zone")
    access.require("os_compute_api:servers:create:forced_host")
    host, node = parts[1] or None, parts[2] if len(parts) == 3 else None
    return parts[0] or None, host, node
