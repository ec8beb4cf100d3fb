"""Subnets as Neutron has them: small prefixes, special values, and modes that two attributes decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.network.cloud import Answer, Cloud, tell


async def ask(api: Cloud, network: str | None = None, **values: Any) -> Answer:
    """A subnet on a network of its own, unless one is named."""
    if network is None:
        network = (await api.make("network"))["id"]
    text = values.get("cidr") or values.get("gateway_ip") or ""
    given = {"network_id": network, "ip_version": 6 if ":" in text else 4, **values}
    return await api("POST", "/v2.0/subnets", {"subnet": given})


@pytest.mark.parametrize(
    ("values", "gateway", "pools"),
    [
        ({"cidr": "10.0.0.0/30"}, "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
        ({"cidr": "10.0.0.0/30", "gateway_ip": None}, None, [("10.0.0.1", "10.0.0.2")]),
        ({"cidr": "10.0.0.0/24", "gateway_ip": "192.0.2.1"}, "192.0.2.1", [("10.0.0.1", "10.0.0.254")]),
        (
            {"cidr": "10.0.0.0/31", "enable_dhcp": False, "gateway_ip": "10.0.0.7"},
            "10.0.0.7",
            [("10.0.0.0", "10.0.0.1")],
        ),
        (
            {"cidr": "10.0.0.0/31", "enable_dhcp": False, "gateway_ip": None},
            None,
            [("10.0.0.0", "10.0.0.1")],
        ),
        ({"cidr": "10.0.0.9/32", "enable_dhcp": False}, "10.0.0.10", [("10.0.0.9", "10.0.0.9")]),
        ({"cidr": "10.0.0.9", "enable_dhcp": False}, "10.0.0.10", [("10.0.0.9", "10.0.0.9")]),
        ({"cidr": "fd00::/126"}, "fd00::1", [("fd00::2", "fd00::3")]),
        ({"cidr": "fd00::/127", "enable_dhcp": False}, "fd00::1", []),
        ({"cidr": "fd00::5/128", "enable_dhcp": False}, "fd00::6", [("fd00::5", "fd00::5")]),
        ({"cidr": "fd00::/64", "gateway_ip": "fd00::"}, "fd00::", [("fd00::1", "fd00::ffff:ffff:ffff:ffff")]),
        ({"cidr": "10.0.0.0/24", "allocation_pools": []}, "10.0.0.1", []),
        ({"cidr": "224.0.0.0/24", "enable_dhcp": "no"}, "224.0.0.1", [("224.0.0.2", "224.0.0.254")]),
        ({"cidr": "10.0.0.0/255.255.255.252"}, "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
    ],
)
def test_gateways_and_pools(
    values: dict[str, Any], gateway: str | None, pools: list[tuple[str, str]], tmp_path: Path
) -> None:
    async def story(api: Cloud) -> None:
        made = (await ask(api, **values)).json["subnet"]
        assert made["gateway_ip"] == gateway
        assert [(pool["start"], pool["end"]) for pool in made["allocation_pools"]] == pools
        answer = await api("POST", "/v2.0/ports", {"port": {"network_id": made["network_id"]}})
        assert answer.status == (201 if pools else 409)

    tell(story, tmp_path)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"cidr": "10.0.0.0/31", "gateway_ip": None}, "InvalidInput"),
        ({"cidr": "10.0.0.0/32"}, "InvalidInput"),
        ({"cidr": "fd00::/127"}, "InvalidInput"),
        ({"cidr": "::/64"}, "InvalidInput"),
        ({"cidr": "0.0.0.0/8"}, "InvalidInput"),
        ({"cidr": "224.0.0.0/24"}, "InvalidInput"),
        ({"cidr": "127.0.0.0/24"}, "InvalidInput"),
        ({"cidr": "10.0.0.0/31", "enable_dhcp": False, "gateway_ip": "10.0.0.0"}, "InvalidInput"),
        ({"cidr": "10.0.0.9/32", "enable_dhcp": False, "gateway_ip": "10.0.0.9"}, "InvalidInput"),
        (
            {"cidr": "fd00::/64", "allocation_pools": [{"start": "fd00::", "end": "fd00::9"}]},
            "OutOfBoundsAllocationPool",
        ),
        ({"cidr": "fd00::/80", "ipv6_ra_mode": "slaac"}, "InvalidInput"),
        ({"cidr": "fd00::/64", "ipv6_ra_mode": "slaac", "enable_dhcp": False}, "InvalidInput"),
        (
            {"cidr": "fd00::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
            "InvalidInput",
        ),
        ({"cidr": "10.0.0.0/24", "ipv6_ra_mode": "slaac"}, "InvalidInput"),
        ({}, "BadRequest"),
        ({"cidr": "10.0.0.0/24", "prefixlen": 24}, "BadRequest"),
        ({"subnetpool_id": "prefix_delegation"}, "BadRequest"),
        ({"subnetpool_id": "prefix_delegation", "ip_version": 6}, "BadRequest"),
        (
            {
                "subnetpool_id": "prefix_delegation",
                "ip_version": 6,
                "ipv6_ra_mode": "slaac",
                "ipv6_address_mode": "dhcpv6-stateful",
            },
            "BadRequest",
        ),
        ({"use_default_subnetpool": True}, "BadRequest"),
        ({"use_default_subnetpool": True, "subnetpool_id": "prefix_delegation"}, "BadRequest"),
        (
            {"use_default_subnetpool": True, "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.3"}]},
            "BadRequest",
        ),
    ],
)
def test_what_is_no_subnet(values: dict[str, Any], error: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        answer = await ask(api, **values)
        assert (answer.status, answer.error) == (400, error), answer
        assert (await api("GET", "/v2.0/subnets")).json["subnets"] == []

    tell(story, tmp_path)


def test_special_values_of_pools(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        named = await ask(api, cidr="fd00::/64", subnetpool_id="prefix_delegation")
        assert named.json["subnet"]["subnetpool_id"] is None
        pool = await admin.make(
            "subnetpool",
            name="p",
            prefixes=["10.0.0.0/8"],
            default_prefixlen=24,
            is_default=True,
            shared=True,
        )
        cut = (await ask(api, use_default_subnetpool="yes")).json["subnet"]
        assert cut["subnetpool_id"] == pool["id"] and cut["cidr"].endswith("/24")
        # A gateway says which prefix is meant.
        beside = (await ask(api, subnetpool_id=pool["id"], gateway_ip="10.9.8.7")).json["subnet"]
        assert (beside["cidr"], beside["gateway_ip"]) == ("10.9.8.0/24", "10.9.8.7")
        without = (await ask(api, subnetpool_id=pool["id"], gateway_ip=None, prefixlen="26")).json["subnet"]
        assert without["gateway_ip"] is None and without["cidr"].endswith("/26")
        wrong = await ask(api, subnetpool_id=pool["id"], gateway_ip="fd00::1", ip_version=4)
        assert wrong.status == 400

    tell(story, tmp_path)


@pytest.mark.parametrize(
    ("modes", "automatic"),
    [
        ({"ipv6_ra_mode": "slaac"}, True),
        ({"ipv6_address_mode": "slaac"}, True),
        ({"ipv6_ra_mode": "dhcpv6-stateless"}, True),
        ({"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}, True),
        ({"ipv6_ra_mode": "dhcpv6-stateful"}, False),
        ({"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}, False),
        ({}, False),
    ],
)
def test_either_mode_makes_a_subnet_automatic(modes: dict[str, str], automatic: bool, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = (await api.make("network"))["id"]
        early = await api.make("port", network_id=network)
        subnet = (await ask(api, network, cidr="fd00::/64", **modes)).json["subnet"]
        port = await api.make("port", network_id=network, mac_address="fa:16:3e:00:00:01")
        own = [ip["ip_address"] for ip in port["fixed_ips"]]
        assert (own == ["fd00::f816:3eff:fe00:1"]) is automatic and len(own) == 1
        early = (await api("GET", f"/v2.0/ports/{early['id']}")).json["port"]
        assert bool(early["fixed_ips"]) is automatic
        wish = {"fixed_ips": [{"subnet_id": subnet["id"], "ip_address": "fd00::99"}]}
        answer = await api("POST", "/v2.0/ports", {"port": {"network_id": network, **wish}})
        assert answer.status == (400 if automatic else 201)
        path = f"/v2.0/subnets/{subnet['id']}"
        off = await api("PUT", path, {"subnet": {"enable_dhcp": False}})
        assert off.status == (400 if modes else 200)
        # Addresses that guests gave themselves keep no subnet.
        assert (await api("DELETE", path)).status == (204 if automatic else 409)

    tell(story, tmp_path)


def test_dhcp_is_not_switched_on_where_it_has_no_place(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        refused = await ask(api, cidr="10.0.0.0/31", enable_dhcp=False)
        assert (refused.status, refused.error) == (409, "IpamValueInvalid")
        made = (await ask(api, cidr="10.0.0.0/31", enable_dhcp=False, gateway_ip=None)).json["subnet"]
        path = f"/v2.0/subnets/{made['id']}"
        assert (await api("PUT", path, {"subnet": {"enable_dhcp": True}})).error == "InvalidInput"
        assert (await api("PUT", path, {"subnet": {"enable_dhcp": False, "name": "x"}})).status == 200

    tell(story, tmp_path)


def test_changes_of_a_subnet(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        made = (await ask(api, cidr="10.0.0.0/24", dns_nameservers=["0.0.0.0"])).json["subnet"]
        assert made["dns_nameservers"] == ["0.0.0.0"]
        path = f"/v2.0/subnets/{made['id']}"

        async def change(**values: Any) -> Answer:
            return await api("PUT", path, {"subnet": values})

        assert (await change(dns_nameservers=None)).json["subnet"]["dns_nameservers"] == []
        assert (await change(gateway_ip="10.0.0.9")).error == "GatewayConflictWithAllocationPools"
        assert (await change(gateway_ip=None)).json["subnet"]["gateway_ip"] is None
        pools = [{"start": "10.0.0.1", "end": "10.0.0.4"}]
        assert (await change(allocation_pools=pools)).json["subnet"]["allocation_pools"] == pools
        assert (await change(gateway_ip="10.0.0.254")).json["subnet"]["allocation_pools"] == pools
        for wrong in ({"cidr": "10.0.0.0/25"}, {"ip_version": 4}, {"ipv6_ra_mode": None}, {"shared": True}):
            assert (await change(**wrong)).error == "HTTPBadRequest"

    tell(story, tmp_path)
