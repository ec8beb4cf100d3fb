"""The agent's end of the bus: calls and wake-ups over a Unix socket or HTTPS."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from pileus.core import log
from pileus.core.errors import Fault, Unavailable, UploadRefused
from pileus.core.recurring import Recurring
from pileus.core.streams import ByteStream, StreamEnded
from pileus.wire.agents import Wakeup
from pileus.wire.calls import Call
from pileus.wire.codec import (
    CallFault,
    WakeupRequest,
    decode,
    decode_line,
    decode_reply,
    encode,
)

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

logger = log.get("bus")

_CHUNK_BYTES = 1 << 20
_LARGEST_MESSAGE = 4 << 20
_TOKEN = "X-Node-Token"  # noqa: S105 - a header's name
SILENCE_S = 45.0
"""A stream that is silent for this long (three keep-alives) is taken for dead."""
_STORED_WITHIN_S = 600.0
"""How long a server may take to hash and store what it has been sent."""


class ServerUnreachable(Unavailable):
    message = "The server does not answer: {reason}"


class DownloadRefused(Fault):
    message = "The server refuses {path}: status {status}"


class CallRefused(Fault):
    """The server refused a call; ``code`` is the domain error's own."""

    def __init__(self, fault: CallFault) -> None:
        super().__init__(fault.text)
        self.fault = fault

    @property
    def code(self) -> str:
        return self.fault.code


class WireClient:
    """Asks one server (or the balancer before several).

    ``address`` is ``unix:/path`` or a URL (``https://host:port``); ``token`` the node's token, which may be
    changed; ``tls`` the context for HTTPS where the system's own trust does not do.
    """

    def __init__(self, address: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self._unix = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._root = "http://server" if self._unix else address.rstrip("/")
        self._base = self._root + "/wire/v1/"
        self.token = token
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._away = Recurring(logger, "the server does not answer", server=address)

    async def __aenter__(self) -> WireClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._unix:
                connector = aiohttp.UnixConnector(self._unix, limit=0)
            else:
                connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                # The server answers what it is asked, in as many bytes as it sends.
                auto_decompress=False,
                trace_configs=[_stays()],
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session

    async def call(self, call: Call[Q, R], request: Q) -> R:
        """Ask ``call``; raises ServerUnreachable (try again later) or CallRefused."""
        return await self._post(f"call/{call.name}", request, call.reply, call.timeout_s)

    async def administer(self, name: str, request: msgspec.Struct, reply: type[R]) -> R:
        """Ask as the controller, whose token this client has; raises as ``call`` does."""
        return await self._post(f"nodes/{name}", request, reply, 30.0)

    async def _post(self, path: str, request: msgspec.Struct, reply: type[R], timeout_s: float) -> R:
        try:
            async with self._http().post(
                self._base + path,
                data=encode(request),
                headers={_TOKEN: self.token},
                allow_redirects=False,  # the token is for this server alone
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            self._away.happened("away", error=reason)
            raise ServerUnreachable(reason=reason) from error
        self._away.over()
        if response.status != 200:
            raise _refusal(response.status, body)
        try:
            answer, left_out = decode_reply(body, reply)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ServerUnreachable(reason=f"its answer to {path} can't be read: {error}") from error
        if left_out:
            logger.error(
                "the server's answer has items that can't be read",
                call=path,
                items=left_out[:10],
                count=len(left_out),
            )
        return answer

    async def wakeups(self, host: str, scopes: tuple[str, ...]) -> AsyncIterator[Wakeup]:
        """Wake-ups for ``scopes`` as they come; the first tells their newest position at once.

        Ends with ServerUnreachable when the stream breaks or is silent too long. To listen to
        other scopes, open another stream and leave this one.
        """
        try:
            async with self._http().post(
                f"{self._base}wakeups",
                data=encode(WakeupRequest(host, scopes)),
                headers={_TOKEN: self.token},
                allow_redirects=False,  # the token is for this server alone
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S),
            ) as response:
                if response.status != 200:
                    raise _refusal(response.status, await response.read())
                async for line in response.content:
                    yield decode_line(line, Wakeup)
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise ServerUnreachable(reason=str(error) or type(error).__name__) from error
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ServerUnreachable(reason=f"a wake-up can't be read: {error}") from error
        raise ServerUnreachable(reason="the server ended the stream")

    async def stream(self, name: str) -> ByteStream:
        """Open the stream that the server has asked for by this name; raises ServerUnreachable."""
        try:
            socket = await self._http().ws_connect(
                URL(f"{self._base}streams/{name}"),
                headers={_TOKEN: self.token},
                max_msg_size=_LARGEST_MESSAGE,
                heartbeat=SILENCE_S / 3,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(reason=str(error) or type(error).__name__) from error
        return _ClientStream(socket)

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """GET ``path`` below the server's address, in pieces of up to 1 MiB.

        Raises DownloadRefused when it is the asking that is wrong (a status of 400 to 499; the path's
        query is left out of the text, since it holds a ticket), ServerUnreachable for the rest.
        """
        bare = path.partition("?")[0]
        try:
            async with self._http().get(
                URL(self._root + path, encoded=True),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S),
            ) as response:
                if 400 <= response.status < 500:
                    raise DownloadRefused(path=bare, status=response.status)
                if response.status != 200:
                    raise ServerUnreachable(reason=f"status {response.status} for {bare}")
                async for piece in response.content.iter_chunked(_CHUNK_BYTES):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(reason=str(error) or type(error).__name__) from error

    async def upload(self, path: str, file: Path) -> None:
        """PUT a file's content at ``path`` below the server's address.

        Raises UploadRefused for a status of 400 to 499, ServerUnreachable for the rest. Nothing is sent
        before the server has looked at the asking.
        """
        bare = path.partition("?")[0]
        content = await asyncio.to_thread(file.open, "rb")
        try:
            size = os.fstat(content.fileno()).st_size
            async with self._http().put(
                URL(self._root + path, encoded=True),
                data=content,
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                expect100=True,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_STORED_WITHIN_S),
            ) as response:
                if 400 <= response.status < 500:
                    raise UploadRefused(bare, response.status)
                if response.status not in (200, 201, 204):
                    raise ServerUnreachable(reason=f"status {response.status} for {bare}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(reason=str(error) or type(error).__name__) from error
        finally:
            content.close()

    async def holds(self, path: str) -> bool:
        """Whether there is content at ``path``; raises as ``download`` does."""
        bare = path.partition("?")[0]
        try:
            async with self._http().get(
                URL(self._root + path, encoded=True),
                headers={"Range": "bytes=0-0"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=30.0),
            ) as response:
                if 400 <= response.status < 500 and response.status != 416:
                    raise DownloadRefused(path=bare, status=response.status)
                return response.status in (200, 206)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerUnreachable(reason=str(error) or type(error).__name__) from error


def _stays() -> aiohttp.TraceConfig:
    """A stream follows no redirection either: its token is for this server alone."""

    async def refuse(session: Any, context: Any, params: Any) -> None:
        raise aiohttp.ClientError("the server sends a stream elsewhere")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace


class _ClientStream:
    """A WebSocket that was opened here, as a stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        """See ByteStream."""
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return b""
            if message.data:
                return bytes(message.data)

    async def send(self, data: bytes) -> None:
        """See ByteStream."""
        try:
            await self._socket.send_bytes(data)
        except (aiohttp.ClientError, OSError) as error:
            raise StreamEnded from error

    async def close(self) -> None:
        """See ByteStream."""
        await self._socket.close()


def _refusal(status: int, body: bytes) -> Fault:
    try:
        return CallRefused(decode(body, CallFault))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ServerUnreachable(reason=f"status {status} without a record")
