"""A config drive: an ISO 9660 image with Rock Ridge names (ECMA-119; IEEE P1282), volume ``config-2``.

Pure: file names and contents in, the bytes of the image out. Only what a guest that reads one
needs: one extent a file, names of any case and length by Rock Ridge, short made-up ones below.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_SECTOR = 2048
_FIRST = 18
"""After the 16 sectors of the system area, the volume descriptor and its terminator."""
_LABEL = "config-2"
_PADDING = 150
"""Empty sectors at the end, as mkisofs leaves them: who looks for a label reads the places of many file
systems, and takes a disk that ends before them for a broken one."""
_DATE = bytes((123, 6, 10, 0, 0, 0, 0))
"""One date for everything, so that the same contents give the same bytes."""
_LONG_DATE = b"2023061000000000\0"
_NO_DATE = b"0" * 16 + b"\0"
_FILE_MODE, _FOLDER_MODE = 0o100444, 0o040555


class _Folder:
    def __init__(self, parent: _Folder | None, identifier: bytes) -> None:
        self.parent = parent or self
        self.identifier = identifier
        self.folders: dict[str, _Folder] = {}
        self.files: dict[str, bytes] = {}
        self.sector = 0
        self.size = 0

    def walk(self) -> list[_Folder]:
        """This folder and all below, level by level, as path tables list them."""
        found = [self]
        for folder in found:
            found.extend(sorted(folder.folders.values(), key=lambda below: below.identifier))
        return found

    def folder(self, name: str) -> _Folder:
        if name not in self.folders:
            self.folders[name] = _Folder(self, b"D%07d" % len(self.folders))
        return self.folders[name]


def config_drive(files: Mapping[str, bytes]) -> bytes:
    """The image of ``files`` (``openstack/latest/meta_data.json`` to content)."""
    root = _Folder(None, b"\0")
    for path, content in sorted(files.items()):
        *above, name = path.strip("/").split("/")
        folder = root
        for part in above:
            folder = folder.folder(part)
        folder.files[name] = content
    folders = root.walk()
    table_size = len(_path_table(folders, "<"))
    table_sectors = _sectors(table_size)
    place = _FIRST + 2 * table_sectors
    for folder in folders:
        folder.size = _sectors(len(_records(folder, {}))) * _SECTOR
        folder.sector, place = place, place + folder.size // _SECTOR
    places: dict[tuple[int, str], int] = {}
    for folder in folders:
        for name, content in sorted(folder.files.items()):
            places[id(folder), name] = place
            place += _sectors(len(content))
    image = bytearray((place + _PADDING) * _SECTOR)
    _put(image, 16, _descriptor(root, place, table_size, table_sectors))
    _put(image, 17, b"\xffCD001\x01")
    _put(image, _FIRST, _path_table(folders, "<"))
    _put(image, _FIRST + table_sectors, _path_table(folders, ">"))
    for folder in folders:
        _put(image, folder.sector, _records(folder, places))
        for name, content in folder.files.items():
            _put(image, places[id(folder), name], content)
    return bytes(image)


def _descriptor(root: _Folder, sectors: int, table_size: int, table_sectors: int) -> bytes:
    """The primary volume descriptor (ECMA-119, 8.4)."""
    return b"".join(
        (
            b"\x01CD001\x01\0",
            b" " * 32,
            _LABEL.encode().ljust(32),
            bytes(8),
            _both32(sectors),
            bytes(32),
            _both16(1) + _both16(1) + _both16(_SECTOR),
            _both32(table_size),
            struct.pack("<II", _FIRST, 0),
            struct.pack(">II", _FIRST + table_sectors, 0),
            _record(b"\0", root.sector, root.size, True, b""),
            b" " * (128 * 4 + 37 * 3),
            _LONG_DATE * 2 + _NO_DATE * 2,
            b"\x01\0",
        )
    )


def _path_table(folders: list[_Folder], order: str) -> bytes:
    """ECMA-119, 9.4."""
    numbers = {id(folder): number for number, folder in enumerate(folders, 1)}
    parts = []
    for folder in folders:
        name = folder.identifier
        head = struct.pack(f"{order}BBIH", len(name), 0, folder.sector, numbers[id(folder.parent)])
        parts.append(head + name + b"\0" * (len(name) % 2))
    return b"".join(parts)


def _records(folder: _Folder, places: Mapping[tuple[int, str], int]) -> bytes:
    """A folder's extent: no record crosses a sector's end (ECMA-119, 6.8.1.1)."""
    is_root = folder.parent is folder
    marks = b"SP\x07\x01\xbe\xef\0" + b"ER\x12\x01\x0a\0\0\x01RRIP_1991A" if is_root else b""
    records = [
        _record(b"\0", folder.sector, folder.size, True, marks + _mode(_FOLDER_MODE)),
        _record(b"\1", folder.parent.sector, folder.parent.size, True, _mode(_FOLDER_MODE)),
    ]
    for name, below in sorted(folder.folders.items(), key=lambda item: item[1].identifier):
        records.append(
            _record(below.identifier, below.sector, below.size, True, _name(name) + _mode(_FOLDER_MODE))
        )
    for number, (name, content) in enumerate(sorted(folder.files.items())):
        place = places.get((id(folder), name), 0)
        identifier = b"F%07d.;1" % number
        records.append(_record(identifier, place, len(content), False, _name(name) + _mode(_FILE_MODE)))
    extent = bytearray()
    for record in records:
        room = -len(extent) % _SECTOR
        if room and room < len(record):
            extent += bytes(room)
        extent += record
    return bytes(extent)


def _record(identifier: bytes, sector: int, size: int, is_folder: bool, system_use: bytes) -> bytes:
    """ECMA-119, 9.1."""
    padding = b"\0" * (1 - len(identifier) % 2)
    length = 33 + len(identifier) + len(padding) + len(system_use)
    fill = length % 2
    return b"".join(
        (
            bytes((length + fill, 0)),
            _both32(sector),
            _both32(size),
            _DATE,
            bytes((2 if is_folder else 0, 0, 0)),
            _both16(1),
            bytes((len(identifier),)),
            identifier,
            padding,
            system_use,
            b"\0" * fill,
        )
    )


def _name(name: str) -> bytes:
    """Rock Ridge's NM. Raises ValueError for a name that does not fit in one record."""
    text = name.encode()
    if len(text) > 100:
        raise ValueError(f"too long a name for a config drive: {name}")
    return b"NM" + bytes((5 + len(text), 1, 0)) + text


def _mode(mode: int) -> bytes:
    """Rock Ridge's PX: mode, links, owner and group."""
    return b"PX\x24\x01" + _both32(mode) + _both32(1) + _both32(0) + _both32(0)


def _both32(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _sectors(size: int) -> int:
    return -(-size // _SECTOR)


def _put(image: bytearray, sector: int, content: bytes) -> None:
    image[sector * _SECTOR : sector * _SECTOR + len(content)] = content
