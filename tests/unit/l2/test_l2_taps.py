"""Taps and tap mirrors on a node: the ports and flows that they are made of, and what is said of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.waiting import until

from pileus.host.l2 import tables as t
from pileus.host.l2.plan import FlowSet
from pileus.host.l2.taps import ranges
from pileus.wire.qos import PacketRateLimit, PortQos, RateLimit
from pileus.wire.taps import PortTaps, Tap, TapMirror, TapService

from .scene import SETTINGS, device, model, plug, view
from .switch_bench import cloud, running, scenario
from .test_l2_plan import converge

replace = msgspec.structs.replace

HERE = PortTaps(taps=(Tap("tap", 77, "BOTH", "port-2", "n1"),))
SERVED = PortTaps(services=(TapService("service", 77),))
MIRROR = TapMirror("mirror", "gre", "198.51.100.9", in_key=5, out_key=6)


def flows_of(flows: FlowSet, table: int) -> list[str]:
    return sorted(
        f"{flow.priority} {flow.match} {flow.actions}" for flow in flows.values() if flow.table == table
    )


def test_copies_on_one_host_are_flows_alone() -> None:
    switch, wiring, flows = converge(
        model([device(1, taps=HERE), device(2, taps=SERVED)]), view([plug(1), plug(2)])
    )
    assert wiring.taps == {"tap", "service"}
    one = f"reg5=0x{wiring.devices['port-1'].number:x}"
    assert flows_of(flows["br-int"], t.TAP_OUT) == [f"50 {one} output:102", f"55 {one},in_port=102 IN_PORT"]
    assert flows_of(flows["br-int"], t.TAP_IN) == [f"50 {one} output:102", f"55 {one},in_port=102 IN_PORT"]
    assert f"50 {one} resubmit(,92),output:101" in flows_of(flows["br-int"], t.OUTPUT_TABLE)
    (classified,) = [line for line in flows_of(flows["br-int"], t.CLASSIFY) if "in_port=101" in line]
    assert classified.endswith(f"resubmit(,{t.TAP_OUT}),resubmit(,{t.GUARD})")
    assert not [name for name in switch.ports if name.startswith(("tap-", "mir-"))]
    # Without the tap nothing of it is left.
    _, _, plain = converge(model([device(1), device(2)]), switch)
    assert not flows_of(plain["br-int"], t.TAP_OUT) + flows_of(plain["br-int"], t.TAP_IN)


def test_copies_to_and_from_another_host_go_through_a_tunnel_of_their_own() -> None:
    there = PortTaps(taps=(Tap("tap", 77, "OUT", "port-9", "n2"),))
    switch, wiring, flows = converge(model([device(1, taps=there)]), view([plug(1)]))
    tunnel = switch.ports["tap-c0000202"]
    assert (tunnel.bridge, tunnel.interface.type) == ("br-int", "vxlan")
    assert tunnel.interface.options["dst_port"] == "4788"
    number = switch.ofport("tap-c0000202")
    own = f"reg5=0x{wiring.devices['port-1'].number:x}"
    copy = f"set_field:0x4d->tun_id,output:{number},set_field:0->tun_id"
    assert flows_of(flows["br-int"], t.TAP_OUT) == [f"50 {own} {copy}"]
    assert flows_of(flows["br-int"], t.TAP_IN) == []

    served = PortTaps(services=(TapService("service", 77, ("n2", "nowhere")),))
    switch, wiring, flows = converge(model([device(2, taps=served)]), view([plug(2)]))
    number = switch.ofport("tap-c0000202")
    line = f"95 in_port={number},tun_id=0x4d output:102"
    assert line in flows_of(flows["br-int"], t.CLASSIFY)
    assert [one for one in flows_of(flows["br-int"], t.CLASSIFY) if f"in_port={number}" in one] == [line]
    # It goes with the last tap, and where nobody knows the other host nothing is in force.
    switch, wiring, _ = converge(model([device(2)]), switch)
    assert "tap-c0000202" not in switch.ports
    lost = PortTaps(taps=(Tap("tap", 77, "OUT", "port-9", "nowhere"),))
    assert converge(model([device(1, taps=lost)]), view([plug(1)]))[1].taps == frozenset()
    alone = replace(SETTINGS, tunneling_ip="")
    assert converge(model([device(1, taps=there)]), view([plug(1)]), alone)[1].taps == frozenset()


@pytest.mark.parametrize(
    ("vlan_filter", "matches"),
    [
        ("7", {"vlan_tci=0x1007/0x1fff"}),
        ("0", {"vlan_tci=0x0000/0x1fff"}),
        ("0,7", {"vlan_tci=0x0000/0x1fff", "vlan_tci=0x1007/0x1fff"}),
        ("8-11", {"vlan_tci=0x1008/0x1ffc"}),
        ("1-4095", {f"vlan_tci=0x{0x1000 | 1 << n:x}/0x{0x1FFF & ~((1 << n) - 1):x}" for n in range(12)}),
    ],
)
def test_a_filter_of_vlans(vlan_filter: str, matches: set[str]) -> None:
    taps = PortTaps(taps=(replace(HERE.taps[0], direction="OUT", vlan_filter=vlan_filter),))
    _, _, flows = converge(model([device(1, taps=taps), device(2)]), view([plug(1), plug(2)]))
    found = [one for one in flows["br-int"].values() if one.table == t.TAP_OUT and "in_port" not in one.match]
    assert {one.match.partition(",")[2] for one in found} == matches
    assert {(one.priority, one.actions) for one in found} == {(60, "output:102")}


def test_a_filter_names_the_subports_of_a_trunk() -> None:
    taps = PortTaps(taps=(replace(HERE.taps[0], vlan_filter="100-110"),))
    sub: dict[str, Any] = {"parent_id": "port-1", "device_owner": "trunk:subport"}
    devices = [
        device(1, taps=taps),
        device(2),
        device(3, mac_address="fa:16:3e:00:00:01", vlan_id=101, **sub),
        device(4, mac_address="fa:16:3e:00:00:11", vlan_id=99, **sub),
    ]
    _, wiring, flows = converge(model(devices), view([plug(1), plug(2)]))
    three, four = (wiring.devices[f"port-{n}"] for n in (3, 4))
    sent = [line for line in flows_of(flows["br-int"], t.TAP_OUT) if f"reg5=0x{three.number:x} " in line]
    assert sent == [
        f"50 reg5=0x{three.number:x} push_vlan:0x8100,set_field:{0x1000 + 101}->vlan_vid,output:102,pop_vlan"
    ]
    got = [line for line in flows_of(flows["br-int"], t.TAP_IN) if f"reg5=0x{three.number:x} " in line]
    assert got == [f"50 reg5=0x{three.number:x} output:102"], "it wears the tag there"
    assert not four.copies.sent


def test_mirrors_share_tunnels_and_never_lead_to_a_node() -> None:
    erspan = TapMirror("other", "erspanv1", "2001:db8::9", both_key=1023)
    taps = PortTaps(mirrors=(MIRROR, replace(MIRROR, mirror_id="second", in_key=6), erspan))
    switch, _, flows = converge(model([device(1, taps=taps)]), view([plug(1)]))
    made = {
        port.interface.type: port.interface.options
        for port in switch.ports.values()
        if port.name[:4] == "mir-"
    }
    assert len([name for name in switch.ports if name.startswith("mir-")]) == 3
    assert made["gre"]["local_ip"] == "192.0.2.1"
    assert made["erspan"] == {
        "remote_ip": "2001:db8::9",
        "key": "1023",
        "df_default": "false",
        "erspan_ver": "1",
        "erspan_idx": "0",
    }
    (sent,) = flows_of(flows["br-int"], t.TAP_OUT)
    assert sent.count("output:") == 2
    (got,) = flows_of(flows["br-int"], t.TAP_IN)
    assert got.count("output:") == 3
    for address in ("192.0.2.1", "192.0.2.2", "224.0.0.1", "127.0.0.1", "::", "x"):
        bad = PortTaps(mirrors=(replace(MIRROR, remote_ip=address),))
        switch, _, flows = converge(model([device(1, taps=bad)]), view([plug(1)]))
        assert not [name for name in switch.ports if name.startswith("mir-")], address
        assert not flows_of(flows["br-int"], t.TAP_OUT), address


def test_copies_are_made_of_what_the_limits_let_through() -> None:
    qos = PortQos(
        ingress=RateLimit("q", 2000, 0),
        egress_packets=PacketRateLimit(1),
        ingress_packets=PacketRateLimit(2),
    )
    tapped = device(1, taps=HERE, rate_limit=RateLimit("q", 1000, 0), qos=qos)
    _, _, flows = converge(model([tapped, device(2)]), view([plug(1), plug(2)]), metered=True)
    (police,) = flows_of(flows["br-int"], t.POLICE)
    assert police.endswith(f"resubmit(,{t.TAP_OUT}),resubmit(,{t.GUARD})")
    (last,) = flows_of(flows["br-int"], t.DELIVERED)
    assert last.endswith(f"resubmit(,{t.TAP_IN}),output:101")


def test_ranges_of_vlans() -> None:
    assert ranges("9,18,27-36") == ((9, 9), (18, 18), (27, 36))
    assert ranges("") == ()


def test_the_server_hears_of_taps_in_force_and_of_their_end() -> None:
    async def story() -> None:
        server = cloud()
        server.put_device(device(1, taps=HERE), "n1")
        server.put_device(device(2, taps=SERVED), "n1")
        async with running(server) as bench:
            await bench.plug(1)
            await until(lambda: server.devices["port-1"].status == "ACTIVE")
            assert server.taps.get("tap") in (None, "DOWN"), "its target is not there"
            await bench.plug(2)
            await until(lambda: server.taps == {"tap": "ACTIVE", "service": "ACTIVE"})
            assert await bench.full_pass() == 0
            told = len(server.statuses)
            await bench.unplug(2)
            await until(lambda: server.taps == {"tap": "DOWN", "service": "DOWN"})
            assert len(server.statuses) <= told + 2
            server.put_device(replace(server.devices["port-1"], taps=None), "n1")
            await until(lambda: bench.agent.model.devices["port-1"].taps is None)
            await bench.agent.reconciler.settled()
            assert await bench.full_pass() == 0

    scenario(story)
