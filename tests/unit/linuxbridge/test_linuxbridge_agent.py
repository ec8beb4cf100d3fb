"""The Linux-bridge agent over the twins: whole passes, restarts, what can't be done, purge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from tests.unit.l2.switch_server import SwitchServer
from tests.waiting import until

from pileus.core.clock import SystemClock
from pileus.drivers.linuxbridge.board import PluggingBoard
from pileus.drivers.linuxbridge.simulated import SimulatedBridges
from pileus.drivers.netlink.links import Veth
from pileus.drivers.netlink.simulated import SimulatedLinks
from pileus.drivers.nft.simulated import SimulatedFilter
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.agent import AgentSettings
from pileus.host.linuxbridge.agent import LinuxBridgeAgent
from pileus.host.linuxbridge.filtering import Tracker
from pileus.host.linuxbridge.settings import LinuxBridgeSettings
from pileus.wire.switch import (
    AddressPair,
    DeviceDetails,
    FixedIP,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
)

replace = msgspec.structs.replace


class Node:
    """A simulated node; the agent can be dropped and made again."""

    def __init__(self) -> None:
        self.server = SwitchServer()
        self.server.networks["net"] = NetworkDetails("net", Segment("vxlan", None, 7), 1450)
        self.server.put_group(SecurityGroupDetails("web", (SecurityRule("in", "ingress", "IPv4"),)))
        self.board = PluggingBoard()
        self.links = SimulatedLinks()
        self.bridges = SimulatedBridges(self.links.links)
        self.filter = SimulatedFilter()
        self.agent: LinuxBridgeAgent
        self._task: asyncio.Task[None] | None = None

    async def start(self, tracker: Tracker = "bridge") -> None:
        settings = LinuxBridgeSettings(host="n1", tunneling_ip="192.0.2.1", watch_interval_s=0.05)
        self.agent = LinuxBridgeAgent(
            *(AgentSettings(host="n1"), settings, self.server, SystemClock()),
            *(self.board.client(), self.bridges, self.filter),
            tracker=tracker,
        )
        self._task = asyncio.create_task(self.agent.run())
        await until(lambda: self.agent.in_sync.is_set())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def plug(self, *numbers: int) -> None:
        await self.links.ensure_veths(Veth(f"tap{n}", f"inner{n}") for n in numbers)
        client = self.board.client()
        await client.connect()
        edit = Edit(client)
        edit.ensure_bridge("br-int")
        for n in numbers:
            edit.ensure_port("br-int", f"tap{n}", interface={"external_ids": {"iface-id": f"p{n}"}})
        await edit.commit()
        await client.close()

    def want(self, number: int, **changes: Any) -> None:
        details = DeviceDetails(
            port_id=f"p{number}",
            network_id="net",
            mac_address=f"fa:16:3e:00:00:{number:02x}",
            fixed_ips=(FixedIP(f"10.0.0.{number}", "s4", "10.0.0.0/24"),),
            security_group_ids=("web",),
        )
        self.server.put_device(replace(details, **changes), "n1")

    def status(self, number: int) -> str:
        return self.server.devices[f"p{number}"].status

    async def master(self, number: int) -> str | None:
        return (await self.bridges.read()).devices[f"tap{number}"].master

    async def full_pass(self) -> int:
        await self.agent.reconciler.settled()
        before = self.agent.metrics.full_passes
        self.agent.reconciler.wake(reread=True, inspect=True)
        await until(lambda: self.agent.metrics.full_passes > before)
        return self.agent.metrics.changes_of_last_full_pass


def run(story: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
    async def tell() -> None:
        node = Node()
        try:
            await story(node)
        finally:
            await node.stop()

    asyncio.run(tell())


def test_devices_become_members_and_a_restart_changes_nothing() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        node.want(2)
        await node.plug(1, 2, 3)
        await node.start()
        await until(lambda: node.status(1) == node.status(2) == "ACTIVE")
        assert [await node.master(n) for n in (1, 2, 3)] == ["brqnet", "brqnet", None]
        report = node.agent.report()
        assert (report.binary, report.agent_type) == ("neutron-linuxbridge-agent", "Linux bridge agent")
        assert report.configurations["tunnel_types"] == ["vxlan"] and report.configurations["devices"] == 2
        assert await node.full_pass() == 0
        await node.stop()
        await node.start()
        assert node.agent.metrics.changes == 0
        node.server.remove_device("p1")
        node.server.remove_device("p2")
        await until(lambda: node.agent.configurations()["devices"] == 0)
        await node.agent.reconciler.settled()
        assert not [name for name in (await node.bridges.read()).devices if name.startswith(("brq", "vxlan"))]
        assert await node.full_pass() == 0

    run(story)


def test_what_somebody_changes_is_noticed_and_mended() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        await node.plug(1)
        await node.start()
        await until(lambda: node.status(1) == "ACTIVE")
        await node.filter.remove({None: [("bridge", "pileus_ports")]})
        node.bridges._remove("brqnet")
        async with asyncio.timeout(10):
            while await node.master(1) is None or not await node.filter.read([None]):
                await asyncio.sleep(0.01)
        await node.agent.reconciler.settled()
        assert ("bridge", "pileus_ports") in (await node.filter.read([None]))[None]
        assert await node.full_pass() == 0

    run(story)


def test_a_device_whose_interface_is_missing_is_wired_when_it_comes() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        await node.plug(1)
        await node.links.delete_links(["tap1"])
        await node.start()
        await until(lambda: any(status.failed for status in node.server.statuses))
        assert node.server.statuses[-1].failed[0].reason == "tap1: no such interface"
        await node.links.ensure_veths([Veth("tap1", "inner1")])
        await until(lambda: node.status(1) == "ACTIVE")

    run(story)


def test_without_connection_tracking_groups_are_not_pretended() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        node.want(2, port_security_enabled=False, security_group_ids=())
        node.server.put_group(SecurityGroupDetails("loose", (), stateful=False))
        node.want(3, security_group_ids=("loose",))
        await node.plug(1, 2, 3)
        await node.start("")
        await until(lambda: node.status(2) == node.status(3) == "ACTIVE")
        failed = [failure for status in node.server.statuses for failure in status.failed]
        # A pass that reads everything again tells it again.
        assert {one.port_id for one in failed} == {"p1"}
        assert all("tracks no connections" in one.reason for one in failed)
        assert await node.master(1) is None

    run(story)


def test_less_allowed_cuts_what_is_open() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        await node.plug(1)
        await node.start()
        await until(lambda: node.status(1) == "ACTIVE")
        assert node.filter.forgotten == []
        node.server.put_group(SecurityGroupDetails("web", ()))
        await until(lambda: node.filter.forgotten == [(None, "10.0.0.1")])

    run(story)


def test_one_poisonous_device_keeps_no_other_waiting() -> None:
    async def story(node: Node) -> None:
        poisons: list[dict[str, Any]] = [
            {"mac_address": "fa:16:3e:00:00:09,actions=NORMAL"},
            {"mac_address": "ff:ff:ff:ff:ff:ff"},
            {"mac_address": ""},
            {"fixed_ips": (FixedIP("fe80::1%a b", "s4"),)},
            {"allowed_address_pairs": (AddressPair("10.0.0.0/33", "fa:16:3e:00:00:09"),)},
            {"security_group_ids": ("a b\nc",)},
            {"device_id": "\x00"},
        ]
        for number, poison in enumerate(poisons, 2):
            node.want(number, **poison)
        node.want(1)
        await node.plug(1, *range(2, len(poisons) + 2))
        await node.start()
        await until(lambda: node.status(1) == "ACTIVE")
        failed = {one.port_id for status in node.server.statuses for one in status.failed}
        assert failed == {f"p{number}" for number in range(2, len(poisons) + 2)}

    run(story)


def test_purge_leaves_nothing_of_ours() -> None:
    async def story(node: Node) -> None:
        node.want(1)
        await node.plug(1)
        await node.start()
        await until(lambda: node.status(1) == "ACTIVE")
        await node.stop()
        await node.agent.purge(guests=True)
        await node.agent.release()
        assert set((await node.bridges.read()).devices) == {"lo", "tap1", "inner1"}
        assert (await node.filter.read([None]))[None] == {}

    run(story)
