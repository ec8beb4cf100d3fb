"""DHCP that the switch answers: what guests are told, what they are denied, and what they can't do."""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.l2.scene import mac
from tests.unit.l2.switch_bench import bench_matches, cloud, running, scenario
from tests.waiting import until

from pileus.core.clock import ManualClock
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import PacketIn
from pileus.drivers.ovsdb.simulated import SimulatedSwitch
from pileus.host.l2.devices import Wired
from pileus.host.l2.dhcp import options as o
from pileus.host.l2.dhcp import v4, v6
from pileus.host.l2.dhcp.frames import checksum, read_v4, read_v6, write_v6
from pileus.host.l2.dhcp.guests import ASKED_V4, ASKED_V6, RATE, Guest, guest_flows, guest_of, meter_of
from pileus.host.l2.dhcp.options import NotAnOption, encode_option, read_options, write_options
from pileus.host.l2.dhcp.responder import Responder
from pileus.wire.dhcp import (
    DeviceDhcp,
    DhcpOption,
    DhcpSubnet,
    HostRoute,
    LeaseChange,
    PortAddress,
    SwitchedDhcp,
)
from pileus.wire.switch import DeviceDetails, FixedIP, NetworkDetails, Segment

replace = msgspec.structs.replace

FOUR = DhcpSubnet(
    *("sub4", "10.0.0.0/24", 4, True, "10.0.0.1", ("9.9.9.9", "8.8.8.8")),
    host_routes=(HostRoute("192.168.0.0/16", "10.0.0.250"),),
)
SIX = DhcpSubnet(
    *("sub6", "fd00::/64", 6, True, "fd00::1", ("2620:fe::9",)),
    ipv6_ra_mode="dhcpv6-stateless",
    ipv6_address_mode="dhcpv6-stateless",
)
DHCP = SwitchedDhcp(
    (FOUR, SIX), (PortAddress("10.0.0.2", "sub4"),), "fa:16:3e:dd:00:01", "cloud.example.", 3600
)
NETWORK = NetworkDetails("net", Segment("vxlan", None, 7), 1450, dhcp=DHCP)
MAC = bytes.fromhex(mac(5).replace(":", ""))


def wired(*options: DhcpOption, **changes: Any) -> Wired:
    details = DeviceDetails(
        port_id="port-5",
        network_id="net",
        mac_address=mac(5),
        fixed_ips=(FixedIP("10.0.0.5", "sub4"), FixedIP("fd00::5", "sub6")),
        dhcp=DeviceDhcp("web", tuple(options)),
    )
    return Wired(replace(details, **changes), "tap5", 15, 3, 5, 0)


def guest(*options: DhcpOption, network: NetworkDetails = NETWORK, **changes: Any) -> Guest:
    found = guest_of(wired(*options, **changes), network)
    assert found is not None
    return found


def asked(
    kind: int,
    *options: tuple[int, bytes],
    ciaddr: str = "0.0.0.0",
    source: str = "",
    flags: int = 0,
    sender: bytes = MAC,
    **header: Any,
) -> bytes:
    """A frame of a client's."""
    fields = {"op": 1, "htype": 1, "hlen": 6, "giaddr": bytes(4), "chaddr": sender} | header
    body = struct.pack(
        "!BBBB4sHH4s4s4s4s16s64s128s4s",
        *(fields["op"], fields["htype"], fields["hlen"], 0, b"xid!", 0, flags),
        *(ipaddress.IPv4Address(ciaddr).packed, bytes(4), bytes(4), fields["giaddr"]),
        *(fields["chaddr"].ljust(16, b"\0"), b"", b"", bytes((99, 130, 83, 99))),
    ) + write_options([(o.KIND, bytes([kind])), *options], 1000)
    datagram = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    origin = ipaddress.IPv4Address(source or ciaddr).packed
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, origin, b"\xff" * 4)
    return b"\xff" * 6 + sender + b"\x08\x00" + head + datagram


class Told(msgspec.Struct):
    kind: int
    yours: str
    next_server: str
    to: str
    mac: bytes
    file: bytes
    options: dict[int, bytes]


def told(frame: bytes) -> Told:
    """An answer's contents; its sums are right."""
    assert checksum(frame[14:34]) == b"\0\0"
    pseudo = frame[26:34] + struct.pack("!HH", 17, len(frame) - 34)
    assert checksum(pseudo + frame[34:]) == b"\0\0"
    question = read_v4(frame)
    assert question is not None
    body = question.payload
    assert body[:3] == b"\x02\x01\x06" and body[4:8] == b"xid!" and body[28:34] == MAC
    found = read_options(body[240:])
    assert found is not None
    texts = (str(ipaddress.IPv4Address(body[at : at + 4])) for at in (16, 20))
    return Told(
        found[o.KIND][0],
        *texts,
        str(ipaddress.IPv4Address(frame[30:34])),
        frame[:6],
        body[108:236].rstrip(b"\0"),
        found,
    )


def answer(one: Guest, frame: bytes) -> v4.Answer | None:
    question = read_v4(frame)
    return v4.answer(one, question) if question is not None else None


def told_of(one: Guest, frame: bytes) -> Told:
    found = answer(one, frame)
    assert found is not None and found.frame is not None
    return told(found.frame)


def ip(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def test_an_offer_has_all_that_the_subnet_says() -> None:
    said = told_of(guest(), asked(v4.DISCOVER))
    assert (said.kind, said.yours, said.next_server) == (v4.OFFER, "10.0.0.5", "10.0.0.2")
    assert (said.to, said.mac) == ("10.0.0.5", MAC)
    routes = o.encode_routes(
        [("192.168.0.0/16", "10.0.0.250"), ("169.254.169.254/32", "10.0.0.2"), ("0.0.0.0/0", "10.0.0.1")]
    )
    assert said.options == {
        o.KIND: b"\x02",
        o.SERVER: ip("10.0.0.2"),
        o.LEASE: struct.pack("!I", 3600),
        o.RENEW_AFTER: struct.pack("!I", 1800),
        o.REBIND_AFTER: struct.pack("!I", 3150),
        o.MASK: ip("255.255.255.0"),
        o.BROADCAST: ip("10.0.0.255"),
        o.ROUTER: ip("10.0.0.1"),
        o.RESOLVERS: ip("9.9.9.9") + ip("8.8.8.8"),
        o.ROUTES: routes,
        o.ROUTES_OF_WINDOWS: routes,
        o.HOST_NAME: b"web",
        o.DOMAIN: b"cloud.example",
        o.MTU: struct.pack("!H", 1450),
    }
    assert told_of(guest(), asked(v4.DISCOVER, flags=0x8000)).to == "255.255.255.255"


def test_only_what_a_client_asks_for_is_told_and_its_name_comes_back() -> None:
    said = told_of(guest(), asked(v4.DISCOVER, (o.WISHES, bytes([3, 1, 3, 200])), (o.CLIENT, b"\x01me")))
    always = {o.KIND, o.SERVER, o.LEASE, o.RENEW_AFTER, o.REBIND_AFTER}
    assert said.options.keys() == always | {1, 3, o.CLIENT} and said.options[o.CLIENT] == b"\x01me"


@pytest.mark.parametrize(
    ("frame", "kind", "lease"),
    [
        (asked(v4.REQUEST, (o.REQUESTED, ip("10.0.0.5")), (o.SERVER, ip("10.0.0.2"))), v4.ACK, "started"),
        (asked(v4.REQUEST, (o.REQUESTED, ip("10.0.0.6")), (o.SERVER, ip("10.0.0.2"))), v4.NAK, None),
        (asked(v4.REQUEST, (o.REQUESTED, ip("10.0.0.5")), (o.SERVER, ip("10.0.0.3"))), None, None),
        (asked(v4.REQUEST, (o.REQUESTED, ip("10.0.0.5"))), v4.ACK, "renewed"),
        (asked(v4.REQUEST, (o.REQUESTED, ip("192.168.1.5"))), v4.NAK, None),
        (asked(v4.REQUEST, ciaddr="10.0.0.5"), v4.ACK, "renewed"),
        (asked(v4.REQUEST, ciaddr="10.0.0.9"), v4.NAK, None),
        (asked(v4.REQUEST), None, None),
        (asked(v4.RELEASE, ciaddr="10.0.0.5"), None, "ended"),
        (asked(v4.RELEASE, ciaddr="10.0.0.9"), None, None),
        (asked(v4.DECLINE, (o.REQUESTED, ip("10.0.0.5"))), None, "ended"),
        (asked(v4.DISCOVER, (o.REQUESTED, ip("10.0.0.9"))), v4.OFFER, None),
        (asked(v4.OFFER), None, None),
        (asked(77), None, None),
        (asked(v4.DISCOVER, sender=b"\xfa\x16\x3e\0\0\x06"), None, None),
        (asked(v4.DISCOVER, chaddr=b"\xfa\x16\x3e\0\0\x06"), None, None),
        (asked(v4.DISCOVER, giaddr=ip("10.0.0.7")), None, None),
        (asked(v4.DISCOVER, op=2), None, None),
        (asked(v4.DISCOVER, htype=6), None, None),
        (asked(v4.DISCOVER, hlen=16), None, None),
        (asked(v4.DISCOVER)[:-40], None, None),
    ],
)
def test_which_questions_get_which_answers(frame: bytes, kind: int | None, lease: str | None) -> None:
    found = answer(guest(), frame)
    said = told(found.frame).kind if found is not None and found.frame is not None else None
    assert said == kind
    became = found.lease if found is not None else None
    assert became == (("10.0.0.5", lease) if lease else None)


def test_a_denial_goes_to_everybody_and_gives_nothing() -> None:
    said = told_of(guest(), asked(v4.REQUEST, ciaddr="10.0.0.9"))
    assert (said.kind, said.yours, said.to, said.mac) == (v4.NAK, "0.0.0.0", "255.255.255.255", b"\xff" * 6)
    assert said.options.keys() == {o.KIND, o.SERVER}


def test_who_has_an_address_is_told_the_rest() -> None:
    said = told_of(guest(), asked(v4.INFORM, ciaddr="10.0.0.5"))
    assert (said.kind, said.yours, said.to) == (v4.ACK, "0.0.0.0", "10.0.0.5")
    assert o.LEASE not in said.options and said.options[o.ROUTER] == ip("10.0.0.1")


def test_of_several_addresses_the_one_that_is_asked_for() -> None:
    both = (FixedIP("10.0.0.5", "sub4"), FixedIP("10.0.0.50", "sub4"))
    one = guest(fixed_ips=both)
    assert told_of(one, asked(v4.DISCOVER)).yours == "10.0.0.5"
    assert told_of(one, asked(v4.DISCOVER, (o.REQUESTED, ip("10.0.0.50")))).yours == "10.0.0.50"
    assert told_of(one, asked(v4.REQUEST, ciaddr="10.0.0.50")).kind == v4.ACK


def test_extra_options_go_before_and_boot_loaders_find_their_file() -> None:
    one = guest(
        DhcpOption("bootfile-name", "pxelinux.0"),
        DhcpOption("tftp-server", "10.0.0.77"),
        DhcpOption("server-ip-address", "10.0.0.77"),
        DhcpOption("ntp-server", "10.0.0.8,10.0.0.9"),
        DhcpOption("26", "1300"),
        DhcpOption("router", ""),
        DhcpOption("lease-time", "600"),
        DhcpOption("no-such-option", "x"),
        DhcpOption("message-type", "7"),
        DhcpOption("53", "6"),
        DhcpOption("dns-server", "fd00::53", 6),
    )
    said = told_of(one, asked(v4.DISCOVER))
    assert (said.kind, said.next_server, said.file) == (v4.OFFER, "10.0.0.77", b"pxelinux.0")
    assert said.options[67] == b"pxelinux.0" and said.options[66] == b"10.0.0.77"
    assert said.options[42] == ip("10.0.0.8") + ip("10.0.0.9")
    assert said.options[o.MTU] == struct.pack("!H", 1300) and said.options[o.RESOLVERS][:4] == ip("9.9.9.9")
    assert o.ROUTER not in said.options and said.options[o.LEASE] == struct.pack("!I", 600)


@pytest.mark.parametrize(
    ("name", "value", "version", "expected"),
    [
        ("mtu", "1400", 4, (26, b"\x05\x78")),
        ("domain-search", "a.example,b.example", 4, (119, b"\x01a\x07example\0\x01b\x07example\0")),
        ("classless-static-route", "10.0.0.0/8,10.0.0.1", 4, (121, b"\x08\x0a" + ip("10.0.0.1"))),
        ("150", "10.0.0.7", 4, (150, ip("10.0.0.7"))),
        ("224", "7", 4, (224, b"\x07")),
        ("224", "70000", 4, (224, b"\0\x01\x11\x70")),
        ("224", "ab:cd:1", 4, (224, b"\xab\xcd\x01")),
        ("224", "hello", 4, (224, b"hello")),
        ("dns-server", "[fd00::53]", 6, (23, ipaddress.IPv6Address("fd00::53").packed)),
        ("ntp-server", "fd00::1", 6, (56, b"\0\x01\0\x10" + ipaddress.IPv6Address("fd00::1").packed)),
        ("bootfile-url", "http://x/y", 6, (59, b"http://x/y")),
    ],
)
def test_options_by_name_and_number(name: str, value: str, version: int, expected: tuple[int, bytes]) -> None:
    assert encode_option(name, value, version) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("router", "nowhere"), ("mtu", "70000"), ("0", "x"), ("255", "x"), ("300", "x"), ("54", "10.0.0.9")],
)
def test_options_that_can_not_be_told(name: str, value: str) -> None:
    with pytest.raises(NotAnOption):
        encode_option(name, value)


def test_long_options_are_split_and_what_does_not_fit_is_left_out() -> None:
    data = write_options([(119, b"x" * 300), (12, b"y" * 900), (15, b"z")], 400)
    assert data[:2] == b"\x77\xff" and read_options(data) == {119: b"x" * 300, 15: b"z"}


def test_without_a_port_of_its_own_the_server_is_the_gateway() -> None:
    network = replace(NETWORK, dhcp=replace(DHCP, servers=(), mac_address=None))
    said = told_of(guest(network=network), asked(v4.DISCOVER))
    assert said.options[o.SERVER] == ip("10.0.0.1")
    assert b"\x20\xa9\xfe\xa9\xfe" not in said.options[o.ROUTES], "nobody answers metadata there"
    assert guest_flows(wired(), guest(network=network))


# -- IPv6


def v6_question(kind: int, *options: tuple[int, bytes], source: str = "fe80::1", mac: bytes = MAC) -> bytes:
    body = bytes([kind]) + b"abc" + b"".join(struct.pack("!HH", c, len(v)) + v for c, v in options)
    frame = bytearray(write_v6((b"\x33\x33\0\x01\0\x02", mac), ("ff02::1:2", source), body))
    frame[54:58] = struct.pack("!HH", 546, 547)
    return bytes(frame)


def v6_told(frame: bytes | None) -> dict[int, bytes]:
    assert frame is not None
    question = read_v6(frame)
    assert question is not None and question.payload[:4] == b"\x07abc"
    found = v6._read(question.payload[4:])
    assert found is not None
    return found


def test_options_of_ipv6_without_a_state() -> None:
    one = guest(DhcpOption("ntp-server", "fd00::7", 6))
    question = read_v6(v6_question(11, (1, b"duid"), (6, b"\0\x17\0\x18\0\x38")))
    assert question is not None
    said = v6_told(v6.answer(one, question))
    assert said.keys() == {1, 2, 23, 24, 32, 56} and said[1] == b"duid"
    assert said[23] == ipaddress.IPv6Address("2620:fe::9").packed and said[24] == b"\x05cloud\x07example\0"
    for frame in (
        v6_question(1),
        v6_question(11, (2, b"another")),
        v6_question(11, source="::"),
        v6_question(11, mac=b"\xfa\x16\x3e\0\0\x06"),
        v6_question(11)[:-2],
    ):
        other = read_v6(frame)
        assert other is None or v6.answer(one, other) is None
    stateful = replace(SIX, ipv6_address_mode="dhcpv6-stateful", ipv6_ra_mode="dhcpv6-stateful")
    assert not guest(network=replace(NETWORK, dhcp=replace(DHCP, subnets=(FOUR, stateful)))).stateless


# -- hostile questions


@given(st.binary(max_size=600), st.sampled_from((ASKED_V4, ASKED_V6)), st.integers(0, 300))
def test_no_bytes_break_it(data: bytes, word: bytes, cut: int) -> None:
    one = guest()
    good = asked(v4.REQUEST, ciaddr="10.0.0.5") if word == ASKED_V4 else v6_question(11, (1, b"duid"))
    within = good[:cut] + data + good[cut:]
    for frame in (data, good[:14] + data, good[:42] + data, good[:282] + data, within):
        if word == ASKED_V4:
            answer(one, frame)
        elif (question := read_v6(frame)) is not None:
            v6.answer(one, question)


OPTIONS = st.lists(st.tuples(st.integers(1, 254), st.binary(max_size=300)), max_size=8)


@given(st.integers(0, 255), OPTIONS, st.ip_addresses(v=4), st.integers(0, 0xFFFF))
def test_whatever_options_say_no_other_address_is_given(
    kind: int, options: Sequence[tuple[int, bytes]], ciaddr: ipaddress.IPv4Address, flags: int
) -> None:
    frame = asked(kind, *options, ciaddr=str(ciaddr), flags=flags)
    found = answer(guest(), frame)
    if found is not None and found.frame is not None:
        said = told(found.frame)
        assert said.yours in ("10.0.0.5", "0.0.0.0") and said.mac in (MAC, b"\xff" * 6)
        assert len(found.frame) <= 14 + 1400


@given(st.text(max_size=40), st.text(max_size=80), st.sampled_from((4, 6)))
def test_no_extra_option_breaks_it(name: str, value: str, version: int) -> None:
    try:
        code, data = encode_option(name, value, version)
    except NotAnOption:
        return
    assert 0 <= code <= 0xFFFF and isinstance(data, bytes)


# -- the agent


class Heard:
    """A responder over the twin of a switch, which its server hears."""

    def __init__(self) -> None:
        switch = SimulatedSwitch(devices=set())
        switch.flows["br-int"] = {}
        self.flows = SimulatedFlows(switch)
        self.clock = ManualClock()
        self.leases: list[tuple[str, str]] = []
        self.deaf = False
        self.responder = Responder("br-int", self.flows, self.clock, self._tell)

    async def _tell(self, changes: Sequence[LeaseChange]) -> None:
        if self.deaf:
            raise ConnectionError("no server")
        self.leases += [(one.kind, one.ip_address) for one in changes]

    async def hear(self, frame: bytes, ofport: int = 15, vlan: int = 3) -> int:
        """Bring a question to the agent; how many answers there have been."""
        self.responder.hear(PacketIn(frame, userdata=ASKED_V4, match=f"reg6=0x{vlan:x},in_port={ofport}"))
        answering = asyncio.create_task(self.responder.answer())
        for _ in range(5):
            await asyncio.sleep(0)
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        return len(self.flows.sent.get("br-int", ()))


def test_only_the_port_itself_is_answered_and_none_starves_another() -> None:
    async def story() -> None:
        heard = Heard()
        other = wired(port_id="port-6", mac_address=mac(6), fixed_ips=(FixedIP("10.0.0.6", "sub4"),))
        guests = [guest(), guest_of(replace(other, ofport=16, number=6), NETWORK)]
        heard.responder.follow([one for one in guests if one is not None])
        frame = asked(v4.DISCOVER)
        assert await heard.hear(frame, ofport=16) == await heard.hear(frame, vlan=4) == 0
        assert await heard.hear(frame) == 1
        sent = heard.flows.sent["br-int"][0]
        assert sent.actions == "set_field:0x3->reg6,set_field:0x5->reg5,resubmit(,61)"
        for _ in range(100):
            answers = await heard.hear(frame)
        assert answers == RATE.burst
        another = asked(v4.DISCOVER, sender=bytes.fromhex("fa163e000006"))
        assert await heard.hear(another, ofport=16) == answers + 1
        heard.clock.advance(0.5)
        assert await heard.hear(frame) == answers + 2

    asyncio.run(story())


def test_leases_are_told_also_after_the_server_was_away() -> None:
    async def story() -> None:
        heard = Heard()
        heard.deaf = True
        heard.responder.follow([guest()])
        reporting = asyncio.create_task(heard.responder.leases.report())
        chosen = (o.REQUESTED, ip("10.0.0.5")), (o.SERVER, ip("10.0.0.2"))
        await heard.hear(asked(v4.REQUEST, *chosen))
        await heard.hear(asked(v4.REQUEST, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.RELEASE, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.RELEASE, ciaddr="10.0.0.5"))
        await heard.hear(asked(v4.REQUEST, ciaddr="10.0.0.5"))
        heard.clock.advance(3601)
        await asyncio.sleep(1.1)
        heard.deaf = False
        kinds = ["started", "renewed", "ended", "renewed", "ended"]
        await until(lambda: heard.leases == [(kind, "10.0.0.5") for kind in kinds])
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)

    asyncio.run(story())


def test_the_agent_answers_what_its_switch_brings_and_stops_when_it_is_told() -> None:
    async def story() -> None:
        server = cloud()
        server.networks["net"] = replace(NETWORK, segment=Segment("vxlan", None, 100))
        server.put_device(replace(wired().details, security_group_ids=("default",)), "n1")
        async with running(server) as bench:
            await bench.plug(5)
            await until(lambda: server.devices["port-5"].status == "ACTIVE")
            asking = [f for f in bench_matches(bench, f"dl_src={mac(5)}") if "controller" in f.actions]
            assert {flow.table for flow in asking} == {60} and len(asking) == 3
            number = next(iter(bench.agent.in_force().values())).number
            meters = await bench.flows.meters("br-int")
            assert meters[meter_of(number)].band.rate == RATE.rate
            one = next(iter(bench.agent.in_force().values()))
            await until(lambda: bool(bench.flows._listeners.get("br-int")))
            place = f"reg6=0x{one.vlan:x},in_port={one.ofport}"
            for queue in bench.flows._listeners["br-int"]:
                queue.put_nowait(PacketIn(asked(v4.DISCOVER), userdata=ASKED_V4, match=place))
            await until(lambda: bool(bench.flows.sent.get("br-int")))
            assert await bench.full_pass() == 0
            server.put_network(replace(server.networks["net"], dhcp=None))
            await until(lambda: not [f for f in bench_matches(bench, "udp") if "controller" in f.actions])

    scenario(story)
