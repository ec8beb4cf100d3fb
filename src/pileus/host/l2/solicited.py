"""Advertises distributed routers to the guests of this host, and answers those solicitations that the switch
can't answer itself.

An advertisement goes to devices here alone, a few times at the beginning, again when it becomes another one
or a device comes, and every few minutes (RFC 4861, 6.2); and to whoever asks. When a router is advertised no
more, its guests keep it for some seconds, and its port is asked: where the router is a central one now, that
port advertises it from then on, and nothing is lost.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Iterable, Mapping

import msgspec

from pileus.core import log
from pileus.drivers.advertising.advertisers import LIFETIME_S, ROUTER_SOLICITATION, Advertisement, message
from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.advertised import advertisement
from pileus.host.l2 import icmp
from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired, deliver_to
from pileus.host.l2.discovery import own_addresses
from pileus.host.l2.qos import Meter
from pileus.host.l2.words import ASKED, SOLICITED
from pileus.wire.distributed import DistributedInterface, DistributedRouter

_log = log.get("host.l2.solicited")

RATE = Meter(100, 200, packets=True)
"""Solicitations a second that come to the agent."""
FAREWELL_S = 10
"""How long guests keep a router that this host does not advertise any more, unless its port does."""
_AGAIN_S = (1.0, 3.0)
_EVERY_S = (150.0, 200.0)
_ALL_NODES = (ipaddress.IPv6Address("ff02::1").packed, bytes.fromhex("333300000001"))
_ALL_ROUTERS = (ipaddress.IPv6Address("ff02::2").packed, bytes.fromhex("333300000002"))
_MOST_RECEIVERS = 500
"""Devices that one packet to the switch names."""

Key = tuple[str, str]
"""A router's interface: its network, and its hardware address."""


class _Told(msgspec.Struct, frozen=True):
    """An interface's advertisement, and who hears it here."""

    advertisement: Advertisement
    vlan: int
    receivers: tuple[int, ...]


class Solicited:
    """Speaks for the distributed routers of one switch."""

    def __init__(self, bridge: str, flows: FlowTable) -> None:
        self._bridge = bridge
        self._flows = flows
        self._own_mac: str | None = None
        self._told: dict[Key, _Told] = {}
        self._owners: dict[int, dict[bytes, bytes]] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    def wanted(self) -> bool:
        """Whether anybody may ask."""
        return bool(self._owners)

    def follow(
        self,
        routers: Iterable[DistributedRouter],
        vlans: Mapping[str, int],
        mtus: Mapping[str, int],
        devices: Iterable[Wired],
        own_mac: str | None = None,
    ) -> None:
        """These are the routers, the networks and the devices now; ``own_mac``: the host's, where it asks."""
        self._own_mac = own_mac
        receivers: dict[int, list[int]] = {}
        for wired in sorted(devices, key=lambda wired: wired.number):
            if not wired.details.device_owner.startswith("network:"):
                receivers.setdefault(wired.vlan, []).append(wired.number)
        before, self._told, self._owners = self._told, {}, {}
        for router in routers:
            for one in router.interfaces:
                vlan, mtu = vlans.get(one.network_id), mtus.get(one.network_id)
                if vlan is None or mtu is None:
                    continue
                mac = one.mac_address.lower()
                for address in own_addresses(one):
                    self._owners.setdefault(vlan, {})[ipaddress.IPv6Address(address).packed] = _octets(mac)
                said = _advertised(one, mac, mtu)
                if said is not None:
                    self._told[one.network_id, mac] = _Told(said, vlan, tuple(receivers.get(vlan, ())))
        self._say_changes(before)

    def _say_changes(self, before: Mapping[Key, _Told]) -> None:
        for key, told in self._told.items():
            known = before.get(key)
            if known is None or known.advertisement != told.advertisement:
                self._start(self._say_first(key, told.receivers))
            elif more := tuple(sorted(set(told.receivers) - set(known.receivers))):
                self._start(self._say_first(key, more))
        for key in before.keys() - self._told.keys():
            self._start(self._part(before[key]))

    def close(self) -> None:
        """Say nothing more: whoever comes after this agent goes on."""
        for task in self._work:
            task.cancel()

    async def hear(self, packet: PacketIn) -> None:
        """Answer a solicitation."""
        vlan = packet.value("reg6")
        if vlan is None or vlan not in self._owners:
            return
        if packet.userdata == ASKED:
            await self._answer(packet.data, vlan)
        elif packet.userdata == SOLICITED:
            for told in self._told.values():
                if told.vlan == vlan and packet.data[6:7] and not packet.data[6] & 1:
                    await self._say(told, to=packet.data[6:12])

    async def repeat(self) -> None:
        """Advertise from time to time."""
        while True:
            await asyncio.sleep(random.uniform(*_EVERY_S))  # noqa: S311 - no secret
            for told in list(self._told.values()):
                await self._say_to(told, told.receivers)

    async def _answer(self, frame: bytes, vlan: int) -> None:
        mac = self._owners[vlan].get(icmp.target(frame))
        answer = None if mac is None else icmp.neighbour_advertisement(frame, mac)
        if answer is not None:
            await self._send(answer, vlan, f"resubmit(,{t.SWITCH})")

    async def _say_first(self, key: Key, receivers: tuple[int, ...]) -> None:
        waited = 0.0
        for at in (0.0, *_AGAIN_S):
            await asyncio.sleep(at - waited)
            waited = at
            told = self._told.get(key)
            if told is not None:
                await self._say_to(told, tuple(one for one in receivers if one in told.receivers))

    async def _part(self, told: _Told) -> None:
        await self._say_to(told, told.receivers, lifetime_s=FAREWELL_S)
        frame = icmp.of_link(
            bytes([ROUTER_SOLICITATION, *bytes(7)]),
            _octets(self._own_mac or told.advertisement.mac),
            bytes(16),
            *_ALL_ROUTERS,
        )
        await self._send(frame, told.vlan, f"resubmit(,{t.SERVICES})")

    async def _say(self, told: _Told, *, to: bytes) -> None:
        """To one device, by its hardware address alone (RFC 6085)."""
        await self._send(_frame(told.advertisement, LIFETIME_S, to), told.vlan, f"resubmit(,{t.SWITCH})")

    async def _say_to(self, told: _Told, receivers: tuple[int, ...], *, lifetime_s: int = LIFETIME_S) -> None:
        frame = _frame(told.advertisement, lifetime_s, _ALL_NODES[1])
        for start in range(0, len(receivers), _MOST_RECEIVERS):
            some = receivers[start : start + _MOST_RECEIVERS]
            await self._send(
                frame, told.vlan, ",".join(step for number in some for step in deliver_to(number))
            )

    async def _send(self, frame: bytes, vlan: int, actions: str) -> None:
        try:
            await self._flows.packet_out(
                self._bridge, PacketOut(frame, f"set_field:0x{vlan:x}->{t.NETWORK},{actions}")
            )
        except (SwitchAbsent, SwitchRefused) as error:
            _log.debug("a packet can't be sent", why=str(error))

    def _start(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _advertised(interface: DistributedInterface, mac: str, mtu: int) -> Advertisement | None:
    """Plan the advertisement of an interface; none where it can't be written."""
    try:
        return advertisement(interface.advertised, namespace="", interface="", mac=mac, mtu=mtu)
    except ValueError as error:
        _log.warning("a router can't be advertised", network=interface.network_id, why=str(error))
        return None


def _frame(said: Advertisement, lifetime_s: int, to_mac: bytes) -> bytes:
    octets = message(said, lifetime_s=lifetime_s)
    source = ipaddress.IPv6Address(said.source).packed
    return icmp.of_link(octets, _octets(said.mac), source, _ALL_NODES[0], to_mac)


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
