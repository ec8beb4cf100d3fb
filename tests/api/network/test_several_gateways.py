"""Several gateways of a router: made, changed, ended, refused; and what agents are told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests import databases
from tests.api.network.cloud import P1, Answer, Cloud, tell

from pileus.services.network.ports.tables import ports
from pileus.store import Tx
from pileus.wire.l3 import RouterDetails


async def act(api: Cloud, router: dict[str, Any], verb: str, *gateways: dict[str, Any]) -> Answer:
    body = {"router": {"external_gateways": list(gateways)}}
    return await api("PUT", f"/v2.0/routers/{router['id']}/{verb}_external_gateways", body)


def addresses(router: dict[str, Any]) -> list[str]:
    return [one["external_fixed_ips"][0]["ip_address"] for one in router["external_gateways"]]


def at(network_id: str, address: str) -> dict[str, Any]:
    return {"network_id": network_id, "external_fixed_ips": [{"ip_address": address}]}


def refused(answer: Answer, status: int, error: str, *words: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer
    for word in words:
        assert word in answer.json["NeutronError"]["message"]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_gateways_come_change_and_go(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        router = await api.make("router", name="r")
        assert router["external_gateways"] == [] and router["external_gateway_info"] is None
        assert router["enable_default_route_ecmp"] is router["enable_default_route_bfd"] is False

        made = (await act(api, router, "add", {"network_id": one}, {"network_id": two})).json["router"]
        assert [gateway["network_id"] for gateway in made["external_gateways"]] == [one, two]
        first, second = made["external_gateways"]
        info = made["external_gateway_info"]
        assert {name: info[name] for name in first} == first and info["enable_snat"] is True
        assert made["revision_number"] > router["revision_number"]

        more = (await act(api, router, "add", {"network_id": one})).json["router"]
        assert more["external_gateways"][:2] == [first, second] and len(set(addresses(more))) == 3
        shown = (await api("GET", f"/v2.0/routers/{router['id']}")).json["router"]
        assert shown == more
        (listed,) = (await api("GET", "/v2.0/routers?fields=external_gateways")).json["routers"]
        assert listed == {"external_gateways": more["external_gateways"]}
        renamed = await api("PUT", f"/v2.0/routers/{router['id']}", {"router": {"name": "s"}})
        assert renamed.json["router"]["external_gateways"] == more["external_gateways"]

        # The first one goes, and the next one takes its place.
        left = (await act(api, router, "remove", first)).json["router"]
        assert left["external_gateways"] == more["external_gateways"][1:]
        assert left["external_gateway_info"]["external_fixed_ips"] == second["external_fixed_ips"]
        cleared = await api("PUT", f"/v2.0/routers/{router['id']}", {"router": {"external_gateway_info": {}}})
        third = more["external_gateways"][2]
        assert cleared.json["router"]["external_gateways"] == [third]
        assert {name: cleared.json["router"]["external_gateway_info"][name] for name in third} == third

        assert (await api("DELETE", f"/v2.0/routers/{router['id']}")).status == 204
        assert await api.store.read(_left_over) == 0

    tell(story, tmp_path, kind)


def _left_over(tx: Tx) -> int:
    return int(tx.scalar(select(func.count()).select_from(ports)))


def test_all_gateways_are_replaced(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        router = await api.make("router")
        made = await act(admin, router, "add", at(one, "203.0.113.10"), at(one, "203.0.113.11"))
        first, second = made.json["router"]["external_gateways"]

        turned = (await act(admin, router, "update", second, first)).json["router"]
        assert turned["external_gateways"] == [second, first]
        assert addresses(turned)[0] == turned["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
        # An unknown address as the first: the first gateway has it from now on; the others come or go.
        wish = (at(one, "203.0.113.20"), at(two, "198.51.100.9"))
        changed = (await act(admin, router, "update", *wish)).json["router"]
        assert addresses(changed) == ["203.0.113.20", "198.51.100.9"]
        without = {**at(one, "203.0.113.20"), "enable_snat": False}
        changed = (await act(admin, router, "update", without)).json["router"]
        assert changed["external_gateway_info"]["enable_snat"] is False
        other = (await act(admin, router, "update", {"network_id": two})).json["router"]
        assert [gateway["network_id"] for gateway in other["external_gateways"]] == [two]
        none = (await act(api, router, "update")).json["router"]
        assert none["external_gateways"] == [] and none["external_gateway_info"] is None
        assert none["enable_ndp_proxy"] is False

    tell(story, tmp_path)


def test_refusals(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        one, _ = await admin.an_outside()
        beside = (await admin.make("network", **{"router:external": True}))["id"]
        await admin.make("subnet", network_id=beside, cidr="203.0.113.64/26", ip_version=4)
        inside, subnet = await api.a_network()
        router = await api.make("router")
        refused(await act(api, router, "remove", {"network_id": one}), 400, "UnableToRemoveGateways")
        refused(await act(api, router, "add", {"network_id": inside}), 400, "BadRequest", "not an external")
        refused(await act(api, router, "add", {"network_id": subnet}), 404, "NetworkNotFound")
        refused(await act(api, router, "add", {"enable_snat": True}), 400, "BadRequest", "network_id")
        nothing = await api("PUT", f"/v2.0/routers/{router['id']}/add_external_gateways", {"router": {}})
        refused(nothing, 400, "BadRequest", "external_gateways")
        for finer in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "203.0.113.9"}]}):
            for verb in ("add", "update"):
                answer = await act(api, router, verb, {"network_id": one, **finer})
                refused(answer, 403, "PolicyNotAuthorized")
        refused(
            await act(api, router, "add", {"network_id": one}, {"network_id": beside}),
            400,
            "BadRequest",
            "overlaps with cidr",
        )
        assert (await api("GET", f"/v2.0/routers/{router['id']}")).json["router"]["external_gateways"] == []

        await act(admin, router, "add", at(one, "203.0.113.10"), at(one, "203.0.113.11"))
        for verb in ("remove", "update"):
            answer = await act(api, router, verb, {"network_id": one})
            refused(answer, 400, "UnableToMatchGateways", router["id"])
        refused(await act(admin, router, "remove", at(one, "203.0.113.12")), 400, "UnableToMatchGateways")
        refused(await act(admin, router, "add", at(one, "203.0.113.11")), 409, "IpAddressAlreadyAllocated")
        refused(await act(admin, router, "add", at(one, "203.0.113.1")), 400, "BadRequest", "gateway IP")
        refused(await act(api.as_("bob"), router, "add", {"network_id": one}), 404, "RouterNotFound")
        for name in ("enable_default_route_ecmp", "enable_default_route_bfd"):
            answer = await api("PUT", f"/v2.0/routers/{router['id']}", {"router": {name: True}})
            refused(answer, 403, "PolicyNotAuthorized")

    tell(story, tmp_path)


def test_a_gateway_that_floating_ips_need_stays(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        network, subnet = await api.a_network()
        router = await api.make("router")
        await act(api, router, "add", {"network_id": one}, {"network_id": two})
        await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
        port = await api.make("port", network_id=network)
        leading = await api.make("floatingip", floating_network_id=two, port_id=port["id"])
        assert leading["router_id"] == router["id"]
        refused(
            await act(api, router, "remove", {"network_id": two}),
            409,
            "RouterExternalGatewayInUseByFloatingIp",
        )
        refused(
            await act(api, router, "update", {"network_id": one}),
            409,
            "RouterExternalGatewayInUseByFloatingIp",
        )
        assert (await act(api, router, "remove", {"network_id": one})).status == 200
        more = await act(admin, router, "add", at(two, "198.51.100.77"))
        assert len(more.json["router"]["external_gateways"]) == 2
        # Of two on one network one may go.
        first = more.json["router"]["external_gateways"][0]
        assert (await act(api, router, "remove", first)).status == 200
        refused(
            await act(admin, router, "remove", at(two, "198.51.100.77")),
            409,
            "RouterExternalGatewayInUseByFloatingIp",
        )

    tell(story, tmp_path)


def test_agents_are_told_of_all_gateways_in_order(tmp_path: Path) -> None:
    async def told(api: Cloud) -> RouterDetails:
        (router,) = (await api.routing("n1")).routers
        return router  # type: ignore[no-any-return]

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("n1", "L3 agent")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        listed = {one["alias"] for one in (await admin("GET", "/v2.0/extensions")).json["extensions"]}
        assert {"enable-default-route-ecmp", "enable-default-route-bfd"} <= listed
        router = await admin.make("router", enable_default_route_ecmp=True, enable_default_route_bfd=True)
        await act(admin, router, "add", {"network_id": two}, {"network_id": one})
        details = await told(api)
        assert details.gateway is not None and details.gateway.network_id == two
        assert [gateway.network_id for gateway in details.more_gateways] == [one]
        assert details.enable_default_route_ecmp and details.enable_default_route_bfd
        await act(admin, router, "update", {"network_id": one}, {"network_id": two})
        details = await told(api)
        assert details.gateway is not None and details.gateway.network_id == one
        found = await admin("GET", "/v2.0/ports?device_owner=network:router_gateway&binding:host_id=n1")
        assert len(found.json["ports"]) == 2

    tell(story, tmp_path)


def test_a_distributed_router_leads_out_by_the_first_gateway_that_comes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("n1", "L3 agent")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        _, subnet = await api.a_network()
        router = await admin.make("router", distributed=True, project_id=P1)
        await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})

        async def central() -> int:
            owner = "network:router_centralized_snat"
            found = await admin("GET", f"/v2.0/ports?device_owner={owner}&device_id={router['id']}")
            return len(found.json["ports"])

        assert await central() == 0
        await act(api, router, "add", {"network_id": one}, {"network_id": two})
        assert await central() == 1
        await act(api, router, "remove", {"network_id": one})
        assert await central() == 1
        await act(api, router, "remove", {"network_id": two})
        assert await central() == 0

    tell(story, tmp_path)
