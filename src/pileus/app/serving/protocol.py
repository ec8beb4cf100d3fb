"""HTTP on one connection: uvicorn's protocol, with the bounds that it lacks.

Whoever has no token must be able neither to fill the memory nor to hold connections for ever:

* a request's head (line and headers) may have 64 KiB and 256 headers and must be there within a minute;
* what frames a body (sizes and extensions of chunks, trailers) may not be many times the body, and trailers
  are not kept: a header that comes after the body would be believed like one before it;
* so many requests may wait on a connection for the answer of an earlier one (pipelining);
* what still comes of a body after the answer is read for a while only, so that the answer arrives;
* who reads an answer must go on reading, at a least rate;
* a client may have so many connections (``connections.Gate``).

A connection that becomes a WebSocket (``BoundedSocket``) counts on, and its messages are bounded.

Bodies that are awaited are bounded further in (``web.bodies``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import Ping

from pileus.app.serving.connections import Gate
from pileus.web.client_certificate import EXTENSION

MAX_HEAD_BYTES = 64 << 10
EARLY_BYTES = 64 << 10
"""Bytes that may come on a WebSocket before it is accepted."""
MAX_HEADERS = 256
MAX_WAITING = 32
"""Requests that are there before those in front of them are answered."""
FRAMES_A_BYTE = 16
"""Bytes that may frame a byte of a body, beyond the first ``MAX_HEAD_BYTES``."""
HEAD_WITHIN_S = 60.0
DRAIN_S = 10.0
"""How long the rest of a body is read after its answer."""
LINGER_S = 2.0
"""How long one who was refused has for reading that."""
RETRY_AFTER_S = 5

_REASONS = {
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
_TEXTS = {
    429: b"There are too many connections from this address.",
    431: b"The request's head is too large.",
    503: b"There are too many connections.",
}


class BoundedProtocol(HttpToolsProtocol):
    """A connection."""

    def __init__(self, *args: Any, gate: Gate, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._gate = gate
        self._in_head = True
        self._head_bytes = 0
        self._fields_bytes = 0
        self._message_bytes = self._body_bytes = 0
        self._messages = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None
        self._refused = False
        self._certificate: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._certificate = secured.getpeercert(binary_form=True)
        refused = self._gate.enter(self, self.client[0] if self.client else "")
        if refused:
            self._refuse(refused)
        else:
            self._set_deadline(HEAD_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.leave(self)
        self._clear_deadline()
        self._clear_stalled()
        if self._answered is not None:  # uvicorn tells only the newest of pipelined requests
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._message_bytes += len(data)
        messages = self._messages
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            return
        if not self._in_head and messages == self._messages and self._is_mostly_frame():
            self._refused = True
            self.end()
        if not (self._in_head and self._head_bytes):
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._deadline is None:
            self._set_deadline(HEAD_WITHIN_S)

    def _is_mostly_frame(self) -> bool:
        """Whether a body that is under way has more around it than any client's would."""
        return self._message_bytes > MAX_HEAD_BYTES + (1 + FRAMES_A_BYTE) * self._body_bytes

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._fields_bytes = 0
        if self._certificate is not None:
            self.scope["extensions"] = {EXTENSION: self._certificate}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._fields_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer
            return
        self._fields_bytes += len(name) + len(value)
        if self._fields_bytes <= MAX_HEAD_BYTES and len(self.headers) <= MAX_HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._message_bytes = self._body_bytes = 0
        self._messages += 1
        if self._refused:
            return
        if self._fields_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(431)
            return
        if len(self.pipeline) >= MAX_WAITING:  # those that wait are answered, the rest is not read
            self._refused = True
            self.cycle.keep_alive = False
            return
        self._clear_deadline()
        self._gate.works(self)
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._refuse(431)  # nobody pipelines this
            return
        assert self.ws_protocol_class is not None
        make, gate, http = self.ws_protocol_class, self._gate, self

        def bounded(**keywords: Any) -> Any:
            made: Any = make(**keywords)
            made.counted_as(gate, http)
            return made

        self.ws_protocol_class = bounded  # type: ignore[assignment]
        super().handle_websocket_upgrade()
        # Where requests came before it, what was to end a connection between requests must not end this one.
        self._unset_keepalive_if_required()
        self._clear_deadline()
        self._clear_stalled()
        self._gate.works(self)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._messages += 1
        if self._refused:
            return
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0
        if (
            self.cycle is not None and self.cycle.response_complete
        ):  # that was the rest of a body whose answer is given
            self._clear_deadline()
            self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_reader()
        elif self.cycle.response_complete:  # else a pipelined request is under way
            self._unset_keepalive_if_required()
            if self._in_head:
                self._wait()
            else:
                self._set_deadline(DRAIN_S)

    def _wait(self) -> None:
        """For the next request."""
        self._gate.waits(self)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear_stalled()
        if self.transport.is_closing():
            self._watch_reader()

    def end(self) -> None:
        """Close; a peer who does not read what is still to be sent is waited for only a while."""
        self.transport.close()
        self._watch_reader()

    def _watch_reader(self) -> None:
        """While something is to be sent, look now and then how much of it went."""
        if self._stalled is not None or not self.transport.get_write_buffer_size():
            return
        before = self.transport.get_write_buffer_size()
        idle_s = self._gate.limits.idle_s
        least = max(1, int(self._gate.limits.least_bytes_per_s * idle_s))

        def look() -> None:
            self._stalled = None
            if before - self.transport.get_write_buffer_size() < least:
                self.transport.abort()
            else:
                self._watch_reader()

        self._stalled = self.loop.call_later(idle_s, look)

    def _clear_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _set_deadline(self, seconds: float) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int) -> None:
        """Say so, unless it would end up inside an answer, and close."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.end()
            return
        retry = b"" if status == 431 else b"retry-after: %d\r\n" % RETRY_AFTER_S
        text = _TEXTS[status]
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n%bconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (status, _REASONS[status], retry, len(text), text)
        )
        if self.transport.can_write_eof():
            # What the peer still sends must not be answered by a reset, which would cost him the refusal.
            self.transport.write_eof()
            self._set_deadline(LINGER_S)
        else:
            self.end()


class BoundedSocket(WSProtocol):
    """A connection that has become a WebSocket. What uvicorn would write about it holds its query."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.logger = logging.getLogger("uvicorn.websockets")
        self.logger.setLevel(logging.ERROR)
        self._gate: Gate | None = None
        self._http: BoundedProtocol | None = None
        self._early = 0

    def data_received(self, data: bytes) -> None:
        """Before it is accepted nobody reads what comes, and wsproto keeps all of it."""
        if not self.handshake_complete:
            self._early += len(data)
            if self._early > MAX_HEAD_BYTES + EARLY_BYTES:
                self.transport.abort()
                return
        super().data_received(data)

    def handle_ping(self, event: Ping) -> None:
        """A peer who reads nothing gets no answers: they would pile up, as nothing waits for their way."""
        if self.writable.is_set():
            super().handle_ping(event)

    def counted_as(self, gate: Gate, http: BoundedProtocol) -> None:
        """Tell at the end that the connection ``http``, which the gate let in, is closed."""
        self._gate, self._http = gate, http

    def connection_lost(self, exc: Exception | None) -> None:
        if self._gate is not None and self._http is not None:
            self._gate.leave(self._http)
        super().connection_lost(exc)
