"""The gateway agent: machines are told what to be, looked after, and spoken of."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.fake_server import FakeServer
from tests.unit.gateways.scene import LEASE_S, domain, machine, server_id
from tests.unit.l3.scene import floating, router_id
from tests.unit.namespace_bench import scenario, until

from pileus.core.clock import ManualClock
from pileus.core.errors import Unavailable
from pileus.drivers.guestimage.simulated import gateway_guest
from pileus.drivers.libvirt.hypervisor import GuestSaid
from pileus.drivers.libvirt.simulated import SimulatedHypervisor
from pileus.drivers.nft import metering
from pileus.host.agent import AgentSettings
from pileus.host.gateways.agent import GatewayAgent
from pileus.wire import scopes
from pileus.wire.dhcp import LeaseChange, LeaseReport
from pileus.wire.gateway import GatewayMachine, GatewayState
from pileus.wire.l3 import L3Status, MeteringLabel, MeteringRule
from pileus.wire.switch import Acknowledged


class Gateways(FakeServer):
    """The server, as far as gateway machines go."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, GatewayMachine] = {}
        self.statuses: list[L3Status] = []
        self.leases: list[LeaseChange] = []
        self.deaf = False

    def put(self, *several: GatewayMachine) -> None:
        self.machines |= {one.router.router_id: one for one in several}
        self.changed(scopes.gateways("n1"), *(scopes.router(one.router.router_id) for one in several))

    def drop(self, key: str) -> None:
        del self.machines[key]
        self.changed(scopes.gateways("n1"), scopes.router(key))

    @property
    def last(self) -> L3Status:
        return self.statuses[-1] if self.statuses else L3Status("n1")

    def _gateway_state(self, request: Any) -> GatewayState:
        wanted = self.machines if request.routers is None else request.routers
        found = tuple(self.machines[key] for key in sorted(wanted) if key in self.machines)
        return GatewayState(self.position, found, LEASE_S)

    def _gateway_status(self, status: L3Status) -> Acknowledged:
        self.statuses.append(status)
        return Acknowledged(self.position)

    def _dhcp_leases(self, report: LeaseReport) -> Acknowledged:
        if self.deaf:
            raise Unavailable("not now")
        self.leases += report.changes
        return Acknowledged(self.position)


class Bench:
    """An agent over simulated machines that count what they are told."""

    def __init__(self, server: Gateways) -> None:
        self.server = server
        self.clock = ManualClock()
        self.said: list[tuple[str, str]] = []
        self.hypervisor = SimulatedHypervisor(guest=self._guest)
        self.agent = GatewayAgent(
            AgentSettings(host="n1"), server, self.clock, self.hypervisor, watch_interval_s=0.02
        )

    def _guest(self, spec: Any, kept: dict[str, str], command: Any, input: bytes) -> GuestSaid:
        self.said.append((spec.uuid, command[1]))
        return gateway_guest(spec, kept, command, input)

    async def start(self, *several: GatewayMachine) -> None:
        """Their virtual machines run."""
        await self.hypervisor.ensure_defined([domain(one) for one in several])
        for one in several:
            await self.hypervisor.start(one.server_id)

    async def hurry(self, passes: int = 1) -> None:
        """What waits for a moment need not wait."""
        before = self.agent.metrics.passes
        self.agent.reconciler.wake(inspect=True)
        await until(lambda: self.agent.metrics.passes >= before + passes)

    async def looked(self, times: int) -> None:
        """Until leases were looked at so often."""
        before = self.said.count((server_id(1), "-c"))
        await until(lambda: self.said.count((server_id(1), "-c")) >= before + times)

    def applied(self, number: int = 1) -> int:
        return self.said.count((server_id(number), "apply"))


@contextlib.asynccontextmanager
async def running(server: Gateways, before: Bench | None = None) -> AsyncIterator[Bench]:
    """``before``: whose machines go on."""
    bench = Bench(server)
    if before is not None:
        bench.hypervisor._machines = before.hypervisor._machines
    await bench.hypervisor.connect()
    task = asyncio.create_task(bench.agent.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_machine_is_told_once_and_again_when_something_changes() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            await bench.start(machine())
            server.put(machine())
            await until(lambda: server.last.routers == (router_id(1),))
            assert bench.applied() == 1 and server.last.failed == {}
            # What it has already is not told again, also by an agent that has just begun.
            await bench.hurry()
            assert bench.applied() == 1
            server.put(machine(floating_ips=(floating(9),)))
            await until(lambda: server.last.floating_ips == ("fip-9",))
            assert bench.applied() == 2
            assert bench.agent.scopes() == {
                scopes.gateways("n1"),
                scopes.router(router_id(1)),
                scopes.dhcp_network("net-1"),
            }
            server.drop(router_id(1))
            await until(lambda: server.last.routers == ())
            assert bench.agent.configurations()["routers"] == 0

    scenario(story)


def test_one_that_forgets_is_told_again() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            await bench.start(machine())
            server.put(machine())
            await until(lambda: bench.applied() == 1)
            bench.hypervisor._machines[server_id(1)].inside.clear()
            await until(lambda: bench.applied() == 2)

    scenario(story)


def test_one_keeps_no_other_waiting_and_is_spoken_of_when_its_time_is_over() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            await bench.start(machine(2))
            server.put(machine(1), machine(2))
            await until(lambda: server.last.routers == (router_id(2),))
            assert server.last.failed == {}  # the first may still be booting
            bench.clock.advance(61)
            await bench.hurry()
            await until(lambda: router_id(1) in server.last.failed)
            assert "no domain" in server.last.failed[router_id(1)]
            await bench.start(machine(1))
            bench.clock.advance(61)
            await bench.hurry()
            await until(lambda: server.last.routers == (router_id(1), router_id(2)))
            assert server.last.failed == {}
            # One that has worked and falls silent is not waited for as long.
            bench.hypervisor.deaf.add(server_id(1))
            await until(lambda: server.last.routers == (router_id(2),))
            bench.clock.advance(16)
            await bench.hurry()
            await until(lambda: "not responding" in server.last.failed.get(router_id(1), ""))

    scenario(story)


def test_another_machine_in_its_place_is_told_of_though_all_else_is_as_before() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            other = machine(1, server=server_id(7))
            await bench.start(machine(1), other)
            server.put(machine(1))
            await until(lambda: server.last.routers == (router_id(1),))
            said = len(server.statuses)
            server.put(other)
            await until(lambda: len(server.statuses) > said)
            assert server.last.routers == (router_id(1),) and bench.applied(7) == 1

    scenario(story)


def test_a_card_that_is_not_there_yet_is_waited_for() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            one = machine()
            whole = domain(one)
            await bench.hypervisor.ensure_defined([domain(one, interfaces=whole.interfaces[:1])])
            await bench.hypervisor.start(one.server_id)
            server.put(one)
            await until(lambda: bench.applied() == 1)
            assert server.last.routers == ()
            await bench.hypervisor.attach_interface(one.server_id, whole.interfaces[1])
            bench.clock.advance(61)
            await bench.hurry()
            await until(lambda: server.last.routers == (router_id(1),))

    scenario(story)


def test_a_guest_that_says_anything_harms_nobody() -> None:
    async def story() -> None:
        server = Gateways()
        async with running(server) as bench:
            await bench.start(machine(1), machine(2))
            answers = {server_id(1): GuestSaid(0, b"\xff\x00" + b"x" * 100_000)}
            usual = bench._guest

            def guest(spec: Any, kept: dict[str, str], command: Any, input: bytes) -> GuestSaid:
                return answers.get(spec.uuid) or usual(spec, kept, command, input)

            bench.hypervisor._guest = guest
            server.put(machine(1), machine(2))
            await until(lambda: server.last.routers == (router_id(2),))
            bench.clock.advance(61)
            await bench.hurry()
            await until(lambda: router_id(1) in server.last.failed)
            why = server.last.failed[router_id(1)]
            assert len(why) < 1000 and why.isprintable()

    scenario(story)


def lease(address: str, number: int, expires: int) -> str:
    return f"{expires} fa:16:3e:01:cc:{number:02x} {address} guest *\n"


def test_leases_are_told_once_whoever_is_started_again() -> None:
    async def story() -> None:
        server = Gateways()
        port_id = machine().served[0].port.port_id
        async with running(server) as bench:
            await bench.start(machine())
            server.put(machine())
            await until(lambda: server.last.routers == (router_id(1),))
            inside = bench.hypervisor._machines[server_id(1)].inside
            far = int(bench.clock.now().timestamp()) + 1000
            one, two = lease("10.1.0.100", 1, far), lease("10.1.0.101", 2, far)
            server.deaf = True
            inside["leases"] = f"port {port_id}\n{one}no lease at all\nx y z u v\n{two}port ../../x\n{one}"
            await bench.looked(3)
            server.deaf = False
            await until(lambda: len(server.leases) == 2)
            assert {(one.kind, one.ip_address, one.network_id) for one in server.leases} == {
                ("started", "10.1.0.100", "net-1"),
                ("started", "10.1.0.101", "net-1"),
            }
            await until(lambda: "told" in inside)
            await bench.looked(3)
            assert len(server.leases) == 2
        del server.leases[:]
        async with running(server, bench) as again:
            await until(lambda: server.last.routers == (router_id(1),))
            inside["leases"] = f"port {port_id}\n{lease('10.1.0.100', 1, far + 500)}"
            await until(lambda: len(server.leases) == 2)
            assert {(one.kind, one.ip_address) for one in server.leases} == {
                ("renewed", "10.1.0.100"),
                ("ended", "10.1.0.101"),
            }
            assert again.agent.metrics.passes

    scenario(story)


def test_leases_of_ipv6_are_told_as_those_of_ipv4() -> None:
    async def story() -> None:
        server = Gateways()
        port_id = machine().served[0].port.port_id
        async with running(server) as bench:
            await bench.start(machine())
            server.put(machine())
            await until(lambda: server.last.routers == (router_id(1),))
            inside = bench.hypervisor._machines[server_id(1)].inside
            far = int(bench.clock.now().timestamp()) + 1000
            duid = "duid 00:01:00:01:2c:00:00:00:fa:16:3e:00:00:01\nduid\n"
            held = f"{far} 1234567 2001:db8:1::100 guest 00:01:00:01:aa\n"
            inside["leases"] = f"port {port_id}\n{lease('10.1.0.100', 1, far)}{duid}{held}{far} x y\n"
            await until(lambda: len(server.leases) == 2)
            assert {(one.kind, one.ip_address, one.mac_address) for one in server.leases} == {
                ("started", "10.1.0.100", "fa:16:3e:01:cc:01"),
                ("started", "2001:db8:1::100", None),
            }
            await bench.looked(3)
            assert len(server.leases) == 2
            inside["leases"] = f"port {port_id}\n{lease('10.1.0.100', 1, far)}{duid}"
            await until(lambda: len(server.leases) == 3)
            assert (server.leases[-1].kind, server.leases[-1].ip_address) == ("ended", "2001:db8:1::100")

    scenario(story)


def test_labels_are_counted_in_the_machine() -> None:
    async def story() -> None:
        server = Gateways()
        label = MeteringLabel("10000000-0000-4000-8000-000000000001", (MeteringRule("egress", False),))
        wanted = machine(metering_labels=(label,))
        async with running(server) as bench:
            await bench.start(wanted)
            server.put(wanted)
            await until(lambda: server.last.routers == (router_id(1),))
            inside = bench.hypervisor._machines[server_id(1)].inside
            assert await bench.agent.counted() == []
            name = metering.counter_name(label.label_id)
            for said, wanted_counts in (
                ({"name": name, "packets": 7, "bytes": 700}, [(7, 700)]),
                ({"name": "label_of_nobody", "packets": 7, "bytes": 700}, []),
                ({"name": name, "packets": -7, "bytes": 700}, []),
                ({"name": name, "packets": "many", "bytes": 700}, []),
                ({"name": name}, []),
            ):
                inside["counters"] = json.dumps({"nftables": [{"metainfo": {}}, {"counter": said}]})
                found = await bench.agent.counted()
                assert [(one.packets, one.octets) for one in found] == wanted_counts
            inside["counters"] = "nothing that nft would say"
            assert await bench.agent.counted() == []

    scenario(story)
