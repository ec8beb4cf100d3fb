"""Whatever happens, in whatever order: in the end the host has what the server wants, and nothing else.

Wake-ups are lost, doubled and reordered, the agent is dropped in the middle of builds, machines are
switched off, undefined and unplugged behind its back, libvirt refuses, the server is away. Then everybody
is left in peace, and checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pileus.drivers.libvirt.hypervisor import HypervisorFailed, HypervisorUnavailable, Power
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.hypervisor.machine import tap_name

from .bench import Bench, details, port, server_id
from .compute_server import ComputeServer

NUMBERS = st.integers(1, 4)
POWERS = {
    "running": {Power.RUNNING},
    "paused": {Power.PAUSED},
    "stopped": {Power.OFF},
    "suspended": {Power.OFF},
}


class HostMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.server = ComputeServer(random.Random(seed))
        self.bench = Bench(Path(self.folder.name), self.server, heartbeat_interval_s=0.03)
        self.sources = [self.server.image("a", b"a" * 100), self.server.image("b", b"b" * 200, "raw"), None]
        self.operations = 0
        self.alive = True
        self.run(self.bench.start())

    def run(self, coroutine: Coroutine[Any, Any, Any] | None = None) -> None:
        """Do something, and let the agent run on for a moment that differs."""

        async def both() -> None:
            if coroutine is not None:
                await coroutine
            for _ in range(random.randrange(60)):
                await asyncio.sleep(0)

        self.runner.run(both())

    @rule(number=NUMBERS, image=st.integers(0, 2), ports=st.integers(0, 2), wanted=st.sampled_from([*POWERS]))
    def boot(self, number: int, image: int, ports: int, wanted: str) -> None:
        if server_id(number) not in self.server.servers:
            cards = tuple(port(number * 16 + n) for n in range(ports))
            self.server.put(details(number, image=self.sources[image], ports=cards, wanted=wanted))
            self.run()

    @rule(number=NUMBERS, wanted=st.sampled_from([*POWERS]))
    def change_power(self, number: int, wanted: str) -> None:
        if server_id(number) in self.server.servers:
            self.server.change(server_id(number), wanted=wanted)
            self.run()

    @rule(number=NUMBERS, ports=st.sets(st.integers(0, 3), max_size=3))
    def change_cards(self, number: int, ports: set[int]) -> None:
        if server_id(number) in self.server.servers:
            cards = tuple(port(number * 16 + n) for n in sorted(ports))
            self.server.change(server_id(number), ports=cards)
            self.run()

    @rule(number=NUMBERS, image=st.integers(0, 2))
    def rebuild(self, number: int, image: int) -> None:
        if server := self.server.servers.get(server_id(number)):
            changes = {"generation": server.generation + 1, "image": self.sources[image]}
            self.server.change(server.server_id, **changes)
            self.run()

    @rule(number=NUMBERS, kind=st.sampled_from(["HARD", "SOFT"]))
    def reboot(self, number: int, kind: str) -> None:
        server = self.server.servers.get(server_id(number))
        if server is not None and server.wanted == "running":
            self.operations += 1
            self.server.operate(server.server_id, f"o{self.operations}", type=kind)
            self.run()

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if server_id(number) in self.server.servers:
            self.server.delete(server_id(number))
            self.run()

    @precondition(lambda self: self.alive)
    @rule()
    def kill_agent(self) -> None:
        self.alive = False
        self.run(self.bench.kill())

    @precondition(lambda self: not self.alive)
    @rule()
    def start_agent(self) -> None:
        self.alive = True
        self.run(self.bench.start())

    @rule(number=NUMBERS, crashed=st.booleans())
    def machine_ends(self, number: int, crashed: bool) -> None:
        if server_id(number) in self.bench.hypervisor._machines:
            (self.bench.hypervisor.crash if crashed else self.bench.hypervisor.power_off)(server_id(number))
            self.run()

    @precondition(lambda self: self.alive)
    @rule(number=NUMBERS)
    def machine_is_undefined(self, number: int) -> None:
        self.run(self._undefine(number))

    async def _undefine(self, number: int) -> None:
        if self.bench.hypervisor._connected:
            with contextlib.suppress(HypervisorUnavailable):  # the fault was meant for the agent
                await self.bench.hypervisor.undefine([server_id(number)])

    @rule(number=NUMBERS)
    def port_is_pulled(self, number: int) -> None:
        self.run(self._pull(number))

    async def _pull(self, number: int) -> None:
        edit = Edit(self.bench.client)
        edit.delete_port(tap_name(port(number * 16).port_id))
        await edit.commit()

    @rule(number=NUMBERS)
    def tap_is_deleted(self, number: int) -> None:
        self.run(self.bench.links.delete_links([tap_name(port(number * 16).port_id)]))

    @rule(verb=st.sampled_from(["start", "list_domains", "stats", "undefine", "ensure_defined", "destroy"]))
    def libvirt_goes(self, verb: str) -> None:
        self.bench.hypervisor.faults[verb] = HypervisorUnavailable(verb, "libvirtd restarts")
        self.run()

    @rule()
    def libvirt_refuses(self) -> None:
        self.bench.hypervisor.faults["start"] = HypervisorFailed("start", "no memory left")
        self.run()

    @rule(away=st.booleans())
    def server_comes_and_goes(self, away: bool) -> None:
        self.server.away = away
        self.run()

    def teardown(self) -> None:
        try:
            if hasattr(self, "bench"):
                self.runner.run(self._peace())
        finally:
            self.runner.close()
            self.folder.cleanup()

    async def _peace(self) -> None:
        self.server.away = False
        self.bench.hypervisor.faults.clear()
        if not self.alive:
            await self.bench.start()
        # What was given up is wanted anew, as a person would after reading why.
        await self._settle()
        for key, state in list(self.server.states.items()):
            if state.error is not None and key in self.server.servers:
                self.server.change(key, generation=self.server.servers[key].generation + 1)
        await self._settle()
        await self._check()
        for key in list(self.server.servers):
            self.server.delete(key)
        await self._settle()
        assert await self.bench.powers() == {}
        assert (self.bench.plugged(), await self.bench.taps(), self.bench.folders()) == (set(), set(), set())
        journal = self.bench.running.journal
        assert (journal.operations, journal.failures, journal.gone) == ({}, {}, [])
        await self.bench.close()

    async def _settle(self) -> None:
        """Full passes until two in a row change nothing.

        The first ones may repair what nobody said a word of, or have begun before the last change.
        """
        self.bench.running.reconciler.hurry()
        quiet = 0
        for _ in range(8):
            changes = await self.bench.full_pass()
            quiet = quiet + 1 if changes == 0 else 0
            if quiet == 2:
                return
        raise AssertionError(f"a full pass still changed {changes} things")

    async def _check(self) -> None:
        bench, servers = self.bench, self.server.servers
        powers = await bench.powers()
        assert powers.keys() == servers.keys()
        stats = await bench.hypervisor.stats()
        for key, server in servers.items():
            state = self.server.states[key]
            assert (state.error, state.in_place) == (None, True), state
            assert powers[key] in POWERS[server.wanted], (server.wanted, powers[key])
            instance = bench.running.book.get(key)
            assert instance is not None and instance.generation == server.generation
            if powers[key] is not Power.OFF:
                cards = {card.tap for card in stats[key].interfaces}
                assert cards == {tap_name(one.port_id) for one in server.ports}
        wanted = {one.port_id for server in servers.values() for one in server.ports}
        assert bench.plugged() == wanted
        assert await bench.taps() == {tap_name(port_id) for port_id in wanted}
        assert bench.folders() == set(servers)
        assert bench.running.metrics.changes_of_last_full_pass == 0
        named = {one.operation_id for server in servers.values() for one in server.operations}
        assert not named, "operations were not carried out"


TestHost = HostMachine.TestCase
TestHost.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
