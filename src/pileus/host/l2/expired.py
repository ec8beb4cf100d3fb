"""Tells senders that their packets have come to the end of their time (RFC 792), as a router does.

Packets whose TTL ends at a distributed router come to the agent, at a rate that a meter of the switch bounds.
The answer is from the router's address on the network where the packet was sent, and comes to the sender as
any other packet: through its security groups, for which it is related to the connection.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Mapping

from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.l2 import tables as t
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.qos import Meter
from pileus.wire.distributed import DistributedRouter

EXPIRED = b"TX"
"""The word of packets whose TTL has ended."""

METER = 0xFFFF
"""Above the numbers of devices, and below their further meters."""
RATE = Meter(100, 100, packets=True)
"""Packets a second that come to the agent, of all of a host's routers."""

ACTIONS = f"meter:{METER},controller(userdata={EXPIRED.hex('.')})"

_ETHERNET, _IPV4 = struct.Struct("!6s6sH"), struct.Struct("!BBHHHBBH4s4s")
_TYPE_IPV4, _ICMP, _TIME_EXCEEDED, _TTL = 0x0800, 1, 11, 64
_LONGEST = 576
"""Bytes of an error's packet (RFC 1812, 4.3.2.3)."""
_ERRORS = frozenset((3, 4, 5, 11, 12))

Place = tuple[int, int]
"""A router's number, and a local VLAN."""


class Expired:
    """Answers for the distributed routers of one switch."""

    def __init__(self, bridge: str, flows: FlowTable) -> None:
        self._bridge = bridge
        self._flows = flows
        self._addresses: dict[Place, tuple[bytes, bytes]] = {}

    @property
    def wanted(self) -> bool:
        """Whether there is a router."""
        return bool(self._addresses)

    def follow(self, routers: Iterable[DistributedRouter], vlans: Mapping[str, int]) -> None:
        """These are the routers now."""
        routers = tuple(routers)
        numbers = stable_ids(router.router_id for router in routers)
        self._addresses = {
            (numbers[router.router_id], vlans[one.network_id]): (
                bytes.fromhex(one.mac_address.replace(":", "")),
                ipaddress.IPv4Address(address).packed,
            )
            for router in routers
            for one in router.interfaces
            if one.network_id in vlans
            if (address := next((ip for ip in one.ip_addresses if ":" not in ip), None)) is not None
        }

    async def hear(self, packet: PacketIn) -> None:
        """Answer a packet, unless it is one that nobody is told of."""
        number, vlan = packet.value("reg9"), packet.value("reg6")
        if number is None or vlan is None or (number, vlan) not in self._addresses:
            return
        answer = time_exceeded(packet.data, *self._addresses[number, vlan])
        if answer is None:
            return
        try:
            actions = f"set_field:0x{vlan:x}->{t.NETWORK},resubmit(,{t.SWITCH})"
            await self._flows.packet_out(self._bridge, PacketOut(answer, actions))
        except (SwitchAbsent, SwitchRefused):
            return


def time_exceeded(frame: bytes, mac: bytes, address: bytes) -> bytes | None:
    """The answer to a frame, from a router's addresses; None to broadcasts, errors, later fragments, and what
    is no packet (RFC 1122, 3.2.2)."""
    if len(frame) < _ETHERNET.size + _IPV4.size:
        return None
    _, sender, kind = _ETHERNET.unpack_from(frame)
    packet = frame[_ETHERNET.size :]
    version, _, length, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(packet)
    size = (version & 15) * 4
    if kind != _TYPE_IPV4 or version >> 4 != 4 or size < _IPV4.size or len(packet) < size:
        return None
    if fragment & 0x1FFF or sender[0] & 1 or _is_many(source) or _is_many(destination):
        return None
    if protocol == _ICMP and (len(packet) <= size or packet[size] in _ERRORS):
        return None
    quoted = packet[: min(length, len(packet), _LONGEST - _IPV4.size - 8)]
    message = bytes([_TIME_EXCEEDED, 0, 0, 0, 0, 0, 0, 0]) + quoted
    message = message[:2] + _checksum(message) + message[4:]
    fields = (0x45, 0xC0, _IPV4.size + len(message), 0, 0, _TTL, _ICMP)
    head = _IPV4.pack(*fields, 0, address, source)
    head = head[:10] + _checksum(head) + head[12:]
    return _ETHERNET.pack(sender, mac, _TYPE_IPV4) + head + message


def _is_many(address: bytes) -> bool:
    one = ipaddress.IPv4Address(address)
    return one.is_multicast or one.is_unspecified or one.is_loopback or address == b"\xff" * 4


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
