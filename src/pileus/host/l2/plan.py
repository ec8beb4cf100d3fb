"""Plans a switch's flows and meters: the plan that the agent applies and ``doctor`` prints.

Pure: a model, a view of the rows, the flows that are installed and settings go in, differences
come out. A fragment (the flows of one device, of one network, of one profile...) is computed
again only when its own inputs have changed; ``FlowBook`` remembers them, and forgetting it all
changes nothing but the time it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVarTuple

import msgspec

from pileus.drivers.openflow.flow import Flow, Key
from pileus.host.l2 import (
    answers,
    floating,
    icmp_errors,
    metered,
    routing,
    rules,
    solicited,
    switching,
    taps,
    trunks,
)
from pileus.host.l2.copies import Copies
from pileus.host.l2.devices import Wired, dead_flows, device_flows, plain_flows
from pileus.host.l2.dhcp.guests import Guest, guest_flows, guests_of, server_flows
from pileus.host.l2.dhcp.guests import meters as dhcp_meters
from pileus.host.l2.guest_tags import passes_tags
from pileus.host.l2.local_ips import local_ip_base, local_ip_flows
from pileus.host.l2.logged import log_flows
from pileus.host.l2.model import Model
from pileus.host.l2.numbers import stable_ids
from pileus.host.l2.pipeline import integration_flows
from pileus.host.l2.qos import LOG_METER, Meter, meters
from pileus.host.l2.rows import RowPlan, wanted_tunnels
from pileus.host.l2.settings import OWNER, OWNER_KEY, BridgeSettings
from pileus.host.l2.switching import Joint, LocalNetwork
from pileus.host.l2.translated import translated
from pileus.host.l2.view import InterfaceView, SwitchView
from pileus.host.l2.words import ASKED_METER, ERRORS_METER

Inputs = TypeVarTuple("Inputs")

_NO_COPIES = Copies()

FlowSet = dict[Key, Flow]
"""Flows by what makes them one and the same: table, priority and match."""


class Wiring(msgspec.Struct, frozen=True):
    """The rows' outcome, with the OpenFlow numbers that vswitchd has given out."""

    devices: dict[str, Wired]
    joints: dict[str, Joint]
    tunnel_ports: dict[tuple[str, str], int]
    tunnel_joint: Joint | None
    dead: tuple[int, ...]
    plain: tuple[int, ...]
    numbers: rules.GroupNumbers
    vlans: dict[str, int] = {}
    taps: frozenset[str] = frozenset()
    """Tap flows and tap services in force here."""
    outsides: tuple[floating.Outside, ...] = ()
    """The host's gateways to external networks that it carries."""
    translations: tuple[floating.Translation, ...] = ()
    guests: dict[str, Guest] = {}
    """The devices whose DHCP the switch answers."""


class FlowBook:
    """Fragments of flows with the inputs that they were computed from."""

    def __init__(self) -> None:
        self._fragments: dict[Any, tuple[Any, FlowSet]] = {}
        self._used: set[Any] = set()
        self.members = rules.Members()
        self.computed = 0
        """How many fragments were really computed so far: what a change costs."""

    def begin(self) -> None:
        """A new plan: fragments that it will not use are forgotten by ``end``."""
        self._used.clear()

    def end(self) -> None:
        """Forget what the plan did not use."""
        for key in self._fragments.keys() - self._used:
            del self._fragments[key]

    def forget(self) -> None:
        """Compute everything again."""
        self._fragments.clear()
        self.members.forget()

    def owners(self, flows: Iterable[Flow]) -> dict[Any, Flow]:
        """The fragments that flows come from, each with one of them; looks through all."""
        wanted = {flow.key: flow for flow in flows}
        return {
            key: wanted[common.pop()]
            for key, (_, fragment) in self._fragments.items()
            if (common := fragment.keys() & wanted.keys())
        }

    def fragment(self, key: Any, compute: Callable[[*Inputs], list[Flow]], *inputs: *Inputs) -> FlowSet:
        """Return ``compute(*inputs)``, remembered under ``key`` while the inputs stay equal."""
        self._used.add(key)
        remembered = self._fragments.get(key)
        if remembered is not None and remembered[0] == inputs:
            return remembered[1]
        flows = keyed(compute(*inputs))
        self.computed += 1
        self._fragments[key] = (inputs, flows)
        return flows


def wire(
    model: Model,
    view: SwitchView,
    rows: RowPlan,
    settings: BridgeSettings,
    is_metered: Callable[[InterfaceView], bool],
) -> Wiring:
    """Devices with all the numbers that their flows need. What has no OpenFlow number yet is left
    out: it is noticed when it gets one. ``is_metered``: whether a meter limits an interface's rate."""
    numbers = rules.number_groups((model.devices[port_id] for port_id in rows.alive), model.groups)
    devices = {}
    parents = trunks.parents(model, rows.alive)
    for port_id, port in rows.alive.items():
        details = model.devices[port_id]
        ofport = view.ofport(port.name)
        if ofport is not None:
            devices[port_id] = Wired(
                details=details,
                interface=port.name,
                ofport=ofport,
                vlan=rows.vlans[details.network_id],
                number=rows.numbers[port_id],
                profile=numbers.profiles[rules.profile_key(details)]
                if rules.is_secured(details)
                else rules.NO_PROFILE,
                metered=bool(details.rate_limit and details.rate_limit.rate_kbps)
                # An interface's policer can't tell the ports of a trunk apart.
                and (bool(details.parent_id) or port_id in parents or is_metered(port.interface)),
                tag=details.vlan_id if details.parent_id else 0,
                passes_tags=passes_tags(model.networks[details.network_id]),
                shared=bool(details.parent_id) or port_id in parents,
            )
    copies, in_force = taps.copied(model, devices, _ofports(model, view, settings), settings)
    for port_id, one in copies.items():
        devices[port_id] = msgspec.structs.replace(devices[port_id], copies=one)
    joints = _joints(view, settings)
    tunnel_joint = None
    tunnel_ports = {}
    if settings.tunnelling:
        tunnel_joint = _joint(view, settings.patch_tun, settings.patch_int)
        for endpoint, name in wanted_tunnels(model, settings).items():
            if (ofport := view.ofport(name)) is not None:
                tunnel_ports[endpoint] = ofport
    outsides, translations = translated(model, devices, rows.vlans, joints, settings)
    return Wiring(
        devices=devices,
        joints=joints,
        tunnel_ports=tunnel_ports,
        tunnel_joint=tunnel_joint,
        dead=tuple(sorted(number for port in rows.dead if (number := view.ofport(port.name)))),
        plain=_plain(view, settings),
        numbers=numbers,
        vlans=rows.vlans,
        taps=in_force,
        outsides=outsides,
        translations=translations,
        guests=guests_of(devices.values(), model.networks),
    )


def _ofports(model: Model, view: SwitchView, settings: BridgeSettings) -> dict[str, int]:
    names = taps.wanted_ports(model, settings)
    return {name: number for name in names if (number := view.ofport(name)) is not None}


def _joints(view: SwitchView, settings: BridgeSettings) -> dict[str, Joint]:
    """To the bridges of physical networks, as far as they are there."""
    return {
        bridge: joint
        for _, bridge in settings.bridge_mappings
        if (joint := _joint(view, settings.int_port(bridge), settings.phy_port(bridge)))
    }


def _joint(view: SwitchView, inner: str, outer: str) -> Joint | None:
    numbers = view.ofport(inner), view.ofport(outer)
    return Joint(*numbers) if numbers[0] and numbers[1] else None  # type: ignore[arg-type]


def _plain(view: SwitchView, settings: BridgeSettings) -> tuple[int, ...]:
    return tuple(
        sorted(
            number
            for port in view.ports.values()
            if port.bridge == settings.integration_bridge
            and port.external_ids.get(OWNER_KEY) != OWNER
            and "iface-id" not in port.interface.external_ids
            and port.name != settings.integration_bridge
            and (number := view.ofport(port.name))
        )
    )


def plan_flows(model: Model, wiring: Wiring, settings: BridgeSettings, book: FlowBook) -> dict[str, FlowSet]:
    """All flows that our bridges must have, by bridge."""
    book.begin()
    networks = _local_networks(model, wiring, settings)
    flows: dict[str, FlowSet] = {
        settings.integration_bridge: _merged(_integration(model, wiring, networks, book))
    }
    if settings.tunnelling and wiring.tunnel_joint is not None:
        flows[settings.tunnel_bridge] = _merged(_tunnel(wiring, networks, settings, book))
    for physical_network, bridge in settings.bridge_mappings:
        if bridge in wiring.joints:
            flows[bridge] = _merged(_physical(physical_network, wiring.joints[bridge], networks, book))
    book.end()
    return flows


def keyed(flows: Iterable[Flow]) -> FlowSet:
    """Flows by their key; of several with one key the last."""
    return {flow.key: flow for flow in flows}


def _merged(fragments: Iterable[FlowSet]) -> FlowSet:
    merged: FlowSet = {}
    for fragment in fragments:
        merged.update(fragment)
    return merged


def _local_networks(model: Model, wiring: Wiring, settings: BridgeSettings) -> list[LocalNetwork]:
    devices: dict[str, list[Wired]] = {}
    for wired in wiring.devices.values():
        devices.setdefault(wired.details.network_id, []).append(wired)
    bridges = dict(settings.bridge_mappings)
    for network_id in sorted(model.routed() & model.networks.keys() & wiring.vlans.keys()):
        devices.setdefault(network_id, [])
    result = []
    for network_id, members in devices.items():
        details = model.networks[network_id]
        if switching.is_tunnelled(details):
            known = details.segment.network_type in settings.tunnel_types
            joint = wiring.tunnel_joint if known else None
        else:
            joint = wiring.joints.get(bridges.get(details.segment.physical_network or "", ""))
        members.sort(key=lambda wired: wired.number)
        result.append(LocalNetwork(details, wiring.vlans[network_id], tuple(members), joint))
    return result


def _integration(
    model: Model, wiring: Wiring, networks: list[LocalNetwork], book: FlowBook
) -> Iterable[FlowSet]:
    yield book.fragment("base", integration_flows)
    for bridge, joint in wiring.joints.items():
        yield book.fragment(("joint", bridge), switching.joint_base, joint.inner, False)
    if wiring.tunnel_joint is not None:
        yield book.fragment("tunnel joint", switching.joint_base, wiring.tunnel_joint.inner, True)
    yield book.fragment("dead", dead_flows, wiring.dead)
    yield book.fragment("plain", plain_flows, wiring.plain)
    for port_id, wired in wiring.devices.items():
        yield book.fragment(("device", port_id), device_flows, wired)
        if wired.details.logs:
            # Under a name of their own: a switch that refuses these carries the device all the same.
            yield book.fragment(("log", f"log of {port_id}"), log_flows, wired)
        if wired.copies != _NO_COPIES:
            yield book.fragment(("tap", f"taps of {port_id}"), taps.tap_flows, wired, wired.copies)
    for network in networks:
        # The forwarding entries are the tunnel bridge's business.
        details = msgspec.structs.replace(network.details, forwarding=(), remote=())
        inner = msgspec.structs.replace(network, details=details)
        yield book.fragment(("network", details.network_id), switching.network_flows, inner)
    yield from _dhcp(wiring, networks, book)
    yield from _local_ips(wiring, book)
    yield from _routers(model, wiring, networks, book)
    yield from _groups(model, wiring.numbers, book)


def _dhcp(wiring: Wiring, networks: list[LocalNetwork], book: FlowBook) -> Iterable[FlowSet]:
    for network in networks:
        if (dhcp := network.details.dhcp) is not None:
            yield book.fragment(("DHCP", network.details.network_id), server_flows, network.vlan, dhcp)
    for port_id, guest in wiring.guests.items():
        key = ("DHCP", f"DHCP of {port_id}")
        yield book.fragment(key, guest_flows, wiring.devices[port_id], guest)


def _local_ips(wiring: Wiring, book: FlowBook) -> Iterable[FlowSet]:
    yield book.fragment("local IP base", local_ip_base)
    joints = [wiring.tunnel_joint, *wiring.joints.values()]
    outer = tuple(sorted({joint.inner for joint in joints if joint is not None}))
    # Of two ports with one address the one with the lesser id has it.
    for port_id in sorted(wiring.devices, reverse=True):
        if wiring.devices[port_id].details.local_ips:
            yield book.fragment(("local IPs", port_id), local_ip_flows, wiring.devices[port_id], outer)


def _routers(model: Model, wiring: Wiring, networks: list[LocalNetwork], book: FlowBook) -> Iterable[FlowSet]:
    joints = [wiring.tunnel_joint, *wiring.joints.values()]
    outer = tuple(sorted({joint.inner for joint in joints if joint is not None}))
    yield book.fragment("routing base", routing.routing_base)
    yield book.fragment("answers", answers.answer_flows, outer)
    yield book.fragment("floating base", floating.floating_base)
    if not model.routers:
        return
    carried = {network.details.network_id: network for network in networks}
    numbers = stable_ids(router.router_id for router in model.routers)
    for router in model.routers:
        routed = tuple(routing.routed_networks(router, carried, model.routing_mac))
        number = numbers[router.router_id]
        yield book.fragment(("router", router.router_id), routing.router_flows, router, number, routed, outer)
    outsides = {outside.gateway.network_id: outside for outside in wiring.outsides}
    for network_id, outside in outsides.items():
        yield book.fragment(("outside", network_id), floating.outside_flows, outside)
    for one in wiring.translations:
        outside = outsides[one.floating.network_id]
        key = ("translation", one.floating.floating_ip_id)
        yield book.fragment(key, floating.translation_flows, one, outside.gateway, outside.vlan)
    translating = {one.floating.router_id for one in wiring.translations}
    labels = metered.numbers(model.routers)
    for router in model.routers:
        for label in router.metering_labels if router.router_id in translating else ():
            number = labels[router.router_id, label.label_id]
            yield book.fragment(("label", number), metered.label_flows, label, number)


def _groups(model: Model, numbers: rules.GroupNumbers, book: FlowBook) -> Iterable[FlowSet]:
    for profile, number in numbers.profiles.items():
        members = [model.groups[group] for group in profile.split(",") if group in model.groups]
        security_rules = tuple(rule for group in members for rule in group.rules)
        remote = {
            other: numbers.conjunctions[other] for rule in security_rules if (other := rules.other_side(rule))
        }
        yield book.fragment(("profile", profile), rules.profile_flows, number, security_rules, remote)
    referred = rules.directions_of_members(numbers.profiles, model.groups)
    addresses = {group: model.groups[group].member_ips for group in referred if group in model.groups}
    addresses |= {
        group: model.address_groups[group].addresses for group in referred if group in model.address_groups
    }
    yield book.members.flows(referred, addresses, numbers.conjunctions)


def _tunnel(
    wiring: Wiring, networks: list[LocalNetwork], settings: BridgeSettings, book: FlowBook
) -> Iterable[FlowSet]:
    joint = wiring.tunnel_joint
    assert joint is not None
    ports, responder = wiring.tunnel_ports, settings.arp_responder
    yield book.fragment("tunnel base", switching.tunnel_base, joint.outer, ports, responder)
    for network in networks:
        if network.joint is not None and switching.is_tunnelled(network.details):
            yield book.fragment(
                ("tunnel", network.details.network_id),
                switching.tunnel_flows,
                network.details,
                network.vlan,
                joint,
                ports,
                responder,
            )


def _physical(
    physical_network: str, joint: Joint, networks: list[LocalNetwork], book: FlowBook
) -> Iterable[FlowSet]:
    yield book.fragment(("physical base", physical_network), switching.physical_base, joint.outer)
    for network in networks:
        segment = network.details.segment
        if network.joint == joint and segment.physical_network == physical_network:
            key = ("physical", network.details.network_id)
            yield book.fragment(
                key, switching.physical_flows, segment, network.vlan, joint, network.details.qinq
            )


def plan_meters(wiring: Wiring, settings: BridgeSettings, *, routing: bool = False) -> dict[int, Meter]:
    """Meters of br-int by number: of devices that are limited, one for all that are logged, and with
    ``routing`` one for what routers tell the agent of."""
    found = {ERRORS_METER: icmp_errors.RATE, ASKED_METER: solicited.RATE} if routing else {}
    found |= {
        number: meter
        for wired in wiring.devices.values()
        for number, meter in meters(wired.number, wired.details, wired.metered).items()
    }
    found |= dhcp_meters(wiring.guests.values())
    if any(wired.details.logs for wired in wiring.devices.values()):
        found[LOG_METER] = Meter(settings.log_rate_limit, settings.log_burst_limit, packets=True)
    return found


class FlowChange(msgspec.Struct, frozen=True):
    """One bridge's bundle."""

    add: tuple[Flow, ...] = ()
    delete: tuple[Flow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)

    def __len__(self) -> int:
        return len(self.add) + len(self.delete)


def compare(wanted: FlowSet, installed: FlowSet, ours: Collection[int]) -> FlowChange:
    """Compare: flows to add (or overwrite), and flows of ours to delete. Flows with other cookies stay,
    unless one stands where one of ours must be."""
    if wanted is installed:
        return FlowChange()
    add = tuple(
        flow
        for key, flow in wanted.items()
        # Most are the very same value: asking that first saves comparing it.
        if (present := installed.get(key)) is not flow and (present is None or present.effect != flow.effect)
    )
    delete = tuple(flow for key, flow in installed.items() if key not in wanted and flow.cookie in ours)
    return FlowChange(add, delete)
