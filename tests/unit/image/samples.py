"""Small images of every format, made by hand from the formats' descriptions."""

from __future__ import annotations

import struct
import uuid

from pileus.core.formats import Reader, inspect
from pileus.core.formats.finding import Finding

GIB = 1 << 30
MIB = 1 << 20
SECTOR = 512


def look(data: bytes) -> Finding:
    """What the readers say of these bytes."""
    return inspect(Reader(lambda offset, length: data[offset : offset + length], len(data)))


def qcow2(
    *,
    version: int = 3,
    size: int = GIB,
    backing: int = 0,
    backing_size: int = 0,
    cluster_bits: int = 16,
    features: int = 0,
    header_length: int = 104,
) -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, backing_size, cluster_bits, size)
    head = head.ljust(72, b"\0")
    if version > 2:
        head += struct.pack(">QQQII", features, 0, 0, 4, header_length)
    return head.ljust(4096, b"\0")


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="{kind}"

# Extent description
RW 2097152 SPARSE "{name}"

ddb.adapterType = "ide"
"""


def vmdk_header(capacity: int, *, gd_offset: int = 21, offset: int = 1, size: int = 20) -> bytes:
    fields = struct.pack("<IIQQQQIQQ", 1, 3, capacity, 128, offset, size, 512, 0, gd_offset)
    return (b"KDMV" + fields).ljust(SECTOR, b"\0")


def vmdk(descriptor: str = "", *, capacity: int = 2097152, **header: int) -> bytes:
    text = descriptor or DESCRIPTOR.format(kind="monolithicSparse", name="disk.vmdk")
    return vmdk_header(capacity, **header) + text.encode().ljust(20 * SECTOR, b"\0") + b"\0" * SECTOR


def vmdk_stream(descriptor: str = "", *, footer: bytes | None = None) -> bytes:
    text = descriptor or DESCRIPTOR.format(kind="streamOptimized", name="disk.vmdk")
    end = footer if footer is not None else vmdk_header(2097152, gd_offset=40)
    return vmdk(text, gd_offset=2**64 - 1) + b"\0" * SECTOR + end + b"\0" * SECTOR


def vdi(*, kind: int = 1, size: int = GIB, version: int = 0x00010001) -> bytes:
    head = b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(0x40, b"\0")
    head += bytes.fromhex("7f10dabe") + struct.pack("<III", version, 0x190, kind)
    return (head.ljust(0x170, b"\0") + struct.pack("<Q", size)).ljust(1024, b"\0")


def vhd_footer(kind: int, size: int, data_offset: int) -> bytes:
    foot = b"conectix" + struct.pack(">IIQ", 2, 0x10000, data_offset)
    foot = foot.ljust(48, b"\0") + struct.pack(">QII", size, 0, kind)
    return foot.ljust(SECTOR, b"\0")


def vhd(*, kind: int = 3, size: int = GIB) -> bytes:
    foot = vhd_footer(kind, size, SECTOR)
    return foot + b"cxsparse".ljust(1024, b"\0") + foot


def vhd_fixed(disk: bytes = b"\1" * MIB, size: int | None = None) -> bytes:
    return disk + vhd_footer(2, len(disk) if size is None else size, 2**64 - 1)


def vhdx(*, size: int = GIB, flags: int = 0, parent: bool = False) -> bytes:
    data = bytearray(3 * MIB)
    data[0:8] = b"vhdxfile"
    entry = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le + struct.pack("<QII", 2 * MIB, MIB, 1)
    region = b"regi" + struct.pack("<III", 0, 1, 0) + entry
    data[192 << 10 : (192 << 10) + len(region)] = region
    items = [
        (uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b"), 65536, 8),
        (uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8"), 65544, 8),
    ]
    if parent:
        items.append((uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c"), 65560, 20))
    table = b"metadata" + struct.pack("<HH", 0, len(items)) + b"\0" * 20
    for key, offset, length in items:
        table += key.bytes_le + struct.pack("<IIII", offset, length, 0, 0)
    start = 2 * MIB
    data[start : start + len(table)] = table
    data[start + 65536 : start + 65552] = struct.pack("<IIQ", 1 << 25, flags, size)
    return bytes(data)


def iso(*, blocks: int = 100, block_size: int = 2048) -> bytes:
    data = bytearray(100 * 2048)
    data[32768:32774] = b"\1CD001"
    data[32848:32852] = struct.pack("<I", blocks)
    data[32896:32898] = struct.pack("<H", block_size)
    return bytes(data)


GOOD = {
    "qcow2": (qcow2(), GIB),
    "qcow2 version 2": (qcow2(version=2), GIB),
    "vmdk": (vmdk(), GIB),
    "vmdk stream": (vmdk_stream(), GIB),
    "vdi": (vdi(), GIB),
    "vhd": (vhd(), GIB),
    "vhd fixed": (vhd_fixed(), MIB),
    "vhdx": (vhdx(), GIB),
    "iso": (iso(), 204800),
}
