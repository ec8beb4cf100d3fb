"""The small pure parts of the image service, and its store of files."""

from __future__ import annotations

import datetime as dt
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pileus.core.errors import Conflict, Forbidden, Invalid
from pileus.services.image.data.ranges import Unsatisfiable, byte_range
from pileus.services.image.images.listing import split_quoted
from pileus.services.image.images.patch import MEDIA_TYPES, apply, read_patch
from pileus.services.image.store import DataMissing, FileStore, StorageFull
from pileus.services.image.tickets import DOWNLOAD, UPLOAD, BadTicket, Tickets
from pileus.web.faults import UnsupportedMediaType

OLD, NEW = MEDIA_TYPES


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-4", (0, 5)),
        ("bytes=3-", (3, 7)),
        ("bytes=-3", (7, 3)),
        ("bytes=-30", (0, 10)),
        ("bytes=8-400", (8, 2)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
        ("bytes=\u0661-2", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=11-20", "bytes=-0"])
def test_ranges_behind_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 10)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("", [""]),
        ("a,", ["a", ""]),
        ('"a,b",c', ["a,b", "c"]),
        (r'"a\"b"', ['a"b']),
    ],
)
def test_lists_in_a_filter(text: str, items: list[str]) -> None:
    assert split_quoted(text) == items


@pytest.mark.parametrize("text", ['a"b"', '"a"b', '"a', 'a"'])
def test_quotes_that_do_not_fit(text: str) -> None:
    with pytest.raises(Invalid):
        split_quoted(text)


def image(**values: Any) -> dict[str, Any]:
    return {"status": "queued", "name": "n", "properties": {"old": "1"}, **values}


def test_patches_of_both_kinds_say_the_same() -> None:
    new = [
        {"op": "replace", "path": "/name", "value": "x"},
        {"op": "add", "path": "/a~1b~0", "value": "1"},
        {"op": "remove", "path": "/old"},
    ]
    old = [
        {"replace": "/name", "value": "x"},
        {"add": "/a~1b~0", "value": "1"},
        {"remove": "/old"},
    ]
    expected = {"name": "x", "properties": {"a/b~": "1"}}
    assert apply(image(), read_patch(NEW, new)) == expected
    assert apply(image(), read_patch(OLD, old)) == expected


def test_add_replaces_in_the_new_kind_only() -> None:
    assert apply(image(), read_patch(NEW, [{"op": "add", "path": "/old", "value": "2"}])) == {
        "properties": {"old": "2"}
    }
    with pytest.raises(Conflict, match="already present"):
        apply(image(), read_patch(OLD, [{"add": "/old", "value": "2"}]))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"op": "replace", "path": "/missing", "value": "1"}, Conflict, "does not exist"),
        ({"op": "remove", "path": "/missing"}, Conflict, "does not exist"),
        ({"op": "remove", "path": "/name"}, Forbidden, "may not be removed"),
        ({"op": "replace", "path": "/disk_format", "value": "raw"}, Forbidden, "queued image"),
        ({"op": "replace", "path": "/status", "value": "active"}, Forbidden, "read-only"),
        ({"op": "replace", "path": "/id", "value": "x"}, Forbidden, "read-only"),
        ({"op": "add", "path": "/self", "value": "x"}, Forbidden, "read-only"),
        ({"op": "add", "path": "/os_glance_x", "value": "x"}, Forbidden, "reserved"),
        ({"op": "add", "path": "/locations/-", "value": {}}, Forbidden, "locations"),
        ({"op": "add", "path": "/deleted", "value": "x"}, Forbidden, "reserved"),
        ({"op": "add", "path": "/" + "x" * 256, "value": "x"}, Invalid, "255"),
        ({"op": "add", "path": "/x", "value": 1}, Invalid, "string"),
        ({"op": "add", "path": "/x"}, Invalid, "value"),
        ({"op": "replace", "path": "/min_ram", "value": -1}, Invalid, "minimum"),
        ({"op": "replace", "path": "/visibility", "value": "secret"}, Invalid, "not one of"),
        ({"op": "move", "path": "/x"}, Invalid, "Invalid operation"),
        ({"op": "add"}, Invalid, "path"),
        ({"op": "add", "path": "x", "value": "1"}, Invalid, "start with"),
        ({"op": "add", "path": 7, "value": "1"}, Invalid, "start with"),
        ({"op": "add", "path": "/", "value": "1"}, Invalid, "pointer"),
        ({"op": "add", "path": "/a/b", "value": "1"}, Invalid, "pointer"),
        ({"op": "add", "path": "/a~2", "value": "1"}, Invalid, "escape"),
        ("no object", Invalid, "objects"),
    ],
)
def test_patches_that_are_refused(change: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        apply(image(status="active"), read_patch(NEW, [change]))


def test_patches_of_other_types() -> None:
    with pytest.raises(UnsupportedMediaType):
        read_patch("application/json", [])
    with pytest.raises(Invalid):
        read_patch(NEW, {})
    with pytest.raises(Invalid, match="exactly one"):
        read_patch(OLD, [{"add": "/a", "remove": "/a", "value": "1"}])


def test_a_ticket_is_for_one_image_one_purpose_and_a_while() -> None:
    tickets = Tickets(b"k" * 32)
    now = dt.datetime(2026, 1, 1)
    ticket = tickets.make("i1", DOWNLOAD, now + dt.timedelta(seconds=60))
    tickets.check(ticket, "i1", DOWNLOAD, now)
    end, purpose, mac = ticket.split(".")
    for bad, image_id, wanted, at, key in (
        (ticket, "i2", DOWNLOAD, now, b"k" * 32),
        (ticket, "i1", UPLOAD, now, b"k" * 32),
        (f"{end}.{UPLOAD}.{mac}", "i1", UPLOAD, now, b"k" * 32),
        (f"{int(end) + 1}.{purpose}.{mac}", "i1", DOWNLOAD, now, b"k" * 32),
        (ticket, "i1", DOWNLOAD, now + dt.timedelta(seconds=60), b"k" * 32),
        (ticket, "i1", DOWNLOAD, now, b"x" * 32),
        ("", "i1", DOWNLOAD, now, b"k" * 32),
        ("1.2", "i1", DOWNLOAD, now, b"k" * 32),
        (f"\xb2.{purpose}.{mac}", "i1", DOWNLOAD, now, b"k" * 32),
        (f"{end}.{purpose}.\xff", "i1", DOWNLOAD, now, b"k" * 32),
    ):
        with pytest.raises(BadTicket):
            Tickets(key).check(bad, image_id, wanted, at)


def test_an_object_is_seen_when_it_is_whole(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    sink = store.create("a")
    sink.write(b"hello ")
    sink.write(b"world")
    assert sink.read(6, 99) == b"world"
    with pytest.raises(DataMissing):
        store.open("a")
    sink.commit()
    source = store.open("a")
    store.delete("a")
    store.delete("a")
    assert source.size == 11 and source.read(0, 99) == b"hello world", "open ones stay readable"
    source.close()
    assert not list((tmp_path / "incoming").iterdir())


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for committed in (False, True):
        sink = store.create("a")
        sink.write(b"x")
        if committed:
            sink.commit()
        sink.discard()
        sink.discard()
        assert [path for path in tmp_path.rglob("*") if path.name == "a"] == []


def test_a_sweep_leaves_what_is_wanted(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for name in ("kept", "orphan"):
        sink = store.create(name)
        sink.commit()
    store.create("half").write(b"x")
    again = FileStore(tmp_path)
    assert again.worker == store.worker
    assert sorted(again.sweep({"kept"})) == ["half", "orphan"]
    assert again.sweep({"kept"}) == []


def test_a_sweep_with_a_stranger_s_database_throws_no_image_away(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    for name in ("one", "two"):
        store.create(name).commit()
    store.create("half").write(b"x")
    assert store.sweep({"other"}) == ["half"]
    assert store.sweep(set()) == []
    assert store.open("one").size == store.open("two").size == 0


def test_a_full_disk_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = FileStore(tmp_path).create("a")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageFull):
        sink.write(b"x")
    monkeypatch.undo()
    sink.discard()
