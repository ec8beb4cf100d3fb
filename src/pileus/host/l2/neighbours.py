"""Finds neighbours of floating IPs outside, and tells them where floating IPs are.

What the switch knows of neighbours it has learnt by itself. The agent asks for those that are missing, keeps
the packet that was on its way to one until there is an answer, and asks again for all of them from time to
time: who does not answer any more is forgotten. A floating IP that this host has taken over is announced,
some times, since its former host may have answered meanwhile.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Iterable

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.l2 import tables as t
from pileus.host.l2.floating import ANSWERED, MISSING, Outside, Translation
from pileus.host.l2.settings import BridgeSettings

_log = log.get("host.l2.neighbours")

_EVERY_S = 15.0
_SILENT_ROUNDS = 4
_ANNOUNCED_AFTER_S = (0.0, 0.3, 1.0, 3.0)
_MOST_KEPT, _KEPT_FOR_EACH, _KEPT_S = 256, 4, 2.0
_RATE, _BURST = 100.0, 200.0
_NEIGHBOUR_BITS, _NEIGHBOUR_MASK = t.LEARNT_COOKIE, (1 << 64) - 1
_ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_BROADCAST, _UNKNOWN = b"\xff" * 6, bytes(6)

Hop = tuple[int, int]
"""A local VLAN, and an IPv4 address as a number."""


class Neighbours:
    """Follows the ways out of one switch."""

    def __init__(self, settings: BridgeSettings, flows: FlowTable, clock: Clock) -> None:
        self._bridge = settings.integration_bridge
        self._flows = flows
        self._clock = clock
        self._outsides: dict[int, Outside] = {}
        self._held: dict[str, tuple[int, bytes]] = {}
        self._kept: dict[Hop, list[tuple[float, bytes]]] = {}
        self._silent: dict[Hop, int] = {}
        self._tokens, self._filled_at = _BURST, clock.monotonic()
        self._announcing: set[asyncio.Task[None]] = set()

    @property
    def wanted(self) -> bool:
        """Whether there is any way out to be looked after."""
        return bool(self._outsides)

    def follow(self, outsides: Iterable[Outside], translations: Iterable[Translation]) -> None:
        """These are the ways out, and the floating IPs in force, now."""
        before = self._outsides
        self._outsides = {outside.vlan: outside for outside in outsides}
        by_network = {outside.gateway.network_id: outside for outside in self._outsides.values()}
        held = {
            one.floating.floating_ip_address: (outside.vlan, _mac(outside.gateway.mac_address))
            for one in translations
            if (outside := by_network.get(one.floating.network_id)) is not None and not one.floating.leaving
        }
        new = {address: place for address, place in held.items() if self._held.get(address) != place}
        self._held = held
        fresh = [vlan for vlan in self._outsides if vlan not in before]
        if new or fresh:
            self._start(self._announce(new, fresh))

    def close(self) -> None:
        """Announce no more."""
        for task in self._announcing:
            task.cancel()

    async def hear(self, packet: PacketIn) -> None:
        """Take a packet that the flows have sent: of a missing neighbour, or an answer."""
        vlan = packet.value("reg6")
        outside = self._outsides.get(vlan) if vlan is not None else None
        if vlan is None or outside is None:
            return
        if packet.userdata == MISSING:
            hop = packet.value("reg10")
            if hop is not None and self._may_ask():
                self._keep((vlan, hop), packet.data)
                await self._ask(outside, hop)
        elif packet.userdata == ANSWERED and len(packet.data) >= _ARP.size:
            fields = _ARP.unpack_from(packet.data)
            await self._answered((vlan, int.from_bytes(fields[9])), fields[8])

    async def refresh(self) -> None:
        """Ask for all neighbours again, from time to time; those that are silent are forgotten."""
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self._ask_again()
            except (SwitchAbsent, SwitchRefused, OSError):
                continue  # it is asked again later

    async def _ask_again(self) -> None:
        found = await self._flows.dump(self._bridge, _NEIGHBOUR_BITS, _NEIGHBOUR_MASK) if self.wanted else []
        learnt = {
            hop: flow for flow in found if flow.table == t.NEIGHBOURS and (hop := _hop(flow)) is not None
        }
        gone = [flow for hop, flow in learnt.items() if self._silent.get(hop, 0) >= _SILENT_ROUNDS]
        gone += [flow for hop, flow in learnt.items() if hop[0] not in self._outsides and flow not in gone]
        if gone:
            await self._flows.apply(self._bridge, (), gone)
        gone_hops = {_hop(flow) for flow in gone}
        self._silent = {hop: self._silent.get(hop, 0) + 1 for hop in learnt if hop not in gone_hops}
        for vlan, number in self._silent:
            await self._ask(self._outsides[vlan], number)
        for outside in self._outsides.values():
            for number in _gateways(outside):
                if (outside.vlan, number) not in self._silent:
                    await self._ask(outside, number)

    async def _answered(self, hop: Hop, mac: bytes) -> None:
        self._silent[hop] = 0
        oldest = self._clock.monotonic() - _KEPT_S
        for since, data in self._kept.pop(hop, ()):
            if since >= oldest:
                onward = f"set_field:{mac.hex(':')}->eth_dst,set_field:0x{hop[0]:x}->{t.NETWORK}"
                await self._send(data, f"{onward},resubmit(,{t.SWITCH})")

    def _keep(self, hop: Hop, data: bytes) -> None:
        oldest = self._clock.monotonic() - _KEPT_S
        if len(self._kept) >= _MOST_KEPT:
            self._kept = {key: some for key, some in self._kept.items() if some[-1][0] >= oldest}
        if hop in self._kept or len(self._kept) < _MOST_KEPT:
            several = self._kept.setdefault(hop, [])
            several.append((self._clock.monotonic(), data))
            del several[:-_KEPT_FOR_EACH]

    def _may_ask(self) -> bool:
        now = self._clock.monotonic()
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _RATE)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    async def _ask(self, outside: Outside, number: int) -> None:
        own = next((one for one in outside.gateway.ip_addresses if ":" not in one), None)
        if own is not None:
            source = ipaddress.IPv4Address(own).packed
            await self._flood(outside.vlan, _request(_mac(outside.gateway.mac_address), source, number))

    async def _announce(self, new: dict[str, tuple[int, bytes]], fresh: list[int]) -> None:
        for vlan in fresh:
            if (outside := self._outsides.get(vlan)) is not None:
                for number in _gateways(outside):
                    await self._ask(outside, number)
        waited = 0.0
        for at in _ANNOUNCED_AFTER_S:
            await asyncio.sleep(at - waited)
            waited = at
            for address, (vlan, mac) in new.items():
                if self._held.get(address) == (vlan, mac):
                    own = ipaddress.IPv4Address(address)
                    await self._flood(vlan, _request(mac, own.packed, int(own)))

    async def _flood(self, vlan: int, frame: bytes) -> None:
        await self._send(frame, f"set_field:0x{vlan:x}->{t.NETWORK},resubmit(,{t.FLOOD})")

    async def _send(self, frame: bytes, actions: str) -> None:
        try:
            await self._flows.packet_out(self._bridge, PacketOut(frame, actions))
        except (SwitchAbsent, SwitchRefused) as error:
            _log.debug("a packet can't be sent", why=str(error))

    def _start(self, work: Iterable[None] | object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)


def _gateways(outside: Outside) -> list[int]:
    hops = [subnet.gateway_ip for subnet in outside.gateway.subnets]
    return [int(ipaddress.IPv4Address(hop)) for hop in dict.fromkeys(hops) if hop and ":" not in hop]


def _request(mac: bytes, source: bytes, target: int) -> bytes:
    """An ARP request (RFC 826); of an address for itself it is an announcement (RFC 5227)."""
    return _ARP.pack(_BROADCAST, mac, 0x0806, 1, 0x0800, 6, 4, 1, mac, source, _UNKNOWN, target.to_bytes(4))


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _hop(flow: Flow) -> Hop | None:
    values = dict(token.split("=", 1) for token in flow.match.split(",") if "=" in token)
    try:
        return int(values["reg6"].partition("/")[0], 0), int(values["reg10"].partition("/")[0], 0)
    except (KeyError, ValueError):
        return None
