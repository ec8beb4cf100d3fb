"""Backups as chunks: read back whole, shared between backups, damaged, interrupted, deleted in any order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pileus.core.names import NotAName
from pileus.drivers.backups.chunks import BackupFailed, Backups
from pileus.drivers.backups.objects import FolderObjects, ObjectMissing

CHUNK = 4096
Run = Callable[[Any], Any]


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "place")


@pytest.fixture
def backups(objects: FolderObjects) -> Backups:
    return Backups(objects, chunk=CHUNK)


def disk(path: Path, seed: int, size: int = 10 * CHUNK + 17) -> bytes:
    """A disk with a hole, zeros that are written, and the same chunk twice."""
    content = bytearray(size)
    noise = random.Random(seed).randbytes
    content[:CHUNK] = content[3 * CHUNK : 4 * CHUNK] = noise(CHUNK)
    content[-17:] = noise(17)
    with path.open("wb") as file:
        file.truncate(size)
        for start in (0, 3 * CHUNK, 5 * CHUNK):
            file.seek(start)
            file.write(content[start : start + CHUNK])
        file.seek(size - 17)
        file.write(content[-17:])
    return bytes(content)


def chunks(objects: FolderObjects) -> list[str]:
    return list(objects.names("c/chunks"))


def test_a_disk_comes_back_as_it_was(
    backups: Backups, objects: FolderObjects, run: Run, tmp_path: Path
) -> None:
    content = disk(tmp_path / "disk", 1)
    told: list[int] = []
    done = run(backups.backup("b1", tmp_path / "disk", container="c", progress=told.append))
    assert len(chunks(objects)) == 2, "the same chunk once, and none for zeros"
    assert done.object_count == 3
    assert run(backups.restore("b1", tmp_path / "back", container="c")) == len(content)
    assert (tmp_path / "back").read_bytes() == content
    assert run(backups.verify("b1", container="c"))[0] == len(content)
    assert told == sorted(told) and told[-1] == 100


def test_a_sequel_brings_what_has_changed(
    backups: Backups, objects: FolderObjects, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "disk"
    content = bytearray(disk(path, 1))
    run(backups.backup("b1", path, container="c"))
    content[CHUNK : CHUNK + 4] = b"news"
    path.write_bytes(content)
    assert run(backups.backup("b2", path, container="c", parent_id="b1")).object_count == 2
    run(backups.delete("b1", container="c"))
    run(backups.delete("b1", container="c"))
    assert run(backups.verify("b2", container="c"))[0] == len(content)
    run(backups.restore("b2", tmp_path / "back", container="c"))
    assert (tmp_path / "back").read_bytes() == bytes(content)
    with pytest.raises(BackupFailed, match="no backup b1"):
        run(backups.restore("b1", tmp_path / "back", container="c"))
    run(backups.delete("b2", container="c"))
    assert chunks(objects) == []
    assert list(objects.names("c/lists")) == []


def test_damage_is_found(backups: Backups, objects: FolderObjects, run: Run, tmp_path: Path) -> None:
    disk(tmp_path / "disk", 1)
    run(backups.backup("b1", tmp_path / "disk", container="c"))
    one, other = chunks(objects)
    good = objects.get(one)
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    for bad in (good[:-1], good[:20] + b"\xff" + good[21:], objects.get(other), b"", bomb):
        objects.put(one, bad)
        with pytest.raises(BackupFailed, match="damaged"):
            run(backups.verify("b1", container="c"))
    objects.delete(one)
    with pytest.raises(BackupFailed, match="lacks"):
        run(backups.restore("b1", tmp_path / "back", container="c"))
    for text in (b"", b"{}", b'{"version":1,"size":10,"chunk_size":0,"chunks":[]}'):
        objects.put("c/lists/b1.json", text)
        with pytest.raises(BackupFailed, match="list"):
            run(backups.verify("b1", container="c"))


def test_one_that_fails_is_no_backup(
    backups: Backups, objects: FolderObjects, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(tmp_path / "disk", 1)
    with monkeypatch.context() as patch:

        def full(name: str, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(objects, "put", full)
        with pytest.raises(BackupFailed, match="No space left"):
            run(backups.backup("b1", tmp_path / "disk", container="c"))
    with pytest.raises(BackupFailed, match="no backup"):
        run(backups.verify("b1", container="c"))
    run(backups.backup("b1", tmp_path / "disk", container="c"))
    with pytest.raises(BackupFailed, match="no backup b0"):
        run(backups.backup("b2", tmp_path / "disk", container="c", parent_id="b0"))


def test_names_lead_nowhere_else(objects: FolderObjects, tmp_path: Path) -> None:
    for bad in ("../x", "a/../../x", "/etc/passwd", "", "a//b", ".hidden"):
        with pytest.raises(NotAName):
            objects.put(bad, b"")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "link").symlink_to("/etc/passwd")
    with pytest.raises((ObjectMissing, OSError)):
        objects.get("link")
