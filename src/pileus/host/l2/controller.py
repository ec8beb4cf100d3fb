"""Packets that the flows of br-int send to the agent: each goes to whom it is for, by what the flow says of
it.

The agent is on no packet's usual way: what it hears of are first packets, questions that it answers, and
lines of logs. While nobody here wants any the connection is not open.
"""

from __future__ import annotations

import asyncio

from pileus.core.clock import Clock
from pileus.drivers.openflow.table import FlowTable, PacketIn, SwitchAbsent
from pileus.host.l2.dhcp.guests import ASKED_V4, ASKED_V6
from pileus.host.l2.dhcp.journal import Journal
from pileus.host.l2.dhcp.leases import Tell
from pileus.host.l2.dhcp.responder import Responder
from pileus.host.l2.floating import ANSWERED, MISSING
from pileus.host.l2.icmp_errors import IcmpErrors
from pileus.host.l2.model import Model
from pileus.host.l2.neighbours import Neighbours
from pileus.host.l2.packet_log import PacketLog
from pileus.host.l2.plan import Wiring
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.solicited import Solicited
from pileus.host.l2.words import ASKED, EXPIRED, SOLICITED, TOO_BIG

_PAUSE_S = 0.5


class Controller:
    """Listen to a switch's packets."""

    def __init__(
        self,
        settings: BridgeSettings,
        flows: FlowTable,
        clock: Clock,
        tell_leases: Tell,
        journal: Journal | None = None,
    ) -> None:
        self._bridge = settings.integration_bridge
        self._flows = flows
        self._log = PacketLog(settings, clock)
        self._neighbours = Neighbours(settings, flows, clock)
        self._errors = IcmpErrors(settings.integration_bridge, flows)
        self._solicited = Solicited(settings.integration_bridge, flows)
        self.dhcp = Responder(settings.integration_bridge, flows, clock, tell_leases, journal)
        self._wanted = asyncio.Event()

    def follow(self, wiring: Wiring, model: Model) -> None:
        """This is in force now."""
        mtus = {network_id: network.mtu for network_id, network in model.networks.items()}
        self._errors.follow(model.routers, wiring.vlans, mtus, wiring.outsides)
        own_mac = model.routing_mac.mac_address if model.routing_mac else None
        self._solicited.follow(model.routers, wiring.vlans, mtus, wiring.devices.values(), own_mac)
        self._log.follow(wiring.devices.values())
        self._neighbours.follow(wiring.outsides, wiring.translations)
        self.dhcp.follow(wiring.guests.values())
        handlers = (self._log, self._neighbours, self._errors, self._solicited, self.dhcp)
        if any(one.wanted for one in handlers):
            self._wanted.set()
        else:
            self._wanted.clear()

    async def watch(self) -> None:
        """Listen while anything is wanted, and again when the switch comes back."""
        await asyncio.gather(
            *(self._listen(), self._neighbours.refresh(), self._solicited.repeat()),
            *(self.dhcp.answer(), self.dhcp.leases.report()),
        )

    async def _listen(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                async for packet in self._flows.packets_in(self._bridge):
                    await self._take(packet)
                    if not self._wanted.is_set():
                        break
            except (SwitchAbsent, OSError):
                pass  # its return is noticed elsewhere
            await asyncio.sleep(_PAUSE_S)

    async def _take(self, packet: PacketIn) -> None:
        if packet.userdata in (MISSING, ANSWERED):
            await self._neighbours.hear(packet)
        elif packet.userdata in (EXPIRED, TOO_BIG):
            await self._errors.hear(packet)
        elif packet.userdata in (ASKED, SOLICITED):
            await self._solicited.hear(packet)
        elif packet.userdata in (ASKED_V4, ASKED_V6):
            self.dhcp.hear(packet)
        else:
            self._log.write(packet)

    def close(self) -> None:
        """Begin nothing more."""
        self._neighbours.close()
        self._solicited.close()
