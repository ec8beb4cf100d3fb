"""Which flows are the same, and what is written and deleted to get from some to others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.drivers.openflow.actions import canonical_actions
from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.flow import Flow, difference, parse_flow
from pileus.drivers.openflow.match import canonical_match


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tcp,tp_dst=80", "dl_type=0x800,nw_proto=6,tcp_dst=0x50"),
        ("ct_state=+trk+new-est", "ct_state=-est+new+trk"),
        ("ct_state=+trk+new-est", "ct_state=0x21/0x23"),
        ("dl_vlan=5", "vlan_tci=0x1005/0x1fff"),
        ("dl_vlan=5,dl_vlan_pcp=3", "vlan_tci=0x7005/0xffff"),
        ("ip,nw_src=10.1.2.3/16", "ip,ip_src=10.1.0.0/255.255.0.0"),
        ("ip,nw_src=10.1.2.3/32,nw_dst=0.0.0.0/0", "ip,nw_src=10.1.2.3"),
        ("ipv6,ipv6_src=FE80:0::1/10", "ipv6,ipv6_src=fe80::/10"),
        ("reg5=0x7/0xffffffff", "reg5=7"),
        ("dl_src=FA:16:3E:00:00:01", "eth_src=fa:16:3e:00:00:01"),
        ("in_port=LOCAL", "in_port=65534"),
        ("in_port=LOCAL", "in_port=0xfffffffe"),
        ("arp,nw_proto=1,nw_dst=10.0.0.1", "arp,arp_op=1,arp_tpa=10.0.0.1"),
        ("xreg0=0x500000006", "reg0=5,reg1=6"),
        ("icmp6,icmpv6_type=135", "ipv6,nw_proto=58,icmp_type=135"),
    ],
)
def test_two_spellings_of_a_match(one: str, other: str) -> None:
    assert canonical_match(one) == canonical_match(other)
    assert Flow(0, 1, one, "drop") == Flow(0, 1, other, "drop")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tcp,tp_dst=80", "udp,tp_dst=80"),
        ("tcp,tp_dst=80", "tcp6,tp_dst=80"),
        ("ct_state=+trk", "ct_state=+trk-new"),
        ("vlan_tci=0x0000/0x1fff", "vlan_tci=0x1000/0x1000"),
        ("reg0=0/1", ""),
        ("in_port=1", "in_port=2"),
    ],
)
def test_matches_that_differ(one: str, other: str) -> None:
    assert canonical_match(one) != canonical_match(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("drop", ""),
        ("strip_vlan,output:3", "pop_vlan,3"),
        ("mod_dl_src:fa:16:3e:00:00:01", "set_field:fa:16:3e:00:00:01->eth_src"),
        ("load:0x5->NXM_NX_REG0[0..15]", "set_field:5/0xffff->reg0"),
        ("set_tunnel:100", "set_field:0x64->tun_id"),
        ("ct(commit,table=5,zone=NXM_NX_REG6[0..15])", "ct(zone=reg6[0..15],commit,table=5)"),
        ("ct(commit,exec(load:1->NXM_NX_CT_MARK[]))", "ct(exec(set_field:0x1->ct_mark),zone=0,commit)"),
        ("resubmit(,60)", "resubmit(in_port,60)"),
        ("normal,local,in_port", "NORMAL,output:LOCAL,IN_PORT"),
        ("note:00.11.22", "note:00.11.22.00.00.00"),
        (
            "learn(table=20,priority=1,cookie=0x77,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[])",
            "learn(cookie=119,table=20,priority=1,dl_dst[]=eth_src[],load:0x0->vlan_tci[0..15])",
        ),
    ],
)
def test_two_spellings_of_actions(one: str, other: str) -> None:
    assert canonical_actions(one) == canonical_actions(other)


def test_the_order_of_actions_means_something() -> None:
    assert canonical_actions("output:1,strip_vlan") != canonical_actions("strip_vlan,output:1")
    assert canonical_actions("output:1,output:2") != canonical_actions("output:2,output:1")


def test_a_tag_is_pushed_only_where_none_is_for_sure() -> None:
    assert Flow(0, 1, "dl_vlan=7", "mod_vlan_vid:5") == Flow(0, 1, "dl_vlan=7", "set_field:4101->vlan_vid")
    pushed = "push_vlan:0x8100,set_field:4101->vlan_vid"
    assert Flow(0, 1, "in_port=1", "mod_vlan_vid:5") == Flow(0, 1, "in_port=1", pushed)
    assert Flow(0, 1, "dl_vlan=7", "pop_vlan,mod_vlan_vid:5") == Flow(0, 1, "dl_vlan=7", f"pop_vlan,{pushed}")


def test_a_line_of_a_dump() -> None:
    counted = "duration=3.2s, table=7, n_packets=3, n_bytes=9"
    line = f" cookie=0x5, {counted}, hard_timeout=5, tcp,reg0=0x1 actions=drop"
    assert parse_flow(line) == Flow(7, 32768, "tcp,reg0=1", "drop", 5, "hard_timeout=5")
    with pytest.raises(BadFlow):
        parse_flow("NXST_FLOW reply (xid=0x4):")


@pytest.mark.parametrize(
    "flow",
    [
        Flow(0, 65536, "", "drop"),
        Flow(255, 1, "", "drop"),
        Flow(0, 1, "", "drop", 1 << 64),
        Flow(0, 1, "nonsense", "drop"),
        Flow(0, 1, "nw_src=10.0.0.1", "drop"),
        Flow(0, 1, "ip,tp_dst=80", "drop"),
        Flow(0, 1, "ip,nw_src=10.0.0.0/33", "drop"),
        Flow(0, 1, "tcp,tp_dst=65536", "drop"),
        Flow(0, 1, "", "fly:1"),
        Flow(0, 1, "", "set_field:1->reg99"),
        Flow(0, 1, "", "resubmit(,5"),
    ],
    ids=str,
)
def test_what_no_switch_would_take(flow: Flow) -> None:
    with pytest.raises(BadFlow):
        flow.check()


flows = st.builds(
    Flow,
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from(("", "tcp", "ip,nw_proto=6", "in_port=1")),
    st.sampled_from(("drop", "", "output:1", "1")),
    st.integers(1, 3),
)


@given(st.lists(flows), st.lists(flows))
def test_a_difference_makes_the_installed_flows_the_desired_ones(
    desired: list[Flow], before: list[Flow]
) -> None:
    installed = {flow.key: flow for flow in before}
    theirs = [flow for flow in installed.values() if flow.cookie == 3]
    plan = difference(desired, installed.values(), lambda cookie: cookie != 3)
    after = dict(installed)
    after.update((flow.key, flow) for flow in plan.add)
    for flow in plan.delete:
        assert flow.cookie != 3
        del after[flow.key]
    wanted = {flow.key: flow for flow in theirs} | {flow.key: flow for flow in desired}
    assert after == wanted
    assert difference(desired, after.values(), lambda cookie: cookie != 3) == ([], [])
