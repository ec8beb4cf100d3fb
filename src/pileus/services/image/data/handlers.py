"""Handlers of upload, download and staging; and how an import's data is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.errors import Forbidden, Invalid, Unauthenticated
from pileus.core.formats import judge
from pileus.core.ids import new_hex_id
from pileus.resource.declaration import Values
from pileus.services.image.config import MIB, ImageConfig
from pileus.services.image.data import work
from pileus.services.image.data.facts import Facts
from pileus.services.image.data.ranges import Unsatisfiable, byte_range
from pileus.services.image.data.receiving import Receiver
from pileus.services.image.data.sending import send_data
from pileus.services.image.errors import ImageTooLarge, LimitExceeded
from pileus.services.image.images.access import is_admin
from pileus.services.image.store import DataStore
from pileus.services.image.tickets import DOWNLOAD, HEADER, UPLOAD, Tickets
from pileus.store import Store
from pileus.web.faults import UnsupportedMediaType
from pileus.web.reply import Reply
from pileus.web.request import Request

_BINARY = "application/octet-stream"
_THREADS = 4
RESERVED_AT_ONCE = 64 << 20

_log = log.get("image")

P = ParamSpec("P")
T = TypeVar("T")


class ImageData:
    """The bytes of images: a store, and threads of their own, so that a slow disk holds up nothing else."""

    def __init__(self, data: DataStore, tickets: Tickets, config: ImageConfig) -> None:
        self._data = data
        self._tickets = tickets
        self._config = config
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="image")

    async def recover(self, store: Store, clock: Clock) -> None:
        """After a crash: uploads that were under way are queued again, objects that no image names go."""
        await store.write(work.uploads_recover, system_context(clock.now()), self._data.worker)
        wanted = await store.read(work.object_names)
        gone = await self._threaded(self._data.sweep, wanted)
        if gone:
            _log.info("removed data that belongs to no image", objects=gone)

    def close(self) -> None:
        """Let go of the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def delete(self, name: str | None) -> None:
        """Delete an object whose image is gone; what fails here is swept at the next start."""
        if name is not None:
            await asyncio.shield(asyncio.ensure_future(self._threaded(self._data.delete, name)))

    async def upload(self, request: Request) -> Reply:
        """``PUT /v2/images/{image_id}/file``"""
        rule = None if self._has_ticket(request, UPLOAD) else "upload_image"
        return await self._receive(request, work.SAVING, rule)

    async def stage(self, request: Request) -> Reply:
        """``PUT /v2/images/{image_id}/stage``"""
        return await self._receive(request, work.STAGING, "modify_image")

    async def take(
        self, store: Store, image_id: str, name: str, pieces: AsyncGenerator[bytes, None]
    ) -> Facts:
        """Write what comes as the object ``name`` of an image that is being imported.

        It is durable when this returns. Raises what the pieces raise, ImageTooLarge, LimitExceeded,
        StorageFull or ImageGone, and then it is not there.
        """
        receiver = Receiver(
            partial(self._data.create, name),
            self._executor,
            self._config.largest_bytes,
            partial(self._reserve, store, image_id, name),
            0,
        )
        try:
            async with aclosing(pieces):
                await receiver.take(pieces)
            facts = await receiver.facts()
            await receiver.finish()
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(receiver.abandon()))
            raise
        return facts

    async def download(self, request: Request) -> Reply:
        """``GET /v2/images/{image_id}/file``, whole or a range of it."""
        ticket = self._has_ticket(request, DOWNLOAD)
        image = await request.read(work.download_find, request, ticket=ticket)
        if image["status"] == "deactivated" and not ticket and not is_admin(request):
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        if image["status"] not in ("active", "deactivated"):
            return Reply.empty()
        size: int = image["size"]
        headers = [(b"content-type", _BINARY.encode()), (b"accept-ranges", b"bytes")]
        try:
            part = byte_range(request.header("range"), size)
        except Unsatisfiable:
            return Reply(416, b"", [(b"content-range", f"bytes */{size}".encode())])
        first, length = part or (0, size)
        if part is not None:
            headers.append((b"content-range", f"bytes {first}-{first + length - 1}/{size}".encode()))
        else:
            headers.append((b"content-md5", image["checksum"].encode()))
        headers.append((b"content-length", str(length).encode()))
        source = await self._threaded(self._data.open, image["object"])
        body = send_data(source, first, length, self._executor, request.receive)
        return Reply(206 if part is not None else 200, body, headers)

    def _has_ticket(self, request: Request, purpose: str) -> bool:
        """Whether a ticket allows this; raises BadTicket, or Unauthenticated without ticket and token."""
        ticket = request.header(HEADER) or request.parameter("ticket")
        if ticket is not None:
            self._tickets.check(ticket, request.path["image_id"], purpose, request.context.now)
            return True
        if request.context.user_id is None:
            raise Unauthenticated
        return False

    async def _receive(self, request: Request, status: str, rule: str | None) -> Reply:
        """Receive the body into a new object of the store, and make it the image's."""
        size = _announced_size(request)
        if size > self._config.largest_bytes:
            raise ImageTooLarge(limit=self._config.largest_bytes)
        await self._threaded(self._data.check_room, size)
        name = f"{request.path['image_id'][:36]}.{new_hex_id()}"
        begin = asyncio.ensure_future(
            request.write(
                work.upload_begin,
                request,
                self._config,
                status=status,
                rule=rule,
                name=name,
                worker=self._data.worker,
                size=size,
            )
        )
        receiver = Receiver(
            partial(self._data.create, name),
            self._executor,
            self._config.largest_bytes,
            partial(self._reserve, request.parts.store, request.path["image_id"], name),
            size,
        )
        try:
            image = await asyncio.shield(begin)
            await receiver.take(request.stream())
        except BaseException:
            await asyncio.shield(asyncio.ensure_future(self._undo(request, begin, name, receiver)))
            raise
        # From here on it is done to its end, whether or not anybody waits for it.
        await asyncio.shield(asyncio.ensure_future(self._store(request, begin, image, name, receiver)))
        return Reply.empty()

    async def _reserve(self, store: Store, image_id: str, name: str, size: int) -> int:
        """Let an upload go on beyond what it has: a good piece at once, near the quota's end as it comes."""
        for wanted in (size + RESERVED_AT_ONCE, -(-size // MIB) * MIB):
            try:
                await store.write(work.upload_reserve, image_id, name, wanted, self._config)
                return wanted
            except LimitExceeded as error:
                refused = error
        raise refused

    async def _store(
        self, request: Request, begin: asyncio.Future[Values], image: Values, name: str, receiver: Receiver
    ) -> None:
        """All the data is there: look what it is, make it durable, then say so in the database."""
        try:
            facts = await receiver.facts()
            context = msgspec.structs.replace(request.context, now=request.parts.clock.now())
            if image["status"] == work.STAGING:
                await receiver.finish()
                await request.write(work.stage_finish, context, image["id"], name, facts, self._config)
                return
            virtual_size = judge(
                image["disk_format"],
                image["container_format"],
                facts.finding,
                require_match=self._config.require_format_match,
            )
            await receiver.finish()
            await request.write(
                work.upload_finish, context, image["id"], name, facts, virtual_size, self._config
            )
        except BaseException:
            await self._undo(request, begin, name, receiver)
            raise

    async def _undo(
        self, request: Request, begin: asyncio.Future[Values], name: str, receiver: Receiver
    ) -> None:
        """Leave nothing half made: no file, and the image queued again."""
        try:
            image = await begin
        except Exception:
            return
        try:
            await receiver.abandon()
        finally:
            await request.write(work.upload_undo, request.context, image["id"], name)

    async def _threaded(self, function: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **keywords))


def _announced_size(request: Request) -> int:
    """The size that the client announces, 0 for none. Raises UnsupportedMediaType or Invalid."""
    kind = (request.header("content-type") or "").split(";")[0].strip().lower()
    if kind != _BINARY:
        raise UnsupportedMediaType(f"Invalid content type {kind or 'none'}: {_BINARY} is needed.")
    for header in ("x-openstack-image-size", "content-length"):
        text = request.header(header)
        if text is not None:
            if not text.isascii() or not text.isdigit() or len(text) > 19:
                raise Invalid("Invalid or missing image size in request headers.")
            return int(text)
    return 0
