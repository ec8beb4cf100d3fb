"""Finds the floating IPs that a switch can translate, and their ways out, with the numbers of flows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.host.l2 import floating, metered, routing
from pileus.host.l2.devices import Wired
from pileus.host.l2.model import Model
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.switching import Joint
from pileus.wire.dhcp import HostRoute


def translated(
    model: Model,
    devices: Mapping[str, Wired],
    vlans: Mapping[str, int],
    joints: Mapping[str, Joint],
    settings: BridgeSettings,
) -> tuple[tuple[floating.Outside, ...], tuple[floating.Translation, ...]]:
    """The floating IPs that can be translated here, and the ways out of those."""
    bridges = dict(settings.bridge_mappings)
    gateways = {
        gateway.network_id: gateway
        for gateway in model.gateways
        if (network := model.networks.get(gateway.network_id)) is not None
        and gateway.network_id in vlans
        and bridges.get(network.segment.physical_network or "") in joints
    }
    numbers = stable_ids(router.router_id for router in model.routers)
    macs = {
        (router.router_id, one.network_id): one.mac_address.lower()
        for router in model.routers
        for one in router.interfaces
        if any(":" not in address for address in one.ip_addresses)
    }
    zones = floating.zones(model.floating_ips)
    counted = metered.through_all(model.routers)
    translations = tuple(
        floating.Translation(
            one,
            device,
            numbers[one.router_id],
            router_mac,
            zones[floating.identity(one)],
            model.networks[device.details.network_id].mtu,
            model.networks[one.network_id].mtu,
            *counted[one.router_id],
        )
        for one in model.floating_ips
        if (device := devices.get(one.port_id)) is not None
        and one.network_id in gateways
        and (router_mac := macs.get((one.router_id, device.details.network_id))) is not None
    )
    routes = _outer_routes(model, numbers)
    outsides = tuple(
        floating.Outside(
            gateway,
            vlans[network_id],
            tuple(
                sorted(
                    one.floating.floating_ip_address
                    for one in translations
                    if one.floating.network_id == network_id
                )
            ),
            floating.leading_out(gateway, routes),
        )
        for network_id, gateway in gateways.items()
    )
    return outsides, translations


def _outer_routes(model: Model, numbers: Mapping[str, int]) -> tuple[tuple[int, HostRoute], ...]:
    """The extra routes that lead outside, by router number."""
    return tuple(
        (numbers[router.router_id], route)
        for router in model.routers
        for route in routing.outer_routes(router)
    )
