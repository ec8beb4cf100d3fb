"""Announcements between servers, over a real broker that goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from tests.broker import PROGRAM, Broker

from pileus.bus.rabbit import RabbitAnnouncer

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="rabbitmq-server is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a throwaway broker is started as root"),
]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    it = Broker()
    try:
        it.start()
        yield it
    finally:
        it.close()


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


def test_others_hear_and_the_speaker_does_not(broker: Broker) -> None:
    async def story() -> None:
        heard: dict[str, list[int]] = {"a": [], "b": [], "c": []}
        servers = {name: RabbitAnnouncer(broker.url, name, heard[name].append) for name in heard}
        for server in servers.values():
            server.start()
        await until(lambda: all(server.connected for server in servers.values()))
        servers["a"].announce(5)
        await until(lambda: heard["b"] == [5] and heard["c"] == [5])
        for position in range(6, 500):
            servers["b"].announce(position)
        await until(lambda: heard["a"][-1:] == [499] and heard["c"][-1:] == [499])
        assert len(heard["a"]) < 494, "announcements that come fast are one message"
        assert heard["b"] == [5]
        for server in servers.values():
            await server.close()

    asyncio.run(story())


def test_a_broker_that_comes_back_is_found_and_told_the_newest(broker: Broker) -> None:
    async def story() -> None:
        heard: list[int] = []
        speaker = RabbitAnnouncer(broker.url, "speaker", lambda _: None)
        listener = RabbitAnnouncer(broker.url, "listener", heard.append)
        speaker.start()
        listener.start()
        await until(lambda: speaker.connected and listener.connected)
        await asyncio.to_thread(broker.stop)
        await until(lambda: not speaker.connected and not listener.connected)
        speaker.announce(77)
        await asyncio.to_thread(broker.start)
        await until(lambda: speaker.connected and listener.connected)
        speaker.announce(78)
        await until(lambda: heard[-1:] == [78])
        await speaker.close()
        await listener.close()

    asyncio.run(story())
