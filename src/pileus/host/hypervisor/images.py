"""Base images on a node: fetched once, checked, shared by all machines that lie on them, and pruned.

A file is named by the hash of its content and appears when it is whole and has been checked: what
ends in ``.part`` is a beginning that a crash left. Nothing that a stranger uploaded is given to
QEMU before its header was read under limits: an image that refers to another file is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Protocol, cast

import msgspec

from pileus.core import log
from pileus.drivers.qemu_img.images import ImageFormat, Images
from pileus.wire.hypervisor import DISK_FORMATS, ImageSource

_log = log.get("host.hypervisor")

ALGORITHMS = ("sha256", "sha512", "sha384", "sha1", "md5", "sha3_256", "sha3_512")
_PART = ".part"


class BadImage(Exception):
    """An image that this node will not use; the text says why."""


class Downloads(Protocol):
    """Where images come from: the bus's client."""

    def download(self, path: str) -> AsyncIterator[bytes]: ...


class BaseImage(msgspec.Struct, frozen=True):
    """A cached image. ``size``: what a guest sees, in bytes; ``fetched``: bytes that this cost now."""

    path: Path
    format: ImageFormat
    size: int
    fetched: int = 0


class ImageCache:
    """Images below one folder; one that is being fetched is waited for by all who want it."""

    def __init__(
        self, root: Path, images: Images, *, keep_s: float = 86400.0, now: Callable[[], float] = time.time
    ) -> None:
        self._root = root
        self._images = images
        self._keep_s = keep_s
        self._now = now
        self._fetching: dict[str, asyncio.Task[BaseImage]] = {}
        self._known: dict[str, BaseImage] = {}
        self._users: dict[str, frozenset[str]] = {}

    def open(self) -> None:
        """Make the folder; beginnings that a crash left go."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._root.chmod(0o711)
        if not self._fetching:
            for path in self._root.glob(f"*{_PART}"):
                path.unlink()

    async def close(self) -> None:
        """End what is being fetched."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def get(self, source: ImageSource, downloads: Downloads) -> BaseImage:
        """The image, fetched if it is not here. Raises BadImage, ImageFailed, OSError, and what the
        download raises."""
        name = cache_name(source)
        path = self._root / name
        known = self._known.get(name)
        if path.exists():
            os.utime(path, (self._now(), self._now()))  # nobody prunes what is about to be lain on
            if known is not None:
                return known
        task = self._fetching.get(name)
        if task is None:
            work = self._check(path, source, 0) if path.exists() else self._fetch(path, source, downloads)
            task = self._fetching[name] = asyncio.create_task(work)
            task.add_done_callback(lambda _: self._fetching.pop(name, None))
        # Who gives up waiting does not end it: others may want it, and it will be asked for again.
        image = await asyncio.shield(task)
        self._known[name] = msgspec.structs.replace(image, fetched=0)
        return image

    async def _fetch(self, path: Path, source: ImageSource, downloads: Downloads) -> BaseImage:
        part = path.with_name(path.name + _PART)
        digest = hashlib.new(source.os_hash_algo)
        size = 0
        try:
            with part.open("wb") as file:
                async for piece in downloads.download(source.path):
                    size += len(piece)
                    if source.size and size > source.size:
                        raise BadImage(f"Image {source.image_id} is longer than its {source.size} bytes.")
                    await asyncio.to_thread(_take, digest, file.write, piece)
                await asyncio.to_thread(_sync, file.fileno())
            if digest.hexdigest() != source.os_hash_value:
                raise BadImage(
                    f"Image {source.image_id} does not have the {source.os_hash_algo} that it should have: "
                    f"{digest.hexdigest()} and not {source.os_hash_value}."
                )
            image = await self._check(part, source, size)
            part.chmod(0o644)
            part.replace(path)
            return msgspec.structs.replace(image, path=path)
        finally:
            part.unlink(missing_ok=True)

    async def _check(self, path: Path, source: ImageSource, fetched: int) -> BaseImage:
        format = cast(ImageFormat, source.disk_format)
        info = await self._images.info(path, format)
        if info.format != source.disk_format:
            raise BadImage(f"Image {source.image_id} is {info.format} and not {source.disk_format}.")
        if info.backing is not None or info.data_file is not None:
            raise BadImage(f"Image {source.image_id} refers to another file.")
        return BaseImage(path, format, info.size, fetched)

    def prune(self, owner: str, in_use: Collection[str]) -> list[str]:
        """Say which images ``owner``'s machines lie on, and take away those that nobody has used for a
        while; their names. An image's last use is its file's time."""
        self._users[owner] = frozenset(in_use)
        now = self._now()
        used = frozenset().union(*self._users.values())
        gone = []
        for path in self._root.iterdir():
            name = path.name
            if name in self._fetching or name.endswith(_PART):
                continue
            if name in used:
                os.utime(path, (now, now))
            elif path.stat().st_mtime < now - self._keep_s:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                self._known.pop(name, None)
                gone.append(name)
        if gone:
            _log.info("base images that nobody uses are gone", images=gone)
        return gone


def cache_name(source: ImageSource) -> str:
    """The file name of an image's content; raises BadImage for what is no name or no format of ours."""
    if source.disk_format not in DISK_FORMATS:
        raise BadImage(
            f"Image {source.image_id} has the disk format {source.disk_format}; this host takes "
            f"{' and '.join(DISK_FORMATS)}."
        )
    if source.os_hash_algo not in ALGORITHMS or not re.fullmatch("[0-9a-f]{32,128}", source.os_hash_value):
        raise BadImage(f"Image {source.image_id} has no hash that can be checked.")
    return f"{source.os_hash_algo}-{source.os_hash_value}.{source.disk_format}"


def _take(digest: hashlib._Hash, write: Callable[[bytes], int], piece: bytes) -> None:
    digest.update(piece)
    write(piece)


def _sync(descriptor: int) -> None:
    os.fdatasync(descriptor)
