"""Answers the DHCP of this host's devices, whose questions the switch brings to the agent.

There is no other server and no namespace: what is to be told stands in the desired state, which the agent
has also while nobody else lives. Each device has a rate of its own, in the switch and here, so that one that
asks without end keeps none of the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.isolation import reason
from pileus.host.l2 import tables as t
from pileus.host.l2.dhcp import v4, v6
from pileus.host.l2.dhcp.answer import Answer
from pileus.host.l2.dhcp.frames import read_v4, read_v6
from pileus.host.l2.dhcp.guests import ASKED_V4, ASKED_V6, RATE, Guest
from pileus.host.l2.dhcp.journal import Journal
from pileus.host.l2.dhcp.leases import Leases, Tell

_log = log.get("host.l2.dhcp")

Sender = tuple[int, int, str]
"""A port of the switch, a local VLAN, and a MAC address."""


class Responder:
    """``tell`` hands the changes of leases over; where it raises they are told later."""

    def __init__(
        self, bridge: str, flows: FlowTable, clock: Clock, tell: Tell, journal: Journal | None = None
    ) -> None:
        self._bridge = bridge
        self._flows = flows
        self._clock = clock
        self._guests: dict[Sender, Guest] = {}
        self._allowed: dict[Sender, tuple[float, float]] = {}
        self._answers: list[PacketOut] = []
        self._due = asyncio.Event()
        self.leases = Leases(clock, tell, journal or Journal())

    @property
    def wanted(self) -> bool:
        """Whether anybody here is answered."""
        return bool(self._guests)

    @property
    def answered(self) -> int:
        """How many devices are answered."""
        return len(self._guests)

    def follow(self, guests: Collection[Guest]) -> None:
        """These are answered now."""
        self._guests = {(one.ofport, one.vlan, one.mac_address): one for one in guests}
        self._allowed = {key: rate for key, rate in self._allowed.items() if key in self._guests}
        self.leases.keep(
            {
                (one.network_id, address)
                for one in guests
                for address in (*(given.address for given in one.given), *one.given_v6)
            }
        )

    def hear(self, packet: PacketIn) -> None:
        """Answer a question soon, if it is one. Whatever it says, it ends here."""
        ofport, vlan = packet.value("in_port"), packet.value("reg6")
        if ofport is None or vlan is None:
            return
        sender = ofport, vlan, packet.data[6:12].hex(":")
        guest = self._guests.get(sender)
        if guest is None or not self._may_ask(sender):
            return
        try:
            frame = self._answer(guest, packet)
        except Exception as error:  # a guest wrote it
            _log.warning("a question can't be answered", mac=guest.mac_address, why=reason(error))
            return
        if frame is None:
            return
        actions = (
            f"set_field:0x{guest.vlan:x}->{t.NETWORK},set_field:0x{guest.number:x}->{t.NUMBER},"
            f"resubmit(,{t.DELIVER})"
        )
        self._answers.append(PacketOut(frame, actions))
        self._due.set()

    async def answer(self) -> None:
        """Send what is due, all of it at a time: while the switch is busy with some, others come together."""
        while True:
            await self._due.wait()
            self._due.clear()
            some, self._answers = self._answers, []
            try:
                await self._flows.packet_out(self._bridge, *some)
            except (SwitchAbsent, SwitchRefused) as error:
                _log.debug("answers can't be sent", why=str(error))

    def _answer(self, guest: Guest, packet: PacketIn) -> bytes | None:
        found: Answer | None = None
        if packet.userdata == ASKED_V6:
            asked = read_v6(packet.data)
            found = v6.answer(guest, asked) if asked is not None else None
        elif packet.userdata == ASKED_V4:
            asked = read_v4(packet.data)
            found = v4.answer(guest, asked) if asked is not None else None
        if found is None:
            return None
        for address, how in found.leases:
            self.leases.became(guest, address, how, found.lease_s)
        return found.frame

    def _may_ask(self, sender: Sender) -> bool:
        now = self._clock.monotonic()
        tokens, filled_at = self._allowed.get(sender, (float(RATE.burst), now))
        tokens = min(float(RATE.burst), tokens + (now - filled_at) * RATE.rate)
        self._allowed[sender] = max(0.0, tokens - 1), now
        return tokens >= 1
