"""The desired state of a host's servers: read in one transaction, in a constant number of statements."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import or_, select

from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.agents.live_migrations import arrivals_read, certificates_of
from pileus.services.compute.instance_metadata.config_drive import config_drive
from pileus.services.compute.instance_metadata.facts import MetadataFacts, metadata_facts_read
from pileus.services.compute.rules import states
from pileus.services.compute.rules.boot_files import AMAZON_FORMATS, BOOT_FILES
from pileus.services.compute.rules.rescue import BadRescue, rescue_hardware
from pileus.services.compute.servers.attached_volumes import ATTACHED, ATTACHING, MOVING, volumes_of_servers
from pileus.services.compute.servers.chains.live_migration import LIVE
from pileus.services.compute.servers.chains.on_node import NODE, ON_NODE
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.services.compute.uses.image import ImageFiles, images_of
from pileus.services.compute.uses.volume import attachments_read, volume_limits, volumes_of
from pileus.services.network.service import mtu_on_node
from pileus.store.column_in import column_in
from pileus.store.events import newest_position
from pileus.store.operations import PENDING, RUNNING, WAITING, operations
from pileus.store.tx import Tx
from pileus.wire.connections import VolumeConnection
from pileus.wire.hypervisor import (
    Carried,
    Hardware,
    HypervisorState,
    HypervisorStateRequest,
    ImageSource,
    Incoming,
    PendingOperation,
    Rescue,
    ServerDetails,
    ServerPort,
    ServerVolume,
)

_HANDED = (states.SCHEDULING, states.NETWORKING, states.BLOCK_DEVICE_MAPPING)
"""Tasks in which a server is not its host's yet."""


def hypervisor_state(tx: Tx, request: HypervisorStateRequest, *, files: ImageFiles) -> HypervisorState:
    """The servers of the host that asks, or those of them that it names."""
    position = newest_position(tx)
    here = or_(servers.c.host == request.host, servers.c.kept_host == request.host)
    where = [here, servers.c.deleted_at.is_(None)]
    if request.servers is not None:
        if not request.servers:
            return HypervisorState(position)
        where.append(column_in(tx, servers.c.id, list(request.servers)))
    of_here = fetch(tx, SERVER, None, where)
    found = [server for server in of_here if server["host"] == request.host]
    elsewhere = [server for server in of_here if server["host"] != request.host]
    coming = [server for server in elsewhere if server["task_state"] == states.MIGRATING]
    kept = {server["id"] for server in elsewhere if server not in coming}
    leaving = tuple(sorted(server["id"] for server in found if _is_leaving(server)))
    wanted = [server for server in found if not _is_leaving(server) and server["task_state"] not in _HANDED]
    if not wanted and not coming:
        return HypervisorState(position, (), leaving, tuple(sorted(kept)))
    volumes, unready = _volumes(tx, [server["id"] for server in wanted])
    # what is here of those stays as it is until their volumes are open
    kept |= unready
    wanted = [server for server in wanted if server["id"] not in unready]
    facts = metadata_facts_read(tx, [*wanted, *coming])
    ids = {server[name] for server in wanted for name in _IMAGES if server[name]}
    ids |= {(server["carried"] or {}).get(name) for server in wanted for name in _DISKS} - {None}
    ids |= {(server["hardware"] or {}).get(name) for server in [*wanted, *coming] for name in BOOT_FILES} - {
        None
    }
    images = images_of(tx, ids)
    pending = _operations(tx, [server["id"] for server in wanted], files)
    details = tuple(
        _details(
            *(server, facts[server["id"]], images, pending.get(server["id"], ()), files),
            volumes.get(server["id"], ()),
        )
        for server in wanted
    )
    arrivals = arrivals_read(tx, coming) if coming else {}
    incoming = tuple(
        Incoming(
            arrivals[server["id"]].operation_id,
            _details(server, facts[server["id"]], images, (), files),
            arrivals[server["id"]].certificate,
        )
        for server in coming
        if server["id"] in arrivals
    )
    return HypervisorState(position, details, leaving, tuple(sorted(kept)), incoming)


_HELD = (ATTACHING, ATTACHED, MOVING)
_DISKS = ("root", "ephemeral")
_IMAGES = ("image_id", "rescue_image_id", "shelved_image_id")


def _is_leaving(server: Values) -> bool:
    return server["wanted"] == states.WANT_GONE or server["task_state"] in states.LEAVING


def _operations(tx: Tx, server_ids: list[str], files: ImageFiles) -> dict[str, tuple[PendingOperation, ...]]:
    c = operations.c
    rows = tx.rows(
        select(c.id, c.kind, c.resource_id, c.data)
        .where(
            column_in(tx, c.resource_id, server_ids),
            c.kind.in_(sorted(ON_NODE)),
            c.state.in_((PENDING, RUNNING, WAITING)),
            c.step == NODE,
        )
        .order_by(c.created_at, c.id)
    )
    found: dict[str, tuple[PendingOperation, ...]] = {}
    certificates: dict[str, str] = {}
    for row in rows:
        arguments = dict(row.data or {})
        if image_id := arguments.get("image_id"):
            # Tickets end: each look gives fresh ones.
            arguments |= {"upload": files.upload_path(image_id), "download": files.download_path(image_id)}
        if disks := arguments.get("disks"):
            arguments["disks"] = [
                {"name": name, "upload": files.upload_path(key), "download": files.download_path(key)}
                for name, key in sorted(disks.items())
            ]
        if row.kind == LIVE.kind:
            certificates = certificates or certificates_of(tx)
            arguments["target"] = {
                **(arguments.get("target") or {}),
                "certificate": certificates.get(arguments.get("dest", ""), ""),
            }
        operation = PendingOperation(row.id, ON_NODE[row.kind].called, arguments)
        found[row.resource_id] = (*found.get(row.resource_id, ()), operation)
    return found


def _volumes(tx: Tx, server_ids: list[str]) -> tuple[dict[str, tuple[ServerVolume, ...]], set[str]]:
    """The volumes that servers have or are to have, as far as they are open; and the servers that their host
    can't have before."""
    rows = volumes_of_servers(tx, server_ids)
    held = [one for several in rows.values() for one in several if one.state in _HELD]
    attachments = attachments_read(tx, [one.attachment_id for one in held])
    volumes = volumes_of(tx, [one.volume_id for one in held])
    limits = volume_limits(tx, [one.volume_id for one in held])
    found: dict[str, tuple[ServerVolume, ...]] = {}
    unready = set()
    for row in held:
        attachment = attachments.get(row.attachment_id)
        if attachment is None or not attachment.connection:
            if row.state == MOVING:
                unready.add(row.server_id)
            continue
        volume = ServerVolume(
            row.volume_id,
            msgspec.convert(attachment.connection, VolumeConnection),
            size_gib=volumes[row.volume_id]["size"] if row.volume_id in volumes else 0,
            shared=row.volume_id in volumes and volumes[row.volume_id]["multiattach"],
            device=row.target,
            bus=row.bus or "",
            boot=row.boot_index == 0,
            read_only=attachment.mode == "ro",
            limits=limits.get(row.volume_id, {}),
        )
        found[row.server_id] = (*found.get(row.server_id, ()), volume)
    return found, unready


def _details(
    server: Values,
    facts: MetadataFacts,
    images: dict[str, Values],
    pending: tuple[PendingOperation, ...],
    files: ImageFiles,
    volumes: tuple[ServerVolume, ...] = (),
) -> ServerDetails:
    flavor = server["flavor"]
    shelved = server["vm_state"] in (states.SHELVED, states.SHELVED_OFFLOADED)
    image = images.get(server["shelved_image_id" if shelved else "image_id"] or "")
    if any(volume.boot for volume in volumes):
        image = None
    rescued = server["vm_state"] == states.RESCUED or server["task_state"] == states.RESCUING
    rescue = images.get(server["rescue_image_id"] or "") if rescued else None
    hardware = msgspec.convert(server["hardware"] or {}, Hardware)
    kernel, ramdisk = (images.get(key or "") for key in (hardware.kernel_id, hardware.ramdisk_id))
    return ServerDetails(
        server_id=server["id"],
        name=server["name"],
        generation=server["generation"],
        wanted=server["wanted"],
        vcpus=server["vcpus"],
        memory_mib=server["memory_mib"],
        root_gib=flavor["disk"],
        image=None if image is None else _source(image, files),
        ports=tuple(_port(one.port, facts.networks) for one in facts.ports),
        ephemeral_gib=flavor["ephemeral"],
        config_drive=config_drive(facts) if server["config_drive"] else None,
        operations=pending,
        extra_specs=dict(flavor["extra_specs"]),
        hardware=hardware,
        rescue=None if rescue is None else _rescue(rescue, files),
        carried=_carried(server["carried"], images, files),
        kernel=None if kernel is None else _source(kernel, files),
        ramdisk=None if ramdisk is None else _source(ramdisk, files),
        volumes=volumes,
    )


def _carried(carried: dict[str, str] | None, images: dict[str, Values], files: ImageFiles) -> Carried | None:
    if carried is None:
        return None
    found = {name: images.get(carried.get(name) or "") for name in _DISKS}
    disks = {name: _source(image, files) for name, image in found.items() if image is not None}
    return Carried(carried["kind"], **disks)


def _rescue(image: Values, files: ImageFiles) -> Rescue:
    try:
        hardware = rescue_hardware(image["properties"])
    except BadRescue:  # its owner has changed the properties since
        hardware = rescue_hardware({})
    return Rescue(_source(image, files), hardware.stable, hardware.device, hardware.bus)


def _source(image: Values, files: ImageFiles) -> ImageSource:
    disk_format = image["disk_format"] or "raw"
    return ImageSource(
        image_id=image["id"],
        disk_format="raw" if disk_format in AMAZON_FORMATS else disk_format,
        size=image["size"] or 0,
        os_hash_algo=image["os_hash_algo"] or "",
        os_hash_value=image["os_hash_value"] or "",
        path=files.download_path(image["id"]),
    )


def _port(port: dict[str, Any], networks: dict[str, Values]) -> ServerPort:
    network = networks.get(port["network_id"])
    mtu = mtu_on_node(network["mtu"]) if network is not None else 1500
    return ServerPort(port["id"], port["mac_address"], mtu)
