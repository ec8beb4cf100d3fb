"""Base images: fetched once, checked, shared, pruned."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from pileus.core.errors import Unavailable
from pileus.drivers.qemu_img.driver import QemuImg, missing_programs
from pileus.drivers.qemu_img.simulated import SimulatedImages
from pileus.host.hypervisor.images import BadImage, ImageCache, cache_name

from .compute_server import ComputeServer


def cache(folder: Path, **more: object) -> ImageCache:
    made = ImageCache(folder / "images", SimulatedImages(), **more)  # type: ignore[arg-type]
    made.open()
    return made


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").iterdir())


def test_many_who_want_one_image_fetch_it_once(tmp_path: Path) -> None:
    async def story() -> None:
        server, images = ComputeServer(), cache(tmp_path)
        source = server.image("a", b"a" * 5000, "raw")
        found = await asyncio.gather(*(images.get(source, server) for _ in range(20)))
        assert server.downloads == ["a"]
        assert {one.path.read_bytes() for one in found} == {b"a" * 5000}
        assert (found[0].size, found[0].format) == (5000, "raw")
        # Another image of the same content is the same file; after a restart it is there.
        again = await cache(tmp_path).get(replace(source, image_id="b", path="/image/none"), server)
        assert (again.path, again.fetched) == (found[0].path, 0)
        assert server.downloads == ["a"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("content", "words"), [(b"b" * 5000, "sha512"), (b"a" * 6000, "longer"), (b"a" * 4000, "sha512")]
)
def test_content_that_is_not_what_it_should_be(tmp_path: Path, content: bytes, words: str) -> None:
    async def story() -> None:
        server, images = ComputeServer(), cache(tmp_path)
        source = server.image("a", b"a" * 5000, "raw")
        server.images["a"] = content
        with pytest.raises(BadImage, match=words):
            await images.get(source, server)
        assert files(tmp_path) == []

    asyncio.run(story())


def test_a_download_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        server, images = ComputeServer(), cache(tmp_path)
        source = server.image("a", b"a" * 5000, "raw")
        server.away = True
        with pytest.raises(Unavailable):
            await images.get(source, server)
        assert files(tmp_path) == []
        server.away = False
        assert (await images.get(source, server)).fetched == 5000

    asyncio.run(story())


def test_a_beginning_that_a_crash_left_goes(tmp_path: Path) -> None:
    cache(tmp_path)
    (tmp_path / "images" / "sha512-0.raw.part").write_bytes(b"x")
    cache(tmp_path)
    assert files(tmp_path) == []


def test_what_nobody_uses_goes_after_a_while(tmp_path: Path) -> None:
    async def story() -> None:
        server, images = ComputeServer(), cache(tmp_path, keep_s=100)
        sources = [server.image(name, name.encode() * 9, "raw") for name in "abc"]
        old, used, young = [(await images.get(source, server)).path for source in sources]
        for path in (old, used):
            os.utime(path, (time.time() - 200,) * 2)
        assert images.prune("host-2", {used.name}) == [old.name]
        os.utime(young, (time.time() - 200,) * 2)
        assert images.prune("host-1", {young.name}) == [], "each host speaks for itself"
        assert images.prune("host-1", set()) == [], "it was used a moment ago"
        assert files(tmp_path) == sorted([used.name, young.name])

    asyncio.run(story())


def test_formats_and_hashes_that_are_none() -> None:
    source = ComputeServer().image("a", b"a")
    for wrong in (
        replace(source, disk_format="vmdk"),
        replace(source, os_hash_algo="crc32"),
        replace(source, os_hash_value="../../etc/passwd"),
        replace(source, os_hash_value=""),
    ):
        with pytest.raises(BadImage):
            cache_name(wrong)


@pytest.mark.real
@pytest.mark.skipif(bool(missing_programs()), reason="qemu-img is not installed")
def test_an_image_that_refers_to_another_file_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        tool, server = QemuImg(), ComputeServer()
        await tool.create(tmp_path / "base", "raw", 1 << 20)
        await tool.create_overlay(tmp_path / "overlay", tmp_path / "base", "raw")
        await tool.create(tmp_path / "plain", "qcow2", 1 << 20)
        images = ImageCache(tmp_path / "images", tool)
        images.open()
        with pytest.raises(BadImage, match="refers"):
            await images.get(server.image("bad", (tmp_path / "overlay").read_bytes()), server)
        good = await images.get(server.image("good", (tmp_path / "plain").read_bytes()), server)
        assert good.size == 1 << 20
        assert files(tmp_path) == [good.path.name]

    asyncio.run(story())
