"""Answers the DHCP of this host's devices, whose questions the switch brings to the agent.

There is no other server and no namespace: what is to be told stands in the desired state, which the agent
has also while nobody else lives. Each device has a rate of its own, in the switch and here, so that one that
asks without end keeps none of the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.openflow.table import FlowTable, PacketIn, PacketOut, SwitchAbsent, SwitchRefused
from pileus.host.isolation import reason
from pileus.host.l2 import tables as t
from pileus.host.l2.dhcp import v4, v6
from pileus.host.l2.dhcp.frames import read_v4, read_v6
from pileus.host.l2.dhcp.guests import ASKED_V4, ASKED_V6, RATE, Guest
from pileus.wire.dhcp import LeaseChange

_log = log.get("host.l2.dhcp")

_TELL_EVERY_S = 1.0
_AT_ONCE, _MOST_WAITING = 500, 10_000

Tell = Callable[[Sequence[LeaseChange]], Awaitable[None]]
Sender = tuple[int, int, str]
"""A port of the switch, a local VLAN, and a MAC address."""


class Responder:
    """``tell`` hands the changes of leases over; where it raises they are told later."""

    def __init__(self, bridge: str, flows: FlowTable, clock: Clock, tell: Tell) -> None:
        self._bridge = bridge
        self._flows = flows
        self._clock = clock
        self._guests: dict[Sender, Guest] = {}
        self._allowed: dict[Sender, tuple[float, float]] = {}
        self._answers: list[PacketOut] = []
        self._due = asyncio.Event()
        self.leases = Leases(clock, tell)

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
        self.leases.keep({(one.network_id, given.address) for one in guests for given in one.given})

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
        if packet.userdata == ASKED_V6:
            asked = read_v6(packet.data)
            return v6.answer(guest, asked) if asked is not None else None
        asked = read_v4(packet.data) if packet.userdata == ASKED_V4 else None
        found = v4.answer(guest, asked) if asked is not None else None
        if found is None:
            return None
        if found.lease is not None:
            self.leases.became(guest, *found.lease)
        return found.frame

    def _may_ask(self, sender: Sender) -> bool:
        now = self._clock.monotonic()
        tokens, filled_at = self._allowed.get(sender, (float(RATE.burst), now))
        tokens = min(float(RATE.burst), tokens + (now - filled_at) * RATE.rate)
        self._allowed[sender] = max(0.0, tokens - 1), now
        return tokens >= 1


class Leases:
    """The leases that were given here, and what the server has not been told of them yet.

    They are kept for what is told only: whether a guest is answered does not depend on them. A restart
    forgets them, so a lease that ran out meanwhile is not told to have ended.
    """

    def __init__(self, clock: Clock, tell: Tell) -> None:
        self._clock = clock
        self._tell = tell
        self._held: dict[tuple[str, str], tuple[str, int]] = {}
        self._news: list[LeaseChange] = []

    def became(self, guest: Guest, address: str, kind: str) -> None:
        """A lease of a guest's was given, renewed or given back."""
        key = guest.network_id, address
        if kind == v4.ENDED:
            if self._held.pop(key, None) is not None:
                self._note(key, guest.mac_address, v4.ENDED, 0)
            return
        expires = int(self._clock.now().timestamp()) + guest.lease_s
        known = self._held.get(key)
        if known is not None and known[0] == guest.mac_address:
            kind = v4.RENEWED
        self._held[key] = guest.mac_address, expires
        self._note(key, guest.mac_address, kind, expires)

    def keep(self, wanted: set[tuple[str, str]]) -> None:
        """Forget all others: their ports have gone, or have other addresses."""
        self._held = {key: held for key, held in self._held.items() if key in wanted}

    def _note(self, key: tuple[str, str], mac: str, kind: str, expires: int) -> None:
        self._news.append(LeaseChange(key[0], kind, key[1], mac, expires))
        del self._news[:-_MOST_WAITING]

    async def report(self) -> None:
        """Tell what has happened, again and again."""
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            now = int(self._clock.now().timestamp())
            for key, (mac, expires) in list(self._held.items()):
                if expires <= now:
                    del self._held[key]
                    self._note(key, mac, v4.ENDED, 0)
            while self._news:
                some = self._news[:_AT_ONCE]
                try:
                    await self._tell(some)
                except Exception as error:
                    _log.debug("leases are told later", why=reason(error))
                    break
                # What was noted meanwhile came behind these, or has pushed some of them out.
                told = set(map(id, some))
                self._news = [one for one in self._news if id(one) not in told]
