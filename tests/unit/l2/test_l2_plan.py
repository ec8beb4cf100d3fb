"""The planner: values in, values out."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from pileus.host.l2 import rules
from pileus.host.l2 import tables as t
from pileus.host.l2.model import Model, Named
from pileus.host.l2.plan import FlowBook, FlowSet, Wiring, compare, plan_flows, plan_meters, wire
from pileus.host.l2.qos import Meter
from pileus.host.l2.question import GroupsRead, question
from pileus.host.l2.rows import RemoveBridge, RemovePort, plan_rows, purge_rows, wanted_tunnels
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.view import BridgeView, SwitchView
from pileus.wire.qos import PacketRateLimit, PortQos
from pileus.wire.switch import (
    AddressGroupDetails,
    AddressPair,
    ForwardingEntry,
    RateLimit,
    SecurityRule,
    Segment,
    SwitchState,
    SwitchStateRequest,
    TunnelEndpoint,
)

from .fake_rows import apply_edits
from .scene import DEFAULT_RULES, SETTINGS, SSH, device, group, mac, model, network, plug, view

replace = msgspec.structs.replace


def converge(
    wanted: Model, switch: SwitchView, settings: BridgeSettings = SETTINGS, metered: bool = False
) -> tuple[SwitchView, Wiring, dict[str, FlowSet]]:
    """Rows applied until none is planned, and then the flows."""
    for _ in range(3):
        rows = plan_rows(wanted, switch, settings)
        if not rows.edits and not rows.removals:
            break
        switch = apply_edits(switch, [*rows.edits, *rows.removals])
    rows = plan_rows(wanted, switch, settings)
    assert (rows.edits, rows.removals) == ((), ())
    wiring = wire(wanted, switch, rows, settings, lambda _: metered)
    return switch, wiring, plan_flows(wanted, wiring, settings, FlowBook())


def test_first_start_makes_the_bridges_and_their_joints() -> None:
    switch, _, flows = converge(model([]), view([]))
    assert {name: b.fail_mode for name, b in switch.bridges.items()} == {
        "br-int": "secure",
        "br-tun": "secure",
        "br-ex": None,
    }
    assert switch.ports["int-br-ex"].interface.options == {"peer": "phy-br-ex"}
    assert switch.ports["patch-tun"].bridge == "br-int"
    assert switch.ports["vxlan-c0000202"].interface.options["remote_ip"] == "192.0.2.2"
    assert "vxlan-c0000201" not in switch.ports, "no tunnel to ourselves"
    outer = switch.ofport("phy-br-ex")
    assert sorted(str(flow) for flow in flows["br-ex"].values()) == [
        "cookie=0x50110001,table=0,priority=0,actions=NORMAL",
        f"cookie=0x50110001,table=0,priority=2,in_port={outer},actions=drop",
    ]


def test_a_device_gets_tag_labels_and_status() -> None:
    switch, wiring, _ = converge(model([device(1)]), view([plug(1)]))
    port = switch.ports["tap1"]
    assert port.tag == 1
    assert port.external_ids == {"pileus-network": "net", "pileus-number": "1"}
    assert port.interface.external_ids == {
        "attached-mac": mac(1),
        "iface-id": "port-1",
        "iface-status": "active",
        "vm-uuid": "server-1",
    }
    assert wiring.devices["port-1"].vlan == 1


def test_vlans_and_numbers_survive_a_restart() -> None:
    first = model([device(1, "a"), device(2, "b")], [network("a"), network("b", Segment("vxlan", None, 101))])
    switch, wiring, flows = converge(first, view([plug(1), plug(2)]))
    # Another network comes, whose id sorts before the others; a new process knows only the rows.
    second = model(
        [device(1, "a"), device(2, "b"), device(3, "0")],
        [network("a"), network("b", Segment("vxlan", None, 101)), network("0", Segment("vxlan", None, 102))],
    )
    switch = SwitchView(switch.bridges, switch.ports | {"tap3": plug(3)})
    _, later, more = converge(second, switch)
    assert {d: (w.vlan, w.number) for d, w in later.devices.items()} == {
        "port-1": (wiring.devices["port-1"].vlan, wiring.devices["port-1"].number),
        "port-2": (wiring.devices["port-2"].vlan, wiring.devices["port-2"].number),
        "port-3": (3, 3),
    }
    changed = [str(f) for k, f in flows["br-int"].items() if more["br-int"].get(k) != f]
    # Only the group's one conjunction is shared: it has a member more, which is a flow more.
    assert changed == []


def test_numbers_are_not_given_again_at_once() -> None:
    switch, wiring, _ = converge(model([device(1), device(2)]), view([plug(1), plug(2)]))
    switch = SwitchView(switch.bridges, {k: p for k, p in switch.ports.items() if k != "tap2"})
    switch.ports["tap3"] = plug(3)
    _, later, _ = converge(model([device(1), device(3)]), switch)
    assert later.devices["port-3"].number == 3
    assert later.devices["port-3"].vlan == wiring.devices["port-1"].vlan


def test_an_unknown_device_is_dead() -> None:
    switch, wiring, flows = converge(model([device(1)]), view([plug(1), plug(9)]))
    assert switch.ports["tap9"].tag == 4095
    assert wiring.dead == (109,)
    assert _actions(flows["br-int"], t.CLASSIFY, "in_port=109") == ["drop"]


def test_administratively_down_is_dead() -> None:
    _, wiring, _ = converge(model([device(1, admin_state_up=False)]), view([plug(1)]))
    assert (wiring.devices, wiring.dead) == ({}, (101,))
    _, wiring, _ = converge(model([device(1)], [replace(network(), admin_state_up=False)]), view([plug(1)]))
    assert (wiring.devices, wiring.dead) == ({}, (101,))


def test_a_device_that_the_switch_cannot_open_has_failed() -> None:
    port = plug(1, ofport=-1)
    port = replace(port, interface=replace(port.interface, error="no such device"))
    rows = plan_rows(model([device(1)]), view([port]), SETTINGS)
    assert [(f.port_id, f.reason) for f in rows.failed] == [("port-1", "no such device")]
    assert rows.alive == {}


def test_of_two_interfaces_with_one_id_the_working_one_counts() -> None:
    double = replace(plug(1, ofport=-1), name="a")
    switch, wiring, _ = converge(model([device(1)]), view([double, plug(1)]))
    assert wiring.devices["port-1"].interface == "tap1"
    assert switch.ports["a"].tag == 4095


def test_tags_of_guests_pass_where_their_network_lets_them() -> None:
    def planned(**values: Any) -> tuple[SwitchView, dict[str, FlowSet]]:
        details = replace(network(segment=Segment("vlan", "physnet1", 1300)), **values)
        switch, _, flows = converge(model([device(1)], networks=[details]), view([plug(1)]))
        return switch, flows

    plain, before = planned()
    clear, after = planned(vlan_transparent=True)
    assert (plain.vlan_limit, clear.vlan_limit) == (None, "0")
    tagged = [flow for flow in after["br-int"].values() if flow.key not in before["br-int"]]
    assert sorted((flow.table, flow.priority, flow.actions) for flow in tagged) == [
        (t.GUARD, 1001, f"resubmit(,{t.SOURCE})"),
        *[(t.GUARD, 1002, "drop")] * 4,
        (t.SWITCH, 45, f"resubmit(,{t.FLOOD})"),
    ]
    assert after["br-ex"] == before["br-ex"]
    _, service = planned(qinq=True)
    (outward,) = [flow.actions for flow in service["br-ex"].values() if "dl_vlan" in flow.match]
    assert outward == f"pop_vlan,push_vlan:0x88a8,set_field:{0x1000 + 1300}->vlan_vid,NORMAL"
    # Whose an address is behind a tag is not known: no answer is given for anybody.
    far = replace(network(remote=2), vlan_transparent=True)
    _, _, flows = converge(model([device(1)], networks=[far]), view([plug(1)]))
    assert not [flow for flow in flows["br-tun"].values() if flow.table == t.TUN_ARP and flow.priority]


def test_few_flows_a_port() -> None:
    count = 200
    devices = [device(n) for n in range(1, count + 1)]
    _, _, none = converge(model([]), view([]))
    _, _, flows = converge(model(devices), view([plug(n) for n in range(1, count + 1)]))
    more = sum(map(len, flows.values())) - sum(map(len, none.values()))
    assert more / count <= 16
    rules = [f for f in flows["br-int"].values() if f.table in (t.EGRESS_RULES, t.INGRESS_RULES)]
    # A member's address each, and the rules once: not once a port.
    assert len(rules) <= count + 20


def test_one_member_more_is_one_flow() -> None:
    members = tuple(f"10.9.{n >> 8}.{n & 255}" for n in range(1000))
    devices = [device(1), device(2), device(3, security_group_ids=("default", "web"))]
    web = group("web", (SecurityRule("w", "ingress", "IPv4", "tcp", 80, 80, None, "default"),))
    before = model(devices, groups=[group(members=members), web])
    _switch, wiring, flows = converge(before, view([plug(1), plug(2), plug(3)]))
    after = model(devices, groups=[group(members=(*members, "10.99.0.1")), web])
    later = plan_flows(after, wiring, SETTINGS, FlowBook())
    change = compare(later["br-int"], flows["br-int"], t.COOKIES)
    assert len(change) == 1
    assert "nw_src=10.99.0.1" in change.add[0].match


def test_an_address_group_is_a_flow_a_prefix_whoever_refers_to_it() -> None:
    offices = {"offices": ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/64")}
    ssh = SecurityRule("a", "ingress", "IPv4", "tcp", 22, 22, remote_address_group_id="offices")
    out = SecurityRule("b", "egress", "IPv4", "udp", remote_address_group_id="offices")
    web = group("web", (replace(ssh, rule_id="c", port_range_min=80, port_range_max=80), out))
    devices = [device(1), device(2, security_group_ids=("web",))]
    wanted = model(devices, groups=[group(rules=(ssh,)), web], address_groups=offices)
    _, wiring, flows = converge(wanted, view([plug(1), plug(2)]))
    number = wiring.numbers.conjunctions["offices"]
    for match in ("ip,nw_src=10.0.0.0/8", "ip,nw_src=192.0.2.7", "ipv6,ipv6_src=2001:db8::/64"):
        assert _actions(flows["br-int"], t.INGRESS_RULES, match) == [f"conjunction({number},1/2)"]
    assert _actions(flows["br-int"], t.EGRESS_RULES, "nw_dst=10.0.0.0/8") == [f"conjunction({number},1/2)"]
    for port in (22, 80):
        assert _actions(flows["br-int"], t.INGRESS_RULES, f"tp_dst={port}") == [f"conjunction({number},2/2)"]
    more = {"offices": AddressGroupDetails("offices", (*offices["offices"], "172.16.0.0/12"))}
    later = plan_flows(replace(wanted, address_groups=more), wiring, SETTINGS, FlowBook())
    added = compare(later["br-int"], flows["br-int"], t.COOKIES)
    assert (len(added.add), len(added.delete)) == (2, 0), "one in each direction in which rules name it"
    gone = replace(wanted, address_groups={"offices": AddressGroupDetails("offices", ())})
    removed = compare(plan_flows(gone, wiring, SETTINGS, FlowBook())["br-int"], flows["br-int"], t.COOKIES)
    assert (len(removed.add), len(removed.delete)) == (0, 6)


def test_a_model_asks_for_address_groups_that_it_lacks_and_forgets_those_it_needs_no_more() -> None:
    rule = SecurityRule("a", "ingress", "IPv4", remote_address_group_id="offices")
    wanted = model([device(1)], groups=[group(rules=(rule,))], address_groups={"old": ("10.0.0.0/8",)})
    assert wanted.missing().address_groups == {"offices"}
    assert wanted.pruned().address_groups == {}
    request = SwitchStateRequest(
        "n1", devices=(), networks=(), security_groups=(), address_groups=("offices",)
    )
    told = AddressGroupDetails("offices", ("10.1.0.0/16",))
    after = wanted.absorb(request, SwitchState(position=4, address_groups=(told,)))
    assert after.pruned().address_groups == {"offices": told} and after.position == wanted.position
    woken = question(
        "n1", ["address_group:offices", "address_group:stranger"], after, frozenset(), GroupsRead()
    )
    assert woken == request


def test_a_port_of_many_groups_shares_flows_with_its_like() -> None:
    other = group("other", (SSH, SecurityRule("x", "ingress", "IPv4", "icmp")))
    both = ("default", "other")
    one = model([device(1, security_group_ids=both)], groups=[group(), other])
    two = model(
        [device(1, security_group_ids=both), device(2, security_group_ids=tuple(reversed(both)))],
        groups=[group(), other],
    )
    _, _, first = converge(one, view([plug(1)]))
    _, _, second = converge(two, view([plug(1), plug(2)]))

    def rules(flows: dict[str, FlowSet]) -> set[object]:
        return {f for f in flows["br-int"].values() if f.cookie == t.GROUP_COOKIE}

    assert rules(first) == rules(second)
    ssh = [f for f in rules(second) if "tp_dst=22" in f.match]  # type: ignore[attr-defined]
    assert len(ssh) == 1, "equal rules of two groups are one"


def test_devices_of_stateless_groups_are_marked_by_their_profile() -> None:
    bare = replace(group("bare", (SSH,)), stateful=False)
    bare_too = replace(group("bare-too", ()), stateful=False)
    devices = [
        device(1),
        device(2, security_group_ids=("bare",)),
        device(3, security_group_ids=("bare", "bare-too")),
        device(4, security_group_ids=("bare", "unknown")),
        device(5, security_group_ids=("bare", "default")),
    ]
    _, wiring, flows = converge(
        model(devices, groups=[group(), bare, bare_too]), view([plug(n) for n in range(1, 6)])
    )
    marked = {key for key, one in wiring.devices.items() if one.profile & t.STATELESS}
    assert marked == {"port-2", "port-3"}, "whoever has another group, too, or one that is not known, is not"
    profile = wiring.devices["port-2"].profile
    assert _actions(flows["br-int"], t.INGRESS_RULES, f"tp_dst=22,reg7=0x{profile:x}") == [
        f"resubmit(,{t.INGRESS_ACCEPT})"
    ]


def test_a_rule_for_anyone_takes_in_one_for_a_group() -> None:
    rules = (
        SecurityRule("a", "ingress", "IPv4", "tcp", 22, 22, None, "default"),
        SecurityRule("b", "ingress", "IPv4", "tcp", 22, 22),
    )
    for order in (rules, tuple(reversed(rules))):
        _, _, flows = converge(model([device(1)], groups=[group(rules=order)]), view([plug(1)]))
        assert _actions(flows["br-int"], t.INGRESS_RULES, "tp_dst=22") == [f"resubmit(,{t.INGRESS_ACCEPT})"]


def test_without_port_security_nothing_is_asked() -> None:
    _, _, flows = converge(model([device(1, port_security_enabled=False)]), view([plug(1)]))
    assert _actions(flows["br-int"], t.CLASSIFY, "in_port=101") == [
        f"set_field:0x1->reg6,resubmit(,{t.SWITCH})"
    ]
    assert _actions(flows["br-int"], t.DELIVER, "reg5=0x1") == ["output:101"]
    assert not [f for f in flows["br-int"].values() if f.table == t.SOURCE and "in_port" in f.match]
    # Whoever is behind it is found by flooding.
    assert f"resubmit(,{t.DELIVER})" in _actions(flows["br-int"], t.SWITCH, "reg6=0x1", priority=10)[0]


def test_address_pairs_may_be_used_and_are_reached() -> None:
    pairs = (AddressPair("10.7.0.0/16", mac(77)), AddressPair("10.8.0.1", mac(1)))
    _, _, flows = converge(model([device(1, allowed_address_pairs=pairs)]), view([plug(1)]))
    sources = {f.match for f in flows["br-int"].values() if f.table == t.SOURCE}
    assert f"ip,in_port=101,dl_src={mac(77)},nw_src=10.7.0.0/16" in sources
    assert f"ip,in_port=101,dl_src={mac(1)},nw_src=10.8.0.1" in sources
    assert f"ip,in_port=101,dl_src={mac(77)},nw_src=10.8.0.1" not in sources
    assert _actions(flows["br-int"], t.SWITCH, mac(77))[0].startswith("set_field:0x1->reg5")


def test_vlan_and_flat_networks_are_translated_on_both_bridges() -> None:
    vlan = network("v", Segment("vlan", "physnet1", 1234))
    flat = network("f", Segment("flat", "physnet1"))
    devices = [device(1, "f"), device(2, "v")]
    _switch, wiring, flows = converge(model(devices, [vlan, flat]), view([plug(1), plug(2)]))
    joint = wiring.joints["br-ex"]
    assert _actions(flows["br-int"], t.CLASSIFY, f"in_port={joint.inner},dl_vlan=1234") == [
        f"pop_vlan,set_field:0x2->reg6,resubmit(,{t.SWITCH})"
    ]
    assert _actions(flows["br-int"], t.CLASSIFY, f"in_port={joint.inner},vlan_tci") == [
        f"set_field:0x1->reg6,resubmit(,{t.SWITCH})"
    ]
    assert _actions(flows["br-ex"], 0, "dl_vlan=2") == [f"set_field:{0x1000 + 1234}->vlan_vid,NORMAL"]
    assert _actions(flows["br-ex"], 0, "dl_vlan=1") == ["pop_vlan,NORMAL"]
    assert not [f for f in flows["br-tun"].values() if f.cookie == t.NETWORK_COOKIE]


def test_tunnels_flood_only_where_the_network_lives() -> None:
    endpoints = tuple(TunnelEndpoint(f"n{n}", f"192.0.2.{n}") for n in range(1, 6))
    wanted = replace(model([device(1)], [network(remote=3)]), tunnels=endpoints)
    _, wiring, flows = converge(wanted, view([plug(1)]))
    assert len(wiring.tunnel_ports) == 4
    to = wiring.tunnel_ports["vxlan", "192.0.2.2"]
    assert _actions(flows["br-tun"], t.TUN_FLOOD, "dl_vlan=1") == [
        f"pop_vlan,set_field:0x64->tun_id,output:{to}"
    ]
    assert len(_actions(flows["br-tun"], t.TUN_ARP, "arp_tpa")) == 3
    assert len(_actions(flows["br-tun"], t.TUN_UNICAST, "dl_dst")) == 3
    for flow in flows["br-tun"].values():
        if flow.table in (t.TUN_VXLAN, t.TUN_GRE) and "tun_id" in flow.match:
            assert f"output:{wiring.tunnel_joint.outer}" in flow.actions  # type: ignore[union-attr]
            assert f"output:{to}" not in flow.actions


def test_no_tunnel_leads_back_to_the_node_itself() -> None:
    """A node that says that it is at a loopback address is not reached there by any other machine's."""
    endpoints = (TunnelEndpoint("n2", "127.0.0.1"), TunnelEndpoint("n3", "::1"))
    wanted = replace(model([device(1)]), tunnels=endpoints)
    assert wanted_tunnels(wanted, SETTINGS) == {}
    alone = replace(SETTINGS, tunneling_ip="127.0.0.2")
    assert {address for _, address in wanted_tunnels(wanted, alone)} == {"127.0.0.1", "::1"}
    converge(wanted, view([plug(1)]))


def test_gre_networks_use_gre_tunnels() -> None:
    settings = replace(SETTINGS, tunnel_types=("gre", "vxlan"))
    wanted = replace(
        model([device(1)], [network("net", Segment("gre", None, 7), remote=1)]),
        tunnels=(TunnelEndpoint("n2", "192.0.2.2", ("gre", "vxlan")),),
    )
    switch, wiring, flows = converge(wanted, view([plug(1)]), settings)
    assert switch.ports["gre-c0000202"].interface.type == "gre"
    assert _actions(flows["br-tun"], t.TUN_GRE, "tun_id=0x7")
    assert (
        f"output:{wiring.tunnel_ports['gre', '192.0.2.2']}"
        in _actions(flows["br-tun"], t.TUN_FLOOD, "dl_vlan")[0]
    )


def test_what_is_no_longer_wanted_goes_and_other_peoples_things_stay() -> None:
    switch, _, _ = converge(model([device(1)]), view([plug(1)]))
    switch.bridges["br-theirs"] = BridgeView("br-theirs")
    switch.bridges["br-old"] = BridgeView("br-old", external_ids={"pileus-owner": "l2"})
    alone = replace(model([device(1)]), tunnels=())
    rows = plan_rows(alone, switch, SETTINGS)
    assert rows.edits == ()
    assert rows.removals == (RemovePort("vxlan-c0000202"), RemoveBridge("br-old"))


def test_purge_leaves_nothing_of_ours() -> None:
    theirs = {"br-theirs": BridgeView("br-theirs")}
    switch, _, _ = converge(model([device(1)]), view([plug(1)]))
    switch = SwitchView(switch.bridges | theirs, switch.ports)
    assert apply_edits(switch, purge_rows(switch, SETTINGS, guests=True)) == SwitchView(theirs, {})
    left = apply_edits(switch, purge_rows(switch, SETTINGS, guests=False))
    assert set(left.bridges) == {"br-theirs", "br-int"}
    assert set(left.ports) == {"tap1"}
    assert (left.ports["tap1"].tag, left.ports["tap1"].external_ids) == (None, {})
    assert left.bridges["br-int"].external_ids == {}


def test_a_rate_limit_is_rows_and_a_meter_where_need_be() -> None:
    limited = model([device(1, rate_limit=RateLimit("q", 1000, 100)), device(2)])
    switch, wiring, _flows = converge(limited, view([plug(1), plug(2)]))
    assert (switch.ports["tap1"].interface.rate_kbps, switch.ports["tap1"].interface.burst_kb) == (1000, 100)
    assert plan_meters(wiring, SETTINGS) == {}
    _, metered, with_meter = converge(limited, switch, metered=True)
    assert {n: (m.rate, m.burst) for n, m in plan_meters(metered, SETTINGS).items()} == {1: (1000, 100)}
    assert _actions(with_meter["br-int"], t.CLASSIFY, "in_port=101")[0].startswith("meter:1,")
    packets = PortQos(ingress=RateLimit("q", 3000, 0), ingress_packets=PacketRateLimit(1 << 30, 2))
    _, both, flows = converge(model([device(1, qos=packets), device(2)]), switch)
    assert list(plan_meters(both, SETTINGS).values()) == [
        Meter(3000, 2400), Meter((1 << 32) - 1, 2000, packets=True)
    ]  # fmt: skip
    first, second = plan_meters(both, SETTINGS)
    assert _actions(flows["br-int"], t.OUTPUT_TABLE, "reg5=0x1") == [
        f"meter:{first},resubmit(,{t.DELIVERED})"
    ]
    assert _actions(flows["br-int"], t.DELIVERED, "reg5=0x1") == [f"meter:{second},output:101"]
    lifted = model([device(1), device(2)])
    switch, _, _ = converge(lifted, switch)
    assert (switch.ports["tap1"].interface.rate_kbps, switch.ports["tap1"].interface.burst_kb) == (0, 0)


def test_an_operators_port_switches_normally_and_untagged() -> None:
    port = replace(plug(5), interface=replace(plug(5).interface, external_ids={}))
    _, _, flows = converge(model([]), view([port]))
    assert _actions(flows["br-int"], t.CLASSIFY, "in_port=105") == ["NORMAL"]


def test_one_change_costs_one_fragment_and_a_recomputation_changes_nothing() -> None:
    count = 300
    devices = [device(n) for n in range(1, count + 1)]
    wanted = model(devices)
    switch, _, _ = converge(wanted, view([plug(n) for n in range(1, count + 1)]))
    book = FlowBook()
    rows = plan_rows(wanted, switch, SETTINGS)
    plan_flows(wanted, wire(wanted, switch, rows, SETTINGS, bool), SETTINGS, book)
    before = book.computed
    changed = replace(wanted, devices=wanted.devices | {"port-7": replace(devices[6], revision=9)})
    wiring = wire(changed, switch, plan_rows(changed, switch, SETTINGS), SETTINGS, bool)
    flows = plan_flows(changed, wiring, SETTINGS, book)
    assert book.computed - before <= 2, "the device and its network"
    book.forget()
    assert plan_flows(changed, wiring, SETTINGS, book) == flows


def test_answers_are_laid_over_the_model() -> None:
    base = model([device(1), device(2)])
    asked = SwitchStateRequest("n1", devices=("port-2", "port-3"), networks=(), security_groups=())
    later = base.absorb(asked, SwitchState(position=9, devices=(device(3, "other"),), tunnels=()))
    assert set(later.devices) == {"port-1", "port-3"}
    assert later.networks == base.networks
    assert later.position == base.position, "a part says nothing about the rest"
    assert later.missing() == Named(
        networks={"other"}, groups=set(), remote_groups=set(), address_groups=set()
    )
    whole = later.absorb(SwitchStateRequest("n1"), SwitchState(position=9))
    assert (whole.position, whole.devices, whole.networks) == (9, {}, {})


def test_flows_of_others_stay() -> None:
    _, _, flows = converge(model([device(1)]), view([plug(1)]))
    wanted = flows["br-int"]
    theirs = replace(next(iter(wanted.values())), cookie=5, priority=9)
    stale = replace(theirs, cookie=t.DEVICE_COOKIE, priority=8)
    installed = wanted | {theirs.key: theirs, stale.key: stale}
    change = compare(dict(wanted), installed, t.COOKIES)
    assert (change.add, change.delete) == ((), (stale,))


def test_entries_behind_unknown_endpoints_are_skipped() -> None:
    entry = ForwardingEntry(mac(9), ("10.0.0.9",), "n9", "192.0.2.99")
    wanted = model([device(1)], [replace(network(), forwarding=(entry,))])
    _, _, flows = converge(wanted, view([plug(1)]))
    assert _actions(flows["br-tun"], t.TUN_UNICAST, "dl_dst") == []


def test_groups_without_rules_deny() -> None:
    _, _, flows = converge(model([device(1)], groups=[group(rules=())]), view([plug(1)]))
    rules = [f for f in flows["br-int"].values() if f.cookie == t.GROUP_COOKIE]
    assert rules == []
    assert len(DEFAULT_RULES) == 4


def _actions(flows: FlowSet, table: int, part: str, priority: int | None = None) -> list[str]:
    return [
        flow.actions
        for flow in flows.values()
        if flow.table == table and part in flow.match and priority in (None, flow.priority)
    ]


def test_patched_members_are_those_that_a_new_book_computes() -> None:
    chance = random.Random(5)
    members = rules.Members()
    numbers = {"a": 7, "b": 3, "c": 5}
    both, one = frozenset({"ingress", "egress"}), frozenset({"ingress"})
    spelled = [f"10.0.0.{n}{tail}" for n in range(6) for tail in ("", "/32")] + ["fd00::1", "fd00::1/128"]
    for step in range(60):
        referred = {"a": both, "b": one} if step % 20 < 15 else {"a": one, "b": both, "c": both}
        addresses = {key: tuple(chance.sample(spelled, chance.randrange(6))) for key in referred}
        patched = members.flows(referred, addresses, numbers)
        assert patched == rules.Members().flows(referred, addresses, numbers)
        assert members.flows(referred, dict(addresses), numbers) is patched
