"""A bootable disk image made without root, loop devices or mounts.

::

    sector 0      boot code of syslinux and the partition table
    1 MiB         FAT16, active: syslinux, kernel, initramfs, syslinux.cfg
    after it      ext4, label pileus-root: the guest's root file system

An ordinary BIOS boots it, as any cloud image. FAT is written by mtools, ext4 by mke2fs from a folder, owners
and times by debugfs; the partition table and the putting together are ours.
"""

from __future__ import annotations

import hashlib
import os
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pileus.drivers.guestimage.program import run
from pileus.drivers.guestimage.tree import Tree, stage

MIB = 2**20
SECTOR = 512
ROOT_LABEL = "pileus-root"
BOOT_LABEL = "PILEUSBOOT"
_FAT16_LBA, _LINUX = 0x0E, 0x83
_START = MIB


@dataclass(frozen=True)
class BootLoader:
    """syslinux: the program that installs it into a FAT file system, the code for sector 0 and the module
    that the loader reads first."""

    program: Path
    boot_code: Path
    module: Path


@dataclass(frozen=True)
class Partition:
    """A row of the partition table, in bytes from the start of the disk."""

    start: int
    size: int
    kind: int
    active: bool = False


def master_boot_record(boot_code: bytes, partitions: list[Partition], signature: int) -> bytes:
    """Sector 0: at most 440 bytes of code, the disk's signature, four rows, 55 AA.

    Cylinders, heads and sectors say "beyond", as all loaders since the nineties read block numbers.
    """
    if len(boot_code) > 440:
        raise ValueError("the boot code is longer than 440 bytes")
    rows = b"".join(
        struct.pack(
            "<B3sB3sII",
            0x80 if row.active else 0,
            b"\xfe\xff\xff",
            row.kind,
            b"\xfe\xff\xff",
            row.start // SECTOR,
            row.size // SECTOR,
        )
        for row in partitions
    )
    return (
        boot_code.ljust(440, b"\0") + struct.pack("<IH", signature, 0) + rows.ljust(64, b"\0") + b"\x55\xaa"
    )


def make_fat(file: Path, contents: Mapping[str, bytes], loader: BootLoader, epoch: int) -> None:
    """A FAT16 file system with ``contents`` (names by 8.3) and syslinux in ``file``."""
    needed = sum(len(content) for content in contents.values())
    size = (needed // MIB + 4) * MIB
    environment = _dated(epoch) | {"MTOOLS_SKIP_CHECK": "1"}
    _sparse(file, size)
    geometry = ("-h", "255", "-s", "63", "-H", str(_START // SECTOR), "-T", str(size // SECTOR))
    serial = f"{epoch & 0xFFFFFFFF:08x}"
    label = ("-v", BOOT_LABEL, "-N", serial)
    run(("mformat", "-i", str(file), *geometry, *label, "::"), environment=environment)
    run((str(loader.program), "--install", str(file)), environment=environment)
    for name, content in {**contents, "ldlinux.c32": loader.module.read_bytes()}.items():
        source = file.with_name(name)
        source.write_bytes(content)
        os.utime(source, (epoch, epoch))
        run(("mcopy", "-o", "-m", "-i", str(file), str(source), f"::{name}"), environment=environment)
        source.unlink()


def make_ext4(file: Path, tree: Tree, size: int, epoch: int) -> None:
    """An ext4 file system of ``size`` bytes with ``tree`` in ``file``; its owners are the tree's."""
    folder = file.with_name("root")
    folder.mkdir()
    stage(tree, folder, epoch)
    _sparse(file, size)
    known = uuid.uuid5(uuid.NAMESPACE_DNS, ROOT_LABEL)
    options = ("-L", ROOT_LABEL, "-U", str(known), "-m", "0", "-N", "16384")
    extended = f"hash_seed={known},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    environment = _dated(epoch)
    run(
        ("mke2fs", "-q", "-F", "-t", "ext4", *options, "-E", extended, "-d", str(folder), str(file)),
        environment=environment,
    )
    commands = []
    for path, node in tree.nodes.items():
        fields = {"uid": str(node.owner), "gid": str(node.owner)}
        fields |= dict.fromkeys(("atime", "ctime", "mtime", "crtime"), f"@{epoch}")
        commands += [f'set_inode_field "/{path}" {field} {value}' for field, value in fields.items()]
    script = file.with_name("owners")
    script.write_text("\n".join(commands) + "\n")
    run(("debugfs", "-w", "-f", str(script), str(file)), environment=environment)


def assemble(disk: Path, boot: Path, root: Path, boot_code: bytes) -> None:
    """Put boot code, partition table and the two file systems into ``disk``, with holes where they have."""
    start = _START + -(-boot.stat().st_size // MIB) * MIB
    partitions = [
        Partition(_START, boot.stat().st_size, _FAT16_LBA, active=True),
        Partition(start, root.stat().st_size, _LINUX),
    ]
    signature = int.from_bytes(hashlib.sha256(ROOT_LABEL.encode()).digest()[:4], "little")
    _sparse(disk, start + root.stat().st_size)
    with disk.open("r+b") as whole:
        whole.write(master_boot_record(boot_code, partitions, signature))
        for partition, file in zip(partitions, (boot, root), strict=True):
            with file.open("rb") as part:
                at = partition.start
                while block := part.read(MIB):
                    if block.count(0) != len(block):
                        whole.seek(at)
                        whole.write(block)
                    at += len(block)


def to_qcow2(disk: Path, file: Path) -> None:
    """The raw ``disk`` as a qcow2 in ``file``; in order, so that the same disk gives the same file."""
    run(
        ("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-m", "1", "-c", str(disk), str(file)),
        timeout_s=300,
    )


def _sparse(file: Path, size: int) -> None:
    with file.open("wb") as content:
        content.truncate(size)


def _dated(epoch: int) -> dict[str, str]:
    """Environment variables with which mtools and e2fsprogs (two generations of it) take ``epoch`` as now."""
    return {"TZ": "UTC", "SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)}
