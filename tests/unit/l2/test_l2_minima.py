"""Least bandwidths: the queues that give them, and the ports for which nobody does, said once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from pileus.drivers.shaping.queues import Guarantee, Shape, SimulatedQueues, Tunnel, rendered
from pileus.host.l2.minima import Minima
from pileus.host.l2.view import InterfaceView, PortView
from pileus.wire.qos import PortQos
from pileus.wire.switch import Segment

from .scene import SETTINGS, device, mac, model, network, plug, view
from .test_l2_plan import converge

replace = msgspec.structs.replace

KNOWN = replace(SETTINGS, bandwidths=(("physnet1", 20_000), ("unmapped", 5)))
CARD = PortView("eth0", "br-ex", InterfaceView("eth0", ofport=1))


class Logger:
    def __init__(self) -> None:
        self.said: list[dict[str, int]] = []
        self.errors: list[str] = []

    def warning(self, text: str, **facts: Any) -> None:
        self.said.append(facts["ports"])

    def error(self, text: str, **facts: Any) -> None:
        self.errors.append(facts["card"])


def world(kbps: int, settings: Any = KNOWN) -> Any:
    """Two ports on the wire and one in a tunnel, of which one each asks for something."""
    asks = PortQos(egress_minimum_kbps=kbps) if kbps else None
    wanted = model(
        [device(1, "wire", qos=asks), device(2, "wire"), device(3, qos=asks)],
        [network("wire", Segment("vlan", "physnet1", 7)), network()],
    )
    switch, wiring, _ = converge(wanted, view([plug(1), plug(2), plug(3), CARD]), settings)
    return wiring.devices, wanted.networks, switch


def test_a_card_has_queues_for_those_that_ask_and_the_others_are_said_once() -> None:
    logger, queues = Logger(), SimulatedQueues()
    minima = Minima(logger, KNOWN, queues)
    assert minima.enforced

    def bring(kbps: int) -> None:
        asyncio.run(minima.bring(*world(kbps), whole=False))

    bring(15_000)
    devices, *_ = world(15_000)
    own = Guarantee(devices["port-1"].number, mac(1), 15_000)
    assert queues.shapes == {"eth0": Shape(20_000, (own,))}
    bring(15_000)
    assert logger.said == [{"port-3": 15_000}]
    bring(10_000)
    bring(0)
    assert queues.shapes == {}
    bring(10_000)
    assert logger.said[1:] == [{"port-3": 10_000}, {"port-3": 10_000}]
    queues.faults["eth0"] = "busy"
    bring(10_000)
    assert logger.errors == ["eth0"] and not minima.enforced
    assert logger.said[-1] == {"port-1": 10_000}


def test_without_a_rate_nothing_is_enforced() -> None:
    logger, queues = Logger(), SimulatedQueues()
    minima = Minima(logger, SETTINGS, queues)
    asyncio.run(minima.bring(*world(100, SETTINGS), whole=True))
    assert not minima.enforced
    assert logger.said == [{"port-1": 100, "port-3": 100}]
    assert queues.shapes == {}


def test_the_lines_of_a_card() -> None:
    shape = Shape(20_000, (Guarantee(7, "FA:16:3e:00:00:01", 15_000),))
    assert rendered("eth0", shape) == [
        "qdisc add dev eth0 root handle 504c: htb default fffe",
        "class add dev eth0 parent 504c: classid 504c:ffff htb rate 20000kbit ceil 20000kbit quantum 1514",
        "class add dev eth0 parent 504c:ffff classid 504c:fffe htb rate 5000kbit ceil 20000kbit quantum 1514",
        "qdisc add dev eth0 parent 504c:fffe pfifo limit 20",
        "class add dev eth0 parent 504c:ffff classid 504c:7 htb rate 15000kbit ceil 20000kbit quantum 1514",
        "qdisc add dev eth0 parent 504c:7 pfifo limit 20",
        "filter add dev eth0 parent 504c: protocol all prio 10 u32 match u32 0xfa163e00 0xffffffff at -8 "
        "match u16 0x0001 0xffff at -4 flowid 504c:7",
    ]


TUNNELS = replace(
    SETTINGS, bandwidths=(("physnet1", 20_000), ("rp_tunnelled", 10_000)), tunneling_ip="192.0.2.1"
)


def test_tunnels_have_queues_on_the_card_of_their_address() -> None:
    logger, queues = Logger(), SimulatedQueues()
    minima = Minima(logger, TUNNELS, queues)
    devices, networks, switch = world(6_000, TUNNELS)
    wire = Guarantee(devices["port-1"].number, mac(1), 6_000)
    inside = Guarantee(devices["port-3"].number, mac(3), 6_000, Tunnel("vxlan", 4, 4789))

    def bring() -> None:
        asyncio.run(minima.bring(devices, networks, switch, whole=False))

    bring()
    assert logger.said == [{"port-3": 6_000}], "nobody has the address"
    assert queues.shapes == {"eth0": Shape(20_000, (wire,))}
    queues.devices["192.0.2.1"] = "eth1"
    bring()
    assert queues.shapes == {"eth0": Shape(20_000, (wire,)), "eth1": Shape(10_000, (inside,))}
    queues.devices["192.0.2.1"] = "br-ex"
    bring()
    assert queues.shapes == {"eth0": Shape(10_000, (wire, inside))}, "one card for both"
    assert len(logger.said) == 1


def test_a_sender_inside_of_a_tunnel_is_told_by_his_own_frame() -> None:
    def matched(tunnel: Tunnel) -> str:
        line = rendered("eth0", Shape(20_000, (Guarantee(7, mac(1), 15_000, tunnel),)))[-1]
        return line.partition(" u32 ")[2].partition(" flowid")[0]

    assert matched(Tunnel("vxlan", 4, 4789)) == (
        "match u8 0x45 0xff at 0 match u8 17 0xff at 9 match u16 4789 0xffff at 22 "
        "match u16 0xfa16 0xffff at 42 match u32 0x3e000001 0xffffffff at 44"
    )
    assert matched(Tunnel("vxlan", 6, 4789)).startswith("match u8 0x60 0xf0 at 0 match u8 17 0xff at 6")
    assert matched(Tunnel("vxlan", 6, 4789)).endswith("at 62 match u32 0x3e000001 0xffffffff at 64")
    assert "at 34 match u32" in matched(Tunnel("gre", 4)) and "47 0xff at 9" in matched(Tunnel("gre", 4))
    assert "at 54 match u32" in matched(Tunnel("gre", 6))
