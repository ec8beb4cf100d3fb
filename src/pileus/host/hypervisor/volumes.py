"""Volumes of machines: disks that come and go while a machine runs, and grow.

A machine's record has the volumes that it was given. Giving it one that it has, and taking one that it does
not have, do nothing, so that whoever ends in between goes on. What can't be done is told with its reason, and
is tried again when it is wanted otherwise: the machine itself is none the worse for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

import msgspec

from pileus.drivers.libvirt.domain import Disk, DiskBus
from pileus.drivers.libvirt.hypervisor import Hypervisor, HypervisorFailed
from pileus.drivers.libvirt.sources import IscsiSource, NbdSource, NetworkSource, RbdSource, Secret
from pileus.host.hypervisor.records import Instance, InstanceBook
from pileus.host.hypervisor.steps import TRANSIENT, Steps, reason_of, whole
from pileus.wire.connections import BLOCK, FILE, ISCSI, RBD
from pileus.wire.hypervisor import ServerDetails, ServerVolume

_GIB = 1 << 30
_SECRETS = uuid.UUID("8f0f3c52-8f0b-5d0c-9c62-3f1a6f6f4c11")
_TARGETS = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Refusal(msgspec.Struct, frozen=True):
    """A volume that a machine could not get (as it was wanted), or let go of (None), and why."""

    wanted: ServerVolume | None
    reason: str


class VolumeWork(msgspec.Struct, frozen=True):
    """The work on a machine's volumes. ``grow``: those whose guest does not know how large they are."""

    detach: tuple[str, ...] = ()
    attach: tuple[ServerVolume, ...] = ()
    grow: tuple[ServerVolume, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.detach or self.attach or self.grow)


def has_boot_volume(server: ServerDetails) -> bool:
    """Whether a machine's root disk is a volume."""
    return any(volume.boot for volume in server.volumes)


def sizes(server: ServerDetails) -> dict[str, int]:
    """The volumes of a machine that has just been made, with their sizes in GiB."""
    return {volume.volume_id: volume.size_gib for volume in server.volumes}


def plan_volumes(server: ServerDetails, instance: Instance, refused: Mapping[str, Refusal]) -> VolumeWork:
    """Compare the volumes that a machine shall have with those that it has. One that was refused is left
    alone as long as it is wanted in the same way."""
    wanted = {volume.volume_id: volume for volume in server.volumes}

    def is_open(volume_id: str) -> bool:
        known = refused.get(volume_id)
        return known is None or known.wanted != wanted.get(volume_id)

    has = instance.volumes

    def knows_less(one: ServerVolume) -> bool:
        return one.volume_id in has and has[one.volume_id] < one.size_gib

    return VolumeWork(
        detach=tuple(sorted(key for key in has if key not in wanted and is_open(key))),
        attach=tuple(one for key, one in wanted.items() if key not in has and is_open(key)),
        grow=tuple(one for key, one in wanted.items() if knows_less(one) and is_open(key)),
    )


def still_refused(refused: Mapping[str, Refusal], server: ServerDetails | None) -> dict[str, Refusal]:
    """Those that are still wanted as they were when they were refused."""
    wanted = {volume.volume_id: volume for volume in server.volumes} if server is not None else {}
    return {key: one for key, one in refused.items() if one.wanted == wanted.get(key)}


# -- as the hypervisor needs them described


def with_volumes(
    own: Sequence[Disk], volumes: Sequence[ServerVolume], bus: DiskBus, *, boots: bool
) -> list[Disk]:
    """A machine's own disks, and its volumes: each at the name that is wanted for it, where that is free. The
    root volume comes first; ``boots``: the machine is started from it."""
    taken = {disk.target for disk in own}
    root: list[Disk] = []
    others: list[Disk] = []
    for volume in sorted(volumes, key=lambda volume: not volume.boot):
        its_bus = cast(DiskBus, volume.bus or bus)
        target = _free(volume, _TARGETS[its_bus], taken)
        taken.add(target)
        disk = _disk(volume, target, its_bus, boots=boots)
        (root if volume.boot else others).append(disk)
    return [*root, *own, *others]


def _free(volume: ServerVolume, prefix: str, taken: set[str]) -> str:
    wanted = volume.device
    if wanted.startswith(prefix) and wanted[len(prefix) :].isalpha() and wanted not in taken:
        return wanted
    for letter in _LETTERS if volume.boot else _LETTERS[1:]:
        if prefix + letter not in taken:
            return prefix + letter
    raise ValueError("The machine has no place for another disk.")


def _disk(volume: ServerVolume, target: str, bus: DiskBus, *, boots: bool) -> Disk:
    connection = volume.connection
    if connection.disk_format not in ("raw", "qcow2"):
        raise ValueError(f"The volume {volume.volume_id} has the unknown format {connection.disk_format}.")
    network = _network(volume)
    return Disk(
        path=connection.path if network is None else "",
        network=network,
        block=connection.kind == BLOCK,
        target=target,
        serial=volume.volume_id,
        format="raw" if connection.disk_format == "raw" else "qcow2",
        bus=bus,
        read_only=volume.read_only,
        cache="writeback" if connection.kind == FILE else "none",
        boot=1 if volume.boot and boots else None,
        limits=volume.limits,
        shared=volume.shared,
    )


def _network(volume: ServerVolume) -> NetworkSource | None:
    """The source of a disk that is no file and no device of this host."""
    connection = volume.connection
    match connection.kind:
        case "file" | "block":
            return None
        case "nbd":
            return NbdSource(
                address=connection.address,
                port=connection.port,
                name=connection.name,
                tls_name=connection.address if connection.certificate else "",
            )
        case "iscsi":
            return IscsiSource(
                address=connection.address,
                port=connection.port,
                target=connection.name,
                lun=connection.lun,
                username=connection.username,
                secret=_secret_id(volume),
            )
        case "rbd":
            monitors = (one.rpartition(":") for one in connection.monitors)
            return RbdSource(
                name=connection.name,
                monitors=tuple((address, int(port)) for address, _, port in monitors),
                username=connection.username,
                secret=_secret_id(volume),
            )
    raise ValueError(f"This host opens no volumes by {connection.kind}.")


def _secret_id(volume: ServerVolume) -> str:
    """The same for the same thing to log in at, of one volume: the node that has this one said the names, and
    may have said those of another node's."""
    one = volume.connection
    return str(uuid.uuid5(_SECRETS, f"{volume.volume_id} {one.kind} {one.name} {one.username}"))


def secrets(volumes: Sequence[ServerVolume]) -> dict[str, Secret]:
    """The secrets that libvirt has to know for these, by volume."""
    return {
        volume.volume_id: Secret(
            uuid=_secret_id(volume),
            kind="iscsi" if volume.connection.kind == ISCSI else "ceph",
            usage=f"pileus {volume.volume_id} {volume.connection.name} {volume.connection.username}",
            value=volume.connection.password.encode(),
        )
        for volume in volumes
        if volume.connection.kind in (ISCSI, RBD) and volume.connection.username
    }


class Volumes:
    """Brings volumes to machines and takes them away. ``disk_of`` describes one; ``refused``: those that
    could not be brought or taken, by machine."""

    def __init__(
        self,
        book: InstanceBook,
        hypervisor: Hypervisor,
        steps: Steps,
        disk_of: Callable[[ServerDetails, str], Disk],
        refused: dict[str, dict[str, Refusal]],
    ) -> None:
        self._book = book
        self._hypervisor = hypervisor
        self._steps = steps
        self._disk_of = disk_of
        self._refused = refused

    async def tell_secrets(self, server: ServerDetails) -> None:
        """Have libvirt know what it needs to open a machine's volumes, and nothing that it needs no more."""
        needed = secrets(server.volumes)
        instance = self._book.get(server.server_id)
        known = instance.secrets if instance is not None else {}
        told = {key: secret.uuid for key, secret in needed.items()}
        if instance is not None and told != known:
            # what was told is known of before it is
            both = {**known, **told}
            self._book.put(msgspec.structs.replace(instance, secrets=both), matters=True)
        if needed:
            await whole(self._hypervisor.ensure_secrets(list(needed.values())))
        if stale := sorted(set(known.values()) - set(told.values())):
            await whole(self._hypervisor.drop_secrets(stale))
        if instance is not None and told != known:
            now = self._book.get(server.server_id) or instance
            self._book.put(msgspec.structs.replace(now, secrets=told), matters=True)

    async def bring(self, server: ServerDetails, work: VolumeWork) -> None:
        """Do it, one volume after the other. Raises one of TRANSIENT."""
        key = server.server_id
        for volume_id in work.detach:
            async with self._steps.step(key, "volume.detach", volume_id):
                await self._try(key, volume_id, None, self._detach(key, volume_id))
        if work.attach:
            await self.tell_secrets(server)
        for volume in work.attach:
            async with self._steps.step(key, "volume.attach", volume.volume_id):
                await self._try(key, volume.volume_id, volume, self._attach(server, volume))
        for volume in work.grow:
            async with self._steps.step(key, "volume.grow", volume.volume_id):
                await self._try(key, volume.volume_id, volume, self._grow(key, volume))

    async def _try(
        self, key: str, volume_id: str, wanted: ServerVolume | None, work: Awaitable[None]
    ) -> None:
        try:
            await work
        except TRANSIENT:
            raise
        except (HypervisorFailed, ValueError, OSError) as error:
            self._refused.setdefault(key, {})[volume_id] = Refusal(wanted, reason_of(error))
        else:
            self._refused.get(key, {}).pop(volume_id, None)

    async def _attach(self, server: ServerDetails, volume: ServerVolume) -> None:
        disk = self._disk_of(server, volume.volume_id)
        await whole(self._hypervisor.attach_disk(server.server_id, disk))
        self._note(server.server_id, {volume.volume_id: volume.size_gib})

    async def _detach(self, key: str, volume_id: str) -> None:
        await whole(self._hypervisor.detach_disk(key, volume_id))
        instance = self._book.get(key)
        if instance is not None and volume_id in instance.secrets:
            await whole(self._hypervisor.drop_secrets([instance.secrets[volume_id]]))
        self._note(key, {volume_id: None})

    async def _grow(self, key: str, volume: ServerVolume) -> None:
        await whole(self._hypervisor.resize_disk(key, volume.volume_id, volume.size_gib * _GIB))
        self._note(key, {volume.volume_id: volume.size_gib})

    def _note(self, key: str, changes: Mapping[str, int | None]) -> None:
        instance = self._book.get(key)
        if instance is not None:
            after = {**instance.volumes, **changes}
            volumes = {volume_id: size for volume_id, size in after.items() if size is not None}
            gone = {volume_id for volume_id, size in changes.items() if size is None}
            told = {volume_id: one for volume_id, one in instance.secrets.items() if volume_id not in gone}
            changed = msgspec.structs.replace(instance, volumes=volumes, secrets=told)
            self._book.put(changed, matters=True)
