"""Notifications over a real broker, as a reader of oslo.messaging's queues sees them."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.broker import PROGRAM, Broker

from pileus.bus.notifications import Notifier

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="rabbitmq-server is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a throwaway broker is started as root"),
]

AT = dt.datetime(2026, 1, 2, 3, 4, 5)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    it = Broker()
    try:
        it.start()
        yield it
    finally:
        it.close()


async def _read(url: str, count: int) -> list[dict[str, Any]]:
    import aio_pika

    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30), await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("notifications.info")
        while len(found) < count:
            message = await queue.get(no_ack=True, fail=False)
            if message is None:
                await asyncio.sleep(0.01)
                continue
            envelope = msgspec.json.decode(message.body)
            assert envelope["oslo.version"] == "2.0"
            found.append(msgspec.json.decode(envelope["oslo.message"]))
    return found


def test_a_reader_that_comes_late_finds_all_in_order(broker: Broker) -> None:
    async def story() -> None:
        notifier = Notifier(broker.url, exchange="keystone", topic="notifications", publisher="identity.here")
        for number in range(50):  # before there is a connection
            notifier.send("identity.user.created", {"resource_info": str(number)}, AT)
        notifier.start()
        found = await _read(broker.url, 50)
        assert [one["payload"]["resource_info"] for one in found] == [str(number) for number in range(50)]
        one = found[0]
        assert one["event_type"] == "identity.user.created" and one["priority"] == "INFO"
        assert one["publisher_id"] == "identity.here" and one["timestamp"] == "2026-01-02 03:04:05.000000"
        broker.stop()
        notifier.send("identity.user.deleted", {"resource_info": "late"}, AT, "metering.n1")
        broker.start()
        (late,) = await _read(broker.url, 1)
        assert (late["payload"], late["publisher_id"]) == ({"resource_info": "late"}, "metering.n1")
        await notifier.close()

    asyncio.run(story())
