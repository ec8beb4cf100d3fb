"""One JSON-RPC 1.0 connection as OVSDB uses it: both ends call, answer and probe (RFC 7047, section 4)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from pileus.drivers.ovsdb.framing import Framer

_READ_BYTES = 1 << 18
_PROBE_ID = "echo"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connector = Callable[[], Awaitable[Streams]]


class ConnectionLost(Exception):
    """The other end is not there, has gone away or no longer answers probes."""


class RemoteError(Exception):
    """The other end refused a call; ``error`` is its JSON."""

    def __init__(self, method: str, error: Any) -> None:
        self.error = error
        super().__init__(f"{method}: {error}")


class Session:
    """A connection that is read by ``run`` until it ends.

    ``on_call(method, params)`` gets what the other end asks, requests and notifications
    alike, in their order, and gives the result back; it raises RemoteError to refuse.
    """

    def __init__(self, streams: Streams, on_call: Callable[[str, Any], Any]) -> None:
        self._reader, self._writer = streams
        self._on_call = on_call
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._closed = False

    async def call(self, method: str, params: Any, timeout_s: float = 30.0) -> Any:
        """Ask, and wait for the result. Raises RemoteError, ConnectionLost or TimeoutError."""
        if self._closed:
            raise ConnectionLost("the connection is closed")
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send({"method": method, "params": params, "id": number})
            # Not wait_for: it may swallow a cancellation that comes with the reply (before 3.12).
            async with asyncio.timeout(timeout_s):
                reply = await future
        finally:
            self._waiting.pop(number, None)
        if reply.get("error") is not None:
            raise RemoteError(method, reply["error"])
        return reply.get("result")

    def notify(self, method: str, params: Any) -> None:
        """Say something that is not answered."""
        self._send({"method": method, "params": params, "id": None})

    async def run(self, probe_s: float | None) -> None:
        """Read until the other end closes or is silent for twice ``probe_s``; raises ConnectionLost."""
        framer = Framer()
        probed = False
        try:
            while True:
                try:
                    async with asyncio.timeout(probe_s):
                        data = await self._reader.read(_READ_BYTES)
                except TimeoutError:
                    if probed:
                        raise ConnectionLost(f"no answer to a probe within {probe_s} s") from None
                    probed = True
                    self._send({"method": "echo", "params": [], "id": _PROBE_ID})
                    continue
                if not data:
                    raise ConnectionLost("the other end closed the connection")
                probed = False
                for text in framer.feed(data):
                    self._take(msgspec.json.decode(text))
        except (OSError, msgspec.DecodeError) as error:
            raise ConnectionLost(str(error)) from error
        finally:
            self.close()

    def close(self) -> None:
        """Close; calls that wait raise ConnectionLost."""
        self._closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("the connection ended before the reply"))
        with contextlib.suppress(RuntimeError):  # the loop may be closing already
            self._writer.close()

    def _take(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if method is None:
            future = self._waiting.get(message.get("id"))  # type: ignore[arg-type]
            if future is not None and not future.done():
                future.set_result(message)
            return
        number = message.get("id")
        try:
            result = message.get("params") if method == "echo" else self._on_call(method, message["params"])
        except RemoteError as refusal:
            if number is not None:
                self._send({"result": None, "error": refusal.error, "id": number})
            return
        if number is not None:
            self._send({"result": result, "error": None, "id": number})

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(msgspec.json.encode(message))


def connector(address: str) -> Connector:
    """Make the function that opens ``unix:/path`` or ``tcp:host:port``. Raises ValueError for another
    form."""
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest:
        return lambda: asyncio.open_unix_connection(rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit():
        return lambda: asyncio.open_connection(host.strip("[]"), int(port))
    raise ValueError(f"{address!r} is neither unix:/path nor tcp:host:port")
