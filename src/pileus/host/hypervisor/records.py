"""The memory of an agent: a folder for each machine, and a journal of what outlives one.

``INSTANCES/SERVER_ID/`` holds the disks, the console's log and ``instance.json``. That record is written
before the first disk is made (``built`` false: what lies there is a beginning, to be begun anew)
and again when the machine is whole. The journal has what outlives a machine's folder: operations that
were carried out, builds that were given up, machines whose end nobody has been told of.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.files import write_atomically
from pileus.core.names import is_uuid, path_part

_log = log.get("host.hypervisor")

_RECORD = "instance.json"
_JOURNAL = "journal.json"
_PASSABLE = 0o711
"""QEMU's user passes through; nobody but root lists."""


class Instance(msgspec.Struct, frozen=True):
    """A machine on this host. ``applied``: the last of ``running``, ``stopped``, … that it was brought to;
    a machine that is off although ``running`` was applied went by itself."""

    server_id: str
    generation: int
    built: bool = False
    applied: str = ""
    base: str = ""
    """Name of the cached image that the disk lies on; empty: none."""
    rescue_base: str = ""
    """The same of the disk that it is rescued from; empty: it is not rescued."""
    kept: bool = False
    """Whether the disks of the machine before a resize are beside its own. ``base`` is theirs then."""
    comes: bool = False
    """Whether it is about to come from another host: once it is this host's, it is whole."""
    volumes: dict[str, int] = {}
    """The volumes that it has as disks, with their sizes in GiB as its guest knows them."""
    secrets: dict[str, str] = {}
    """The ids of the secrets that libvirt was told for its volumes, by volume."""
    boot_id: str = ""
    """The host's run in which the machine was last seen running, or brought to where it should be. One that
    is off in another run of the host did not go off by itself."""


class Failure(msgspec.Struct, frozen=True):
    """A goal that was given up, until the goal is another."""

    generation: int
    wanted: str
    reason: str


class Finished(msgspec.Struct, frozen=True):
    """An operation: ``phase`` is how far it came; ``done``: it ended, and so."""

    server_id: str
    phase: str = ""
    done: bool = False
    error: str | None = None
    result: dict[str, Any] = {}


class Places(msgspec.Struct, frozen=True):
    """Where things of one machine lie."""

    folder: Path

    @property
    def root_disk(self) -> Path:
        return self.folder / "disk"

    @property
    def ephemeral_disk(self) -> Path:
        return self.folder / "disk.eph0"

    @property
    def kept_root_disk(self) -> Path:
        return self.folder / "disk.kept"

    @property
    def kept_ephemeral_disk(self) -> Path:
        return self.folder / "disk.eph0.kept"

    @property
    def rescue_disk(self) -> Path:
        return self.folder / "disk.rescue"

    @property
    def config_drive(self) -> Path:
        return self.folder / "disk.config"

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def ramdisk(self) -> Path:
        return self.folder / "ramdisk"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"


class InstanceBook:
    """The records below one folder, held in memory."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._root = root
        self._durable = durable
        self._instances: dict[str, Instance] = {}

    def open(self) -> None:
        """Make the folder and read what is in it."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._root.chmod(_PASSABLE)
        self._instances = {instance.server_id: instance for instance in self._scan()}

    def _scan(self) -> Iterator[Instance]:
        for folder in sorted(self._root.iterdir()):
            if folder.is_symlink() or not folder.is_dir() or not is_uuid(folder.name):
                continue
            try:
                record = (folder / _RECORD).read_bytes()
                yield msgspec.json.decode(record, type=Instance)
            except (OSError, msgspec.DecodeError):
                # A disk without its record is taken for a machine's own: it is never written over.
                whole = Places(folder).root_disk.exists()
                yield Instance(folder.name, generation=0, built=whole)

    def places(self, server_id: str) -> Places:
        """Raises NotAName for an id that would lead out of the folder."""
        return Places(self._root / path_part(server_id))

    def get(self, server_id: str) -> Instance | None:
        return self._instances.get(server_id)

    def all(self) -> dict[str, Instance]:
        return dict(self._instances)

    def put(self, instance: Instance, *, matters: bool = False) -> None:
        """Remember; ``matters``: also when the machine's power fails in this moment."""
        folder = self.places(instance.server_id).folder
        folder.mkdir(mode=_PASSABLE, exist_ok=True)
        durable = matters and self._durable
        write_atomically(folder / _RECORD, msgspec.json.encode(instance), durable=durable)
        self._instances[instance.server_id] = instance

    def remove(self, server_ids: Iterable[str]) -> None:
        """Folders and all that is in them; the record goes last."""
        for server_id in server_ids:
            folder = self.places(server_id).folder
            if folder.is_dir():
                for path in folder.iterdir():
                    if path.name != _RECORD:
                        path.unlink()
                shutil.rmtree(folder)
            self._instances.pop(server_id, None)


class _Saved(msgspec.Struct):
    operations: dict[str, Finished] = {}
    failures: dict[str, Failure] = {}
    gone: list[str] = []


class Journal:
    """Kept in one small file that is written whole."""

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        self._path = root / _JOURNAL
        self._durable = durable
        self._saved = _Saved()

    def open(self) -> None:
        try:
            self._saved = msgspec.json.decode(self._path.read_bytes(), type=_Saved)
        except FileNotFoundError:
            self._saved = _Saved()
        except msgspec.DecodeError as error:
            # Without it failures are tried once more, and ends are told once more; nothing is lost.
            _log.error(
                "the journal can't be read: beginning a new one", path=str(self._path), error=str(error)
            )
            self._saved = _Saved()

    @property
    def operations(self) -> dict[str, Finished]:
        return self._saved.operations

    @property
    def failures(self) -> dict[str, Failure]:
        return self._saved.failures

    @property
    def gone(self) -> list[str]:
        return self._saved.gone

    def note_operation(self, operation_id: str, finished: Finished) -> None:
        self._saved.operations[operation_id] = finished
        self._save()

    def forget_operations(self, operation_ids: Iterable[str]) -> None:
        """The server names them no more."""
        known = [one for one in operation_ids if one in self._saved.operations]
        for operation_id in known:
            del self._saved.operations[operation_id]
        if known:
            self._save()

    def note_failure(self, server_id: str, failure: Failure) -> None:
        self._saved.failures[server_id] = failure
        self._save()

    def forget_failures(self, server_ids: Iterable[str]) -> None:
        known = [one for one in server_ids if one in self._saved.failures]
        for server_id in known:
            del self._saved.failures[server_id]
        if known:
            self._save()

    def note_gone(self, server_ids: Iterable[str]) -> None:
        self._saved.gone += [one for one in server_ids if one not in self._saved.gone]
        self._save()

    def forget_gone(self, server_ids: Iterable[str]) -> None:
        """The server knows, or they are here again."""
        known = set(server_ids) & set(self._saved.gone)
        if known:
            self._saved.gone = [one for one in self._saved.gone if one not in known]
            self._save()

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self._saved), durable=self._durable)
