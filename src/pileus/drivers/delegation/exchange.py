"""One prefix: asked for, renewed in time, given back (RFC 8415, 18.2)."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from pileus.drivers.delegation.messages import (
    ADVERTISE,
    REBIND,
    RELEASE,
    RENEW,
    REPLY,
    REQUEST,
    SOLICIT,
    Lease,
    Message,
    encode,
)

_SOLICIT_S, _SOLICIT_LONGEST_S = 1.0, 60.0
_REQUEST_S, _REQUEST_LONGEST_S, _REQUESTS = 1.0, 30.0, 5
_RENEW_S, _RENEW_LONGEST_S = 10.0, 600.0
_RELEASE_S, _RELEASES = 1.0, 3
_AGAIN_S = 5.0
"""After a refusal."""


class Exchange:
    """A conversation about one prefix. ``send`` puts octets on the wire and may fail, which counts as a loss
    on the way; ``changed`` is told when the prefix is another one."""

    def __init__(
        self,
        client: bytes,
        association: int,
        hint: str | None,
        send: Callable[[bytes], None],
        changed: Callable[[], None],
    ) -> None:
        self.prefix: str | None = None
        self.answered = False
        self._client, self._association, self._hint = client, association, hint
        self._send, self._changed = send, changed
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._server = b""
        self._gone: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run())

    def hear(self, message: Message) -> None:
        """Take a server's message, if it is about this prefix."""
        if (message.client, message.association) == (self._client, self._association):
            self._inbox.put_nowait(message)

    def close(self) -> None:
        """Say no more."""
        self._task.cancel()
        if self._gone is not None:
            self._gone.cancel()

    async def release(self) -> None:
        """Give the prefix back, and end."""
        self.close()
        if self.prefix is not None:
            await self._ask(RELEASE, REPLY, _RELEASE_S, _RELEASE_S, server=self._server, tries=_RELEASES)

    async def _run(self) -> None:
        lease = await self._obtain()
        while True:
            self._hold(lease)
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(lease.renew_s)
            reply = await self._ask(
                RENEW,
                REPLY,
                _RENEW_S,
                _RENEW_LONGEST_S,
                server=self._server,
                until=now + lease.rebind_s,
            )
            if reply is None:
                reply = await self._ask(REBIND, REPLY, _RENEW_S, _RENEW_LONGEST_S, until=now + lease.valid_s)
            if reply is not None and reply.lease is not None and not reply.refused:
                self._server = reply.server
                lease = reply.lease
            else:
                lease = await self._obtain()

    async def _obtain(self) -> Lease:
        while True:
            offer = await self._ask(SOLICIT, ADVERTISE, _SOLICIT_S, _SOLICIT_LONGEST_S)
            if offer is not None and offer.lease is not None and not offer.refused:
                self._server = offer.server
                reply = await self._ask(
                    REQUEST,
                    REPLY,
                    _REQUEST_S,
                    _REQUEST_LONGEST_S,
                    server=offer.server,
                    hint=offer.lease.cidr,
                    tries=_REQUESTS,
                )
                if reply is not None and reply.lease is not None and not reply.refused:
                    return reply.lease
            await asyncio.sleep(_AGAIN_S)

    def _hold(self, lease: Lease) -> None:
        if self._gone is not None:
            self._gone.cancel()
        self._gone = asyncio.get_running_loop().call_later(lease.valid_s, self._lose)
        self.answered = True
        self._hint = lease.cidr
        if self.prefix != lease.cidr:
            self.prefix = lease.cidr
            self._changed()

    def _lose(self) -> None:
        self.prefix = None
        self._changed()

    async def _ask(
        self,
        kind: int,
        expected: int,
        first_s: float,
        longest_s: float,
        *,
        server: bytes = b"",
        hint: str | None = None,
        until: float | None = None,
        tries: int | None = None,
    ) -> Message | None:
        """Say it again and again until there is an answer; None where there is none in time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        number = random.getrandbits(24)
        message = Message(
            kind=kind,
            transaction=number,
            client=self._client,
            association=self._association,
            server=server,
            hint=hint or self._hint,
        )
        pause, sent = first_s, 0
        while (until is None or loop.time() < until) and (tries is None or sent < tries):
            with contextlib.suppress(OSError):
                self._send(encode(message, loop.time() - began))
            sent += 1
            limit = loop.time() + pause * random.uniform(0.9, 1.1)  # noqa: S311
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(limit if until is None else min(limit, until)):
                    while True:
                        answer = await self._inbox.get()
                        if (answer.kind, answer.transaction) == (expected, number):
                            return answer
            pause = min(pause * 2, longest_s)
        return None
