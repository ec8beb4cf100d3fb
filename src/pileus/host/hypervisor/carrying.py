"""Disks of machines that go to another host, or become larger on this one.

The operation ``carry``: of a machine that is off each disk is written as one file that lies on no other, and
brought to the server, from where the other host gets it. On the host that a machine stays on its disks are
put aside before larger ones are made of them, so that they can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus.core.errors import UploadRefused
from pileus.drivers.qemu_img.images import Images
from pileus.flow.chain import Chain, Step
from pileus.host.hypervisor.hands import Hands, ImageServer
from pileus.host.hypervisor.records import Places
from pileus.host.hypervisor.steps import Again, GivenUp, whole
from pileus.wire.hypervisor import PendingOperation, ServerDetails

GIB = 1 << 30
_BEING_WRITTEN = 409


# -- to another host


def _parcels(
    server: ServerDetails, operation: PendingOperation, hands: Hands
) -> Iterator[tuple[dict[str, Any], Path, Path]]:
    """List what is asked of each disk, where it is, and where its copy lies until the server has it."""
    places = hands.places(server.server_id)
    disks = {"root": places.root_disk, "ephemeral": places.ephemeral_disk}
    for asked in operation.arguments.get("disks", ()):
        name = str(asked["name"])
        if name not in disks:
            raise GivenUp(f"This host does not know the disk {name}.")
        yield asked, disks[name], places.folder / f"carry.{operation.operation_id}.{name}"


async def _stop(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    await hands.hypervisor.shutdown(server.server_id, hands.settings.shutdown_timeout_s)
    await whole(hands.hypervisor.destroy(server.server_id))  # memory that was saved goes, too


async def _copy(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    for _, disk, copy in _parcels(server, operation, hands):
        copy.unlink(missing_ok=True)
        await hands.images.convert(disk, "qcow2", copy, "qcow2")


async def _bring(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    for asked, _, copy in _parcels(server, operation, hands):
        if not copy.exists():
            continue  # it was brought before
        await bring(hands.server, str(asked["upload"]), str(asked["download"]), copy)
        copy.unlink(missing_ok=True)


async def bring(server: ImageServer, upload: str, download: str, copy: Path) -> None:
    """Bring a file to the server; raises Again where an earlier try has neither ended nor failed."""
    try:
        await server.upload(upload, copy)
    except UploadRefused as refused:
        if refused.status != _BEING_WRITTEN:
            raise
        # An earlier try came to its end unheard, or is about to be given up by the server.
        if not await server.holds(download):
            raise Again("the image is still being written by an earlier try") from None


async def _forget(server: ServerDetails, operation: PendingOperation, hands: Hands) -> None:
    for _, _, copy in _parcels(server, operation, hands):
        copy.unlink(missing_ok=True)


CARRY = Chain(
    "carry",
    (
        Step("stopping", _stop),
        Step("copying", _copy, undo=_forget),
        Step("uploading", _bring, undo=_forget),
    ),
)


# -- on this host


def put_aside(places: Places, *, rootless: bool = False) -> None:
    """Keep the disks, so that others can be made in their places. The root disk goes last: once it is aside
    there is nothing left to put aside. ``rootless``: it is a volume, and stays."""
    if rootless:
        if places.ephemeral_disk.exists() and not places.kept_ephemeral_disk.exists():
            places.ephemeral_disk.replace(places.kept_ephemeral_disk)
        return
    if places.kept_root_disk.exists():
        return
    if not places.root_disk.exists():
        raise GivenUp("The root disk is missing on the host.")
    if places.ephemeral_disk.exists():
        places.ephemeral_disk.replace(places.kept_ephemeral_disk)
    places.root_disk.replace(places.kept_root_disk)


def take_back(places: Places, *, rootless: bool = False) -> None:
    """Put the disks that were kept into their places again; what is not aside is there already."""
    for kept, place in (
        (places.kept_root_disk, places.root_disk),
        (places.kept_ephemeral_disk, places.ephemeral_disk),
    ):
        if kept.exists():
            kept.replace(place)
    if not rootless and not places.root_disk.exists():
        raise GivenUp("The disk that was kept is missing on the host.")


def drop_kept(places: Places) -> None:
    """Remove what was kept."""
    for kept in (places.kept_root_disk, places.kept_ephemeral_disk):
        kept.unlink(missing_ok=True)


async def grow(images: Images, source: Path, target: Path, size: int) -> None:
    """Make a disk with the content of another, at least of ``size`` bytes, that lies on no other file."""
    remove(target)
    await images.convert(source, "qcow2", target, "qcow2")
    info = await images.info(target, "qcow2")
    if info.size < size:
        await images.resize(target, "qcow2", size)
    make_private(target)


def remove(path: Path) -> None:
    """Remove a disk; one that is not there is fine."""
    path.unlink(missing_ok=True)


def make_private(path: Path) -> None:
    """Have a disk be read by nobody else; libvirt gives it to QEMU's user while the machine runs."""
    path.chmod(0o600)
