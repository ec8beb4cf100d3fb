"""Segments: networks of several, hosts that reach one of them, and routed provider networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Answer, Cloud, tell

from pileus.services.network.rules.segments import Ranges

PATH = "/v2.0/segments"
PROVIDED = msgspec.structs.replace(
    CONFIG, ranges=Ranges(vlan={"one": ((100, 109),), "two": ((100, 109),)}, vxlan=((1, 1000),))
)


def refused(answer: Answer, status: int, kind: str, words: str = "") -> None:
    assert (answer.status, answer.error) == (status, kind), answer
    assert words in answer.json["NeutronError"]["message"], answer.json


async def rack(api: Cloud, host: str, physical_network: str, **more: Any) -> None:
    """A host with a bridge on a physical network, a switch and DHCP."""
    await api.report(host, bridge_mappings={physical_network: "br-ex"}, **more)
    await api.service_agent(host, "DHCP agent")


async def a_routed_network(api: Cloud) -> tuple[str, list[str], list[str]]:
    """A network of two segments, each with a subnet: the ids."""
    admin = api.as_("admin")
    network = await admin.make(
        "network",
        name="routed",
        shared=True,
        **{"provider:network_type": "vlan", "provider:physical_network": "one"},
    )
    second = await admin.make(
        "segment", network_id=network["id"], network_type="vlan", physical_network="two", name="second"
    )
    (first,) = [
        one["id"]
        for one in (await admin("GET", f"{PATH}?network_id={network['id']}")).json["segments"]
        if one["id"] != second["id"]
    ]
    segments = [first, second["id"]]
    subnets = []
    for number, segment_id in enumerate(segments):
        made = await admin.make(
            "subnet",
            network_id=network["id"],
            ip_version=4,
            cidr=f"10.{number}.0.0/24",
            segment_id=segment_id,
        )
        subnets.append(made["id"])
    return network["id"], segments, subnets


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_network_of_several_segments(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        wanted = [
            {"provider:network_type": "vlan", "provider:physical_network": "one"},
            {"provider:network_type": "vxlan", "provider:segmentation_id": 77},
        ]
        assert (await api("POST", "/v2.0/networks", {"network": {"segments": wanted}})).status == 403
        network = await admin.make("network", segments=wanted)
        path = f"/v2.0/networks/{network['id']}"
        shown = (await admin("GET", path)).json["network"]
        for view in (network, shown):
            assert view["provider:network_type"] is None and view["provider:segmentation_id"] is None
            first, second = view["segments"]
            assert (first["provider:network_type"], first["provider:physical_network"]) == ("vlan", "one")
            assert 100 <= first["provider:segmentation_id"] <= 109
            assert second == {
                "provider:network_type": "vxlan",
                "provider:physical_network": None,
                "provider:segmentation_id": 77,
            }
            assert view["mtu"] == 1450 and view["l2_adjacency"] is True
        for text in ("network_type=vlan", "network_type=vxlan", "physical_network=one", "segmentation_id=77"):
            found = (await admin("GET", f"/v2.0/networks?provider:{text}")).json["networks"]
            assert [one["id"] for one in found] == [network["id"]], text
        assert (await admin("GET", "/v2.0/networks?provider:segmentation_id=78")).json["networks"] == []
        changed = await admin("PUT", path, {"network": {"name": "both", "mtu": 1400}})
        assert changed.json["network"]["segments"] == shown["segments"]
        refused(await admin("PUT", path, {"network": {"mtu": 1500}}), 400, "InvalidInput", "maximum is 1450")
        assert "segments" not in (await api("GET", path)).json.get("network", {})

        both = {"segments": wanted, "provider:network_type": "vxlan"}
        again = {"provider:network_type": "vxlan", "provider:segmentation_id": 90}
        for body, error in (
            (both, "SegmentsSetInConjunctionWithProviders"),
            ({"segments": [again, again]}, "SegmentsContainDuplicateEntry"),
            ({"segments": [{"provider:segmentation_id": 3}]}, "InvalidInput"),
        ):
            refused(await admin("POST", "/v2.0/networks", {"network": body}), 400, error)
        taken = await admin("POST", "/v2.0/networks", {"network": {"segments": [again, wanted[1]]}})
        refused(taken, 409, "TunnelIdInUse", "77")
        # Nothing half-made: the first of the two is still free.
        await admin.make("network", segments=[again])
        assert (await admin("DELETE", path)).status == 204
        await admin.make("network", segments=wanted)

    tell(story, tmp_path, kind, PROVIDED)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_segments_come_and_go(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network = await admin.make("network", mtu=0)
        path, single = f"/v2.0/networks/{network['id']}", network["provider:segmentation_id"]
        (only,) = (await admin("GET", f"{PATH}?network_id={network['id']}")).json["segments"]
        assert (only["network_type"], only["physical_network"], only["segmentation_id"], only["name"]) == (
            *("vxlan", None, single),
            None,
        )
        assert only["created_at"] and only["revision_number"] == 1 and only["description"] == ""
        assert (await api("GET", PATH)).json["segments"] == []
        theirs = {"segment": {"network_id": network["id"], "network_type": "vxlan"}}
        assert (await api("POST", PATH, theirs)).status == 403
        assert (await api("GET", f"{PATH}/{only['id']}")).status == 404
        wanted = {"network_id": network["id"], "network_type": "vlan", "physical_network": "two"}
        more = await admin.make("segment", **wanted, name="wire", description="to the second rack")
        assert 100 <= more["segmentation_id"] <= 109 and more["name"] == "wire"
        assert "project_id" not in more and "segment_index" not in more
        shown = (await admin("GET", path)).json["network"]
        assert [one["provider:network_type"] for one in shown["segments"]] == ["vxlan", "vlan"]
        assert shown["revision_number"] > network["revision_number"]
        one = f"{PATH}/{more['id']}"
        named = await admin("PUT", one, {"segment": {"name": "cable", "description": ""}})
        assert (named.json["segment"]["name"], named.json["segment"]["revision_number"]) == ("cable", 2)
        assert (await admin("PUT", one, {"segment": {"segmentation_id": 5}})).status == 400
        listed = (
            await admin("GET", f"{PATH}?name=cable&physical_network=two&sort_key=name&sort_dir=asc")
        ).json
        assert [row["id"] for row in listed["segments"]] == [more["id"]]
        assert (await admin("PUT", f"{one}/tags/rack", None)).status == 201
        assert (await admin("GET", one)).json["segment"]["tags"] == ["rack"]

        for body, status, error in (
            ({**wanted, "segmentation_id": more["segmentation_id"]}, 409, "VlanIdInUse"),
            ({**wanted, "network_id": more["id"]}, 404, "NetworkNotFound"),
            ({**wanted, "network_type": "token-ring"}, 400, "InvalidInput"),
            ({**wanted, "physical_network": "three"}, 400, "InvalidInput"),
            ({"network_id": network["id"]}, 400, "HTTPBadRequest"),
        ):
            refused(await admin("POST", PATH, {"segment": body}), status, error)

        subnet = await admin.make(
            "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24", segment_id=more["id"]
        )
        refused(await admin("DELETE", one), 409, "SegmentInUse", f"associated with subnet(s) {subnet['id']}")
        assert (await admin("DELETE", f"/v2.0/subnets/{subnet['id']}")).status == 204
        await api.report("h2", bridge_mappings={"two": "br-ex"}, tunnel_types=[])
        port = await admin.make("port", network_id=network["id"], **{"binding:host_id": "h2"})
        assert port["binding:vif_type"] == "ovs"
        refused(await admin("DELETE", one), 409, "SegmentInUse", f"associated with port(s) {port['id']}")
        assert (await admin("DELETE", f"{PATH}/{only['id']}")).status == 204
        left = (await admin("GET", path)).json["network"]
        assert left["provider:physical_network"] == "two" and "segments" not in left
        assert (await admin("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        assert (await admin("DELETE", one)).status == 204
        bare = (await admin("GET", path)).json["network"]
        assert (bare["provider:network_type"], bare["segments"]) == (None, [])
        unbound = await admin.make("port", network_id=network["id"], **{"binding:host_id": "h2"})
        assert unbound["binding:vif_type"] == "binding_failed"
        assert (await admin("DELETE", f"/v2.0/ports/{unbound['id']}")).status == 204
        again = await admin.make("segment", network_id=network["id"], network_type="vxlan", segmentation_id=8)
        assert (await admin("GET", path)).json["network"]["provider:segmentation_id"] == 8
        assert (await admin("DELETE", path)).status == 204
        assert (await admin("GET", f"{PATH}/{again['id']}")).status == 404

    tell(story, tmp_path, kind, PROVIDED)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_each_host_carries_the_segment_that_it_reaches(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", bridge_mappings={"one": "br-1"}, tunneling_ip="192.0.2.1")
        for number in (2, 3):
            await api.report(f"h{number}", bridge_mappings={}, tunneling_ip=f"192.0.2.{number}")
        await api.report("h4", bridge_mappings={}, tunnel_types=[])
        network = await admin.make(
            "network",
            segments=[
                {
                    "provider:network_type": "vlan",
                    "provider:physical_network": "one",
                    "provider:segmentation_id": 105,
                },
                {"provider:network_type": "vxlan", "provider:segmentation_id": 77},
            ],
        )
        ports = {
            host: await admin.make("port", network_id=network["id"], **{"binding:host_id": host})
            for host in ("h1", "h2", "h3", "h4")
        }
        assert [ports[host]["binding:vif_type"] for host in ports] == ["ovs"] * 3 + ["binding_failed"]
        seen = {}
        for host in ("h1", "h2", "h3"):
            (seen[host],) = (await api.switch(host)).networks
        wire, tunnel = seen["h1"].segment, seen["h2"].segment
        assert (wire.network_type, wire.physical_network, wire.segmentation_id) == ("vlan", "one", 105)
        assert (tunnel.network_type, tunnel.physical_network, tunnel.segmentation_id) == ("vxlan", None, 77)
        assert seen["h3"].segment == tunnel
        # Through tunnels only those hear each other that are on them.
        assert seen["h1"].forwarding == ()
        assert [one.host for one in seen["h2"].forwarding] == ["h3"]
        assert [one.host for one in seen["h3"].forwarding] == ["h2"]
        # A host that gets what it lacked is bound when its agent begins anew.
        await api.report("h4", bridge_mappings={"one": "br-1"}, tunnel_types=[])
        late = (await admin("GET", f"/v2.0/ports/{ports['h4']['id']}")).json["port"]
        assert late["binding:vif_type"] == "ovs"
        (details,) = (await api.switch("h4")).networks
        assert details.segment == wire

    tell(story, tmp_path, kind, PROVIDED)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_addresses_of_a_routed_network_are_those_of_the_hosts_segment(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await rack(api, "h1", "one")
        await rack(api, "h2", "two")
        await rack(api, "h3", "elsewhere")
        network_id, segments, subnets = await a_routed_network(api)
        assert (await api("GET", f"/v2.0/networks/{network_id}")).json["network"]["l2_adjacency"] is False
        port = await api.make("port", network_id=network_id)
        assert (port["ip_allocation"], port["fixed_ips"]) == ("deferred", [])
        path = f"/v2.0/ports/{port['id']}"
        bound = (await admin("PUT", path, {"port": {"binding:host_id": "h2"}})).json["port"]
        assert [ip["subnet_id"] for ip in bound["fixed_ips"]] == [subnets[1]]
        assert (bound["ip_allocation"], bound["binding:vif_type"]) == ("deferred", "ovs")
        moved = await admin("PUT", path, {"port": {"binding:host_id": "h1"}})
        refused(moved, 409, "HostNotCompatibleWithFixedIps", port["id"])
        nowhere = await admin("PUT", path, {"port": {"binding:host_id": "h3"}})
        refused(nowhere, 409, "HostNotConnectedToAnySegment", network_id)
        other = {"fixed_ips": [{"subnet_id": subnets[0]}]}
        refused(await admin("PUT", path, {"port": other}), 400, "InvalidInput", subnets[0])
        both = await admin("PUT", path, {"port": {**other, "binding:host_id": "h1"}})
        assert [ip["subnet_id"] for ip in both.json["port"]["fixed_ips"]] == [subnets[0]]
        assert (await admin("PUT", path, {"port": {"binding:host_id": ""}})).status == 200
        fresh = await admin("PUT", path, {"port": {"mac_address": "fa:16:3e:00:00:aa"}})
        assert fresh.status == 200 and fresh.json["port"]["fixed_ips"] == both.json["port"]["fixed_ips"]

        here = await admin.make("port", network_id=network_id, **{"binding:host_id": "h1"})
        assert [ip["subnet_id"] for ip in here["fixed_ips"]] == [subnets[0]]
        assert here["ip_allocation"] == "immediate"
        named = await admin.make("port", network_id=network_id, fixed_ips=[{"subnet_id": subnets[1]}])
        assert [ip["subnet_id"] for ip in named["fixed_ips"]] == [subnets[1]]
        assert named["ip_allocation"] == "immediate"
        none = await admin.make("port", network_id=network_id, fixed_ips=[])
        assert (none["fixed_ips"], none["ip_allocation"]) == ([], "none")
        kept = await admin("PUT", f"/v2.0/ports/{none['id']}", {"port": {"binding:host_id": "h1"}})
        assert kept.json["port"]["fixed_ips"] == []
        wanted: dict[str, Any] = {"network_id": network_id, "binding:host_id": "h3"}
        refused(await admin("POST", "/v2.0/ports", {"port": wanted}), 409, "HostNotConnectedToAnySegment")
        wanted = {"network_id": network_id, "fixed_ips": [{"subnet_id": one} for one in subnets]}
        refused(await admin("POST", "/v2.0/ports", {"port": wanted}), 400, "FixedIpsSubnetsNotOnSameSegment")
        listed = (await api("GET", "/v2.0/ports?ip_allocation=deferred")).json["ports"]
        assert [one["id"] for one in listed] == [port["id"]]

        # DHCP is served in each segment, to those who are there.
        for host, subnet_id, mine in (("h1", subnets[0], here), ("h2", subnets[1], named)):
            (served,) = (await api.dhcp(host)).networks
            assert [one.subnet_id for one in served.subnets] == [subnet_id]
            assert {one.subnet_id for one in served.port.addresses} == {subnet_id}
            assert mine["id"] in {one.port_id for one in served.hosts}
            assert {ip.subnet_id for one in served.hosts for ip in one.addresses} == {subnet_id}
        assert (await api.dhcp("h3")).networks == ()
        assert segments[0] != segments[1]

    tell(story, tmp_path, kind, PROVIDED)


def test_subnets_belong_to_segments_all_or_none(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network_id, segments, subnets = await a_routed_network(api)
        other, (foreign, *_), _ = await a_plain_network(api)
        path = f"/v2.0/subnets/{subnets[0]}"
        assert "segment_id" not in (await api("GET", path)).json["subnet"]
        found = (await admin("GET", f"/v2.0/subnets?segment_id={segments[1]}")).json["subnets"]
        assert [one["id"] for one in found] == [subnets[1]]
        new = {"network_id": network_id, "ip_version": 4, "cidr": "10.9.0.0/24"}
        mine = {"network_id": other, "ip_version": 4, "cidr": "10.9.0.0/24", "segment_id": foreign}
        assert (await api("POST", "/v2.0/subnets", {"subnet": mine})).status == 403
        for body, status, error in (
            (new, 400, "SubnetsNotAllAssociatedWithSegments"),
            ({**new, "segment_id": foreign}, 400, "NetworkIdsDontMatch"),
            ({**new, "segment_id": network_id}, 404, "SegmentNotFound"),
        ):
            refused(await admin("POST", "/v2.0/subnets", {"subnet": body}), status, error)
        two = [
            {**mine, "cidr": "10.9.0.0/24"},
            {"network_id": other, "ip_version": 4, "cidr": "10.8.0.0/24"},
        ]
        mixed = await admin("POST", "/v2.0/subnets", {"subnets": two})
        refused(mixed, 400, "SubnetsNotAllAssociatedWithSegments")

        # The only subnet of a network with one segment may be given to that, once.
        plain = await admin.make("subnet", network_id=other, ip_version=4, cidr="10.7.0.0/24")
        at = f"/v2.0/subnets/{plain['id']}"
        assert (await api("PUT", at, {"subnet": {"segment_id": foreign}})).status == 403
        given = await admin("PUT", at, {"subnet": {"segment_id": foreign}})
        assert given.json["subnet"]["segment_id"] == foreign
        gone = await admin("PUT", at, {"subnet": {"segment_id": None}})
        refused(gone, 400, "SubnetSegmentAssociationChangeNotAllowed")
        refused(
            await admin("PUT", path, {"subnet": {"segment_id": segments[1]}}),
            *(400, "SubnetsNotAllAssociatedWithSegments"),
        )
        assert (await admin("DELETE", f"/v2.0/subnets/{subnets[1]}")).status == 204
        wide = await admin.make("network")
        (first,) = (await admin("GET", f"{PATH}?network_id={wide['id']}")).json["segments"]
        await admin.make("segment", network_id=wide["id"], network_type="vxlan")
        late = await admin.make("subnet", network_id=wide["id"], ip_version=4, cidr="10.6.0.0/24")
        refused(
            await admin("PUT", f"/v2.0/subnets/{late['id']}", {"subnet": {"segment_id": first["id"]}}),
            *(400, "NoUpdateSubnetWhenMultipleSegmentsOnNetwork"),
        )

    tell(story, tmp_path, config=PROVIDED)


async def a_plain_network(api: Cloud) -> tuple[str, list[str], list[str]]:
    network = await api.make("network")
    found = (await api.as_("admin")("GET", f"{PATH}?network_id={network['id']}")).json["segments"]
    return network["id"], [one["id"] for one in found], []


def test_subnets_of_segments_route_to_each_other(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network_id, segments, subnets = await a_routed_network(api)

        async def routes(subnet_id: str) -> list[tuple[str, str]]:
            shown = (await admin("GET", f"/v2.0/subnets/{subnet_id}")).json["subnet"]
            return sorted((one["destination"], one["nexthop"]) for one in shown["host_routes"])

        assert await routes(subnets[0]) == [("10.1.0.0/24", "10.0.0.1")]
        assert await routes(subnets[1]) == [("10.0.0.0/24", "10.1.0.1")]
        own = {"destination": "192.0.2.0/24", "nexthop": "10.0.0.9"}
        moved = {"subnet": {"host_routes": [own], "gateway_ip": "10.0.0.254", "allocation_pools": []}}
        assert (await admin("PUT", f"/v2.0/subnets/{subnets[0]}", moved)).status == 200
        assert await routes(subnets[0]) == [("10.1.0.0/24", "10.0.0.254"), ("192.0.2.0/24", "10.0.0.9")]
        beside = await admin.make(
            "subnet", network_id=network_id, ip_version=4, cidr="10.2.0.0/24", segment_id=segments[0]
        )
        assert await routes(beside["id"]) == [("10.1.0.0/24", "10.2.0.1")]
        assert await routes(subnets[1]) == [("10.0.0.0/24", "10.1.0.1"), ("10.2.0.0/24", "10.1.0.1")]
        other = await admin.make(
            "subnet", network_id=network_id, ip_version=6, cidr="fd00:1::/64", segment_id=segments[1]
        )
        assert await routes(other["id"]) == []
        assert (await admin("DELETE", f"/v2.0/subnets/{subnets[0]}")).status == 204
        assert await routes(subnets[1]) == [("10.2.0.0/24", "10.1.0.1")]
        assert (
            await admin("PUT", f"/v2.0/subnets/{subnets[1]}", {"subnet": {"gateway_ip": None}})
        ).status == 200
        assert await routes(subnets[1]) == []

    tell(story, tmp_path, config=PROVIDED)


def test_a_router_and_a_floating_ip_need_to_know_the_segment(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network_id, _, subnets = await a_routed_network(api)
        assert (
            await admin("PUT", f"/v2.0/networks/{network_id}", {"network": {"router:external": True}})
        ).status == 200
        outside = {"router": {"external_gateway_info": {"network_id": network_id}}}
        assert (await api("POST", "/v2.0/routers", outside)).status in (400, 409)
        wanted = {"floatingip": {"floating_network_id": network_id}}
        assert (await api("POST", "/v2.0/floatingips", wanted)).status == 409
        wanted["floatingip"]["subnet_id"] = subnets[0]
        assert (await api("POST", "/v2.0/floatingips", wanted)).status == 201

    tell(story, tmp_path, config=PROVIDED)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_networks_that_let_tags_of_guests_pass(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1", bridge_mappings={"one": "br-1"})
        await api.report("h2", interface_mappings={"one": "eth1"}, tunneling_ip="192.0.2.2")
        plain = await api.make("network")
        assert (plain["vlan_transparent"], plain["qinq"]) == (False, False)
        clear = await api.make("network", vlan_transparent=True)
        vlan = {"provider:network_type": "vlan", "provider:physical_network": "one"}
        service = await admin.make("network", qinq=True, **vlan)
        found = (await api("GET", "/v2.0/networks?vlan_transparent=True")).json["networks"]
        assert [one["id"] for one in found] == [clear["id"]]
        found = (await admin("GET", "/v2.0/networks?qinq=true")).json["networks"]
        assert [one["id"] for one in found] == [service["id"]]
        for network in (clear, service):
            port = await admin.make("port", network_id=network["id"], **{"binding:host_id": "h1"})
            assert port["binding:vif_type"] == "ovs"
            lost = await admin.make("port", network_id=network["id"], **{"binding:host_id": "h2"})
            assert lost["binding:vif_type"] == "binding_failed"
        told = {one.network_id: (one.vlan_transparent, one.qinq) for one in (await api.switch("h1")).networks}
        assert told == {clear["id"]: (True, False), service["id"]: (False, True)}

        flat = {"provider:network_type": "flat", "provider:physical_network": "one"}
        for values, error in (
            ({"vlan_transparent": True, **flat}, "VlanTransparencyDriverError"),
            ({"qinq": True, **flat}, "VlanQinqDriverError"),
            ({"qinq": True}, "VlanQinqDriverError"),
            ({"qinq": True, "vlan_transparent": True, **vlan}, "InvalidInput"),
            ({"qinq": "perhaps"}, "InvalidInput"),
        ):
            refused(await admin("POST", "/v2.0/networks", {"network": values}), 400, error)
        change = {"network": {"vlan_transparent": False}}
        assert (await api("PUT", f"/v2.0/networks/{clear['id']}", change)).status == 400
        more = {"network_id": service["id"], "network_type": "vxlan"}
        refused(await admin("POST", PATH, {"segment": more}), 400, "VlanQinqDriverError")

    tell(story, tmp_path, kind, PROVIDED)
