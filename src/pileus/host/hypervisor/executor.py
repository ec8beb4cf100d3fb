"""Carry out the plan of one machine: disks, power, cards, operations; and take it apart.

Each step is told with its times. A step that can't be done now (libvirt, the switch or the server
does not answer) raises Again, and what was made stays, to be gone on with. One that fails for
good raises GivenUp; a machine that was being built is then taken apart: nothing is left of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.libvirt.domain import Disk
from pileus.drivers.libvirt.hypervisor import DomainMissing, Hypervisor
from pileus.drivers.qemu_img.images import Images
from pileus.host.hypervisor.carrying import drop_kept, grow, make_private, put_aside, take_back
from pileus.host.hypervisor.config_drive import config_drive
from pileus.host.hypervisor.hands import Departures, ImageServer
from pileus.host.hypervisor.images import BaseImage, ImageCache
from pileus.host.hypervisor.machine import domain_spec, interface, port_ids
from pileus.host.hypervisor.operations import Operations
from pileus.host.hypervisor.plan import Todo
from pileus.host.hypervisor.records import Instance, InstanceBook, Journal, Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.steps import (
    LASTING,
    TRANSIENT,
    Again,
    GivenUp,
    Steps,
    Tell,
    reason_of,
    whole,
)
from pileus.host.hypervisor.taps import Taps
from pileus.host.hypervisor.volumes import Refusal, Volumes, has_boot_volume, sizes
from pileus.wire.hypervisor import ServerDetails

_GIB = 1 << 30
_VERBS = {
    "start": "domain.start",
    "start_paused": "domain.start",
    "resume": "domain.resume",
    "suspend": "domain.pause",
    "save": "domain.save",
    "shutdown": "domain.stop",
    "destroy": "domain.stop",
}
_log = log.get("host.hypervisor")


class Prepared(msgspec.Struct, frozen=True):
    """The result of a pass for all its servers: by server, why its description was refused."""

    refused: dict[str, str] = {}


def _is_own(server: ServerDetails) -> bool:
    """Whether a machine is made of disks that are on this host already."""
    return server.carried is not None and server.carried.kind in ("grown", "back")


class Executor:
    """The hands of one agent for single machines."""

    def __init__(
        self,
        settings: NodeSettings,
        book: InstanceBook,
        journal: Journal,
        hypervisor: Hypervisor,
        images: Images,
        cache: ImageCache,
        server: ImageServer,
        taps: Taps,
        clock: Clock,
        tell: Tell,
        departures: Departures,
        refused: dict[str, dict[str, Refusal]],
    ) -> None:
        self.settings = settings
        self.departures = departures
        self._book = book
        self.hypervisor = hypervisor
        self.images = images
        self._cache = cache
        self.server = server
        self._taps = taps
        self._steps = Steps(tell, clock)
        self._volumes = Volumes(book, hypervisor, self._steps, self._disk_of, refused)
        self._operations = Operations(self, journal, self._steps, tell)
        self._slots = asyncio.Semaphore(settings.at_once)

    async def carry_out(self, server: ServerDetails, todo: Todo, prepared: asyncio.Future[Prepared]) -> None:
        """All of a plan for one server; raises Again or GivenUp. ``prepared`` is awaited by many."""
        key = server.server_id
        try:
            try:
                built = await self._build(server) if todo.build else None
                if reason := (await asyncio.shield(prepared)).refused.get(key):
                    raise GivenUp(reason)
                await self._finish(server, todo, built)
            except TRANSIENT:
                raise
            except Exception as error:
                if not isinstance(error, LASTING):
                    _log.error("a step failed in a way that nobody expected", server=key, exc_info=error)
                if todo.build and not _is_own(server):  # what a guest wrote is not ours to remove
                    await self.take_apart([key])
                raise GivenUp(reason_of(error)) from error
        except TRANSIENT as error:  # while taking apart, too
            raise Again(str(error)) from error

    def places(self, server_id: str) -> Places:
        """Where things of a machine lie."""
        return self._book.places(server_id)

    # -- building

    async def _build(self, server: ServerDetails) -> Instance:
        """The machine's disks; its record, as it is when it is whole."""
        key = server.server_id
        before = self._book.get(key)
        if before is not None:
            with contextlib.suppress(DomainMissing):
                await whole(self.hypervisor.destroy(key))
        kind = server.carried.kind if server.carried is not None else ""
        if kind == "back":
            record = self._take_back(server, before)
        elif kind == "grown":
            record = await self._grow(server, before)
        else:
            record = await self._make(server)
        await self._put_boot_files(server)
        async with self._slots:
            await self.put_config_drive(server)
        if before is not None:
            record = msgspec.structs.replace(record, secrets=before.secrets)
        return record

    async def _make(self, server: ServerDetails) -> Instance:
        key = server.server_id
        self._book.put(Instance(key, server.generation))
        base = await self._base(server)
        async with self._slots:
            await self._disks(server, self._book.places(key), base)
        return Instance(key, server.generation, base=base.path.name if base else "")

    def _take_back(self, server: ServerDetails, before: Instance | None) -> Instance:
        """The disks as they were before a resize, wherever that had come to."""
        if before is None:
            raise GivenUp("The machine that was kept is not on this host.")
        take_back(self.places(server.server_id), rootless=has_boot_volume(server))
        return Instance(server.server_id, server.generation, base=before.base)

    async def _grow(self, server: ServerDetails, before: Instance | None) -> Instance:
        """Larger disks with the content of its own, which are kept."""
        key, places = server.server_id, self.places(server.server_id)
        if before is None or not (before.built or before.kept):
            raise GivenUp("The machine that is to grow is not on this host.")
        record = Instance(key, server.generation, base=before.base, kept=True)
        # what is aside is known of before it is
        self._book.put(msgspec.structs.replace(before, kept=True), matters=True)
        rootless = has_boot_volume(server)
        put_aside(places, rootless=rootless)
        self._book.put(record, matters=True)
        async with self._slots, self._steps.step(key, "disk.create") as note:
            if not rootless:
                await grow(self.images, places.kept_root_disk, places.root_disk, server.root_gib * _GIB)
            places.ephemeral_disk.unlink(missing_ok=True)
            size = server.ephemeral_gib * _GIB
            if size and places.kept_ephemeral_disk.exists():
                await grow(self.images, places.kept_ephemeral_disk, places.ephemeral_disk, size)
            elif size:
                await self._empty(places.ephemeral_disk, size)
            note.detail = f"{server.root_gib} GiB"
        return record

    async def _base(self, server: ServerDetails) -> BaseImage | None:
        brought = server.carried.root if server.carried is not None else None
        source = brought or server.image
        if source is None:
            return None
        async with self._steps.step(server.server_id, "image.fetch") as note:
            base = await self._cache.get(source, self.server)
            note.detail = f"{base.fetched} bytes" if base.fetched else "cached"
        if server.root_gib and base.size > server.root_gib * _GIB:
            raise GivenUp(
                f"Flavor's disk is too small for requested image. Flavor disk is {server.root_gib * _GIB} "
                f"bytes, image is {base.size} bytes."
            )
        return base

    async def _disks(self, server: ServerDetails, places: Places, base: BaseImage | None) -> None:
        async with self._steps.step(server.server_id, "disk.create") as note:
            for path in (places.root_disk, places.ephemeral_disk):
                path.unlink(missing_ok=True)
            size = server.root_gib * _GIB
            if has_boot_volume(server):
                pass
            elif base is None:
                await self.images.create(places.root_disk, "qcow2", size or _GIB)
            else:
                await self.images.create_overlay(places.root_disk, base.path, base.format, size or None)
            if not has_boot_volume(server):
                make_private(places.root_disk)
            brought = server.carried.ephemeral if server.carried is not None else None
            if server.ephemeral_gib and brought is not None:
                other = await self._cache.get(brought, self.server)
                await grow(self.images, other.path, places.ephemeral_disk, server.ephemeral_gib * _GIB)
            elif server.ephemeral_gib:
                await self._empty(places.ephemeral_disk, server.ephemeral_gib * _GIB)
            note.detail = f"{(size or (base.size if base else _GIB)) // _GIB} GiB"

    async def _empty(self, path: Path, size: int) -> None:
        await self.images.create(path, "qcow2", size)
        make_private(path)

    async def _put_boot_files(self, server: ServerDetails) -> None:
        """The kernel and ramdisk that the machine is started with, as its own files. Raises GivenUp for one
        whose image is gone, unless the machine has it already."""
        places, hardware = self.places(server.server_id), server.hardware
        wanted = (
            (hardware.kernel_id, server.kernel, places.kernel),
            (hardware.ramdisk_id, server.ramdisk, places.ramdisk),
        )
        for image_id, source, path in wanted:
            if not image_id:
                path.unlink(missing_ok=True)
            elif source is not None:
                async with self._steps.step(server.server_id, "image.fetch", path.name):
                    base = await self._cache.get(source, self.server)
                    await asyncio.to_thread(_copy, base.path, path)
            elif not path.exists():
                raise GivenUp(f"The {path.name}'s image {image_id} is gone.")

    async def put_config_drive(self, server: ServerDetails) -> None:
        """Write it, or take it away."""
        path = self._book.places(server.server_id).config_drive
        if server.config_drive is None:
            path.unlink(missing_ok=True)
            return
        async with self._steps.step(server.server_id, "config_drive.create"):
            path.unlink(missing_ok=True)
            path.touch(0o600)
            path.write_bytes(config_drive(server.config_drive))

    async def put_rescue_disk(self, server: ServerDetails) -> None:
        """Make a disk over the rescue image. Raises GivenUp where there is no such image (any more)."""
        if server.rescue is None:
            raise GivenUp("The rescue image is gone.")
        path = self.places(server.server_id).rescue_disk
        async with self._steps.step(server.server_id, "image.fetch") as note:
            base = await self._cache.get(server.rescue.image, self.server)
            note.detail = f"{base.fetched} bytes" if base.fetched else "cached"
        self._note_rescue(server.server_id, base.path.name)  # from now on nobody prunes what it lies on
        path.unlink(missing_ok=True)
        await self.images.create_overlay(path, base.path, base.format)
        path.chmod(0o600)

    async def drop_rescue_disk(self, server: ServerDetails) -> None:
        """Remove it; one that is not there is fine."""
        self.places(server.server_id).rescue_disk.unlink(missing_ok=True)
        self._note_rescue(server.server_id, "")

    def _note_rescue(self, server_id: str, base: str) -> None:
        instance = self._book.get(server_id)
        if instance is not None and instance.rescue_base != base:
            self._book.put(msgspec.structs.replace(instance, rescue_base=base), matters=True)

    async def define(self, server: ServerDetails) -> None:
        """Write a machine's definition anew; it is taken up at the next start."""
        spec = domain_spec(server, self.places(server.server_id), self.settings)
        await whole(self.hypervisor.ensure_defined([spec]))

    # -- what a machine that is there lacks

    async def _finish(self, server: ServerDetails, todo: Todo, built: Instance | None) -> None:
        key = server.server_id
        if built is not None:
            # Before the first start: from now on the disk holds what a guest wrote.
            whole_now = msgspec.structs.replace(built, built=True, volumes=sizes(server))
            await whole(asyncio.to_thread(self._book.put, whole_now, matters=True))
        if todo.forget:
            self._forget_kept(key)
        model = server.hardware.vif_model
        for port in todo.attach:
            async with self._steps.step(key, "interface.attach", port.port_id):
                await whole(self.hypervisor.attach_interface(key, interface(port, self.settings, model)))
        for tap in todo.detach:
            async with self._steps.step(key, "interface.detach", tap):
                definition = await self.hypervisor.definition(key)
                for port_id in port_ids(definition, tap):
                    await whole(self.hypervisor.detach_interface(key, port_id))
        for port in todo.renew:
            async with self._steps.step(key, "interface.renew", port.port_id):
                await whole(self.hypervisor.detach_interface(key, port.port_id))
                await whole(self.hypervisor.attach_interface(key, interface(port, self.settings)))
        await self._volumes.bring(server, todo.volumes)
        if any(verb.startswith("start") for verb in todo.power):
            await self._volumes.tell_secrets(server)
        for verb in todo.power:
            await self._power(key, verb, todo.because)
        if todo.applied or todo.power:
            self.applied(key, todo.applied)
        for operation in todo.operations:
            await self._operations.carry_out(server, operation)

    def _forget_kept(self, key: str) -> None:
        """A resize is confirmed: the disks from before it go, and what they lie on is needed no more."""
        drop_kept(self.places(key))
        instance = self._book.get(key)
        if instance is not None:
            self._book.put(msgspec.structs.replace(instance, kept=False, base=""))

    def applied(self, server_id: str, wanted: str) -> None:
        """Remember that a machine was brought to ``wanted`` (empty: to where it was before) in this run of
        the host."""
        instance = self._book.get(server_id)
        if instance is not None:
            changed = msgspec.structs.replace(
                instance, applied=wanted or instance.applied, boot_id=self.settings.boot_id
            )
            if changed != instance:
                self._book.put(changed)

    async def _power(self, key: str, verb: str, because: str = "") -> None:
        hypervisor = self.hypervisor
        async with self._steps.step(key, _VERBS[verb], because) as note:
            match verb:
                case "start" | "start_paused":
                    async with self._slots:
                        await whole(hypervisor.start(key, paused=verb == "start_paused"))
                case "shutdown":
                    went = await hypervisor.shutdown(key, self.settings.shutdown_timeout_s)
                    note.detail = "" if went else "the guest did not answer: it was switched off"
                case "destroy":
                    await whole(hypervisor.destroy(key))
                case "resume":
                    await whole(hypervisor.resume(key))
                case "suspend":
                    await whole(hypervisor.suspend(key))
                case "save":
                    await whole(hypervisor.save(key))

    def _disk_of(self, server: ServerDetails, serial: str) -> Disk:
        """A disk as the machine's description has it."""
        spec = domain_spec(server, self.places(server.server_id), self.settings)
        return next(disk for disk in spec.disks if disk.serial == serial)

    # -- the end

    async def take_apart(self, server_ids: Sequence[str]) -> None:
        """Nothing of these machines is left: domain, taps with their ports, disks, log, record."""
        async with contextlib.AsyncExitStack() as steps:
            for server_id in server_ids:
                await steps.enter_async_context(self._steps.step(server_id, "server.remove"))
            await whole(self.hypervisor.undefine(server_ids))
            known = [instance for key in server_ids if (instance := self._book.get(key)) is not None]
            if told := sorted({secret for instance in known for secret in instance.secrets.values()}):
                await whole(self.hypervisor.drop_secrets(told))
            await whole(self._taps.unplug(self._taps.of(server_ids)))
            await whole(asyncio.to_thread(self._book.remove, server_ids))


def _copy(source: Path, path: Path) -> None:
    """A file's content in another, which appears when it is whole."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    shutil.copyfile(source, part)
    part.replace(path)
