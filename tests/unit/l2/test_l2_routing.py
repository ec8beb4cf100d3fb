"""Flows of distributed routers: what is routed, what is answered, and what is nobody's business."""

from __future__ import annotations

from msgspec.structs import replace
from tests.unit.l2.scene import device

from pileus.host.l2 import tables as t
from pileus.host.l2.devices import Wired
from pileus.host.l2.discovery import Destination, RoutedNetwork, Wire
from pileus.host.l2.routing import ROUTE, outer_routes, routed_networks, router_flows
from pileus.host.l2.switching import Joint, LocalNetwork
from pileus.host.l2.words import ASKED, ASKED_METER, ERRORS_METER, EXPIRED, SOLICITED, TOO_BIG, told
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import AdvertisedSubnet, DistributedInterface, DistributedRouter, RoutingMac
from pileus.wire.switch import FixedIP, ForwardingEntry, NetworkDetails, RemoteAddress, Segment

MACS = {1: "fa:16:3e:00:00:a1", 2: "fa:16:3e:00:00:a2"}


def network(number: int, *addresses: str, central: str | None = None) -> RoutedNetwork:
    interface = DistributedInterface(
        f"net-{number}",
        MACS[number],
        (f"10.{number}.0.1", "fd00::1"),
        central,
        (f"10.{number}.0.0/24", "fd00::/64"),
    )
    some = tuple(
        Destination(address, f"fa:16:3e:00:0{number}:{i:02x}") for i, address in enumerate(addresses)
    )
    return RoutedNetwork(interface, number, some)


def flows(*networks: RoutedNetwork, routes: tuple[HostRoute, ...] = ()) -> dict[tuple[int, int, str], str]:
    router = DistributedRouter("router", tuple(one.interface for one in networks), routes)
    return {(f.table, f.priority, f.match): f.actions for f in router_flows(router, 5, networks, (77,))}


def test_a_known_address_is_sent_on_in_its_own_network() -> None:
    found = flows(network(1), network(2, "10.2.0.9"))
    (onward,) = [
        actions for (table, priority, _), actions in found.items() if (table, priority) == (ROUTE, 170)
    ]
    assert onward.split(",") == [
        "dec_ttl",
        f"set_field:{MACS[2]}->eth_src",
        "set_field:fa:16:3e:00:02:00->eth_dst",
        "set_field:0x2->reg6",
        "resubmit(",
        "60)",
    ]


def test_what_comes_from_elsewhere_is_not_routed_again() -> None:
    dropped = {
        match
        for (_, priority, match), actions in flows(network(1)).items()
        if priority == 41 and actions == "drop"
    }
    assert len(dropped) == 3 and all("in_port=77" in match for match in dropped)
    asked = {
        match: actions
        for (_, priority, match), actions in flows(network(1)).items()
        if priority == 44 and "icmp_type=135" in match
    }
    assert set(asked.values()) == {"drop"} and all(match.endswith("in_port=77") for match in asked)


def test_where_the_port_is_plugged_those_are_served_that_do_not_route() -> None:
    found = flows(replace(network(1), plugged=True))
    (served,) = {actions for (_, priority, _), actions in found.items() if priority == 41}
    assert served == "set_field:0x5->reg9,resubmit(,60)"


def test_the_rest_goes_to_the_routers_own_port_and_in_no_circle() -> None:
    found = flows(network(1))
    assert found[ROUTE, 10, "ip,reg9=0x5"] == "resubmit(,60)"
    (entrance,) = [match for (table, priority, match) in found if priority == 40 and match.startswith("ip,")]
    assert "reg9=0x0" in entrance


def test_an_extra_route_is_that_of_its_next_hop_and_the_rest_is_central() -> None:
    routes = (HostRoute("10.77.0.0/24", "10.2.0.9"), HostRoute("10.78.0.0/24", "10.2.0.99"))
    found = flows(network(1, central="fa:16:3e:00:00:cc"), network(2, "10.2.0.9"), routes=routes)
    routed = {
        match.split("nw_dst=")[-1]: actions for (table, _, match), actions in found.items() if table == ROUTE
    }
    central = "resubmit(,60)"
    assert routed["10.77.0.0/24"] == routed["10.2.0.9"]
    assert routed["10.78.0.0/24"] == central, "its next hop is not known here"
    assert routed["10.1.0.0/24"] == routed["169.254.169.254"] == central, (
        "not outside, whatever is translated"
    )


def test_an_extra_route_to_the_outside_is_that_of_floating_ips() -> None:
    routes = (HostRoute("10.77.0.0/24", "203.0.113.7"), HostRoute("10.78.0.0/24", "10.2.0.99"))
    router = DistributedRouter("router", (network(1).interface, network(2).interface), routes)
    assert outer_routes(router) == [routes[0]]
    assert not any(
        "10.77.0.0/24" in match for _, _, match in flows(network(1), network(2), routes=routes[:1])
    )


def test_ipv6_is_routed_to_known_addresses_and_its_end_is_told_by_the_host() -> None:
    routes = (HostRoute("fd77::/64", "fd00:2::9"),)
    found = flows(network(1), network(2, "10.2.0.9", "fd00:2::9"), routes=routes)
    routed = {
        match.split(",", 2)[-1]: actions for (table, _, match), actions in found.items() if table == ROUTE
    }
    assert routed["ipv6_dst=fd00:2::9"].startswith("dec_ttl,") and routed["ipv6_dst=fd77::/64"].startswith(
        "dec_ttl,"
    )
    assert found[ROUTE, 10, "ipv6,reg9=0x5"] == "resubmit(,60)"
    assert found[ROUTE, 180, "ipv6,reg9=0x5,nw_ttl=1"] == told(EXPIRED, ERRORS_METER)
    priorities = {match: priority for (table, priority, match) in found if table == ROUTE}
    assert max(p for m, p in priorities.items() if "/" in m) < 170


def test_a_port_routes_the_family_that_it_has_an_address_of() -> None:
    old = replace(network(1, "10.1.0.7", "fd00::7"))
    alone = replace(old, interface=replace(old.interface, ip_addresses=("fd00::1",)))
    found = flows(alone)
    assert not any("10.1.0.7" in match for _, _, match in found)
    assert [match for (_, priority, match) in found if priority == 40] == [
        f"ipv6,reg6=0x1,reg9=0x0,dl_dst={MACS[1]}"
    ]


def switched(found: dict[tuple[int, int, str], str], kind: int) -> dict[str, tuple[int, str]]:
    """What becomes of messages of discovery, by what is matched beside their kind."""
    head = f"icmp6,reg6=0x1,reg9=0x0,icmp_type={kind},icmp_code=0"
    heads = (head, f"icmp6,reg6=0x1,icmp_type={kind},icmp_code=0", f"icmp6,reg6=0x1,icmp_type={kind}")
    return {
        match.removeprefix(one): (priority, actions)
        for (table, priority, match), actions in found.items()
        for one in heads
        if table == t.SWITCH and match.startswith(one)
        if one == max((some for some in heads if match.startswith(some)), key=len)
    }


def test_who_asks_for_the_router_is_answered_here() -> None:
    found = switched(flows(network(1)), 135)
    own = "fe80::f816:3eff:fe00:a1"
    for address in ("fd00::1", own):
        priority, answer = found[f",nd_target={address}"]
        assert f"set_field:{address}->ipv6_src" in answer and answer.endswith(f"resubmit(,{t.ADVERTISED})")
        # Where there is no room for the answer the agent gives it.
        unnamed = found[f",nd_target={address},nd_sll=00:00:00:00:00:00"]
        assert unnamed == (priority + 1, told(ASKED, ASKED_METER))
    served = switched(flows(replace(network(1), plugged=True)), 135)
    assert not any("in_port" in match for match in served), "hosts that don't route are answered, too"
    assert served[f",nd_target=fd00::1,dl_src={MACS[1]}"] == (45, "drop"), "the address is its own"


def test_echo_requests_end_at_the_router() -> None:
    found = flows(network(1))
    (answer,) = {
        actions
        for (table, priority, match), actions in found.items()
        if (table, priority) == (ROUTE, 200) and "ipv6_dst=fd00::1," in match
    }
    assert "set_field:129->icmpv6_type" in answer
    assert found[ROUTE, 190, "ipv6,reg9=0x5,ipv6_dst=fd00::1"] == "resubmit(,60)", "answers to its port"


def test_the_router_is_advertised_by_the_host_alone() -> None:
    plain = network(1)
    assert switched(flows(plain), 133) == switched(flows(plain), 134) == {}
    interface = replace(plain.interface, advertised=(AdvertisedSubnet("fd00::/64", "slaac"),))
    advertised = replace(plain, interface=interface, outward="output:7")
    solicitations, announcements = switched(flows(advertised), 133), switched(flows(advertised), 134)
    assert solicitations == {
        "": (42, f"{told(SOLICITED, ASKED_METER)},resubmit(,{t.SERVICES})"),
        ",in_port=77": (43, f"resubmit(,{t.SERVICES})"),
    }
    # Those of its port are for the guests of other hosts.
    assert announcements == {
        f",dl_src={MACS[1]}": (43, "output:7"),
        f",dl_src={MACS[1]},in_port=77": (44, "drop"),
    }


def test_packets_are_measured_for_the_network_that_takes_shorter_ones() -> None:
    wide, narrow = replace(network(1, "10.1.0.5"), mtu=1450), replace(network(2, "10.2.0.9"), mtu=1300)
    found = flows(wide, narrow)
    onward = {
        match.split("nw_dst=")[1]: actions
        for (table, priority, match), actions in found.items()
        if (table, priority) == (ROUTE, 170)
    }
    assert onward["10.1.0.5"].startswith("dec_ttl,")
    assert onward["10.2.0.9"] == (
        "check_pkt_larger(1314)->NXM_NX_REG12[0],set_field:0x2->reg14,"
        f"set_field:fa:16:3e:00:02:00->eth_dst,resubmit(,{t.FIT})"
    )
    fitting = {(p, match): actions for (table, p, match), actions in found.items() if table == t.FIT}
    onward_there = f"dec_ttl,set_field:{MACS[2]}->eth_src,set_field:0x2->reg6,resubmit(,60)"
    assert fitting == {
        (20, "reg9=0x5,reg14=0x2,reg12=0x1/0x1"): told(TOO_BIG, ERRORS_METER),
        (10, "ip,reg9=0x5,reg14=0x2"): onward_there,
        (10, "ipv6,reg9=0x5,reg14=0x2"): onward_there,
    }
    assert not any(table == t.FIT for table, _, _ in flows(wide, replace(narrow, mtu=1450)))


WIRE = Wire("in_port=3,dl_vlan=101", ("pop_vlan", "set_field:0x2->reg6"), "fa:16:3f:00:00:02", "fa:16:3f::/m")


def test_what_leaves_by_a_physical_network_has_the_hosts_own_address() -> None:
    away = Destination("10.2.0.9", "fa:16:3e:00:02:00", by_wire=True)
    here = Destination("10.2.0.8", "fa:16:3e:00:02:01")
    two = replace(network(2), destinations=(away, here), wire=WIRE)
    found = flows(network(1), two)
    onward = {
        match.split("nw_dst=")[1]: actions
        for (table, priority, match), actions in found.items()
        if (table, priority) == (ROUTE, 170)
    }
    assert f"set_field:{WIRE.own_mac}->eth_src" in onward["10.2.0.9"] and MACS[2] not in onward["10.2.0.9"]
    assert f"set_field:{MACS[2]}->eth_src" in onward["10.2.0.8"]
    # What other hosts have routed is the router's again before anybody sees it.
    arrivals = {
        match: actions for (table, p, match), actions in found.items() if (table, p) == (t.CLASSIFY, 92)
    }
    assert arrivals == {
        f"{family},in_port=3,dl_vlan=101,dl_src=fa:16:3f::/m": (
            f"set_field:{MACS[2]}->eth_src,pop_vlan,set_field:0x2->reg6"
        )
        for family in ("ip", "ipv6")
    }
    # So it is with packets that are measured.
    found = flows(replace(network(1), mtu=1500), replace(two, mtu=1400))
    measured = next(actions for (_, p, match), actions in found.items() if p == 170 and "10.2.0.9" in match)
    assert measured.startswith("set_field:0x2/0x2->reg12,check_pkt_larger(1414)")
    far = found[t.FIT, 12, "ip,reg9=0x5,reg14=0x2,reg12=0x2/0x2"]
    assert f"set_field:{WIRE.own_mac}->eth_src" in far


def test_hosts_are_reached_by_wire_where_this_one_can() -> None:
    details = NetworkDetails(
        "net-2",
        Segment("vlan", "physnet1", 101),
        remote=(RemoteAddress("fa:16:3e:00:02:00", ("10.2.0.9",)), RemoteAddress(MACS[2], ("10.2.0.1",))),
    )
    near = device(8, "net-2", fixed_ips=(FixedIP("10.2.0.8", "s"),))
    wired = Wired(near, "tap", 8, 2, 8, 1)
    router = DistributedRouter("router", (network(2).interface,))
    mac = RoutingMac("fa:16:3f:00:00:02", "fa:16:3f:00:00:00", "ff:ff:ff:00:00:00")

    def routed(joint: Joint | None, own: RoutingMac | None, some: NetworkDetails = details) -> RoutedNetwork:
        (found,) = routed_networks(router, {"net-2": LocalNetwork(some, 2, (wired,), joint)}, own)
        return found

    carried = routed(Joint(3, 4), mac)
    assert {one.address: one.by_wire for one in carried.destinations} == {"10.2.0.9": True, "10.2.0.8": False}
    assert carried.wire == Wire(
        "in_port=3,dl_vlan=101",
        ("pop_vlan", "set_field:0x2->reg6", "resubmit(,60)"),
        mac.mac_address,
        "fa:16:3f:00:00:00/ff:ff:ff:00:00:00",
    )
    flat = routed(Joint(3, 4), mac, replace(details, segment=Segment("flat", "physnet1")))
    assert flat.wire is not None and flat.wire.arriving == "in_port=3,vlan_tci=0x0000/0x1fff"
    assert flat.wire.entering == ("set_field:0x2->reg6", "resubmit(,60)")
    for joint, own in ((None, mac), (Joint(3, 4), None)):
        other = routed(joint, own)
        assert [one.address for one in other.destinations] == ["10.2.0.8"] and other.wire is None
    entry = ForwardingEntry("fa:16:3e:00:02:00", ("10.2.0.9",), "h", "192.0.2.1")
    tunnelled = replace(details, segment=Segment("vxlan", None, 7), forwarding=(entry,), remote=())
    assert routed(Joint(1, 2), mac, tunnelled).wire is None
