"""Subnet pools: prefixes are cut from them, once each; address scopes; how much is used."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, tell
from tests.api.network.test_routers import refused


async def cut(api: Cloud, **values: Any) -> Answer:
    network = (await api.make("network"))["id"]
    return await api("POST", "/v2.0/subnets", {"subnet": {"network_id": network, "ip_version": 4, **values}})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_prefixes_are_given_once(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        pool = await api.make(
            "subnetpool", name="p", prefixes=["10.8.1.0/24", "10.8.0.0/24"], default_prefixlen=26
        )
        assert pool["prefixes"] == ["10.8.0.0/23"] and pool["ip_version"] == 4
        assert (pool["min_prefixlen"], pool["max_prefixlen"]) == ("8", "32")
        answers = await asyncio.gather(*(cut(api, subnetpool_id=pool["id"]) for _ in range(9)))
        made = [answer.json["subnet"] for answer in answers if answer.status == 201]
        assert len(made) == 8 and len({one["cidr"] for one in made}) == 8
        whole = ipaddress.ip_network("10.8.0.0/23")
        assert all(ipaddress.ip_network(one["cidr"]).subnet_of(whole) for one in made)  # type: ignore[arg-type]
        assert all(one["subnetpool_id"] == pool["id"] and one["gateway_ip"] for one in made)
        (full,) = [answer for answer in answers if answer.status != 201]
        assert full.error == "SubnetAllocationError"
        path = f"/v2.0/subnetpools/{pool['id']}"
        refused(await api("DELETE", path), 400, "SubnetPoolDeleteError")
        for one in made:
            assert (await api("DELETE", f"/v2.0/subnets/{one['id']}")).status == 204
        named = await cut(api, subnetpool_id=pool["id"], cidr="10.8.1.0/25")
        assert named.json["subnet"]["cidr"] == "10.8.1.0/25"
        again = await cut(api, subnetpool_id=pool["id"], cidr="10.8.1.64/26")
        assert again.error == "SubnetAllocationError"
        both = await cut(api, subnetpool_id=pool["id"], cidr="10.8.0.0/26", prefixlen=26)
        refused(both, 400, "BadRequest")
        assert (await api("DELETE", f"/v2.0/subnets/{named.json['subnet']['id']}")).status == 204
        assert (await api("DELETE", path)).status == 204

    tell(story, tmp_path, kind)


def test_pools(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")

        async def ask(**values: Any) -> Answer:
            return await api("POST", "/v2.0/subnetpools", {"subnetpool": {"name": "p", **values}})

        refused(await ask(prefixes=[]), 400, "EmptySubnetPoolPrefixList")
        refused(await ask(prefixes=["10.0.0.0/8", "fd00::/48"]), 400, "PrefixVersionMismatch")
        wrong = await ask(prefixes=["10.0.0.0/8"], min_prefixlen=28, max_prefixlen=24)
        refused(wrong, 400, "IllegalSubnetPoolPrefixBounds")
        refused(await ask(prefixes=["10.0.0.0/8"], shared=True), 403, "PolicyNotAuthorized")
        pool = (
            await ask(prefixes=["10.0.0.0/16"], min_prefixlen=24, max_prefixlen=28, default_quota=512)
        ).json["subnetpool"]
        path = f"/v2.0/subnetpools/{pool['id']}"
        refused(await cut(api, subnetpool_id=pool["id"], prefixlen=23), 400, "MinPrefixSubnetAllocationError")
        refused(await cut(api, subnetpool_id=pool["id"], prefixlen=29), 400, "MaxPrefixSubnetAllocationError")
        refused(await cut(bob, subnetpool_id=pool["id"]), 404, "SubnetPoolNotFound")
        refused(await bob("GET", path), 404, "SubnetPoolNotFound")
        for _ in range(2):
            assert (await cut(api, subnetpool_id=pool["id"])).status == 201
        refused(await cut(api, subnetpool_id=pool["id"]), 409, "SubnetPoolQuotaExceeded")
        less = await api("PUT", path, {"subnetpool": {"prefixes": ["10.0.0.0/17"]}})
        refused(less, 400, "IllegalSubnetPoolPrefixUpdate")
        more = await api("PUT", path, {"subnetpool": {"prefixes": ["10.0.0.0/15"], "name": "q"}})
        assert more.json["subnetpool"]["prefixes"] == ["10.0.0.0/15"]

        refused(await cut(api, use_default_subnetpool=True), 400, "BadRequest", "No default subnetpool")
        default = await admin.make(
            "subnetpool",
            name="d",
            prefixes=["10.64.0.0/16"],
            default_prefixlen=24,
            is_default=True,
            shared=True,
        )
        body = {"subnetpool": {"name": "e", "prefixes": ["10.65.0.0/16"], "is_default": True}}
        refused(await admin("POST", "/v2.0/subnetpools", body), 400, "InvalidInput")
        made = (await cut(bob, use_default_subnetpool=True)).json["subnet"]
        assert made["subnetpool_id"] == default["id"] and made["cidr"].endswith("/24")
        second = {"network_id": made["network_id"], "ip_version": 4, "cidr": "172.16.0.0/24"}
        refused(await bob("POST", "/v2.0/subnets", {"subnet": second}), 400, "NetworkSubnetPoolAffinityError")

    tell(story, tmp_path)


def test_address_scopes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        scope = await api.make("address_scope", name="s", ip_version=4)
        here = {"address_scope_id": scope["id"]}
        pool = await api.make("subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24, **here)
        same = {"subnetpool": {"name": "q", "prefixes": ["10.0.4.0/22"], **here}}
        refused(await api("POST", "/v2.0/subnetpools", same), 409, "AddressScopePrefixConflict")
        wrong = {"subnetpool": {"name": "q", "prefixes": ["fd00::/48"], **here}}
        answer = await api("POST", "/v2.0/subnetpools", wrong)
        refused(answer, 400, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
        refused(
            await api.as_("bob")("GET", f"/v2.0/address-scopes/{scope['id']}"), 404, "AddressScopeNotFound"
        )
        made = (await cut(api, subnetpool_id=pool["id"])).json["subnet"]
        network = (await api("GET", f"/v2.0/networks/{made['network_id']}")).json["network"]
        assert network["ipv4_address_scope"] == scope["id"] and network["ipv6_address_scope"] is None
        refused(await api("DELETE", f"/v2.0/address-scopes/{scope['id']}"), 409, "AddressScopeInUse")
        assert (await api("DELETE", f"/v2.0/subnets/{made['id']}")).status == 204
        assert (await api("DELETE", f"/v2.0/subnetpools/{pool['id']}")).status == 204
        assert (await api("DELETE", f"/v2.0/address-scopes/{scope['id']}")).status == 204

    tell(story, tmp_path)


def test_use_of_addresses(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, subnet = await api.a_network()
        for _ in range(3):
            await api.make("port", network_id=network)
        empty = (await api.make("network"))["id"]
        path = "/v2.0/network-ip-availabilities"
        one = (await admin("GET", f"{path}/{network}")).json["network_ip_availability"]
        assert (one["total_ips"], one["used_ips"]) == (253, 3)
        assert one["subnet_ip_availability"][0]["subnet_id"] == subnet
        await admin.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.1"}])
        one = (await admin("GET", f"{path}/{network}")).json["network_ip_availability"]
        details = {
            "total_ips_in_subnet": 254,
            "total_ips_in_allocation_pool": 253,
            "used_ips_in_subnet": 4,
            "used_ips_in_allocation_pool": 3,
        }
        assert one["ip_availability_details"] == details
        assert one["subnet_ip_availability"][0]["ip_availability_details"] == details
        found = (await admin("GET", path)).json["network_ip_availabilities"]
        by_network = {row["network_id"]: row["ip_availability_details"] for row in found}
        assert by_network == {network: details, empty: dict.fromkeys(details, 0)}
        assert {row["network_id"] for row in found} == {network, empty}
        narrowed = (await admin("GET", f"{path}?ip_version=6")).json["network_ip_availabilities"]
        assert narrowed == []
        refused(await admin("GET", f"{path}/{subnet}"), 404, "NetworkNotFound")
        refused(await admin("GET", f"{path}?colour=red"), 400, "HTTPBadRequest")
        refused(await api("GET", path), 403, "PolicyNotAuthorized")
        providers = (await api("GET", "/v2.0/service-providers")).json["service_providers"]
        assert [one["name"] for one in providers] == ["dvr", "dvrha", "gateway_vm", "ha", "single_node"]

    tell(story, tmp_path)
