"""NDP proxies: routers that answer outside for IPv6 addresses behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, tell
from tests.api.network.test_routers import act, refused


class Place(NamedTuple):
    """An external network and one behind a router, both of one address scope."""

    pool: str
    outside: str
    network: str
    subnet: str
    router: dict[str, Any]


async def a_place(api: Cloud) -> Place:
    admin = api.as_("admin")
    scope = await admin.make("address_scope", name="six", ip_version=6, shared=True)
    pool = await admin.make(
        "subnetpool",
        name="six",
        prefixes=["2001:db8::/48"],
        default_prefixlen=64,
        address_scope_id=scope["id"],
        shared=True,
    )
    outside = await admin.make("network", name="outside", **{"router:external": True})
    await admin.make("subnet", network_id=outside["id"], ip_version=6, subnetpool_id=pool["id"])
    network = await api.make("network", name="inside")
    subnet = await api.make("subnet", network_id=network["id"], ip_version=6, subnetpool_id=pool["id"])
    router = await api.make(
        "router", external_gateway_info={"network_id": outside["id"]}, enable_ndp_proxy=True
    )
    assert (await act(api, router, "add_router_interface", subnet_id=subnet["id"])).status == 200
    return Place(pool["id"], outside["id"], network["id"], subnet["id"], router)


async def ask(api: Cloud, router: str, port: str, **values: Any) -> Answer:
    body = {"ndp_proxy": {"router_id": router, "port_id": port, **values}}
    return await api("POST", "/v2.0/ndp_proxies", body)


async def change(api: Cloud, router: dict[str, Any], **values: Any) -> Answer:
    return await api("PUT", f"/v2.0/routers/{router['id']}", {"router": values})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_an_ndp_proxy(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "L3 agent")
        place = await a_place(api)
        assert place.router["enable_ndp_proxy"] is True
        port = await api.make("port", network_id=place.network)
        made = await ask(api, place.router["id"], port["id"], name="web")
        assert made.status == 201, made
        one = made.json["ndp_proxy"]
        address = port["fixed_ips"][0]["ip_address"]
        assert (one["ip_address"], one["name"], one["router_id"]) == (address, "web", place.router["id"])
        (told,) = (await api.routing("h1")).routers
        assert (told.enable_ndp_proxy, told.ndp_proxies) == (True, (address,))
        twice = await ask(api, place.router["id"], port["id"])
        refused(twice, 409, "NeutronDbObjectDuplicateEntry", address)
        path = f"/v2.0/ndp_proxies/{one['id']}"
        renamed = await api("PUT", path, {"ndp_proxy": {"name": "shop"}})
        assert renamed.json["ndp_proxy"]["name"] == "shop"
        refused(await api("PUT", path, {"ndp_proxy": {"port_id": port["id"]}}), 400, "HTTPBadRequest")

        gone = await act(api, place.router, "remove_router_interface", subnet_id=place.subnet)
        refused(gone, 409, "RouterInterfaceInUseByNDPProxy", place.subnet)
        cleared = await change(api, place.router, external_gateway_info={})
        refused(cleared, 409, "RouterGatewayInUseByNDPProxy", place.router["id"])
        assert (await api("DELETE", path)).status == 204
        refused(await api("GET", path), 404, "NDPProxyNotFound", one["id"])
        # A port that goes takes its proxy along.
        assert (await ask(api, place.router["id"], port["id"], ip_address=address)).status == 201
        assert (await api("DELETE", f"/v2.0/ports/{port['id']}")).status == 204
        assert (await api("GET", "/v2.0/ndp_proxies")).json == {"ndp_proxies": []}
        assert (await api.routing("h1")).routers[0].ndp_proxies == ()
        cleared = await change(api, place.router, external_gateway_info={})
        assert cleared.json["router"]["enable_ndp_proxy"] is False

    tell(story, tmp_path, kind)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place = await a_place(api)
        router = place.router["id"]
        port = (await api.make("port", network_id=place.network))["id"]
        apart, _ = await api.a_network("fd00::/64")
        lost = (await api.make("port", network_id=apart))["id"]
        refused(await ask(api, router, lost), 409, "PortUnreachableRouter", lost, router)
        refused(await ask(api, router, place.subnet), 404, "PortNotFound")
        refused(await ask(api, place.subnet, port), 404, "RouterNotFound")
        refused(await ask(api.as_("bob"), router, port), 404, "PortNotFound")
        wrong = await ask(api, router, port, ip_address="2001:db8::dead")
        refused(wrong, 400, "InvalidAddress", "This address not belong to the port")
        _, four = await api.a_network("10.9.0.0/24")
        await act(api, place.router, "add_router_interface", subnet_id=four)
        other = (await api("GET", f"/v2.0/subnets/{four}")).json["subnet"]["network_id"]
        old = (await api.make("port", network_id=other))["id"]
        refused(await ask(api, router, old), 400, "BadRequest", "must allocate one IPv6 address at least")
        beside, subnet = await api.a_network("fd01::/64")
        await act(api, place.router, "add_router_interface", subnet_id=subnet)
        strange = (await api.make("port", network_id=beside))["id"]
        refused(await ask(api, router, strange), 409, "AddressScopeConflict")
        assert (await change(api, place.router, enable_ndp_proxy=False)).status == 200
        refused(await ask(api, router, port), 409, "RouterNDPProxyNotEnable", router)
        both = await change(api, place.router, enable_ndp_proxy=True, external_gateway_info={})
        refused(both, 409, "RouterGatewayNotValid", "The router's external gateway will be unset")

        bare = await api.make("router")
        assert bare["enable_ndp_proxy"] is False
        on = await change(api, bare, enable_ndp_proxy=True)
        refused(on, 409, "RouterGatewayNotValid", "has no external gateway")
        new = await api("POST", "/v2.0/routers", {"router": {"enable_ndp_proxy": True}})
        refused(new, 409, "RouterGatewayNotValid", "not contain external gateway information")
        outside, _ = await api.as_("admin").an_outside()
        info = {"network_id": outside}
        body = {"router": {"enable_ndp_proxy": True, "external_gateway_info": info}}
        refused(await api("POST", "/v2.0/routers", body), 409, "RouterGatewayNotValid", outside)
        on = await change(api, bare, enable_ndp_proxy=True, external_gateway_info=info)
        refused(on, 409, "RouterGatewayNotValid")

    tell(story, tmp_path)
