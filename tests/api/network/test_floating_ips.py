"""Floating IPs: where they come from, where they lead, and what frees them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Answer, Cloud, Node, tell
from tests.api.network.test_routers import act, refused

from pileus.wire.l3 import L3Status


class Place(NamedTuple):
    """An external network, a network behind a router that leads there, and a port on it."""

    outside: str
    network: str
    subnet: str
    router: dict[str, Any]
    port: dict[str, Any]


async def a_place(api: Cloud) -> Place:
    outside, _ = await api.as_("admin").an_outside()
    network, subnet = await api.a_network()
    router = await api.make("router", external_gateway_info={"network_id": outside})
    assert (await act(api, router, "add_router_interface", subnet_id=subnet)).status == 200
    port = await api.make("port", network_id=network, name="web")
    return Place(outside, network, subnet, router, port)


async def ask(api: Cloud, **values: Any) -> Answer:
    return await api("POST", "/v2.0/floatingips", {"floatingip": values})


async def change(api: Cloud, floating: dict[str, Any], **values: Any) -> Answer:
    return await api("PUT", f"/v2.0/floatingips/{floating['id']}", {"floatingip": values})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_floating_ip(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        place = await a_place(api)
        fixed = place.port["fixed_ips"][0]["ip_address"]
        free = await api.make("floatingip", floating_network_id=place.outside)
        assert free["status"] == "DOWN" and free["port_id"] is None and free["port_details"] is None
        assert free["floating_ip_address"].startswith("203.0.113.") and "floating_port_id" not in free
        led = (await change(api, free, port_id=place.port["id"])).json["floatingip"]
        assert led["fixed_ip_address"] == fixed and led["router_id"] == place.router["id"]
        assert led["port_details"]["name"] == "web"
        seen = (await api("GET", f"/v2.0/floatingips/{free['id']}")).json["floatingip"]
        assert seen == {**led, "updated_at": seen["updated_at"]}
        # The address's own port is nobody's.
        of_it = f"/v2.0/ports?device_id={free['id']}"
        (own,) = (await admin("GET", of_it)).json["ports"]
        assert (own["device_owner"], own["status"], own["project_id"]) == ("network:floatingip", "N/A", "")
        refused(await admin("DELETE", f"/v2.0/ports/{own['id']}"), 409, "ServicePortInUse")

        second = await ask(api, floating_network_id=place.outside, port_id=place.port["id"])
        refused(second, 409, "FloatingIPPortAlreadyAssociated", fixed, place.port["id"])
        gone = await act(api, place.router, "remove_router_interface", subnet_id=place.subnet)
        refused(gone, 409, "RouterInterfaceInUseByFloatingIP")
        path = f"/v2.0/routers/{place.router['id']}"
        cleared = await api("PUT", path, {"router": {"external_gateway_info": {}}})
        refused(cleared, 409, "RouterExternalGatewayInUseByFloatingIp")

        named = (await change(api, free, description="x")).json["floatingip"]
        assert named["port_id"] == place.port["id"]
        freed = (await change(api, free, port_id=None)).json["floatingip"]
        assert (freed["port_id"], freed["fixed_ip_address"], freed["router_id"]) == (None, None, None)
        await change(api, free, port_id=place.port["id"])
        # Its port goes, and it stays.
        assert (await api("DELETE", f"/v2.0/ports/{place.port['id']}")).status == 204
        seen = (await api("GET", f"/v2.0/floatingips/{free['id']}")).json["floatingip"]
        assert (seen["port_id"], seen["router_id"], seen["status"]) == (None, None, "DOWN")
        assert (await api("DELETE", f"/v2.0/floatingips/{free['id']}")).status == 204
        assert (await admin("GET", of_it)).json["ports"] == []
        refused(await api("GET", f"/v2.0/floatingips/{free['id']}"), 404, "FloatingIPNotFound")

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_router_of_a_floating_ip_can_be_named(kind: str, tmp_path: Path) -> None:
    """A port behind another router, which the one that translates reaches by its routes."""

    async def story(api: Cloud) -> None:
        place = await a_place(api)
        here = {"floating_network_id": place.outside}
        behind, _ = await api.a_network("10.1.0.0/24")
        port = (await api.make("port", network_id=behind))["id"]
        named = {"port_id": port, "router_id": place.router["id"]}
        refused(await ask(api, **here, port_id=port), 404, "ExternalGatewayForFloatingIPNotFound")
        made = (await ask(api, **here, **named)).json["floatingip"]
        assert (made["router_id"], made["port_id"]) == (place.router["id"], port)
        assert made["fixed_ip_address"].startswith("10.1.0.") and made["status"] == "DOWN"
        gateway = {"router": {"external_gateway_info": {}}}
        cleared = await api("PUT", f"/v2.0/routers/{place.router['id']}", gateway)
        refused(cleared, 409, "RouterExternalGatewayInUseByFloatingIp")

        # Only the router changes, where it leads or to which router it is led directly; none frees nothing.
        other = await api.make("router", external_gateway_info={"network_id": place.outside})
        moved = (await change(api, made, router_id=other["id"])).json["floatingip"]
        assert {**moved, "updated_at": ""} == {
            **made,
            "router_id": other["id"],
            "updated_at": "",
            "revision_number": moved["revision_number"],
        }
        refused(await change(api, made, router_id=None), 404, "ExternalGatewayForFloatingIPNotFound")
        found = (await change(api, made, port_id=place.port["id"])).json["floatingip"]
        assert (found["router_id"], found["port_id"]) == (place.router["id"], place.port["id"])
        freed = (await change(api, made, port_id=None)).json["floatingip"]
        assert (freed["router_id"], freed["port_id"], freed["fixed_ip_address"]) == (None, None, None)
        refused(await change(api, made, router_id=other["id"]), 400, "BadRequest", "without a port_id")
        refused(await ask(api, **here, router_id=other["id"]), 400, "BadRequest", "without a port_id")
        assert (await change(api, made, router_id=None)).status == 200

        plain = await api.make("router")
        refused(
            await ask(api, **here, port_id=port, router_id=plain["id"]), 409, "NoGatewayOnFloatingNetwork"
        )
        theirs = await api.as_("bob").make("router", external_gateway_info={"network_id": place.outside})
        refused(await ask(api, **here, port_id=port, router_id=theirs["id"]), 404, "RouterNotFound")
        refused(await ask(api, **here, port_id=port, router_id=place.subnet), 404, "RouterNotFound")
        for method, body in (("POST", {**here, **named}), ("PUT", named)):
            path = "/v2.0/floatingips" + (f"/{made['id']}" if method == "PUT" else "")
            refused(await api.as_("reader")(method, path, {"floatingip": body}), 403, "PolicyNotAuthorized")

    tell(story, tmp_path, kind)


def test_where_a_floating_ip_can_lead(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        place = await a_place(api)
        here = {"floating_network_id": place.outside}
        apart, _ = await api.a_network("10.1.0.0/24")
        apart_port = (await api.make("port", network_id=apart))["id"]
        refused(await ask(api, **here, port_id=apart_port), 404, "ExternalGatewayForFloatingIPNotFound")
        refused(await ask(api, floating_network_id=place.network), 400, "BadRequest", "external network")
        refused(await ask(api, floating_network_id=place.subnet), 404, "NetworkNotFound")
        refused(await ask(api), 400, "HTTPBadRequest", "floating_network_id")
        refused(await ask(api, **here, port_id=place.subnet), 404, "PortNotFound")
        refused(await ask(api.as_("bob"), **here, port_id=place.port["id"]), 404, "PortNotFound")
        address = place.port["fixed_ips"][0]["ip_address"]
        refused(await ask(api, **here, fixed_ip_address=address), 400, "BadRequest", "without a port_id")
        wrong = await ask(api, **here, port_id=place.port["id"], fixed_ip_address="10.0.0.250")
        refused(wrong, 400, "BadRequest", "does not have fixed ip")
        own = (await api("GET", f"/v2.0/ports?device_id={place.router['id']}")).json["ports"][0]
        refused(await ask(api, **here, port_id=own["id"]), 400, "BadRequest", "unable to be assigned")

        two = [{"ip_address": "10.0.0.100"}, {"ip_address": "10.0.0.101"}]
        both = await api.make("port", network_id=place.network, fixed_ips=two)
        refused(await ask(api, **here, port_id=both["id"]), 400, "BadRequest", "multiple fixed IPv4")
        made = await api.make("floatingip", **here, port_id=both["id"], fixed_ip_address="10.0.0.101")
        assert made["fixed_ip_address"] == "10.0.0.101"
        moved = await change(api, made, port_id=both["id"], fixed_ip_address="10.0.0.100")
        assert moved.json["floatingip"]["fixed_ip_address"] == "10.0.0.100"
        # The fixed address is taken from the port, and the floating IP leads nowhere.
        await api("PUT", f"/v2.0/ports/{both['id']}", {"port": {"fixed_ips": two[1:]}})
        seen = (await api("GET", f"/v2.0/floatingips/{made['id']}")).json["floatingip"]
        assert seen["port_id"] is None

        refused(await ask(api, **here, floating_ip_address="203.0.113.77"), 403, "PolicyNotAuthorized")
        chosen = await admin.make("floatingip", **here, floating_ip_address="203.0.113.77", project_id=P1)
        assert (chosen["floating_ip_address"], chosen["project_id"]) == ("203.0.113.77", P1)
        taken = await ask(admin, **here, floating_ip_address="203.0.113.77")
        refused(taken, 409, "IpAddressAlreadyAllocated")
        body = {"port": {"network_id": place.outside, "fixed_ips": [{"ip_address": "203.0.113.77"}]}}
        refused(await admin("POST", "/v2.0/ports", body), 409, "IpAddressAlreadyAllocated")
        by_subnet = (await admin("GET", f"/v2.0/networks/{place.outside}")).json["network"]["subnets"][0]
        assert (await api.make("floatingip", **here, subnet_id=by_subnet))["floating_ip_address"]
        assert (await api.as_("bob")("GET", "/v2.0/floatingips")).json["floatingips"] == []
        assert (await admin.make("floatingip", **here))["project_id"] == P2

    tell(story, tmp_path)


def test_free_floating_ips_go_with_their_network(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        await api.make("floatingip", floating_network_id=outside)
        assert (await admin("DELETE", f"/v2.0/networks/{outside}")).status == 204
        assert (await admin("GET", "/v2.0/floatingips")).json["floatingips"] == []
        assert (await admin("GET", "/v2.0/ports")).json["ports"] == []

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_one_fixed_address_gets_one_floating_ip(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        place = await a_place(api)
        wish = {"floating_network_id": place.outside, "port_id": place.port["id"]}
        answers = await asyncio.gather(*(ask(api, **wish) for _ in range(8)))
        assert sorted(answer.status for answer in answers) == [201] + [409] * 7
        kinds = {answer.error for answer in answers if answer.status == 409}
        assert kinds == {"FloatingIPPortAlreadyAssociated"}
        assert (
            len((await api.as_("admin")("GET", f"/v2.0/ports?network_id={place.outside}")).json["ports"]) == 2
        )

    tell(story, tmp_path, kind)


def test_the_agent_says_when_it_works(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "L3 agent")
        place = await a_place(api)
        made = await api.make("floatingip", floating_network_id=place.outside, port_id=place.port["id"])
        (router,) = (await api.routing("h1")).routers
        (told,) = router.floating_ips
        assert told.floating_ip_address == made["floating_ip_address"] and told.port_id == place.port["id"]

        async def say(host: str, **said: Any) -> dict[str, Any]:
            await api.wire["l3_status"](L3Status(host=host, **said), Node(host))
            seen: dict[str, Any] = (await api("GET", f"/v2.0/floatingips/{made['id']}")).json["floatingip"]
            return seen

        ids = (made["id"],)
        assert (await say("h2", floating_ips=ids))["status"] == "DOWN"
        assert (await say("h1", routers=(router.router_id,), floating_ips=ids))["status"] == "ACTIVE"
        assert (await say("h1", failed={made["id"]: "no"}))["status"] == "ERROR"
        assert (await say("h1", floating_ips=ids))["status"] == "ACTIVE"
        await say("h1", failed={router.router_id: "no namespace"})
        path = f"/v2.0/routers/{router.router_id}"
        assert (await api("GET", path)).json["router"]["status"] == "ERROR"
        await say("h1", routers=(router.router_id,))
        assert (await api("GET", path)).json["router"]["status"] == "ACTIVE"
        assert (await change(api, made, port_id=None)).json["floatingip"]["status"] == "DOWN"

    tell(story, tmp_path)


def test_pools_are_the_subnets_of_external_networks(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        outside, subnet = await api.as_("admin").an_outside()
        await api.a_network()
        (pool,) = (await api("GET", "/v2.0/floatingip-pools")).json["floatingip_pools"]
        assert (await api("GET", "/v2.0/floatingip_pools")).json == {"floatingip_pools": [pool]}
        assert (pool["network_id"], pool["subnet_id"]) == (outside, subnet)
        assert (pool["cidr"], pool["project_id"]) == ("203.0.113.0/24", P1)
        made = await api.make(
            "floatingip", floating_network_id=pool["network_id"], subnet_id=pool["subnet_id"]
        )
        assert made["floating_ip_address"].startswith("203.0.113.")
        other = await api("GET", "/v2.0/floatingip_pools?cidr=10.0.0.0/24&fields=cidr")
        assert other.json["floatingip_pools"] == []
        refused(await api("GET", "/v2.0/floatingip_pools?colour=red"), 400, "HTTPBadRequest")

    tell(story, tmp_path)
