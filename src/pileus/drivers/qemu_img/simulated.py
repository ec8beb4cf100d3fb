"""Simulated images: a file holds what ``qemu-img info`` would say, and no content.

A raw image is a real sparse file of its size, so that what only looks at sizes is right;
other formats are a few lines of JSON, but for what an image is converted to: a qcow2 is one that
QEMU could open, with nothing in it. A source that is none of ours (an image as it was downloaded)
counts as content of the size that a qcow2 says, or of its file's.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pileus.drivers.qemu_img.images import (
    QCOW2_HEADER_BYTES,
    ImageCheck,
    ImageFailed,
    ImageFormat,
    ImageInfo,
    Preallocation,
    backing_name,
    empty_qcow2,
    qcow2_size,
)

_MAGIC = "pileus simulated image"
_LARGEST = 64 * 1024


class Stub(msgspec.Struct):
    """The content of an image's file."""

    magic: str
    format: str
    size: int
    backing: str | None = None
    backing_format: str | None = None


class SimulatedImages:
    """``Images`` without content."""

    async def create(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """See Images."""
        self._write("create", path, Stub(_MAGIC, format, size))

    async def create_overlay(
        self, path: Path, backing: Path, backing_format: ImageFormat, size: int | None = None
    ) -> None:
        """See Images."""
        below = self._read("create", backing, backing_format)
        stub = Stub(
            _MAGIC, "qcow2", below.size if size is None else size, backing_name(backing), backing_format
        )
        self._write("create", path, stub)

    async def info(self, path: Path, format: ImageFormat) -> ImageInfo:
        """See Images."""
        stub = self._read("info", path, format)
        return ImageInfo(str(path), stub.format, stub.size, _used(path), stub.backing, stub.backing_format)

    async def convert(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """See Images."""
        if compress and target_format == "raw":
            raise ImageFailed("convert", "Compression not supported for this file format")
        size = self._read("convert", source, source_format).size
        if target_format == "qcow2":
            _put("convert", target, empty_qcow2(size))
        else:
            self._write("convert", target, Stub(_MAGIC, target_format, size))

    async def fill(
        self,
        source: Path,
        source_format: ImageFormat,
        target: Path,
        target_format: ImageFormat,
        *,
        compress: bool = False,
    ) -> None:
        """See Images."""
        if compress and target_format == "raw":
            raise ImageFailed("convert", "Compression not supported for this file format")
        size = self._read("convert", source, source_format).size
        if size > self._read("convert", target, target_format).size:
            raise ImageFailed("convert", "output file is smaller than input file")

    async def resize(
        self, path: Path, format: ImageFormat, size: int, *, preallocation: Preallocation = "off"
    ) -> None:
        """See Images."""
        stub = self._read("resize", path, format)
        if size < stub.size:
            raise ImageFailed("resize", "Use the --shrink option to perform a shrink operation.")
        self._write("resize", path, msgspec.structs.replace(stub, size=size))

    async def rebase(
        self, path: Path, backing: Path | None, backing_format: ImageFormat | None, *, safe: bool = True
    ) -> None:
        """See Images."""
        stub = self._read("rebase", path, "qcow2")
        if backing is None:
            stub = msgspec.structs.replace(stub, backing=None, backing_format=None)
        else:
            if safe:
                self._read("rebase", backing, backing_format or "raw")
            stub = msgspec.structs.replace(
                stub, backing=backing_name(backing), backing_format=backing_format or "raw"
            )
        self._write("rebase", path, stub)

    async def check(self, path: Path, format: ImageFormat = "qcow2") -> ImageCheck:
        """See Images."""
        if format == "raw":
            raise ImageFailed("check", "This image format does not support checks")
        self._read("check", path, format)
        return ImageCheck(errors=0, leaks=0)

    @staticmethod
    def _read(verb: str, path: Path, format: str) -> Stub:
        try:
            size = path.stat().st_size
            if format == "raw":
                return Stub(_MAGIC, "raw", size)
            text = path.read_bytes() if size <= _LARGEST else b""
        except FileNotFoundError:
            raise ImageFailed(verb, f"Could not open '{path}': No such file or directory") from None
        if format == "qcow2" and (seen := qcow2_size(_head(path))) is not None:
            return Stub(_MAGIC, "qcow2", seen)
        try:
            stub = msgspec.json.decode(text, type=Stub)
        except msgspec.DecodeError:
            return Stub(_MAGIC, format, size)  # somebody's real image
        if stub.format != format:
            raise ImageFailed(verb, f"Could not open '{path}': Image is not in {format} format")
        return stub

    @staticmethod
    def _write(verb: str, path: Path, stub: Stub) -> None:
        try:
            if stub.format == "raw":
                with path.open("ab") as file:
                    file.truncate(stub.size)
            else:
                _put(verb, path, msgspec.json.encode(stub))
        except FileNotFoundError:
            raise ImageFailed(verb, f"{path}: Could not create: No such file or directory") from None


def _put(verb: str, path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        raise ImageFailed(verb, f"{path}: Could not create: No such file or directory") from None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(QCOW2_HEADER_BYTES)


def _used(path: Path) -> int:
    return path.stat().st_blocks * 512
