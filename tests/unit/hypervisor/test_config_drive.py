"""The config drive, read back by code that knows only the standards."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.host.hypervisor.config_drive import config_drive

SECTOR = 2048
FILES = {
    "openstack/latest/meta_data.json": b'{"uuid": "1"}',
    "openstack/latest/user_data": b"#!/bin/sh\n" * 900,
    "openstack/2018-08-27/network_data.json": b"{}",
    "openstack/content/0000": b"",
}


def read(image: bytes) -> dict[str, bytes]:
    """ECMA-119 with Rock Ridge names, from the primary volume descriptor on."""
    descriptor = image[16 * SECTOR : 17 * SECTOR]
    assert descriptor[:7] == b"\x01CD001\x01"
    assert descriptor[40:72].rstrip() == b"config-2"
    assert struct.unpack("<H", descriptor[128:130])[0] == SECTOR
    assert image[17 * SECTOR : 17 * SECTOR + 6] == b"\xffCD001"
    return dict(_walk(image, descriptor[156:190], ""))


def _walk(image: bytes, record: bytes, path: str) -> list[tuple[str, bytes]]:
    place, size = _extent(record)
    if not record[25] & 2:
        return [(path, image[place * SECTOR : place * SECTOR + size])]
    found = []
    offset = place * SECTOR
    while offset < place * SECTOR + size:
        length = image[offset]
        if length == 0:
            offset = (offset // SECTOR + 1) * SECTOR
            continue
        entry = image[offset : offset + length]
        assert offset // SECTOR == (offset + length - 1) // SECTOR, "a record crosses a sector's end"
        offset += length
        if entry[33:34] not in (b"\0", b"\1"):
            found += _walk(image, entry, f"{path}/{_name(entry)}".lstrip("/"))
    return found


def _extent(record: bytes) -> tuple[int, int]:
    place, size = struct.unpack("<I", record[2:6])[0], struct.unpack("<I", record[10:14])[0]
    assert struct.unpack(">I", record[6:10])[0] == place and struct.unpack(">I", record[14:18])[0] == size
    return place, size


def _name(entry: bytes) -> str:
    area = 33 + entry[32]
    area += area % 2
    while entry[area : area + 2] != b"NM":
        area += entry[area + 2]
    return entry[area + 5 : area + entry[area + 2]].decode()


def test_what_was_put_in_comes_out() -> None:
    assert read(config_drive(FILES)) == FILES


def test_the_same_contents_give_the_same_bytes() -> None:
    assert config_drive(FILES) == config_drive(dict(reversed(FILES.items())))


def test_it_is_long_enough_for_who_looks_for_labels() -> None:
    assert len(config_drive({})) > 0x11000


@given(st.dictionaries(st.integers(0, 200), st.binary(max_size=5000), max_size=60))
def test_any_number_of_files(numbers: dict[int, bytes]) -> None:
    files = {f"openstack/{n % 3}/a-name-of-some-length-{n}.json": content for n, content in numbers.items()}
    assert read(config_drive(files)) == files


def test_a_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        config_drive({"x" * 101: b""})
