"""DHCP that the switch answers: what guests are told, what they are denied, and what they can't do."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.l2.scene import mac

from pileus.host.l2.devices import Wired
from pileus.host.l2.dhcp import options as o
from pileus.host.l2.dhcp import v4, v6
from pileus.host.l2.dhcp.answer import Answer
from pileus.host.l2.dhcp.frames import checksum, read_v4, read_v6, write_v6
from pileus.host.l2.dhcp.guests import ASKED_V4, ASKED_V6, Guest, guest_flows, guest_of
from pileus.host.l2.dhcp.options import NotAnOption, encode_option, read_options, write_options
from pileus.host.l2.dhcp.untold import untold
from pileus.wire.dhcp import (
    DeviceDhcp,
    DhcpOption,
    DhcpSubnet,
    HostRoute,
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
GIVING_SIX = replace(SIX, ipv6_address_mode="dhcpv6-stateful", ipv6_ra_mode="dhcpv6-stateful")
STATEFUL = replace(NETWORK, dhcp=replace(DHCP, subnets=(FOUR, GIVING_SIX)))
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


def answer(one: Guest, frame: bytes) -> Answer | None:
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
    became = found.leases[0] if found is not None and found.leases else None
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


SMALL = "answers to clients that take 576 bytes"


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (DhcpOption("ntp-server", "10.0.0.8"), ""),
        (DhcpOption("ntp-server", ""), ""),
        (DhcpOption("bogus", "x"), "the option 'bogus' is not known"),
        (DhcpOption("53", "6"), "'53' is no option that a port can have"),
        (DhcpOption("mtu", "70000"), "the value of option 'mtu' can't be told: "),
        (
            DhcpOption("lease-time", "60,60"),
            "the value of option 'lease-time' can't be told: it is one number",
        ),
        (DhcpOption("root-path", "x\ty"), "the option 'root-path' can't be told as it is"),
        (DhcpOption("root-path", "x" * 400), f"the option 'root-path' does not fit into {SMALL}"),
        (DhcpOption("224", "x" * 1200), "the option '224' does not fit into an answer"),
        (DhcpOption("bogus", "x", 6), "the option 'bogus' is not known"),
        (DhcpOption("bootfile-url", "x" * 1200, 6), "the option 'bootfile-url' of IPv6 does not fit"),
    ],
)
def test_what_can_not_be_told_is_known(option: DhcpOption, why: str) -> None:
    found = untold(guest(option, DhcpOption("domain-name", "x.example"), network=STATEFUL))
    assert found.startswith(why) and (why or not found) and "; " not in found


def test_routes_that_do_not_fit_are_known_and_options_of_who_asks_for_nothing_are_not() -> None:
    routes = tuple(HostRoute(f"10.{n}.1.0/24", "10.0.0.250") for n in range(60))
    many = replace(NETWORK, dhcp=replace(DHCP, subnets=(replace(FOUR, host_routes=routes), SIX)))
    assert untold(guest(network=many)) == f"the option 'classless-static-route' does not fit into {SMALL}"
    four = guest(DhcpOption("bogus", "x", 6), fixed_ips=(FixedIP("10.0.0.5", "sub4"),))
    assert untold(four) == ""


def test_without_a_port_of_its_own_the_server_is_the_gateway() -> None:
    network = replace(NETWORK, dhcp=replace(DHCP, servers=(), mac_address=None))
    said = told_of(guest(network=network), asked(v4.DISCOVER))
    assert said.options[o.SERVER] == ip("10.0.0.1")
    assert b"\x20\xa9\xfe\xa9\xfe" not in said.options[o.ROUTES], "nobody answers metadata there"
    assert guest_flows(wired(), guest(network=network))


def v6_question(kind: int, *options: tuple[int, bytes], source: str = "fe80::1", mac: bytes = MAC) -> bytes:
    body = bytes([kind]) + b"abc" + b"".join(struct.pack("!HH", c, len(v)) + v for c, v in options)
    frame = bytearray(write_v6((b"\x33\x33\0\x01\0\x02", mac), ("ff02::1:2", source), body))
    frame[54:58] = struct.pack("!HH", 546, 547)
    return bytes(frame)


# -- hostile questions


@given(st.binary(max_size=600), st.sampled_from((ASKED_V4, ASKED_V6)), st.integers(0, 300))
def test_no_bytes_break_it(data: bytes, word: bytes, cut: int) -> None:
    one = guest(network=STATEFUL)
    held = b"iaid" + bytes(8) + struct.pack("!HH16sII", 5, 24, ipaddress.IPv6Address("fd00::5").packed, 0, 0)
    good = asked(v4.REQUEST, ciaddr="10.0.0.5") if word == ASKED_V4 else v6_question(6, (1, b"me"), (3, held))
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
