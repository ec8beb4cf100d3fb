"""Subnets whose prefix a router outside delegates, by the words of an L3 agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, Node, tell
from tests.api.network.test_routers import act, refused

from pileus.services.network.rules.addresses import eui64
from pileus.wire.l3 import L3Status

KIND = "L3 agent"
SLAAC = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
PREFIX = "2001:db8:5:6::/64"


async def said(api: Cloud, host: str, prefixes: dict[str, str]) -> None:
    await api.wire["l3_status"](L3Status(host, prefixes=prefixes), Node(host))


async def a_delegated(api: Cloud, network: str | None = None, **values: Any) -> dict[str, Any]:
    network = network or (await api.make("network"))["id"]
    wish = {"subnetpool_id": "prefix_delegation", **SLAAC, **values}
    return await api.make("subnet", network_id=network, **wish)


async def seen(api: Cloud, subnet: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await api("GET", f"/v2.0/subnets/{subnet['id']}")).json["subnet"]
    return found


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_subnet_gets_its_prefix_with_its_router(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        await api.node("h1", KIND)
        made = await a_delegated(api)
        assert (made["cidr"], made["gateway_ip"], made["subnetpool_id"]) == (
            "::/64",
            "::1",
            "prefix_delegation",
        )
        port = await api.make("port", network_id=made["network_id"])
        assert port["fixed_ips"] == [
            {"subnet_id": made["id"], "ip_address": eui64("::/64", port["mac_address"])}
        ]
        router = await api.make("router", external_gateway_info={"network_id": outside})
        other = await a_delegated(api, ipv6_ra_mode="dhcpv6-stateless", ipv6_address_mode="dhcpv6-stateless")
        # Nobody is told of an address that is none, and a router takes several of them.
        for subnet in (made, other):
            await act(api, router, "add_router_interface", subnet_id=subnet["id"])
        (told,) = (await api.routing("h1")).routers
        assert {s.subnet_id for one in told.interfaces for s in one.subnets if s.delegated} == {
            made["id"],
            other["id"],
        }
        await said(api, "h1", {made["id"]: PREFIX})
        now = await seen(api, made)
        assert (now["cidr"], now["gateway_ip"]) == (PREFIX, "2001:db8:5:6::1")
        assert now["allocation_pools"] == [
            {"start": "2001:db8:5:6::2", "end": "2001:db8:5:6:ffff:ffff:ffff:ffff"}
        ]
        assert now["revision_number"] > made["revision_number"]
        moved = (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]
        assert moved["fixed_ips"][0]["ip_address"] == eui64(PREFIX, port["mac_address"])
        (told,) = (await api.routing("h1")).routers
        held = {ip.ip_address for one in told.interfaces for ip in one.port.addresses}
        assert held == {"2001:db8:5:6::1", "::1"}
        assert (await seen(api, other))["cidr"] == "::/64"
        # New ports have addresses of it; another prefix comes; it is lost.
        late = await api.make("port", network_id=made["network_id"])
        assert late["fixed_ips"][0]["ip_address"] == eui64(PREFIX, late["mac_address"])
        for prefix in ("2001:db8:7:8::/64", "::/64"):
            await said(api, "h1", {made["id"]: prefix})
            moved = (await api("GET", f"/v2.0/ports/{late['id']}")).json["port"]
            assert moved["fixed_ips"][0]["ip_address"] == eui64(prefix, late["mac_address"])
        await said(api, "h1", {made["id"]: PREFIX})
        # With its interface the prefix goes back.
        await act(api, router, "remove_router_interface", subnet_id=made["id"])
        gone = await seen(api, made)
        assert (gone["cidr"], gone["gateway_ip"]) == ("::/64", "::1")
        await said(api, "h1", {made["id"]: PREFIX})
        assert (await seen(api, made))["cidr"] == "::/64"

    tell(story, tmp_path, kind)


def test_what_is_no_prefix_of_a_router(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        outside, _ = await api.as_("admin").an_outside()
        await api.node("h1", KIND)
        await api.node("h2", KIND)
        network = await api.make("network")
        made = await a_delegated(api, network["id"])
        second = await a_delegated(api, network["id"])
        named = await api.a_network("fd00:1::/64", **{k: v for k, v in SLAAC.items() if k != "ip_version"})
        router = await api.make("router", external_gateway_info={"network_id": outside})
        for subnet in (made["id"], second["id"], named[1]):
            await act(api, router, "add_router_interface", subnet_id=subnet)
        (host,) = [one for one in ("h1", "h2") if (await api.routing(one)).routers]
        (other,) = {"h1", "h2"} - {host}
        # Only the router's host says so, only of such subnets, and only what guests can have.
        await said(api, other, {made["id"]: PREFIX})
        await said(api, host, {named[1]: PREFIX})
        for strange in ("2001:db8::/63", "fe80::/64", "ff02::/64", "10.0.0.0/24"):
            await said(api, host, {made["id"]: strange})
        assert (await seen(api, made))["cidr"] == "::/64"
        assert (await seen(api, {"id": named[1]}))["cidr"] == "fd00:1::/64"
        # Nor the same one twice on a network.
        await said(api, host, {made["id"]: PREFIX, second["id"]: PREFIX})
        assert sorted([(await seen(api, made))["cidr"], (await seen(api, second))["cidr"]]) != [
            PREFIX,
            PREFIX,
        ]

    tell(story, tmp_path)


def test_by_default_where_the_settings_say_so(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.make("network")
        made = await api.make("subnet", network_id=network["id"], use_default_subnetpool=True, **SLAAC)
        assert (made["cidr"], made["subnetpool_id"]) == ("::/64", "prefix_delegation")
        wish = {"network_id": network["id"], "use_default_subnetpool": True}
        answer = await api("POST", "/v2.0/subnets", {"subnet": {**wish, "ip_version": 6}})
        refused(answer, 400, "BadRequest", "IPv6 RA Mode must be SLAAC or Stateless for Prefix Delegation.")
        answer = await api("POST", "/v2.0/subnets", {"subnet": {**wish, "ip_version": 4}})
        refused(answer, 400, "BadRequest", "No default subnetpool found for IPv4")
        answer = await api(
            "POST", "/v2.0/subnets", {"subnet": {"network_id": network["id"], "cidr": "::/64", **SLAAC}}
        )
        refused(answer, 400, "InvalidInput", "IPv6 subnet '::' is not supported")

    tell(story, tmp_path, config=msgspec.structs.replace(CONFIG, ipv6_pd_enabled=True))
