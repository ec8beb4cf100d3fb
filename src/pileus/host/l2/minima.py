"""Least bandwidths of what guests send: by queues on the cards of physical networks and of tunnels.

A guarantee is a share of a card's rate, so a physical network needs one in the settings, and so do tunnels,
under the name ``rp_tunnelled``; their card is that of the bridge, or the interface, which has their address.
What is asked for and not enforced is said once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from pileus.drivers.shaping.queues import REST, Guarantee, Queues, Shape, Tunnel
from pileus.host.l2 import switching
from pileus.host.l2.devices import Wired
from pileus.host.l2.settings import OWNER, OWNER_KEY, BridgeSettings
from pileus.host.l2.view import SwitchView
from pileus.wire.switch import NetworkDetails

TUNNELLED = "rp_tunnelled"
"""The name, in the place of a physical network's, by which the settings tell the rate of tunnels' card."""
_OF_THE_KERNEL = frozenset(("", "system"))


def shapes(
    devices: Mapping[str, Wired],
    networks: Mapping[str, NetworkDetails],
    view: SwitchView,
    settings: BridgeSettings,
    underlay: tuple[str, ...] = (),
) -> tuple[dict[str, Shape], dict[str, tuple[str, ...]]]:
    """Plan the queues of each card, and find the cards by which each guaranteed port sends. Pure.
    ``underlay``: the cards of tunnels."""
    rates, bridges = dict(settings.bandwidths), dict(settings.bridge_mappings)
    cards = {name: cards_of(bridges[name], view) for name in rates if name in bridges}
    if TUNNELLED in rates:
        cards[TUNNELLED] = underlay
    of_network: dict[str, list[Guarantee]] = {name: [] for name in cards}
    ways: dict[str, tuple[str, ...]] = {}
    for port_id, wired in sorted(devices.items()):
        qos = wired.details.qos
        network = networks.get(wired.details.network_id)
        if qos is None or not qos.egress_minimum_kbps or network is None:
            continue
        tunnel = _tunnel(network, settings)
        name = TUNNELLED if tunnel is not None else network.segment.physical_network or ""
        ways[port_id] = cards.get(name, ()) if wired.number < REST else ()
        if ways[port_id]:
            mac = wired.details.mac_address
            of_network[name].append(Guarantee(wired.number, mac, qos.egress_minimum_kbps, tunnel))
    found: dict[str, Shape] = {}
    for name, guarantees in of_network.items():
        for card in cards[name] if guarantees else ():
            # One card may be a physical network's and the tunnels' both.
            other = found.get(card, Shape(rates[name]))
            both = (*other.guarantees, *guarantees)
            found[card] = Shape(min(rates[name], other.rate_kbps), both)
    return found, ways


def _tunnel(network: NetworkDetails, settings: BridgeSettings) -> Tunnel | None:
    """The tunnel in which a network's frames leave, if they do."""
    if not switching.is_tunnelled(network) or not settings.tunnelling:
        return None
    version = ipaddress.ip_address(settings.tunneling_ip).version
    if network.segment.network_type == "gre":
        return Tunnel("gre", version)
    return Tunnel("vxlan", version, settings.vxlan_port)


def cards_of(bridge: str, view: SwitchView) -> tuple[str, ...]:
    """The network cards on a physical network's bridge."""
    return tuple(
        sorted(
            port.interface.name
            for port in view.ports.values()
            if port.bridge == bridge
            and port.name != bridge
            and port.interface.type in _OF_THE_KERNEL
            and port.external_ids.get(OWNER_KEY) != OWNER
        )
    )


class Minima:
    """Brings the queues into force, and says once which ports ask for what is not."""

    def __init__(self, logger: Any, settings: BridgeSettings, queues: Queues | None) -> None:
        self._logger = logger
        self._settings = settings
        self._queues = queues
        self._said: dict[str, int] = {}
        self._failed: dict[str, str] = {}

    @property
    def enforced(self) -> bool:
        """Whether this node can guarantee anything: it knows the rate of a card."""
        return self._queues is not None and bool(self._settings.bandwidths) and not self._failed

    async def bring(
        self,
        devices: Mapping[str, Wired],
        networks: Mapping[str, NetworkDetails],
        view: SwitchView,
        *,
        whole: bool,
    ) -> None:
        """Make it so for what is wired now."""
        underlay = await self._underlay(view)
        wanted, ways = shapes(devices, networks, view, self._settings, underlay)
        failed = {}
        if self._queues is not None and (self._settings.bandwidths or whole):
            failed = await self._queues.bring(wanted, whole=whole)
        for card, why in failed.items():
            if self._failed.get(card) != why:
                self._logger.error("least bandwidths are not enforced on a card", card=card, why=why)
        self._failed = failed
        asked = {
            port_id: qos.egress_minimum_kbps
            for port_id, cards in ways.items()
            if (qos := devices[port_id].details.qos) is not None
            and (self._queues is None or not cards or any(card in failed for card in cards))
        }
        new = {port_id: kbps for port_id, kbps in asked.items() if self._said.get(port_id) != kbps}
        self._said = asked
        if new:
            self._logger.warning(
                "a least bandwidth is not enforced here: there is no card whose rate is known",
                ports=dict(sorted(new.items())),
            )

    async def _underlay(self, view: SwitchView) -> tuple[str, ...]:
        """The cards by which tunnels leave."""
        settings = self._settings
        if self._queues is None or not settings.tunnelling or TUNNELLED not in dict(settings.bandwidths):
            return ()
        device = await self._queues.device_of(settings.tunneling_ip)
        if device is None:
            return ()
        return cards_of(device, view) if device in view.bridges else (device,)
