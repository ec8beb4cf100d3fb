"""The same questions to qemu-img and to the simulated images."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.qemu_img.driver import Limits, QemuImg, missing_programs
from pileus.drivers.qemu_img.images import ImageCheck, ImageFailed, Images, empty_qcow2
from pileus.drivers.qemu_img.simulated import SimulatedImages

MIB = 1 << 20


def why_not_real() -> str | None:
    return f"not installed: {', '.join(missing)}" if (missing := missing_programs()) else None


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def images(request: pytest.FixtureRequest) -> Images:
    if request.param == "simulated":
        return SimulatedImages()
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    return QemuImg()


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    with asyncio.Runner() as runner:
        yield runner.run


def test_an_empty_image(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    for format in ("qcow2", "raw"):
        path = tmp_path / f"disk.{format}"
        run(images.create(path, format, 3 * MIB))
        info = run(images.info(path, format))
        assert (info.format, info.size, info.backing) == (format, 3 * MIB, None)
        assert info.used < MIB


def test_an_overlay_names_what_it_lies_on(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    base, overlay = tmp_path / "base", tmp_path / "overlay"
    run(images.create(base, "raw", 2 * MIB))
    run(images.create_overlay(overlay, base, "raw"))
    info = run(images.info(overlay, "qcow2"))
    assert (info.size, info.backing, info.backing_format) == (2 * MIB, str(base), "raw")
    run(images.create_overlay(overlay, base, "raw", 5 * MIB))
    assert run(images.info(overlay, "qcow2")).size == 5 * MIB
    with pytest.raises(ImageFailed, match="No such file"):
        run(images.create_overlay(overlay, tmp_path / "none", "raw"))


def test_larger_but_never_smaller(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "disk"
    run(images.create(path, "qcow2", MIB))
    run(images.resize(path, "qcow2", 4 * MIB))
    run(images.resize(path, "qcow2", 4 * MIB))
    assert run(images.info(path, "qcow2")).size == 4 * MIB
    with pytest.raises(ImageFailed, match="shrink"):
        run(images.resize(path, "qcow2", MIB))


def test_a_copy_stands_alone(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    base, overlay, copy = tmp_path / "base", tmp_path / "overlay", tmp_path / "copy"
    run(images.create(base, "qcow2", 2 * MIB))
    run(images.create_overlay(overlay, base, "qcow2"))
    run(images.convert(overlay, "qcow2", copy, "qcow2", compress=True))
    info = run(images.info(copy, "qcow2"))
    assert (info.size, info.backing) == (2 * MIB, None)
    run(images.convert(copy, "qcow2", tmp_path / "copy.raw", "raw"))
    assert (tmp_path / "copy.raw").stat().st_size == 2 * MIB
    with pytest.raises(ImageFailed):
        run(images.convert(copy, "qcow2", tmp_path / "never", "raw", compress=True))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"base", "overlay", "copy", "copy.raw"}, "a copy that failed leaves nothing"


def test_another_backing_file(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    one, two, overlay = tmp_path / "one", tmp_path / "two", tmp_path / "overlay"
    for base in (one, two):
        run(images.create(base, "qcow2", MIB))
    run(images.create_overlay(overlay, one, "qcow2"))
    for safe in (True, False):
        run(images.rebase(overlay, two, "qcow2", safe=safe))
        assert run(images.info(overlay, "qcow2")).backing == str(two)
        run(images.rebase(overlay, one, "qcow2", safe=safe))
    run(images.rebase(overlay, None, None))
    assert run(images.info(overlay, "qcow2")).backing is None


def test_a_check(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "disk"
    run(images.create(path, "qcow2", MIB))
    assert run(images.check(path)).sound
    with pytest.raises(ImageFailed, match="No such file"):
        run(images.check(tmp_path / "none"))


def test_what_is_missing_is_said(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(ImageFailed, match="No such file"):
        run(images.info(tmp_path / "none", "qcow2"))
    with pytest.raises(ImageFailed, match="No such file"):
        run(images.create(tmp_path / "none" / "disk", "qcow2", MIB))


@pytest.mark.real
def test_content_goes_through_a_copy(run: Callable[[Any], Any], tmp_path: Path) -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    images, raw = QemuImg(), tmp_path / "raw"
    raw.write_bytes(b"content" + bytes(MIB - 7))
    run(images.create_overlay(tmp_path / "overlay", raw, "raw"))
    run(images.convert(tmp_path / "overlay", "qcow2", tmp_path / "copy", "raw"))
    assert (tmp_path / "copy").read_bytes() == raw.read_bytes()


@pytest.mark.real
def test_an_external_data_file_is_never_opened(run: Callable[[Any], Any], tmp_path: Path) -> None:
    """An image may name any file of the host as where its content is."""
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    image, data = tmp_path / "image", tmp_path / "data"
    options = ("create", "-q", "-f", "qcow2", "-o", f"data_file={data}", str(image), "1M")
    subprocess.run(("qemu-img", *options), check=True)
    data.unlink()
    with pytest.raises(ImageFailed, match="external data file"):
        run(QemuImg().info(image, "qcow2"))


@pytest.mark.real
def test_a_format_is_never_guessed(run: Callable[[Any], Any], tmp_path: Path) -> None:
    """A raw disk into which a guest wrote a qcow2's header stays a raw disk."""
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    images, path = QemuImg(), tmp_path / "disk"
    run(images.create(path, "qcow2", 7 * MIB))
    content = path.read_bytes()
    info = run(images.info(path, "raw"))
    assert (info.format, info.backing) == ("raw", None)
    assert info.size >= len(content)
    with pytest.raises(ImageFailed, match="format"):
        (tmp_path / "text").write_bytes(b"no image at all".ljust(MIB))
        run(images.info(tmp_path / "text", "qcow2"))


@pytest.mark.real
def test_damage_is_found(run: Callable[[Any], Any], tmp_path: Path) -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    images, path = QemuImg(), tmp_path / "disk"
    run(images.create(path, "qcow2", MIB))
    content = bytearray(path.read_bytes())
    (table,) = struct.unpack(">Q", content[40:48])  # l1_table_offset (qcow2's specification)
    content[table : table + 8] = struct.pack(">Q", 1 << 63 | 0x50000)
    path.write_bytes(content)
    assert not run(images.check(path)).sound


@pytest.mark.real
def test_a_run_has_bounds(run: Callable[[Any], Any], tmp_path: Path) -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    path = tmp_path / "disk"
    run(QemuImg().create(path, "qcow2", MIB))
    with pytest.raises(ImageFailed):
        run(QemuImg(quick=Limits(memory=8 * MIB)).info(path, "qcow2"))
    with pytest.raises(ImageFailed, match="no end within"):
        run(QemuImg(quick=Limits(timeout_s=0.0001)).info(path, "qcow2"))


def test_an_empty_image_is_filled(images: Images, run: Callable[[Any], Any], tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    run(images.create(source, "qcow2", 2 * MIB))
    for format in ("raw", "qcow2"):
        run(images.create(target, format, 4 * MIB, preallocation="falloc"))
        run(images.fill(source, "qcow2", target, format))
        assert run(images.info(target, format)).size == 4 * MIB
    with pytest.raises(ImageFailed, match="smaller"):
        run(images.create(target, "raw", MIB))
        run(images.fill(source, "qcow2", target, "raw"))


@pytest.mark.real
def test_an_overlay_of_our_own_making_is_sound(run: Callable[[Any], Any], tmp_path: Path) -> None:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    images, base, overlay = QemuImg(), tmp_path / "base", tmp_path / "overlay"
    base.write_bytes(b"content" + bytes(MIB - 7))
    for size in (MIB, 700 << 30, 16 << 40):
        overlay.write_bytes(empty_qcow2(size, str(base), "raw"))
        info = run(images.info(overlay, "qcow2"))
        assert (info.size, info.backing, info.backing_format) == (size, str(base), "raw")
        assert run(images.check(overlay)) == ImageCheck(errors=0, leaks=0)
    with pytest.raises(ValueError, match="too long"):
        empty_qcow2(MIB, "x" * 1024, "raw")
