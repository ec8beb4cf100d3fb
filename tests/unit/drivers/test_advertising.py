"""Router advertisements as octets."""

from __future__ import annotations

from pileus.drivers.advertising.advertisers import Advertisement, Prefix, message
from pileus.drivers.netlink.announce import announcement

SAID = Advertisement(
    namespace="qrouter-1",
    interface="qr-1",
    mac="fa:16:3e:01:02:03",
    mtu=1450,
    prefixes=(Prefix("2001:db8::/64", True),),
    other=True,
    resolvers=("2001:db8::53",),
)


def test_an_advertisement() -> None:
    assert SAID.source == "fe80::f816:3eff:fe01:203"
    assert message(SAID).hex(" ", 4) == (
        "86000000 40400708 00000000 00000000 0101fa16 3e010203 05010000 000005aa "
        "030440c0 00015180 00003840 00000000 20010db8 00000000 00000000 00000000 "
        "19030000 00000708 20010db8 00000000 00000000 00000053"
    )
    taken_back = message(SAID, lifetime_s=0)
    assert taken_back[6:8] == b"\0\0"


def test_announcements_of_addresses() -> None:
    assert announcement("fa:16:3e:01:02:03", "192.0.2.7").hex() == (
        "fffffffffffffa163e01020308060001080006040001fa163e010203c0000207000000000000c0000207"
    )
    frame = announcement("fa:16:3e:01:02:03", "2001:db8::7", router=True)
    assert frame[:6].hex() == "333300000001"
    assert frame[14:18].hex() == "60000000"
    head, message_ = frame[14:54], frame[54:]
    assert (head[6], head[7], len(message_)) == (58, 255, int.from_bytes(head[4:6], "big"))
    # The sum over the pseudo header and the message, checksum included, is all ones (RFC 1071).
    covered = head[8:40] + len(message_).to_bytes(4, "big") + bytes([0, 0, 0, 58]) + message_
    total = sum(int.from_bytes(covered[i : i + 2], "big") for i in range(0, len(covered), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
    assert message_[0] == 136
    assert message_[4] == 0xA0
