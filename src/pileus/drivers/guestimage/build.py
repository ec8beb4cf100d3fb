"""From package names to a bootable qcow2.

The guest is a Debian cloud kernel, busybox and dropbear, with scripts of ours (``guest/``) that do what
cloud-init does on a big one. Nothing of it comes from anywhere but the machine's Debian registry, and nothing
here needs root. The same package versions give the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pileus.drivers.guestimage import contents, disk
from pileus.drivers.guestimage.errors import CannotBuildImage
from pileus.drivers.guestimage.packages import Package, Registry, Say
from pileus.drivers.guestimage.program import is_installed, run
from pileus.drivers.process import ProgramFailed

#: Debian packages that a machine needs in order to build (dpkg and apt are everywhere).
BUILD_PACKAGES = ("qemu-utils", "e2fsprogs", "mtools")

KERNEL = "linux-image-cloud-amd64"
BASE = ("busybox-static",)
PROGRAMS = (*BASE, *contents.GUEST.packages)
TOOLS = ("syslinux", "syslinux-common")
ROOT_MIB = 192

# When nothing else says so, files in the image are dated 2023-06-10, the release of Debian 12.
_EPOCH = 1686355200
_KINDS = {kind.name: kind for kind in (contents.GUEST, contents.GATEWAY, contents.TESTER)}
_NEEDED = {"qemu-img": "qemu-utils", "mke2fs": "e2fsprogs", "debugfs": "e2fsprogs", "mformat": "mtools"}


@dataclass(frozen=True)
class GuestImage:
    """A built image: ``size`` is that of the file, ``virtual_size`` that of the disk in it, in bytes."""

    file: Path
    size: int
    virtual_size: int
    packages: tuple[Package, ...]


def build_image(
    output: Path, cache: Path, say: Say, epoch: int | None = None, kind: str = contents.GUEST.name
) -> GuestImage:
    """Build the image of a kind and put it at ``output``, whole or not at all.

    Kinds are ``guest``, ``gateway`` and ``tester``. ``cache`` keeps downloaded packages; ``say`` is told of
    each step that takes a while; ``epoch`` (seconds since 1970; default: SOURCE_DATE_EPOCH, else a constant)
    dates the files inside. Raises CannotBuildImage.
    """
    epoch = epoch if epoch is not None else int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
    if missing := sorted({package for program, package in _NEEDED.items() if not is_installed(program)}):
        raise CannotBuildImage(reason=f"these Debian packages are missing: {' '.join(missing)}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        what = _KINDS[kind]
        packages = Registry(cache, say).fetch(KERNEL, (*BASE, *what.packages), TOOLS)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as name:
            work = Path(name)
            return _build(output, what, packages, work, say, epoch)
    except ProgramFailed as error:
        raise CannotBuildImage(reason=str(error)) from error
    except OSError as error:
        raise CannotBuildImage(reason=f"{error.filename or output}: {error.strerror}") from error


def _build(
    output: Path, kind: contents.Kind, packages: list[Package], work: Path, say: Say, epoch: int
) -> GuestImage:
    say("unpacking")
    unpacked = contents.Unpacked(work / "packages")
    for package in packages:
        run(("dpkg-deb", "-x", str(package.file), str(unpacked.folder)))
    kernel = next((unpacked.folder / "boot").glob("vmlinuz-*"), None)
    if kernel is None:
        raise CannotBuildImage(reason=f"{KERNEL} brought no kernel")

    say("making the file systems")
    loader = disk.BootLoader(
        unpacked.find("bin", "syslinux"),
        unpacked.find("mbr", "mbr.bin"),
        unpacked.find("bios", "ldlinux.c32"),
    )
    config = (
        f"DEFAULT pileus\nLABEL pileus\nKERNEL /vmlinuz\nINITRD /initrd\nAPPEND {contents.COMMAND_LINE}\n"
    )
    boot_files = {
        "vmlinuz": kernel.read_bytes(),
        "initrd": contents.initramfs(unpacked, epoch),
        "syslinux.cfg": config.encode(),
    }
    disk.make_fat(work / "boot.fat", boot_files, loader, epoch)
    disk.make_ext4(work / "root.ext4", contents.root(unpacked, kind), ROOT_MIB * disk.MIB, epoch)
    raw = work / "disk.raw"
    disk.assemble(raw, work / "boot.fat", work / "root.ext4", loader.boot_code.read_bytes())

    say("writing the qcow2")
    disk.to_qcow2(raw, work / "disk.qcow2")
    (work / "disk.qcow2").replace(output)
    return GuestImage(output, output.stat().st_size, raw.stat().st_size, tuple(packages))
