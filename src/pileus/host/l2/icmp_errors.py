"""Tells senders what became of their packets at a distributed router: that their time ended there (RFC 792,
RFC 4443), or that they are too long for the network behind it (RFC 1191, RFC 8201).

Such packets come to the agent, at a rate that a meter of the switch bounds. The answer is from the router's
address where the packet was sent, and comes to the sender as any other packet: through its security groups,
for which it is related to the connection. A packet that is too long and may be taken apart goes on so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.l2 import icmp
from pileus.host.l2 import tables as t
from pileus.host.l2.floating import Outside
from pileus.host.l2.icmp import Origin, origin
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.qos import Meter
from pileus.host.l2.words import EXPIRED, TOO_BIG
from pileus.wire.distributed import DistributedRouter

RATE = Meter(100, 100, packets=True)
"""Packets a second that come to the agent, of all of a host's routers."""

Place = tuple[int, int]
"""A router's number (0: a gateway to the outside) and a local VLAN."""


class Known(msgspec.Struct, frozen=True):
    """Who speaks where, and how long packets may be there, by local VLAN."""

    origins: dict[Place, Origin] = {}
    mtus: dict[int, int] = {}


class IcmpErrors:
    """Answers for the distributed routers of one switch."""

    def __init__(self, bridge: str, flows: FlowTable) -> None:
        self._bridge = bridge
        self._flows = flows
        self._known = Known()

    @property
    def wanted(self) -> bool:
        """Whether there is a router."""
        return bool(self._known.origins)

    def follow(
        self,
        routers: Iterable[DistributedRouter],
        vlans: Mapping[str, int],
        mtus: Mapping[str, int],
        outsides: Iterable[Outside] = (),
    ) -> None:
        """These are the routers now; ``vlans`` and ``mtus`` by network."""
        routers = tuple(routers)
        numbers = stable_ids(router.router_id for router in routers)
        ports: dict[Place, list[tuple[str, tuple[str, ...]]]] = {}
        for router in routers:
            for one in router.interfaces:
                if one.network_id in vlans:
                    place = numbers[router.router_id], vlans[one.network_id]
                    ports.setdefault(place, []).append((one.mac_address, one.ip_addresses))
        for outside in outsides:
            ports[0, outside.vlan] = [(outside.gateway.mac_address, outside.gateway.ip_addresses)]
        origins = {place: origin(some) for place, some in ports.items()}
        self._known = Known(
            origins, {vlans[network_id]: mtu for network_id, mtu in mtus.items() if network_id in vlans}
        )

    async def hear(self, packet: PacketIn) -> None:
        """Answer a packet, unless it is one that nobody is told of."""
        number, vlan = packet.value("reg9") or 0, packet.value("reg6")
        if vlan is None:
            return
        if (number, vlan) not in self._known.origins:
            number = 0  # one of this host's floating IPs to another
        by = self._known.origins.get((number, vlan))
        if by is None:
            return
        if packet.userdata == EXPIRED:
            await self._back(icmp.error(packet.data, icmp.TIME_EXCEEDED, by), vlan)
        elif packet.userdata == TOO_BIG:
            await self._shorten(packet, number, vlan, by)

    async def _shorten(self, packet: PacketIn, number: int, vlan: int, by: Origin) -> None:
        mtu = self._known.mtus.get(packet.value(t.ONWARD) or 0)
        if mtu is None:
            return
        if not icmp.may_be_taken_apart(packet.data):
            await self._back(icmp.error(packet.data, icmp.TOO_BIG, by, mtu), vlan)
            return
        again = f"set_field:0x{number:x}->{t.ROUTER},resubmit(,{t.ROUTE if number else t.SWITCH})"
        for part in icmp.fragments(packet.data, mtu):
            # From where it came: what is translated is told by its device.
            await self._send(part, f"set_field:0x{vlan:x}->{t.NETWORK},{again}", packet.value("in_port"))

    async def _back(self, answer: bytes | None, vlan: int) -> None:
        if answer is not None:
            await self._send(answer, f"set_field:0x{vlan:x}->{t.NETWORK},resubmit(,{t.SWITCH})")

    async def _send(self, frame: bytes, actions: str, in_port: int | None = None) -> None:
        packet = PacketOut(frame, actions) if in_port is None else PacketOut(frame, actions, in_port)
        try:
            await self._flows.packet_out(self._bridge, packet)
        except (SwitchAbsent, SwitchRefused):
            return
