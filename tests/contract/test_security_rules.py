"""Security groups as flows, against a model: generated rules, and a real switch that tells what it would do.

Port 1 has the groups, port 2 asks nothing. A packet is traced from one to the other through the whole
pipeline (``ofproto/trace``), with the state that connection tracking would give it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.switches import Host, RealHost, running_host, why_not_real
from tests.unit.l2.scene import SETTINGS, device, group, mac, model, network, plug, view
from tests.unit.l2.test_l2_plan import converge

from pileus.drivers.openflow.flow import difference
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.l2 import tables as t
from pileus.wire.switch import FixedIP, PacketLog, SecurityRule

pytestmark = pytest.mark.real

OWN = {"IPv4": "10.0.0.1", "IPv6": "2001:db8::1"}
OTHERS = {
    "IPv4": ("10.0.0.2", "10.0.1.2", "192.0.2.7", "203.0.113.9"),
    "IPv6": ("2001:db8::2", "2001:db8:1::2", "2001:db8:2::7", "fd00::9"),
}
PREFIXES = {
    "IPv4": ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "192.0.2.7/32", "192.0.2.0/29"),
    "IPv6": ("::/0", "2001:db8::/32", "2001:db8::/64", "2001:db8:2::7/128"),
}
PORTS = (1, 22, 79, 80, 81, 443, 1023, 1024, 32768, 65535)
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "ipv6-icmp": 58, "47": 47}
PORTED = ("tcp", "udp", "sctp")
FRIENDS, OFFICES = "friends", "offices"


class Packet(msgspec.Struct, frozen=True):
    """``first`` and ``second``: the destination port, or type and code."""

    direction: str
    family: str
    protocol: str
    other: str
    first: int = 0
    second: int = 0


def echo(family: str) -> str:
    return "icmp" if family == "IPv4" else "ipv6-icmp"


@st.composite
def rules(draw: st.DrawFn) -> SecurityRule:
    family = draw(st.sampled_from(("IPv4", "IPv6")))
    protocol = draw(st.sampled_from((None, *PORTED, echo(family), "47")))
    low = high = None
    if protocol in PORTED and draw(st.booleans()):
        low, high = sorted((draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))))
    elif protocol == echo(family) and draw(st.booleans()):
        low, high = draw(st.sampled_from((8, 128, 3))), draw(st.sampled_from((None, 0, 4)))
    other = draw(st.sampled_from(("anyone", "prefix", FRIENDS, OFFICES)))
    return SecurityRule(
        rule_id=f"r{draw(st.integers(0, 10**9))}",
        direction=draw(st.sampled_from(("ingress", "egress"))),
        ethertype=family,
        protocol=protocol,
        port_range_min=low,
        port_range_max=high,
        remote_ip_prefix=draw(st.sampled_from(PREFIXES[family])) if other == "prefix" else None,
        remote_group_id=FRIENDS if other == FRIENDS else None,
        remote_address_group_id=OFFICES if other == OFFICES else None,
    )


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    family = draw(st.sampled_from(("IPv4", "IPv6")))
    protocol = draw(st.sampled_from((*PORTED, echo(family), "47")))
    first = second = 0
    if protocol in PORTED:
        first = draw(st.sampled_from(PORTS))
    elif protocol == echo(family):
        first, second = draw(st.sampled_from((8, 128, 3))), draw(st.sampled_from((0, 4)))
    return Packet(
        draw(st.sampled_from(("ingress", "egress"))),
        family,
        protocol,
        draw(st.sampled_from(OTHERS[family])),
        first,
        second,
    )


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, Any]:
    everybody = st.sampled_from((*OTHERS["IPv4"], *OTHERS["IPv6"]))
    every_prefix = st.sampled_from((*PREFIXES["IPv4"], *PREFIXES["IPv6"]))
    return {
        "groups": draw(st.lists(st.lists(rules(), max_size=6), min_size=1, max_size=3)),
        "friends": tuple(draw(st.sets(everybody, max_size=4))),
        "offices": tuple(draw(st.sets(every_prefix, max_size=3))),
        "stateful": draw(st.booleans()),
        "logged": draw(st.booleans()),
        "packets": draw(st.lists(packets(), min_size=8, max_size=8)),
    }


# -- the model


def permitted(scene: dict[str, Any], packet: Packet) -> bool:
    """Whether a rule of any group lets a packet pass that opens a connection."""
    return any(_lets(rule, packet, scene) for one in scene["groups"] for rule in one)


def _lets(rule: SecurityRule, packet: Packet, scene: dict[str, Any]) -> bool:
    if (rule.direction, rule.ethertype) != (packet.direction, packet.family):
        return False
    if rule.protocol is not None:
        if NUMBERS[rule.protocol] != NUMBERS[packet.protocol]:
            return False
        low, high = rule.port_range_min, rule.port_range_max
        if rule.protocol in PORTED:
            if low is not None and high is not None and not low <= packet.first <= high:
                return False
        elif (low, high) != (None, None) and (low != packet.first or high not in (None, packet.second)):
            return False
    if rule.remote_group_id:
        return packet.other in scene["friends"]
    prefixes = scene["offices"] if rule.remote_address_group_id else (rule.remote_ip_prefix,)
    other = ipaddress.ip_address(packet.other)
    return any(prefix is None or other in ipaddress.ip_network(prefix) for prefix in prefixes)


# -- the switch


class Tracer:
    """A bridge with two ports, and what the switch says that it would do with packets."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def open(self) -> None:
        client = await self.host.client()
        edit = Edit(client)
        edit.ensure_bridge("br-int", datapath_type="netdev", fail_mode="secure")
        await edit.commit(wait_s=5)
        edit = Edit(client)
        for number in (1, 2):
            interface = {"type": "internal", "ofport_request": 100 + number}
            edit.ensure_port("br-int", f"tap{number}", interface=interface)
        await edit.commit(wait_s=5)

    async def install(self, scene: dict[str, Any]) -> None:
        """Bring the flows of a scene into force."""
        groups = [
            msgspec.structs.replace(group(f"g{n}", tuple(some)), stateful=scene["stateful"])
            for n, some in enumerate(scene["groups"])
        ]
        groups.append(group(FRIENDS, (), scene["friends"]))
        own = tuple(FixedIP(address, "subnet") for address in OWN.values())
        own_groups = tuple(f"g{n}" for n in range(len(groups) - 1))
        logs = (PacketLog("log", "project", "ALL"),) if scene["logged"] else ()
        secured = device(1, security_group_ids=own_groups, fixed_ips=own, logs=logs)
        free = device(2, port_security_enabled=False, security_group_ids=(), fixed_ips=())
        wanted = model([secured, free], [network()], groups, {OFFICES: scene["offices"]})
        _, _, flows = converge(wanted, view([plug(1), plug(2)]), SETTINGS)
        installed = await self.host.flows.dump("br-int")
        wanted_flows = list(flows["br-int"].values())
        await self.host.flows.apply("br-int", *difference(wanted_flows, installed, t.COOKIES.__contains__))

    async def passes(self, packet: Packet, state: str) -> bool:
        """Whether the packet comes out at the other port; ``state`` is what connection tracking says."""
        inward = packet.direction == "ingress"
        sender, receiver = (2, 1) if inward else (1, 2)
        source, target = (packet.other, OWN[packet.family]) if inward else (OWN[packet.family], packet.other)
        v6 = packet.family == "IPv6"
        name = {"ipv6-icmp": "icmp6", "icmp": "icmp", "47": "ipv6" if v6 else "ip"}.get(
            packet.protocol, packet.protocol + ("6" if v6 else "")
        )
        fields = [
            f"in_port={100 + sender},dl_src={mac(sender)},dl_dst={mac(receiver)},{name}",
            f"{'ipv6' if v6 else 'nw'}_src={source},{'ipv6' if v6 else 'nw'}_dst={target},nw_ttl=64",
        ]
        if packet.protocol in PORTED:
            fields.append(f"{packet.protocol}_src=40000,{packet.protocol}_dst={packet.first}")
        elif packet.protocol == "47":
            fields.append("nw_proto=47")
        else:
            prefix = "icmpv6" if v6 else "icmp"
            fields.append(f"{prefix}_type={packet.first},{prefix}_code={packet.second}")
        said = await self._ask("ofproto/trace", "br-int", ",".join(fields), "--ct-next", state)
        last = [line for line in said.splitlines() if line.startswith("Datapath actions:")][-1]
        depth, outside = 0, ""
        for character in last.partition(":")[2]:
            depth += (character == "(") - (character == ")")
            outside += character if depth == 0 else ""
        return any(part.strip(" )").isdigit() for part in outside.split(","))

    async def _ask(self, method: str, *arguments: str) -> str:
        reader, writer = await asyncio.open_unix_connection(str(self.host.folder / "ovs-vswitchd.ctl"))
        try:
            writer.write(json.dumps({"method": method, "params": arguments, "id": 0}).encode())
            text = ""
            while chunk := await reader.read(1 << 16):
                text += chunk.decode()
                with contextlib.suppress(json.JSONDecodeError):
                    answer = json.loads(text)
                    assert answer["error"] is None, answer
                    return str(answer["result"])
            raise AssertionError(f"no whole answer: {text}")
        finally:
            writer.close()


@pytest.fixture(scope="module")
def tracer() -> Iterator[Tracer]:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    with running_host(RealHost) as host:
        tracer = Tracer(host)
        host.run(tracer.open())
        yield tracer


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scene=scenes())
def test_a_packet_passes_where_a_rule_says_so(tracer: Tracer, scene: dict[str, Any]) -> None:
    async def story() -> None:
        await tracer.install(scene)
        for packet in scene["packets"]:
            allowed = permitted(scene, packet)
            assert await tracer.passes(packet, "trk,new") is allowed, packet
            # A connection that a rule let in is asked again with each packet in its first direction.
            assert await tracer.passes(packet, "trk,est") is allowed, packet
            # Its replies pass by themselves; without connection tracking rules of their own decide.
            assert await tracer.passes(packet, "trk,est,rpl") is (scene["stateful"] or allowed), packet
            assert await tracer.passes(packet, "trk,inv") is (not scene["stateful"] and allowed), packet

    tracer.host.run(story())


def test_the_tracer_tells_both(tracer: Tracer) -> None:
    """The model would agree with a switch that does nothing, if all that is generated were refused."""

    async def story() -> None:
        ssh = SecurityRule("r", "ingress", "IPv4", "tcp", 22, 22, remote_address_group_id=OFFICES)
        scene = {"groups": [[ssh]], "friends": (), "offices": ("192.0.2.0/29",)}
        scene |= {"stateful": True, "logged": False}
        await tracer.install(scene)
        packet = Packet("ingress", "IPv4", "tcp", "192.0.2.7", 22)
        assert await tracer.passes(packet, "trk,new")
        for change in ({"first": 23}, {"other": "10.0.0.2"}, {"protocol": "udp"}, {"direction": "egress"}):
            assert not await tracer.passes(msgspec.structs.replace(packet, **change), "trk,new")

    tracer.host.run(story())
