"""Routers: gateways, interfaces and routes; what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests import databases
from tests.api.network.cloud import P1, Answer, Cloud, tell

from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.ports.tables import ports
from pileus.services.network.routers.tables import router_bindings, router_ports, routers
from pileus.store import Tx


async def put(api: Cloud, router: dict[str, Any], **changes: Any) -> Answer:
    return await api("PUT", f"/v2.0/routers/{router['id']}", {"router": changes})


async def act(api: Cloud, router: dict[str, Any], action: str, /, **body: Any) -> Answer:
    return await api("PUT", f"/v2.0/routers/{router['id']}/{action}", body)


def refused(answer: Answer, status: int, error: str, *words: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer
    for word in words:
        assert word in answer.json["NeutronError"]["message"]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_router(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, outer = await admin.an_outside()
        network, subnet = await api.a_network()
        router = await api.make("router", name="r")
        assert router["status"] == "ACTIVE" and router["external_gateway_info"] is None
        assert router["routes"] == [] and "distributed" not in router
        assert (await admin("GET", f"/v2.0/routers/{router['id']}")).json["router"]["ha"] is False

        answer = await put(api, router, external_gateway_info={"network_id": outside})
        info = answer.json["router"]["external_gateway_info"]
        assert info["network_id"] == outside and info["enable_snat"] is True
        (address,) = info["external_fixed_ips"]
        assert address["subnet_id"] == outer and address["ip_address"].startswith("203.0.113.")
        # The gateway port is nobody's, and no member of the project sees it.
        ports_of = f"/v2.0/ports?device_id={router['id']}"
        (gateway,) = (await admin("GET", ports_of)).json["ports"]
        assert gateway["device_owner"] == "network:router_gateway" and gateway["project_id"] == ""
        assert (await api("GET", ports_of)).json["ports"] == []

        made = await act(api, router, "add_router_interface", subnet_id=subnet)
        assert made.status == 200
        assert made.json == {
            "id": router["id"],
            "project_id": P1,
            "tenant_id": P1,
            "port_id": made.json["port_id"],
            "network_id": network,
            "subnet_id": subnet,
            "subnet_ids": [subnet],
        }
        (port,) = (await api("GET", ports_of)).json["ports"]
        assert port["device_owner"] == "network:router_interface"
        assert port["fixed_ips"] == [{"subnet_id": subnet, "ip_address": "10.0.0.1"}]
        assert port["security_groups"] == [] and port["port_security_enabled"] is False

        refused(await api("DELETE", f"/v2.0/ports/{port['id']}"), 409, "ServicePortInUse", "router_interface")
        refused(await admin("DELETE", f"/v2.0/ports/{gateway['id']}"), 409, "ServicePortInUse")
        refused(await api("DELETE", f"/v2.0/subnets/{subnet}"), 409, "SubnetInUse")
        refused(await api("DELETE", f"/v2.0/networks/{network}"), 409, "NetworkInUse")
        refused(await admin("DELETE", f"/v2.0/networks/{outside}"), 409, "NetworkInUse")
        refused(await api("DELETE", f"/v2.0/routers/{router['id']}"), 409, "RouterInUse", port["id"])

        gone = await act(api, router, "remove_router_interface", subnet_id=subnet)
        assert gone.status == 200 and gone.json["port_id"] == port["id"]
        cleared = await put(api, router, external_gateway_info={})
        assert cleared.json["router"]["external_gateway_info"] is None
        assert (await admin("GET", ports_of)).json["ports"] == []
        answer = await put(api, router, external_gateway_info={"network_id": outside}, name="x")
        assert answer.json["router"]["name"] == "x" and answer.json["router"]["revision_number"] > 2
        assert (await api("DELETE", f"/v2.0/routers/{router['id']}")).status == 204
        assert await api.store.read(_left_over) == 0

    tell(story, tmp_path, kind)


def _left_over(tx: Tx) -> int:
    tables = (routers, router_ports, router_bindings, floating_ips, ports)
    return sum(tx.scalar(select(func.count()).select_from(table)) for table in tables)


def test_gateways(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, outer = await admin.an_outside()
        other, _ = await admin.an_outside("198.51.100.0/24")
        inside, _ = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        assert router["external_gateway_info"]["network_id"] == outside
        refused(await put(api, router, external_gateway_info={"network_id": inside}), 400, "BadRequest")
        unknown = {"network_id": router["id"]}
        refused(await put(api, router, external_gateway_info=unknown), 404, "NetworkNotFound")
        refused(await put(api, router, external_gateway_info={"enable_snat": True}), 400, "HTTPBadRequest")
        # Only administrators say which address, and whether the router hides what is behind it.
        for finer in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "203.0.113.9"}]}):
            wish = {"network_id": outside, **finer}
            refused(await put(api, router, external_gateway_info=wish), 403, "PolicyNotAuthorized")
        wish = {
            "network_id": outside,
            "enable_snat": False,
            "external_fixed_ips": [{"subnet_id": outer, "ip_address": "203.0.113.9"}],
        }
        moved = (await put(admin, router, external_gateway_info=wish)).json["router"]
        assert moved["external_gateway_info"] == {**wish, "qos_policy_id": None}
        kept = (await put(admin, router, external_gateway_info={"network_id": outside})).json["router"]
        assert kept["external_gateway_info"]["external_fixed_ips"] == wish["external_fixed_ips"]
        assert kept["external_gateway_info"]["enable_snat"] is True
        taken = {**wish, "external_fixed_ips": [{"ip_address": "203.0.113.9"}]}
        answer = await admin("POST", "/v2.0/routers", {"router": {"external_gateway_info": taken}})
        refused(answer, 409, "IpAddressAlreadyAllocated")
        own = {**wish, "external_fixed_ips": [{"ip_address": "203.0.113.1"}]}
        refused(await put(admin, router, external_gateway_info=own), 400, "BadRequest", "gateway IP")
        changed = (await put(api, router, external_gateway_info={"network_id": other})).json["router"]
        assert changed["external_gateway_info"]["network_id"] == other
        assert len((await admin("GET", f"/v2.0/ports?device_id={router['id']}")).json["ports"]) == 1
        refused(
            await admin("PUT", f"/v2.0/networks/{other}", {"network": {"router:external": False}}),
            409,
            "ExternalNetworkInUse",
        )
        refused(
            await api("POST", "/v2.0/routers", {"router": {"distributed": True}}), 403, "PolicyNotAuthorized"
        )
        assert (await admin.make("router", distributed=False, ha=False))["distributed"] is False

    tell(story, tmp_path)


def test_interfaces(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, subnet = await api.a_network()
        _, same = await api.a_network()
        router = await api.make("router")
        add, remove = "add_router_interface", "remove_router_interface"
        refused(await act(api, router, add), 400, "BadRequest", "Either subnet_id or port_id")
        refused(await act(api, router, add, subnet_id="x"), 400, "BadRequest", "not a valid UUID")
        both = {"subnet_id": subnet, "port_id": router["id"]}
        refused(await act(api, router, add, **both), 400, "BadRequest", "Cannot specify both")
        refused(await act(api, router, add, subnet_id=router["id"]), 404, "SubnetNotFound")
        refused(await act(api, router, add, port_id=router["id"]), 404, "PortNotFound")
        assert (await act(api.as_("reader"), router, add, subnet_id=subnet)).status == 403
        refused(await act(api.as_("bob"), router, add, subnet_id=subnet), 404, "RouterNotFound")

        assert (await act(api, router, add, subnet_id=subnet)).status == 200
        again = await act(api, router, add, subnet_id=subnet)
        refused(again, 400, "BadRequest", "already has a port on subnet")
        refused(await act(api, router, add, subnet_id=same), 400, "BadRequest", "overlaps with cidr")
        other = await api.make("router")
        refused(await act(api, other, add, subnet_id=subnet), 409, "IpAddressAlreadyAllocated")
        refused(await act(api, other, remove, subnet_id=subnet), 404, "RouterInterfaceNotFoundForSubnet")
        refused(await act(api, other, remove, port_id=subnet), 404, "RouterInterfaceNotFound")

        wild = await api.make("subnet", network_id=network, cidr="10.9.0.0/24", ip_version=4, gateway_ip=None)
        answer = await act(api, router, add, subnet_id=wild["id"])
        refused(answer, 400, "BadRequest", "must have a gateway IP")

        port = await api.make("port", network_id=network, fixed_ips=[{"subnet_id": wild["id"]}])
        assert (await act(api, router, add, port_id=port["id"])).json["subnet_id"] == wild["id"]
        seen = (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]
        assert seen["device_id"] == router["id"] and seen["device_owner"] == "network:router_interface"
        refused(await act(api, other, add, port_id=port["id"]), 409, "PortInUse", router["id"])
        wrong = await act(api, router, remove, port_id=port["id"], subnet_id=subnet)
        refused(wrong, 400, "SubnetMismatchForPort")
        assert (await act(api, router, remove, port_id=port["id"])).status == 200
        refused(await api("GET", f"/v2.0/ports/{port['id']}"), 404, "PortNotFound")

        foreign, sub = await admin.a_network("10.77.0.0/24", name="bobs")
        await admin("PUT", f"/v2.0/networks/{foreign}", {"network": {"shared": True}})
        refused(await act(api, router, add, subnet_id=sub), 400, "BadRequest", "not owned by project")

    tell(story, tmp_path)


def test_a_second_prefix_of_a_network_joins_the_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, first = await api.a_network("fd00:1::/64")
        second = await api.make("subnet", network_id=network, ip_version=6, cidr="fd00:2::/64")
        router = await api.make("router")
        one = (await act(api, router, "add_router_interface", subnet_id=first)).json
        two = (await act(api, router, "add_router_interface", subnet_id=second["id"])).json
        assert one["port_id"] == two["port_id"] and two["subnet_id"] == second["id"]
        await act(api, router, "remove_router_interface", subnet_id=first)
        (port,) = (await api("GET", f"/v2.0/ports?device_id={router['id']}")).json["ports"]
        assert [ip["subnet_id"] for ip in port["fixed_ips"]] == [second["id"]]

    tell(story, tmp_path)


def test_routes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        _, subnet = await api.a_network()
        router = await api.make("router")
        hop = {"destination": "10.50.0.0/16", "nexthop": "10.0.0.9"}
        answer = await put(api, router, routes=[hop])
        refused(answer, 400, "InvalidRoutes", "the nexthop is not connected with router")
        await act(api, router, "add_router_interface", subnet_id=subnet)
        assert (await put(api, router, routes=[hop])).json["router"]["routes"] == [hop]
        own = {**hop, "nexthop": "10.0.0.1"}
        refused(await put(api, router, routes=[own]), 400, "InvalidRoutes", "used by router")
        refused(await put(api, router, routes=[hop, hop]), 400, "HTTPBadRequest")
        other = {"destination": "10.51.0.0/16", "nexthop": "10.0.0.8"}
        both = await act(api, router, "add_extraroutes", router={"routes": [hop, other]})
        assert both.json["router"]["routes"] == [hop, other]
        left = await act(api, router, "remove_extraroutes", router={"routes": [hop]})
        assert left.json["router"]["routes"] == [other]
        gone = await act(api, router, "remove_router_interface", subnet_id=subnet)
        refused(gone, 409, "RouterInterfaceInUseByRoute")
        many = [{**hop, "destination": f"10.{number}.0.0/16"} for number in range(100, 131)]
        refused(await put(api, router, routes=many), 400, "RoutesExhausted")
        assert (await put(api, router, routes=None)).json["router"]["routes"] == []

    tell(story, tmp_path)


def test_quota_and_filters(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        body = {"routers": [{"name": f"r{number}"} for number in range(50)]}
        assert (await api("POST", "/v2.0/routers", body)).status == 201
        refused(await api("POST", "/v2.0/routers", {"router": {}}), 409, "OverQuota")
        (found,) = (await api("GET", "/v2.0/routers?name=r3")).json["routers"]
        await api("PUT", f"/v2.0/routers/{found['id']}/tags/blue")
        assert (await api("GET", "/v2.0/routers?tags=blue")).json["routers"][0]["name"] == "r3"
        assert (await api.as_("bob")("GET", "/v2.0/routers")).json["routers"] == []
        unknown = {"router": {"availability_zone_hints": ["nowhere"]}}
        refused(await api.as_("bob")("POST", "/v2.0/routers", unknown), 404, "AvailabilityZoneNotFound")

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_many_gateways_cost_as_many_statements_as_one(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside("203.0.112.0/22")
        await api.node("h1", "L3 agent")
        await admin("PUT", f"/v2.0/quotas/{P1}", {"quota": {"router": -1}})

        async def cost(count: int) -> int:
            before = api.store.statements
            wish = {"external_gateway_info": {"network_id": outside}}
            answer = await api("POST", "/v2.0/routers", {"routers": [wish] * count})
            assert answer.status == 201
            return api.store.statements - before

        if kind != "sqlite":
            await cost(30)
            return  # the relay of events works beside a request there, and would be counted
        await cost(1)
        one, many = await cost(1), await cost(30)
        assert one == many
        before = api.store.statements
        assert len((await api("GET", "/v2.0/routers")).json["routers"]) == 32
        assert api.store.statements - before <= 6
        before = api.store.statements
        assert len((await api.routing("h1")).routers) == 32
        assert api.store.statements - before <= 11

    tell(story, tmp_path, kind)
