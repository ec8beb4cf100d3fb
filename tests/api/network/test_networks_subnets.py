"""Networks and subnets: provider attributes, segments, prefixes, pools, and what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell

NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_segments_are_given_once(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def one(**provider: Any) -> tuple[int, Any]:
            body = {"network": {f"provider:{name}": value for name, value in provider.items()}}
            answer = await admin("POST", "/v2.0/networks", body)
            if answer.status != 201:
                return answer.status, answer.error
            return 201, answer.json["network"]["provider:segmentation_id"]

        # Three tags for five who ask at once.
        answers = await asyncio.gather(*(one(network_type="vlan") for _ in range(5)))
        assert {number for status, number in answers if status == 201} == {100, 101, 102}
        assert Counter(status for status, _ in answers) == {201: 3, 503: 2}
        assert {number for status, number in answers if status == 503} == {"NoNetworkAvailable"}

        assert await one(network_type="vxlan", segmentation_id=77) == (201, 77)
        assert await one(network_type="vxlan", segmentation_id=77) == (409, "TunnelIdInUse")
        assert await one(network_type="gre", segmentation_id=77) == (201, 77)
        vlan = {"network_type": "vlan", "physical_network": "bare", "segmentation_id": 7}
        assert await one(**vlan) == (201, 7)
        assert await one(**vlan) == (409, "VlanIdInUse")
        assert await one(network_type="flat", physical_network="physnet1") == (201, None)
        assert await one(network_type="flat", physical_network="physnet1") == (409, "FlatNetworkInUse")
        assert await one(network_type="vlan", physical_network="nowhere") == (400, "InvalidInput")
        assert await one(segmentation_id=5) == (400, "InvalidInput")
        assert await one(network_type="token-ring") == (400, "InvalidInput")

    tell(story, tmp_path, kind)


def test_bulk_networks_are_all_or_none(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        good = {"name": "good"}
        bad = {"provider:network_type": "vxlan", "provider:segmentation_id": 9}
        answer = await admin("POST", "/v2.0/networks", {"networks": [good, bad, bad]})
        assert (answer.status, answer.error) == (409, "TunnelIdInUse")
        assert (await admin("GET", "/v2.0/networks")).json["networks"] == []
        answer = await admin("POST", "/v2.0/networks", {"networks": [good, bad, good]})
        made = answer.json["networks"]
        assert len({one["provider:segmentation_id"] for one in made}) == 3
        assert [one["name"] for one in made] == ["good", "", "good"]

    tell(story, tmp_path)


def test_shared_and_external(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        mine = await api.make("network", name="mine")
        assert (await bob("GET", f"/v2.0/networks/{mine['id']}")).status == 404
        for name in ("shared", "router:external", "is_default"):
            answer = await api("POST", "/v2.0/networks", {"network": {name: True}})
            assert answer.status == 403
        shared = await admin.make("network", name="shared", shared=True, project_id=P1)
        outside = await admin.make("network", name="outside", project_id=P1, **{"router:external": True})
        seen = {one["name"] for one in (await bob("GET", "/v2.0/networks")).json["networks"]}
        assert seen == {"shared", "outside"}
        assert (await bob("GET", "/v2.0/networks?router:external=true")).json["networks"][0]["id"] == outside[
            "id"
        ]
        refused = await bob("PUT", f"/v2.0/networks/{shared['id']}", {"network": {"name": "x"}})
        assert refused.status == 403
        port = await bob.make("port", network_id=shared["id"])
        assert port["project_id"] == P2
        mac = {"port": {"network_id": shared["id"], "mac_address": "fa:16:3e:00:00:05"}}
        assert (await bob("POST", "/v2.0/ports", mac)).status == 403
        unshare = {"network": {"shared": False}}
        path = f"/v2.0/networks/{shared['id']}"
        answer = await admin("PUT", path, unshare)
        assert (answer.status, answer.error) == (409, "InvalidSharedSetting")
        # The network's owner sees and may remove what others have in it.
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        assert (await admin("PUT", path, unshare)).json["network"]["shared"] is False

    tell(story, tmp_path)


def test_network_mtu_and_update(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.make("network", mtu=1400, description="blue")
        assert network["mtu"] == 1400 and network["revision_number"] == 1
        path = f"/v2.0/networks/{network['id']}"
        change = {"name": "n", "admin_state_up": False, "mtu": 1300}
        changed = (await api("PUT", path, {"network": change})).json["network"]
        assert {name: changed[name] for name in change} == change and changed["revision_number"] == 2
        for wrong in ({"mtu": 9000}, {"mtu": -5}, {"status": "DOWN"}, {"id": NOBODY}, {"subnets": []}):
            assert (await api("PUT", path, {"network": wrong})).status == 400
        assert (await api("GET", f"/v2.0/networks/{NOBODY}")).error == "NetworkNotFound"

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_subnets_do_not_overlap_in_a_network(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = (await api.make("network"))["id"]
        body = {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}}
        answers = await asyncio.gather(*(api("POST", "/v2.0/subnets", body) for _ in range(6)))
        assert Counter(one.status for one in answers) == {201: 1, 400: 5}
        other = (await api.make("network"))["id"]
        body["subnet"]["network_id"] = other
        assert (await api("POST", "/v2.0/subnets", body)).status == 201

    tell(story, tmp_path, kind)


@pytest.mark.parametrize(
    ("subnet", "error"),
    [
        ({"cidr": "10.0.0.0/33"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/255.0.255.0"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "ip_version": 6}, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "ip_version": 5}, "HTTPBadRequest"),
        ({}, "BadRequest"),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "fd00::1"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.255"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.9"}]}, "HTTPBadRequest"),
        (
            {"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.9"}]},
            "OutOfBoundsAllocationPool",
        ),
        (
            {"cidr": "10.0.0.0/24", "allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]},
            "GatewayConflictWithAllocationPools",
        ),
        ({"cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"}, "InvalidInput"),
        ({"cidr": "2001:db8::/65", "ip_version": 6, "ipv6_ra_mode": "slaac"}, "InvalidInput"),
        (
            {"cidr": "10.0.0.0/24", "dns_nameservers": [f"1.1.1.{n}" for n in range(6)]},
            "DNSNameServersExhausted",
        ),
        ({"cidr": "10.0.0.0/24", "dns_nameservers": ["1.1.1.1", "1.1.1.1"]}, "HTTPBadRequest"),
        ({"cidr": "10.0.0.0/24", "dns_nameservers": ["fd00::1"]}, "InvalidInput"),
        (
            {"cidr": "10.0.0.0/24", "host_routes": [{"destination": "fd00::/8", "nexthop": "10.0.0.1"}]},
            "InvalidInput",
        ),
        ({"cidr": "10.0.0.0/24", "host_routes": [{"destination": "10.1.0.0/16"}]}, "HTTPBadRequest"),
        ({"cidr": "10.0.0.0/24", "network_id": NOBODY}, "NetworkNotFound"),
    ],
)
def test_what_is_no_subnet(subnet: dict[str, Any], error: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.make("network")
        body = {"subnet": {"network_id": network["id"], "ip_version": 4, **subnet}}
        answer = await api("POST", "/v2.0/subnets", body)
        assert answer.error == error, answer
        assert answer.status in (400, 404, 409)

    tell(story, tmp_path)


def test_subnet_update(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, subnet = await api.a_network("10.0.0.0/24")
        path = f"/v2.0/subnets/{subnet}"
        pools = [{"start": "10.0.0.100", "end": "10.0.0.110"}]
        change = {
            "name": "s",
            "allocation_pools": pools,
            "dns_nameservers": ["192.0.2.53"],
            "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.3"}],
            "enable_dhcp": False,
            "gateway_ip": "10.0.0.9",
        }
        changed = (await api("PUT", path, {"subnet": change})).json["subnet"]
        assert {name: changed[name] for name in change} == change
        inside = await api("PUT", path, {"subnet": {"gateway_ip": "10.0.0.105"}})
        assert (inside.status, inside.error) == (409, "GatewayConflictWithAllocationPools")
        without = (await api("PUT", path, {"subnet": {"gateway_ip": None}})).json["subnet"]
        assert without["gateway_ip"] is None and without["allocation_pools"] == pools
        for wrong in ({"cidr": "10.1.0.0/24"}, {"network_id": network}, {"ip_version": 4}):
            assert (await api("PUT", path, {"subnet": wrong})).status == 400
        port = await api.make("port", network_id=network)
        assert 100 <= int(port["fixed_ips"][0]["ip_address"].split(".")[3]) <= 110

    tell(story, tmp_path)


def test_an_automatic_subnet_goes_with_the_addresses_that_guests_made(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = (await api.make("network"))["id"]
        port = await api.make("port", network_id=network, mac_address="fa:16:3e:00:00:01")
        assert port["fixed_ips"] == []
        auto = {"network_id": network, "ip_version": 6, "ipv6_address_mode": "slaac"}
        subnet = (await api.make("subnet", cidr="2001:db8::/64", **auto))["id"]
        found = (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]
        address = "2001:db8::f816:3eff:fe00:1"
        assert found["fixed_ips"] == [{"subnet_id": subnet, "ip_address": address}]
        (listed,) = (await api("GET", f"/v2.0/ports?fixed_ips=ip_address%3D{address}")).json["ports"]
        assert listed["id"] == port["id"]
        assert (await api("DELETE", f"/v2.0/subnets/{subnet}")).status == 204
        left = await api("GET", f"/v2.0/ports/{port['id']}")
        assert left.json["port"]["fixed_ips"] == []

    tell(story, tmp_path)


def test_discovery_and_extensions(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        root = (await api("GET", "/")).json
        assert root["versions"][0]["id"] == "v2.0" and root["versions"][0]["status"] == "CURRENT"
        collections = {one["collection"] for one in (await api("GET", "/v2.0/")).json["resources"]}
        assert {"networks", "subnets", "ports"} <= collections
        extensions = (await api("GET", "/v2.0/extensions")).json["extensions"]
        aliases = {one["alias"] for one in extensions}
        assert {"agent", "qos", "quotas", "security-group", "provider"} <= aliases
        assert {"router", "dhcp_agent_scheduler", "subnet_allocation"} <= aliases
        assert {"dvr", "l3-ha"} <= aliases
        assert (await api("GET", "/v2.0/extensions/agent")).json["extension"]["alias"] == "agent"
        assert (await api("GET", "/v2.0/extensions/vpnaas")).status == 404
        assert (await api("GET", "/v2.0/availability_zones")).json == {"availability_zones": []}
        assert (await api("PATCH", "/v2.0/networks")).status == 405
        assert (await api("GET", "/v2.0/nonsense")).status == 404

    tell(story, tmp_path)
