"""The folder that one dnsmasq watches: brought to a wanted content, file by file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from pileus.core.names import path_part

WATCHED = ("options", "hosts", "names")
"""In this order: options are there before a host that is tagged with them."""


class Changes(msgspec.Struct, frozen=True):
    """Paths below the network's folder. ``replaced`` and ``deleted`` are noticed when dnsmasq is told,
    ``added`` by itself; ``before`` has the content that the former two had."""

    added: tuple[str, ...]
    replaced: tuple[str, ...]
    deleted: tuple[str, ...]
    before: dict[str, str]


Memory = dict[str, tuple[tuple[int, int, int], str]]
"""Files as they were read last, with inode, time and size then: what has these still is not read again.
Each change is a rename, so that it has another inode."""


def bring(folder: Path, files: Mapping[str, str], memory: Memory | None = None) -> Changes:
    """Make the files below ``folder`` these; only what differs is written, each whole or not at all."""
    present = read(folder, memory)
    added = [path for path in files if path not in present]
    replaced = [path for path in files if path in present and present[path] != files[path]]
    deleted = [path for path in present if path not in files]
    for path in sorted((*added, *replaced), key=lambda path: WATCHED.index(path.partition("/")[0])):
        _write(folder / path, files[path])
    for path in deleted:
        (folder / path).unlink(missing_ok=True)
    before = {path: present[path] for path in (*replaced, *deleted)}
    return Changes(tuple(added), tuple(replaced), tuple(deleted), before)


def read(folder: Path, memory: Memory | None = None) -> dict[str, str]:
    """The files below ``folder``, whose sub-folders are made where there are none."""
    found = {}
    known = {} if memory is None else dict(memory)
    seen: Memory = {}
    for name in WATCHED:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for entry in os.scandir(folder / name):
            if entry.name.startswith("."):
                Path(entry.path).unlink(missing_ok=True)  # half written when a process died
                continue
            path, state = f"{name}/{entry.name}", entry.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
            before = known.get(path)
            text = before[1] if before is not None and before[0] == stamp else Path(entry.path).read_text()
            found[path] = text
            seen[path] = (stamp, text)
    if memory is not None:
        memory.clear()
        memory.update(seen)
    return found


def _write(path: Path, content: str) -> None:
    """dnsmasq passes over names that begin with a dot, and reads a file when it is renamed into place.
    Nothing is synced: what a crash of the machine takes is written again by the next pass."""
    temporary = path.with_name(f".{path_part(path.name)}")
    temporary.write_text(content)
    temporary.replace(path)
