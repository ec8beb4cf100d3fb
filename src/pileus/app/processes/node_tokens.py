"""The tokens of nodes as a server keeps book of them: who showed one, whose are refused.

The book is in memory, so that no call waits for the database; it is read anew when an event says
that a token was revoked, on every server that shares the database.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

from pileus.bus.endpoint import Administer
from pileus.bus.node import Node, NodeTokens
from pileus.core import log
from pileus.core.clock import Clock
from pileus.store import Published, Store
from pileus.store.node_tokens import (
    REVOKED,
    NodeTokenRow,
    node_token_seen,
    node_tokens_read,
    node_tokens_refuse,
)
from pileus.wire.nodes import Everything, NodeTokenFacts, NodeTokenList, Revocation

_EPOCH = dt.datetime(1970, 1, 1)

logger = log.get("bus")


class NodeTokenBook:
    """Keeps ``tokens`` in step with the database; ``revoked`` is called when what is refused was read."""

    def __init__(self, store: Store, tokens: NodeTokens, clock: Clock, revoked: Callable[[], None]) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._revoked = revoked
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read what is refused, and follow what changes."""
        await self._read()
        self._tokens.seen = lambda node: self._later(self._note(node))
        self._store.subscribe(self._published)

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def administration(self) -> dict[str, tuple[type, Administer]]:
        """The questions that the controller may ask."""
        return {"tokens": (Everything, self._list), "revoke": (Revocation, self._revoke)}

    async def _list(self, _: Everything) -> NodeTokenList:
        rows = await self._store.read(node_tokens_read)
        return NodeTokenList(tuple(map(_facts, rows)))

    async def _revoke(self, asked: Revocation) -> NodeTokenList:
        await self._store.write(node_tokens_refuse, asked.host, self._clock.now())
        await self._read()
        return await self._list(Everything())

    async def _read(self) -> None:
        rows = await self._store.read(node_tokens_read)
        self._tokens.refuse({row.host: _ms(row.refused_before) for row in rows if row.refused_before})
        self._revoked()

    async def _note(self, node: Node) -> None:
        await self._store.write(node_token_seen, node.host, _moment(node.issued_ms), _moment(node.ends_ms))

    def _published(self, published: Published) -> None:
        if REVOKED in published.scopes:
            self._later(self._read())

    def _later(self, work: object) -> None:
        task = asyncio.ensure_future(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _quietly(work: object) -> None:
        try:
            await work  # type: ignore[misc]
        except Exception as error:
            logger.warning("the book of node tokens could not be kept", error=str(error))


def _facts(row: NodeTokenRow) -> NodeTokenFacts:
    return NodeTokenFacts(
        host=row.host,
        issued_at=_text(row.issued_at),
        ends_at=_text(row.ends_at),
        refused_before=_text(row.refused_before),
    )


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds") + "Z"


def _ms(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(milliseconds=1)


def _moment(ms: int) -> dt.datetime:
    """Far moments are cut at the last that a database can hold."""
    return _EPOCH + dt.timedelta(milliseconds=min(ms, 253_402_300_799_000))
