"""Wake-ups between several servers, by RabbitMQ.

Each server has one exclusive queue on a fanout exchange; a message says only how far the
event stream has come. A broker that is away delays (the servers look into the database
now and then on their own) and breaks nothing: publishing never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from pileus.core import log

if TYPE_CHECKING:
    import aio_pika

EXCHANGE = "pileus.positions"
RETRY_S = (0.5, 15.0)

logger = log.get("bus")


class Announcement(msgspec.Struct, frozen=True):
    """The event stream has come to ``position``; ``origin`` said so."""

    position: int
    origin: str


class RabbitAnnouncer:
    """Tells other servers how far the event stream has come, and hears it from them.

    ``heard`` is called in the event loop with each position that another server announced.
    """

    def __init__(self, url: str, origin: str, heard: Callable[[int], None]) -> None:
        self._url = url
        self._origin = origin
        self._heard = heard
        self._newest = 0
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Connect in the background, again and again until ``close``."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def announce(self, position: int) -> None:
        """Tell the others; positions that come faster than the broker takes them are one message."""
        self._newest = max(self._newest, position)
        self._told.set()

    async def _run(self) -> None:
        delay = RETRY_S[0]
        while True:
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self.connected:
                    delay = RETRY_S[0]
                self.connected = False
                logger.warning("rabbitmq is away", error=str(error) or type(error).__name__, again_in_s=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_S[1])

    async def _serve(self) -> None:
        import aio_pika

        connection = await aio_pika.connect(self._url, timeout=10)
        async with connection:
            channel = await connection.channel(publisher_confirms=False)
            exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.FANOUT)
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            await queue.bind(exchange)
            await queue.consume(self._hear, no_ack=True)
            self.connected = True
            logger.info("rabbitmq is here")
            publisher = asyncio.create_task(self._publish(exchange, aio_pika.Message))
            closed = asyncio.create_task(until_closed(connection))
            try:
                done, _ = await asyncio.wait({publisher, closed}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                publisher.cancel()
                closed.cancel()

    async def _publish(
        self, exchange: aio_pika.abc.AbstractExchange, message: type[aio_pika.Message]
    ) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            body = msgspec.json.encode(Announcement(self._newest, self._origin))
            await exchange.publish(message(body), routing_key="")

    async def _hear(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        try:
            announcement = msgspec.json.decode(message.body, type=Announcement)
        except msgspec.DecodeError as error:
            logger.warning("not an announcement", error=str(error))
            return
        if announcement.origin != self._origin:
            self._heard(announcement.position)


async def until_closed(connection: aio_pika.abc.AbstractConnection) -> None:
    """Raise ConnectionError when the broker has closed the connection."""
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    await closed.wait()
    raise ConnectionError("the broker closed the connection")
