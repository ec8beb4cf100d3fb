"""Links and packet rules of Linux bridges, as values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pileus.drivers.linuxbridge.bridges import EVERYBODY, LABEL, Bridge, Device, Seen, Vlan, Vxlan
from pileus.host.l2.model import Model
from pileus.host.linuxbridge import filtering, plan
from pileus.host.linuxbridge.filtering import Filtered
from pileus.host.linuxbridge.settings import LinuxBridgeSettings, bridge_name, vlan_name
from pileus.wire.switch import (
    AddressPair,
    DeviceDetails,
    FixedIP,
    ForwardingEntry,
    NetworkDetails,
    SecurityGroupDetails,
    SecurityRule,
    Segment,
)

replace = msgspec.structs.replace

SETTINGS = LinuxBridgeSettings(
    host="n1", interfaces=(("physnet1", "eth1"),), bridges=(("physnet2", "br0"),), tunneling_ip="192.0.2.1"
)
FORWARDING = (
    ForwardingEntry("fa:16:3e:00:00:02", ("10.0.0.2",), "n2", "192.0.2.2"),
    ForwardingEntry("fa:16:3e:00:00:03", ("10.0.0.3",), "n3", "192.0.2.3"),
    ForwardingEntry("fa:16:3e:00:00:03", ("10.0.0.4",), "n2", "192.0.2.2"),
)
NETWORKS = {
    "tunnelled": NetworkDetails("tunnelled", Segment("vxlan", None, 7), 1450, forwarding=FORWARDING),
    "tagged": NetworkDetails("tagged", Segment("vlan", "physnet1", 20)),
    "flat": NetworkDetails("flat", Segment("flat", "physnet1")),
    "theirs": NetworkDetails("theirs", Segment("flat", "physnet2")),
    "gre": NetworkDetails("gre", Segment("gre", None, 7)),
}


def device(number: int, network_id: str = "tunnelled", **changes: Any) -> DeviceDetails:
    details = DeviceDetails(
        port_id=f"p{number}",
        network_id=network_id,
        mac_address=f"fa:16:3e:00:00:{number:02x}",
        fixed_ips=(FixedIP(f"10.0.0.{number}", "s4"), FixedIP(f"fd00::{number:x}", "s6")),
        security_group_ids=("web",),
    )
    return replace(details, **changes)


def model(*devices: DeviceDetails, **groups: SecurityGroupDetails) -> Model:
    return Model(devices={one.port_id: one for one in devices}, networks=NETWORKS, groups=groups)


def seen(*names: str, **more: Device) -> Seen:
    return Seen({name: Device(name, number, up=True) for number, name in enumerate(names, 2)} | more)


def links(some: Model, there: Seen, settings: LinuxBridgeSettings = SETTINGS) -> plan.Links:
    plugged = {port_id: f"tap{port_id}" for port_id in some.devices}
    return plan.links(some, plugged, (), there, settings)


def test_each_kind_of_network_has_its_uplink() -> None:
    some = model(*(device(n, name) for n, name in enumerate(NETWORKS, 1)))
    br0 = Device("br0", 50, made=Bridge("br0"))
    wanted = links(some, seen("eth1", "tapp1", "tapp2", "tapp3", "tapp4", "tapp5", br0=br0))
    assert wanted.failed == {"p5": "Linux bridges carry no gre networks"}
    assert {key: one.device for key, one in wanted.networks.items()} == {
        "tunnelled": Vxlan("vxlan-7", 7, "192.0.2.1", 4789, 1450),
        "tagged": Vlan("eth1.20", "eth1", 20, 1500),
        "flat": None,
        "theirs": None,
    }
    assert wanted.networks["flat"].uplink == "eth1"
    assert (wanted.networks["theirs"].bridge, wanted.networks["theirs"].made) == ("br0", False)
    # An address at two ends is asked of everybody.
    assert wanted.networks["tunnelled"].entries == {
        (EVERYBODY, "192.0.2.2"),
        (EVERYBODY, "192.0.2.3"),
        ("fa:16:3e:00:00:02", "192.0.2.2"),
    }


@pytest.mark.parametrize(
    ("network_id", "settings", "there", "why"),
    [
        ("tunnelled", replace(SETTINGS, tunneling_ip=""), seen("tapp1"), "no underlay address"),
        ("flat", replace(SETTINGS, interfaces=()), seen("tapp1"), "no network card for physical network"),
        ("flat", SETTINGS, seen("tapp1"), "there is no network card eth1"),
        ("theirs", SETTINGS, seen("tapp1"), "there is no bridge br0"),
        ("theirs", SETTINGS, seen("tapp1", "br0"), "there is no bridge br0"),
        ("flat", SETTINGS, seen("eth1"), "tapp1: no such interface"),
        (
            "flat",
            SETTINGS,
            seen("tapp1", eth1=Device("eth1", 9, addresses=("192.0.2.7/24", "fe80::1/64"))),
            "eth1 has addresses (192.0.2.7/24)",
        ),
    ],
)
def test_what_can_not_be_carried_says_why(
    network_id: str, settings: LinuxBridgeSettings, there: Seen, why: str
) -> None:
    wanted = links(model(device(1, network_id)), there, settings)
    assert why in wanted.failed["p1"]
    assert wanted.wired == {} and wanted.networks == {}


def test_who_is_down_or_nobodys_is_dead() -> None:
    some = model(
        device(1),
        device(2, admin_state_up=False),
        device(3, quarantined=True),
        device(4, network_id="unknown"),
    )
    names = {f"p{n}": f"tapp{n}" for n in range(1, 6)}
    wanted = plan.links(some, names, ["double"], seen(*names.values(), "double"), SETTINGS)
    assert set(wanted.wired) == {"p1"}
    assert wanted.dead == ("double", "tapp2", "tapp3", "tapp4", "tapp5")


def test_only_what_differs_is_changed() -> None:
    some = model(device(1))
    there = seen("tapp1", "other")
    wanted = links(some, there)
    name = bridge_name("tunnelled")
    tunnel = Vxlan("vxlan-7", 7, "192.0.2.1", 4789, 1450)
    first = plan.making(wanted, there, tracked=True)
    assert first.made == (Bridge(name, True), tunnel) and len(first.added) == 3
    assert plan.membership(wanted, there).masters == (("tapp1", name), ("vxlan-7", name))
    done = {
        name: Device(name, 70, LABEL, up=True, made=Bridge(name, True)),
        "vxlan-7": Device("vxlan-7", 71, LABEL, name, up=True, made=tunnel),
        "tapp1": Device("tapp1", 72, "", name, up=True),
        "other": Device("other", 73, "", name, up=True),
    }
    now = Seen(done, {"vxlan-7": wanted.networks["tunnelled"].entries})
    for change in (
        plan.making(wanted, now, tracked=True),
        plan.membership(wanted, now),
        plan.stale(wanted, now),
    ):
        assert len(change) == 0
    assert plan.zones(wanted, now) == {name: 70}
    # Another end of the underlay: made anew. Another MTU: set. What is wanted no more goes, of ours only.
    moved = replace(SETTINGS, tunneling_ip="192.0.2.9")
    again = plan.making(links(some, now, moved), now, tracked=True)
    assert again.removed == ("vxlan-7",) and len(again.added) == 3
    wider = replace(some, networks=NETWORKS | {"tunnelled": replace(NETWORKS["tunnelled"], mtu=1500)})
    assert plan.making(links(wider, now), now, tracked=True).removed == ()
    assert plan.stale(links(model(), now), now).removed == (name, "vxlan-7")
    quarantined = links(model(device(1, quarantined=True)), now)
    assert plan.membership(quarantined, now).masters == (("tapp1", None),)


def test_names_fit_into_the_kernels() -> None:
    assert bridge_name("0123456789abcdef") == "brq0123456789a"
    assert vlan_name("enp0s31f6np1", 4094) == "enp0s31f6n.4094" and len(vlan_name("x" * 15, 1)) == 15


RULES = (
    SecurityRule("ssh", "ingress", "IPv4", "tcp", 22, 22),
    SecurityRule("range", "ingress", "IPv4", "udp", 1000, 2000, "203.0.113.0/24"),
    SecurityRule("members", "ingress", "IPv4", None, None, None, None, "web"),
    SecurityRule("ping6", "ingress", "IPv6", "icmp", 128, 0),
    SecurityRule("vrrp", "ingress", "IPv4", "112"),
    SecurityRule("out", "egress", "IPv4"),
    SecurityRule("no", "ingress", "IPv4", "ospf", 1, 2),
)
WEB = SecurityGroupDetails("web", RULES, ("10.0.0.1", "10.0.0.2", "10.0.0.0/30", "fd00::1"))


@pytest.mark.parametrize("tracker", ["bridge", "inet"])
def test_the_rules_are_as_they_were(tracker: Any, golden: Callable[[str, str], None]) -> None:
    pair = AddressPair("10.9.0.0/16", "fa:16:3e:00:00:fa")
    some = model(
        device(1, allowed_address_pairs=(pair,)), device(2), device(3, port_security_enabled=False), web=WEB
    )
    wired = [Filtered(one, f"tap{one.port_id}", "brqtunnelled") for one in some.devices.values()]
    tables = filtering.tables(some, wired, ["tapdead"], {"brqtunnelled": 70}, tracker)
    text = ""
    for table in tables:
        text += f"table {table.family} {table.name}\n"
        for declared in table.sets:
            text += f"  set {declared.name}: {', '.join(str(one.key) for one in declared.elements)}\n"
        for chain in table.chains:
            text += f"  chain {chain.name} {chain.base or ''}\n"
            for rule in chain.rules:
                text += f"    {rule.label}: {json.dumps(rule.expressions)}\n"
    golden(f"linuxbridge/{tracker}.rules", text)


def test_a_profile_exists_once_and_a_member_is_an_element() -> None:
    def tables(members: int, devices: int) -> dict[str, Any]:
        group = replace(WEB, member_ips=tuple(f"10.1.{n >> 8}.{n & 255}" for n in range(members)))
        some = model(*(device(n) for n in range(1, devices + 1)), web=group)
        wired = [Filtered(one, f"tap{one.port_id}", "brq") for one in some.devices.values()]
        (table,) = filtering.tables(some, wired, [], {}, "bridge")
        return {chain.name: chain for chain in table.chains}

    few, many = tables(1, 2), tables(1000, 2)
    assert few == many
    more = tables(1, 9)
    assert len(more) - len(few) == 7  # a guard for each


def test_of_a_stateless_group_no_reply_is_known() -> None:
    def labels(group: SecurityGroupDetails) -> set[str]:
        some = model(device(1), web=group)
        (table,) = filtering.tables(some, [Filtered(some.devices["p1"], "tap1", "brq")], [], {}, "bridge")
        return {rule.label for chain in table.chains if chain.name.startswith("in-") for rule in chain.rules}

    assert labels(WEB) - labels(replace(WEB, stateful=False)) == {"invalid", "reply"}


def test_who_may_do_less_is_found() -> None:
    def permits(**groups: SecurityGroupDetails) -> dict[str, plan.Permits]:
        return {"p1": plan.permits(model(**groups), ["web"])}

    before = permits(web=WEB)
    renamed = replace(WEB, rules=tuple(replace(rule, rule_id="x") for rule in reversed(RULES)))
    assert plan.revoked(before, permits(web=renamed)) == []
    assert plan.revoked(before, permits(web=replace(WEB, rules=RULES[1:]))) == ["p1"]
    assert plan.revoked(before, permits(web=replace(WEB, member_ips=WEB.member_ips[1:]))) == ["p1"]
    assert plan.revoked(permits(web=replace(WEB, rules=RULES[1:])), before) == []
    assert plan.revoked(before, {}) == []
