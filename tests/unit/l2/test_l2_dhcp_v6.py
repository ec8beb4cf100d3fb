"""DHCP of IPv6 that the switch answers: which addresses and options guests are given, and which not."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.l2.test_l2_dhcp import DHCP, FOUR, GIVING_SIX, MAC, NETWORK, SIX, STATEFUL, guest, v6_question

from pileus.host.l2.dhcp import v6
from pileus.host.l2.dhcp.answer import Answer
from pileus.host.l2.dhcp.frames import checksum, read_v6
from pileus.host.l2.dhcp.guests import Guest
from pileus.wire.dhcp import DhcpOption
from pileus.wire.switch import FixedIP

ME, SERVER = b"\0\1\0\1client", struct.pack("!HH6s", 3, 1, bytes.fromhex("fa163edd0001"))
OWN, OTHERS, FAR = "fd00::5", "fd00::6", "fd77::1"


def packed(address: str) -> bytes:
    return ipaddress.IPv6Address(address).packed


def option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def association(*addresses: str, name: bytes = b"iaid") -> tuple[int, bytes]:
    held = b"".join(option(5, packed(one) + bytes(8)) for one in addresses)
    return 3, name + bytes(8) + held


def ask(one: Guest, kind: int, *options: tuple[int, bytes], to_us: bool = False) -> Answer | None:
    """The answer to a client with the identifier ME; ``to_us``: it names the server."""
    names = [(1, ME), *([(2, SERVER)] if to_us else [])]
    question = read_v6(v6_question(kind, *names, *options))
    assert question is not None
    return v6.answer(one, question)


class Said:
    """An answer's contents; its sums are right."""

    def __init__(self, found: Answer | None) -> None:
        assert found is not None and found.frame is not None
        frame = found.frame
        pseudo = frame[22:54] + struct.pack("!II", len(frame) - 54, 17)
        assert checksum(pseudo + frame[54:]) == b"\0\0"
        question = read_v6(frame)
        assert question is not None and question.payload[1:4] == b"abc"
        assert frame[:6] == MAC and frame[54:58] == struct.pack("!HH", 547, 546)
        several = v6.read_options(question.payload[4:])
        assert several is not None
        self.kind, self.several, self.leases = question.payload[0], several, found.leases
        self.options = dict(several)

    def associations(self) -> dict[bytes, dict[str, int]]:
        """The addresses of each association, and for how long they are valid; or its status."""
        found: dict[bytes, dict[str, int]] = {}
        for code, value in self.several:
            if code not in (3, 4, 25):
                continue
            inner = v6.read_options(value[4 if code == 4 else 12 :])
            assert inner is not None
            held = found.setdefault(value[:4], {})
            for kind, data in inner:
                if kind == 5:
                    preferred, valid = struct.unpack("!II", data[16:24])
                    assert preferred == valid
                    held[str(ipaddress.IPv6Address(data[:16]))] = valid
                else:
                    held["status"] = int.from_bytes(data[:2])
        return found

    @property
    def status(self) -> int | None:
        return int.from_bytes(self.options[13][:2]) if 13 in self.options else None


def test_a_guest_is_offered_given_and_renewed_its_address() -> None:
    one = guest(DhcpOption("ntp-server", "fd00::7", 6), network=STATEFUL)
    wishes = (6, struct.pack("!4H", 23, 24, 56, 39))
    offered = Said(ask(one, v6.SOLICIT, association(), wishes))
    assert offered.kind == v6.ADVERTISE and offered.associations() == {b"iaid": {OWN: 3600}}
    assert offered.leases == () and offered.options[7] == b"\xff"
    assert offered.options[1] == ME and offered.options[2] == SERVER
    for kind, to_us, how in (
        (v6.REQUEST, True, "started"),
        (v6.RENEW, True, "renewed"),
        (v6.REBIND, False, "renewed"),
    ):
        said = Said(ask(one, kind, association(OWN), wishes, to_us=to_us))
        assert said.kind == v6.REPLY and said.associations() == {b"iaid": {OWN: 3600}}
        assert said.leases == ((OWN, how),)
        assert said.options[3][4:12] == struct.pack("!II", 1800, 3150)
        assert said.options[23] == packed("2620:fe::9") and said.options[24] == b"\x05cloud\x07example\0"
        assert said.options[56][4:] == packed("fd00::7")
        assert said.options[39] == b"\x04\x03web\x05cloud\x07example\0" and 32 not in said.options
    quick = Said(ask(one, v6.SOLICIT, association(), (14, b"")))
    assert quick.kind == v6.REPLY and 14 in quick.options and quick.leases == ((OWN, "started"),)


def test_what_a_guest_has_is_confirmed_and_taken_back() -> None:
    one = guest(network=STATEFUL)
    assert Said(ask(one, v6.CONFIRM, association(OWN))).status == 0
    for other in (OTHERS, FAR):
        assert Said(ask(one, v6.CONFIRM, association(OWN, other))).status == 4
    assert ask(one, v6.CONFIRM, association()) is None
    for kind in (v6.RELEASE, v6.DECLINE):
        said = Said(ask(one, kind, association(OWN), to_us=True))
        assert said.status == 0 and said.leases == ((OWN, "ended"),) and said.associations() == {}
        said = Said(ask(one, kind, association(OTHERS), to_us=True))
        assert said.status == 0 and said.leases == () and said.associations() == {b"iaid": {"status": 3}}


def test_nobody_has_anothers_address() -> None:
    one = guest(network=STATEFUL)
    wanted = Said(ask(one, v6.REQUEST, association(OTHERS), to_us=True))
    assert wanted.associations() == {b"iaid": {OWN: 3600}}
    far = Said(ask(one, v6.REQUEST, association(FAR), to_us=True))
    assert far.associations() == {b"iaid": {"status": 4}} and far.leases == ()
    # What it had before its port got another address ends at once, and the new one comes along.
    for kind, to_us in ((v6.RENEW, True), (v6.REBIND, False)):
        said = Said(ask(one, kind, association(OTHERS), to_us=to_us))
        assert said.associations() == {b"iaid": {OTHERS: 0, OWN: 3600}}
        assert said.leases == ((OWN, "renewed"),)


def test_several_associations_share_what_there_is() -> None:
    several = (FixedIP("fd00::5", "sub6"), FixedIP("fd00::50", "sub6"))
    one = guest(network=STATEFUL, fixed_ips=several)
    both = (association(name=b"one."), association(name=b"two."))
    said = Said(ask(one, v6.SOLICIT, *both))
    assert said.associations() == {b"one.": {OWN: 3600, "fd00::50": 3600}, b"two.": {"status": 2}}
    held = (association("fd00::50", name=b"one."), association(OWN, name=b"two."))
    said = Said(ask(one, v6.RENEW, *held, to_us=True))
    assert said.associations() == {b"one.": {"fd00::50": 3600}, b"two.": {OWN: 3600}}
    temporary, prefix = (4, b"temp"), (25, b"pref" + bytes(8))
    said = Said(ask(one, v6.REQUEST, temporary, prefix, to_us=True))
    assert said.associations() == {b"temp": {"status": 2}, b"pref": {"status": 6}}
    said = Said(
        ask(one, v6.RENEW, temporary, association(name=b"none"), association(name=b"two."), to_us=True)
    )
    assert said.associations()[b"temp"] == said.associations()[b"two."] == {"status": 3}


def test_who_makes_its_addresses_is_told_options_and_given_none() -> None:
    one = guest(DhcpOption("ntp-server", "fd00::7", 6))
    said = Said(ask(one, v6.INFORMATION_REQUEST, (6, b"\0\x17\0\x18\0\x38")))
    assert said.kind == v6.REPLY and said.options.keys() == {1, 2, 23, 24, 32, 56}
    assert Said(ask(guest(network=STATEFUL), v6.INFORMATION_REQUEST)).options[23] == packed("2620:fe::9")
    assert Said(ask(one, v6.SOLICIT, association())).associations() == {b"iaid": {"status": 2}}
    # One subnet gives addresses, the other does not: both are served.
    mixed = replace(DHCP, subnets=(FOUR, SIX, replace(GIVING_SIX, subnet_id="sub7", cidr="fd07::/64")))
    addresses = (FixedIP("fd00::5", "sub6"), FixedIP("fd07::5", "sub7"))
    both = guest(network=replace(NETWORK, dhcp=mixed), fixed_ips=addresses)
    assert Said(ask(both, v6.SOLICIT, association())).associations() == {b"iaid": {"fd07::5": 3600}}
    assert Said(ask(both, v6.INFORMATION_REQUEST)).options[23] == packed("2620:fe::9")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (v6.SOLICIT, []),  # without an identifier of its own
        (v6.SOLICIT, [(1, ME), (2, SERVER)]),
        (v6.REQUEST, [(1, ME)]),
        (v6.REQUEST, [(1, ME), (2, b"another")]),
        (v6.RENEW, [(1, ME), (2, b"another")]),
        (v6.REBIND, [(1, ME), (2, SERVER)]),
        (v6.CONFIRM, [(1, ME), (2, SERVER), association(OWN)]),
        (v6.RELEASE, [(1, ME), (2, b"another"), association(OWN)]),
        (v6.INFORMATION_REQUEST, [(2, b"another")]),
        (v6.INFORMATION_REQUEST, [(1, ME), association()]),
        (v6.ADVERTISE, [(1, ME)]),
        (v6.REPLY, [(1, ME)]),
        (10, [(1, ME)]),
        (12, [(1, ME)]),  # a relay's
        (v6.SOLICIT, [(1, ME), (3, b"short")]),
        (v6.SOLICIT, [(1, ME), (3, b"iaid" + bytes(8) + option(5, b"short"))]),
    ],
)
def test_questions_without_an_answer(kind: int, options: Sequence[tuple[int, bytes]]) -> None:
    question = read_v6(v6_question(kind, *options))
    assert question is not None and v6.answer(guest(network=STATEFUL), question) is None


def test_only_the_guest_itself_is_answered() -> None:
    one = guest(network=STATEFUL)
    for frame in (
        v6_question(v6.SOLICIT, (1, ME), association(), source="::"),
        v6_question(v6.SOLICIT, (1, ME), association(), mac=b"\xfa\x16\x3e\0\0\x06"),
        v6_question(v6.SOLICIT, (1, ME), association())[:-2],
    ):
        question = read_v6(frame)
        assert question is None or v6.answer(one, question) is None
    four = guest(network=STATEFUL, fixed_ips=(FixedIP("10.0.0.5", "sub4"),))
    assert ask(four, v6.SOLICIT, association()) is None


HELD = st.lists(st.one_of(st.sampled_from((OWN, OTHERS, FAR)), st.ip_addresses(v=6).map(str)), max_size=40)


@given(st.integers(0, 13), st.lists(HELD, max_size=6), st.booleans(), st.binary(max_size=60))
def test_whatever_is_asked_no_other_address_is_given(
    kind: int, held: Sequence[Sequence[str]], to_us: bool, noise: bytes
) -> None:
    several = [association(*some, name=bytes([65 + n]) * 4) for n, some in enumerate(held)]
    found = ask(guest(network=STATEFUL), kind, *several, (6, noise), (39, noise), to_us=to_us)
    if found is None:
        return
    said = Said(found)
    valid = [
        one for some in said.associations().values() for one, left in some.items() if ":" in one and left
    ]
    assert set(valid) <= {OWN} and len(valid) <= 1
    assert {address for address, _ in found.leases} <= {OWN}
    assert found.frame is not None and len(found.frame) <= 14 + 40 + 8 + v6.LONGEST
