"""Notifications for programs beside the cloud, over RabbitMQ, as oslo.messaging's ``messagingv2`` sends
them: to a topic exchange, with a queue of the topic's name, so that none is lost before its reader comes.

Sending waits for nobody: what a broker that is away does not take is held, and the oldest goes first. One
that is under way while a broker dies may be lost.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from pileus.bus.rabbit import until_closed
from pileus.core import log
from pileus.core.ids import new_id

if TYPE_CHECKING:
    import aio_pika

HELD = 10_000
RETRY_S = (0.5, 15.0)

logger = log.get("bus")


class Notifier:
    """Sends notifications of one service. ``exchange`` is the service's, ``publisher`` says which server."""

    def __init__(self, url: str, *, exchange: str, topic: str, publisher: str) -> None:
        self._url = url
        self._exchange = exchange
        self._queue = f"{topic}.info"
        self._publisher = publisher
        self._held: deque[bytes] = deque(maxlen=HELD)
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background, again and again until ``close``."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End; what is held is not sent any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(
        self, event_type: str, payload: dict[str, Any], at: dt.datetime, publisher: str | None = None
    ) -> None:
        """Send one, as soon as the broker takes it; for another publisher where one is named."""
        message = {
            "message_id": new_id(),
            "publisher_id": publisher or self._publisher,
            "event_type": event_type,
            "priority": "INFO",
            "payload": payload,
            "timestamp": at.isoformat(" ", "microseconds"),
        }
        text = msgspec.json.encode(message).decode()
        self._held.append(msgspec.json.encode({"oslo.version": "2.0", "oslo.message": text}))
        self._more.set()

    async def _run(self) -> None:
        delay = RETRY_S[0]
        while True:
            try:
                await self._serve()
            except Exception as error:
                text = str(error) or type(error).__name__
                logger.warning("notifications wait for rabbitmq", error=text, again_in_s=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_S[1])

    async def _serve(self) -> None:
        import aio_pika

        connection = await aio_pika.connect(self._url, timeout=10)
        async with connection:
            channel = await connection.channel(publisher_confirms=False)
            exchange = await channel.declare_exchange(self._exchange, aio_pika.ExchangeType.TOPIC)
            queue = await channel.declare_queue(self._queue)
            await queue.bind(exchange, routing_key=self._queue)
            sender = asyncio.create_task(self._send_held(exchange, aio_pika.Message))
            closed = asyncio.create_task(until_closed(connection))
            try:
                done, _ = await asyncio.wait({sender, closed}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                sender.cancel()
                closed.cancel()
                await asyncio.gather(sender, closed, return_exceptions=True)

    async def _send_held(
        self, exchange: aio_pika.abc.AbstractExchange, message: type[aio_pika.Message]
    ) -> None:
        while True:
            while self._held:
                body = self._held[0]
                one = message(body, content_type="application/json", content_encoding="utf-8")
                await exchange.publish(one, routing_key=self._queue, timeout=10)
                if self._held and self._held[0] is body:  # else it made room for a newer one
                    self._held.popleft()
            self._more.clear()
            await self._more.wait()
