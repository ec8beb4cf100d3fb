"""Flows of distributed routers: what is routed, what is answered, and what is nobody's business."""

from __future__ import annotations

from msgspec.structs import replace

from pileus.host.l2.routing import ROUTE, Destination, RoutedNetwork, outer_routes, router_flows
from pileus.wire.dhcp import HostRoute
from pileus.wire.distributed import DistributedInterface, DistributedRouter

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


def test_ipv6_is_routed_to_known_addresses_and_its_errors_are_the_routers() -> None:
    routes = (HostRoute("fd77::/64", "fd00:2::9"),)
    found = flows(network(1), network(2, "10.2.0.9", "fd00:2::9"), routes=routes)
    routed = {
        match.split(",", 2)[-1]: actions for (table, _, match), actions in found.items() if table == ROUTE
    }
    assert routed["ipv6_dst=fd00:2::9"].startswith("dec_ttl,") and routed["ipv6_dst=fd77::/64"].startswith(
        "dec_ttl,"
    )
    assert found[ROUTE, 180, "ipv6,reg9=0x5,nw_ttl=1"] == found[ROUTE, 10, "ipv6,reg9=0x5"] == "resubmit(,60)"
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
