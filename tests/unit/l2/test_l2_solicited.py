"""A host speaks for distributed routers to its own guests: at the beginning, to who asks, and at the end."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.l2.scene import device
from tests.waiting import until

from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import PacketIn, PacketOut
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2 import solicited
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired
from pileus.host.l2.solicited import FAREWELL_S, Solicited
from pileus.host.l2.words import ASKED, SOLICITED
from pileus.wire.distributed import AdvertisedSubnet, DistributedInterface, DistributedRouter

MAC, LINK = "fa:16:3e:00:00:a1", "fe80::f816:3eff:fe00:a1"
GUEST = bytes.fromhex("fa163e000005")
INTERFACE = DistributedInterface(
    "net", MAC, ("fd00:1::1",), advertised=(AdvertisedSubnet("fd00:1::/64", "slaac", ("fd00::53",)),)
)
ROUTER = DistributedRouter("router", (INTERFACE,))


def wired(number: int, **changes: Any) -> Wired:
    return Wired(device(number, "net", **changes), f"tap{number}", 100 + number, 3, number, 1)


class Scene:
    def __init__(self) -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        self.flows = SimulatedFlows(switch)
        self.speaker = Solicited("br-int", self.flows)

    @property
    def sent(self) -> list[PacketOut]:
        return self.flows.sent.get("br-int", [])

    def follow(self, *devices: Wired, router: DistributedRouter | None = ROUTER, mtu: int = 1450) -> None:
        self.speaker.follow([router] if router else [], {"net": 3}, {"net": mtu}, devices)

    async def said(self, count: int) -> list[PacketOut]:
        """What is said next, of so many packets."""
        await until(lambda: len(self.sent) >= count)
        await asyncio.sleep(0)
        found, self.flows.sent["br-int"] = self.sent, []
        assert len(found) == count
        return found


def tell(story: Callable[[Scene], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    async def told() -> None:
        monkeypatch.setattr(solicited, "_AGAIN_S", ())
        scene = Scene()
        try:
            await story(scene)
        finally:
            scene.speaker.close()

    asyncio.run(told())


def read(frame: bytes) -> tuple[int, str, str, int]:
    """The kind of a message, its source and destination, and an advertisement's lifetime; checks it."""
    packet = frame[14:]
    source, to = (str(ipaddress.IPv6Address(packet[at : at + 16])) for at in (8, 24))
    data = packet[8:40] + struct.pack("!II", len(packet) - 40, 58) + packet[40:]
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert (total, packet[7]) == (0xFFFF, 255)
    return packet[40], source, to, int.from_bytes(packet[46:48])


def test_devices_here_hear_of_the_router_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        scene.follow(wired(5), wired(6), wired(7, device_owner="network:router_interface_distributed"))
        (first,) = await scene.said(1)
        assert read(first.data) == (134, LINK, "ff02::1", 1800)
        assert first.data[:12] == bytes.fromhex("333300000001fa163e0000a1")
        assert first.actions == (
            "set_field:0x3->reg6,set_field:0x5->reg5,resubmit(,61),set_field:0x6->reg5,resubmit(,61)"
        )
        scene.follow(wired(5), wired(6))
        scene.follow(wired(5), wired(6), wired(8))
        (second,) = await scene.said(1)
        assert second.data == first.data and second.actions.endswith("set_field:0x8->reg5,resubmit(,61)")
        assert second.actions.count("resubmit") == 1
        scene.follow(wired(5), mtu=1400)
        (third,) = await scene.said(1)
        assert third.data != first.data

    tell(story, monkeypatch)


def test_who_asks_is_answered_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        scene.follow(wired(5))
        await scene.said(1)
        assert scene.speaker.wanted
        asked = bytes.fromhex("333300000002") + GUEST + b"\x86\xdd" + bytes(48)
        for place in ("reg6=3", "reg6=4", ""):
            await scene.speaker.hear(PacketIn(asked, userdata=SOLICITED, match=place))
        (answer,) = await scene.said(1)
        assert answer.data[:6] == GUEST and read(answer.data) == (134, LINK, "ff02::1", 1800)
        assert answer.actions == f"set_field:0x3->reg6,resubmit(,{t.SWITCH})"

    tell(story, monkeypatch)


def test_who_asks_for_its_address_without_telling_his_own_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(scene: Scene) -> None:
        scene.follow(wired(5))
        await scene.said(1)
        for target in ("fd00:1::1", LINK, "fd00:1::9"):
            body = bytes([135, *bytes(7)]) + ipaddress.IPv6Address(target).packed
            head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255)
            addresses = (
                ipaddress.IPv6Address("fe80::5").packed + ipaddress.IPv6Address("ff02::1:ff00:1").packed
            )
            asked = bytes.fromhex("3333ff000001") + GUEST + b"\x86\xdd" + head + addresses + body
            await scene.speaker.hear(PacketIn(asked, userdata=ASKED, match="reg6=3"))
        assert [read(one.data)[:3] for one in await scene.said(2)] == [
            (136, "fd00:1::1", "fe80::5"),
            (136, LINK, "fe80::5"),
        ]

    tell(story, monkeypatch)


def test_a_router_that_is_here_no_more_is_kept_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        scene.follow(wired(5))
        await scene.said(1)
        scene.follow(wired(5), router=None)
        last, asked = await scene.said(2)
        assert read(last.data) == (134, LINK, "ff02::1", FAREWELL_S)
        # Where it is a central one now, its port tells the guests.
        assert read(asked.data)[:3] == (133, "::", "ff02::2")
        assert asked.actions == f"set_field:0x3->reg6,resubmit(,{t.SERVICES})"
        assert not scene.speaker.wanted

    tell(story, monkeypatch)


def test_nothing_is_said_where_the_subnet_does_not_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        silent = replace(INTERFACE, advertised=())
        scene.follow(wired(5), router=replace(ROUTER, interfaces=(silent,)))
        bad = replace(INTERFACE, advertised=(AdvertisedSubnet("fd00::1/64", "slaac"),))
        scene.follow(wired(5), router=replace(ROUTER, interfaces=(bad,)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert scene.sent == [] and scene.speaker.wanted, "its address is asked for all the same"

    tell(story, monkeypatch)
