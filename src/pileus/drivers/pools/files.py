"""The folders and files of a pool in a directory, as root handles them, and the records beside them.

Folders are root's and may be passed, not written, by the user whom the files belong to: as that one QEMU and
qemu-img run, so whatever breaks out of them can plant no name that root would follow. Its files are opened by
root without following links. Nothing here waits: it is called in threads.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from pileus.core.files import write_atomically
from pileus.core.formats import ImageDataRefused, Reader, inspect, judge
from pileus.core.names import is_uuid
from pileus.drivers.pools.layers import Key, Layer, Record
from pileus.drivers.pools.pool import SOURCE_FORMATS, BadSource, PoolFailed, PoolUnavailable, VolumeFormat
from pileus.drivers.qemu_img.images import backing_name, empty_qcow2

_RECORD = "volume.json"
_LABEL = "pileus-pool.json"
_VOLUMES = "volumes"
_PASSABLE = 0o711
_LAYER = re.compile(r"([0-9]+)\.(raw|qcow2)")
_WRITES = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class PoolFiles:
    """The files below ``root``. ``owner``: user and group of the files, where this process may say."""

    def __init__(self, root: Path, *, owner: tuple[int, int] | None, durable: bool) -> None:
        self.root = root
        self.records: dict[str, Record] = {}
        self._owner = owner if os.geteuid() == 0 else None
        self._durable = durable

    def open(self) -> None:
        """Find the pool, or make an empty folder one. Raises PoolUnavailable."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            label = self.root / _LABEL
            if not label.exists():
                # A folder that holds somebody's files becomes no pool by a slip of a setting.
                if others := sorted(path.name for path in self.root.iterdir() if path.name != "lost+found"):
                    raise PoolUnavailable("open", f"{self.root} holds other things: {', '.join(others[:5])}")
                self.root.chmod(_PASSABLE)
                (self.root / _VOLUMES).mkdir(mode=_PASSABLE)
                (self.root / _VOLUMES).chmod(_PASSABLE)
                write_atomically(label, b'{"pool": "pileus"}\n')
            self.records = {record.volume_id: record for record in self._scan()}
        except OSError as error:
            raise PoolUnavailable("open", f"{error.strerror}: {error.filename}") from error

    def _scan(self) -> Iterator[Record]:
        for folder in sorted((self.root / _VOLUMES).iterdir()):
            if not is_uuid(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                record = self.read(folder.name)
                if record.volume_id == folder.name:
                    yield record

    def read(self, volume_id: str) -> Record:
        """The record as it was written last."""
        return msgspec.json.decode((self.folder(volume_id) / _RECORD).read_bytes(), type=Record)

    def save(self, record: Record) -> None:
        """Write a record; from now on it counts."""
        path = self.folder(record.volume_id) / _RECORD
        write_atomically(path, msgspec.json.encode(record), durable=self._durable)
        self.records[record.volume_id] = record

    # -- names

    def layer(self, key: Key) -> Layer:
        return self.records[key[0]].layers[key[1]]

    def folder(self, volume_id: str) -> Path:
        """Raises PoolFailed for what is no id."""
        if not is_uuid(volume_id):
            raise PoolFailed("open", f"{volume_id[:100]!r} is no id of a volume")
        return self.root / _VOLUMES / volume_id

    def path(self, key: Key, layer: Layer | None = None) -> Path:
        """The file of a layer; ``layer`` where the record does not have it yet."""
        volume_id, number = key
        return self.folder(volume_id) / f"{number}.{(layer or self.layer(key)).format}"

    def strange(self, volumes: Collection[str], known: Collection[str]) -> list[str]:
        """Names that are neither ours, in the folders of ``volumes`` too, nor ``known``."""
        root = self.root / _VOLUMES
        found = [path.name for path in root.iterdir() if path.name not in known]
        for key in volumes:
            with contextlib.suppress(FileNotFoundError):
                inside = (path.name for path in (root / key).iterdir())
                found += [f"{key}/{name}" for name in inside if not _is_ours(name)]
        return sorted(found)

    def used(self, volume_id: str, layers: Mapping[int, Layer]) -> int:
        """Bytes that a volume's layers take."""
        return sum(_taken(self.path((volume_id, number), layer)) for number, layer in layers.items())

    # -- files

    def begin(self, volume_id: str) -> None:
        """An empty folder for a volume; what a beginning before has left in it goes."""
        folder = self.folder(volume_id)
        if folder.is_symlink():
            raise PoolFailed("create", f"the folder of the volume {volume_id} is a link")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=_PASSABLE)
        folder.chmod(_PASSABLE)

    def remove_beginning(self, volume_id: str) -> None:
        """No folder without a record."""
        folder = self.folder(volume_id)
        if folder.is_dir() and not folder.is_symlink() and not (folder / _RECORD).exists():
            shutil.rmtree(folder)

    def remove(self, volume_id: str) -> None:
        """No folder at all."""
        shutil.rmtree(self.folder(volume_id), ignore_errors=True)

    def remove_strays(self, record: Record) -> int:
        """Delete the layers that a beginning has left in a volume's folder; how many."""
        done = 0
        for path in list(self.folder(record.volume_id).iterdir()):
            number = _LAYER.fullmatch(path.name)
            known = number is not None and int(number[1]) in (*record.layers, record.coming)
            if _is_ours(path.name) and path.name != _RECORD and not known:
                path.unlink(missing_ok=True)
                done += 1
        return done

    def write_layer(self, key: Key, layer: Layer, *, empty: bool = False) -> None:
        """Write a layer's file, in which nothing was written yet; one that a beginning has left goes.
        ``empty``: without even its tables, as a program will write these."""
        path = self.path(key, layer)
        path.unlink(missing_ok=True)
        below = () if layer.below is None else self._backing(layer.below)
        self._write(path, os.O_EXCL, layer.format, 0 if empty else layer.size, *below)

    def write_file(self, path: Path, format: VolumeFormat, size: int) -> None:
        """Write a file outside of the pool that a program of its user will fill."""
        self._write(path, os.O_TRUNC, format, size)

    def _write(self, path: Path, how: int, format: VolumeFormat, size: int, *below: str) -> None:
        descriptor = os.open(path, _WRITES | how, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            if self._owner is not None:
                os.fchown(descriptor, *self._owner)
            if format == "raw":
                os.ftruncate(descriptor, size)
            elif size:
                file.write(empty_qcow2(size, *below))
            file.flush()
            if self._durable:
                os.fsync(descriptor)

    def _backing(self, key: Key) -> tuple[str, str]:
        return backing_name(self.path(key)), self.layer(key).format

    def own(self, path: Path) -> None:
        """Give a file back to its owner: libvirt leaves what it had to root."""
        if self._owner is None:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise PoolFailed("open", f"{path.name} is no file")
            if (found.st_uid, found.st_gid) != self._owner:
                os.fchown(descriptor, *self._owner)
        finally:
            os.close(descriptor)


def _is_ours(name: str) -> bool:
    """Whether a file in a volume's folder is a layer, or its record (also one that was being written)."""
    return bool(_LAYER.fullmatch(name)) or name == _RECORD or name.startswith(f".{_RECORD}.")


def _taken(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def judge_file(file: Path, format: str) -> int:
    """The size of the disk in a file; raises BadSource for one that is dangerous, or is of another format."""
    if format not in SOURCE_FORMATS:
        raise BadSource("create_from_file", f"no volume is made of the format {format}")
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        found = inspect(Reader(lambda offset, length: os.pread(descriptor, length, offset), size))
        return judge(format, "bare", found, require_match=True)
    except ImageDataRefused as refused:
        raise BadSource("create_from_file", refused.text) from refused
    finally:
        os.close(descriptor)
