"""Two hosts with real switches, or with Linux bridges, for the tests of one module."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.bridge_lab import BridgeLab
from tests.system.l2_world import ANYONE, World, until

from pileus.app.lab.lab import Guest, Lab


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module", params=["openvswitch", "linuxbridge"])
def shared_world(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[World]:
    async def open_world() -> World:
        await lab.open()
        world = World(lab)
        for host in lab.hosts.values():
            await world.start(host)
        await until(lambda: all(agent.metrics.full_passes for agent in world.agents.values()))
        return world

    async def close_world() -> None:
        for name in list(world.tasks):
            await world.stop(name)

    state, name = Path(tempfile.mkdtemp(prefix="plab")), f"pt{os.getpid() % 1000}"
    lab = BridgeLab(2, state, name) if request.param == "linuxbridge" else Lab(2, state, name)
    try:
        world = runner.run(open_world())
        yield world
        runner.run(close_world())
    finally:
        runner.run(lab.close())


@pytest.fixture
def world(shared_world: World, runner: asyncio.Runner) -> Iterator[World]:
    shared_world.group("open", *ANYONE)
    yield shared_world
    runner.run(shared_world.clear())


@pytest.fixture
def switch_world(world: World) -> World:
    """A world of Open vSwitch: the question is about a part that Linux bridges do not have."""
    if isinstance(world.lab, BridgeLab):
        pytest.skip("Linux bridges have no ovs-vswitchd, no counters of flows and no rate limits")
    return world


async def say(world: World, guest: Guest, address: str, port: str, text: str) -> list[str]:
    """Send a line to a port; the words that came back."""
    async with world.program(guest, "talk", address, port) as talk:
        said, _ = await talk.communicate(f"{text}\n".encode())
    return said.decode().split()
