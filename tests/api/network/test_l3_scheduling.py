"""L3 agents and the routers they host (seed 003), and what an agent is told of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Answer, Cloud, Node, tell
from tests.api.network.test_dhcp_scheduling import agent_of
from tests.api.network.test_routers import act, refused

from pileus.wire import scopes
from pileus.wire.l3 import L3StateRequest, L3Status

KIND = "L3 agent"


async def hosted(api: Cloud, router: dict[str, Any]) -> list[str]:
    """The host of a router's agent, if it has one."""
    answer = await api.as_("admin")("GET", f"/v2.0/routers/{router['id']}/l3-agents")
    return [agent["host"] for agent in answer.json["agents"]]


async def bind(api: Cloud, agent: str, router: str) -> Answer:
    return await api("POST", f"/v2.0/agents/{agent}/l3-routers", {"router_id": router})


async def hosts_of_ports(api: Cloud, router: dict[str, Any]) -> set[str]:
    answer = await api.as_("admin")("GET", f"/v2.0/ports?device_id={router['id']}")
    return {port["binding:host_id"] for port in answer.json["ports"]}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_routers_by_request(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        _, subnet = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        await act(api, router, "add_router_interface", subnet_id=subnet)
        assert await hosts_of_ports(api, router) == {""}  # as before where there is no L3 agent
        for host in ("h1", "h2"):
            await api.node(host)
        # What is unhosted is picked up when an agent appears.
        await api.service_agent("h1", KIND, zone="east")
        assert await hosted(api, router) == ["h1"] and await hosts_of_ports(api, router) == {"h1"}
        seen = (await api("GET", f"/v2.0/routers/{router['id']}")).json["router"]
        assert seen["availability_zones"] == ["east"]
        await api.service_agent("h2", KIND)
        first, second = await agent_of(api, "h1", KIND), await agent_of(api, "h2", KIND)
        path = f"/v2.0/agents/{first}/l3-routers"

        refused(await bind(admin, second, router["id"]), 409, "RouterHostedByL3Agent", first)
        refused(await bind(admin, first, router["id"]), 409, "RouterHostedByL3Agent")
        switch = await agent_of(api, "h1", "Open vSwitch agent")
        refused(await bind(admin, switch, router["id"]), 404, "InvalidL3Agent")
        refused(await bind(admin, outside, router["id"]), 404, "AgentNotFound")
        refused(await bind(admin, second, outside), 404, "RouterNotFound")
        refused(await bind(api, second, router["id"]), 403, "PolicyNotAuthorized")
        elsewhere = f"/v2.0/agents/{second}/l3-routers/{router['id']}"
        refused(await admin("DELETE", elsewhere), 409, "RouterNotHostedByL3Agent")
        assert [one["id"] for one in (await admin("GET", path)).json["routers"]] == [router["id"]]

        assert (await admin("DELETE", f"{path}/{router['id']}")).status == 204
        # Its agent goes on for a moment.
        assert await hosted(api, router) == [] and await hosts_of_ports(api, router) == {"h1"}
        assert (await api.routing("h1")).routers[0].leaves_in_s == 10.0
        api.clock.advance(10)
        await api.service_agent("h1", KIND, start=False)
        assert await hosts_of_ports(api, router) == {""}
        assert (await api.routing("h1")).routers == ()
        made = await bind(admin, second, router["id"])
        assert (made.status, made.json) == (201, None)
        assert await hosts_of_ports(api, router) == {"h2"}
        ports = (await admin("GET", f"/v2.0/ports?device_id={router['id']}")).json["ports"]
        inside = next(port for port in ports if port["device_owner"] == "network:router_interface")
        assert inside["binding:vif_type"] == "ovs"
        assert inside["id"] in [one.port_id for one in (await api.switch("h2")).devices]
        assert len((await api.routing("h2")).routers) == 1

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_router_is_bound_once(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        outside, _ = await api.as_("admin").an_outside()
        routers = [await api.make("router") for _ in range(6)]
        for router in routers:
            await api(
                "PUT",
                f"/v2.0/routers/{router['id']}",
                {"router": {"external_gateway_info": {"network_id": outside}}},
            )
        # Agents appear at the same moment, and nobody is hosted twice.
        await asyncio.gather(*(api.service_agent(f"h{number}", KIND) for number in range(1, 5)))
        for router in routers:
            assert len(await hosted(api, router)) == 1
            assert await hosts_of_ports(api, router) == set(await hosted(api, router))
        # A new one goes to the least loaded, and only when it gets something to do.
        for _ in range(2):
            new = await api.make("router")
            assert await hosted(api, new) == []
            _, subnet = await api.a_network()
            before = [len((await api.routing(f"h{number}")).routers) for number in range(1, 5)]
            await act(api, new, "add_router_interface", subnet_id=subnet)
            (host,) = await hosted(api, new)
            assert before[int(host[1]) - 1] == min(before)

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_routers_of_a_dead_agent_move(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        await api.node("h1", KIND)
        wish = {"external_gateway_info": {"network_id": outside}}
        routers = (await api("POST", "/v2.0/routers", {"routers": [wish] * 3})).json["routers"]
        disabled = await agent_of(api, "h1", KIND)
        api.clock.advance(60)
        await api.node("h2", KIND)
        for router in routers:
            assert await hosted(api, router) == ["h1"]
        api.clock.advance(20)
        seen: list[set[str]] = []
        unsubscribe = await api.listen(
            lambda published: seen.extend(set(one.scopes) for one in published.events)
        )
        await api.service_agent("h2", KIND, start=False)
        for router in routers:
            assert await hosted(api, router) == ["h2"] and await hosts_of_ports(api, router) == {"h2"}
            if kind == "sqlite":  # published in the commit itself there
                assert any({scopes.l3("h1"), scopes.router(router["id"])} <= one for one in seen)
                assert any({scopes.l3("h2"), scopes.router(router["id"])} <= one for one in seen)
        unsubscribe()
        # An agent that an administrator has taken out of service keeps what it has, dead or not.
        alone = await agent_of(api, "h2", KIND)
        await admin("PUT", f"/v2.0/agents/{alone}", {"agent": {"admin_state_up": False}})
        api.clock.advance(90)
        await api.service_agent("h1", KIND, start=False)
        assert await hosted(api, routers[0]) == ["h2"]
        # Deleting it sets its routers free for the others.
        assert (await admin("DELETE", f"/v2.0/agents/{alone}")).status == 204
        for router in routers:
            assert await hosted(api, router) == ["h1"] and await hosts_of_ports(api, router) == {"h1"}
        assert disabled == await agent_of(api, "h1", KIND)

    tell(story, tmp_path, kind)


def test_failover_can_be_switched_off(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        outside, _ = await api.as_("admin").an_outside()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        api.clock.advance(80)
        await api.node("h2", KIND)
        assert await hosted(api, router) == ["h1"]

    tell(story, tmp_path, config=msgspec.structs.replace(CONFIG, move_from_dead_l3_agents=False))


def test_eligibility(tmp_path: Path) -> None:
    """Seed 003: router_id, use_namespaces, handle_internal_only_routers, gateway_external_network_id."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        one, _ = await admin.an_outside()
        two, _ = await admin.an_outside("198.51.100.0/24")
        special = await api.make("router", name="special")
        await api.service_agent("alone", KIND, use_namespaces=False, router_id=special["id"])
        await api.service_agent("first", KIND, gateway_external_network_id=one)
        await api.service_agent(
            "outward", KIND, handle_internal_only_routers=False, gateway_external_network_id=two
        )
        _, subnet = await api.a_network()
        inner = await api.make("router")
        await act(api, inner, "add_router_interface", subnet_id=subnet)
        assert await hosted(api, inner) == ["first"]
        leading = await api.make("router", external_gateway_info={"network_id": two})
        assert await hosted(api, leading) == ["outward"]
        alone = await agent_of(api, "alone", KIND)
        refused(await bind(admin, alone, inner["id"]), 404, "InvalidL3Agent")
        assert (await bind(admin, alone, special["id"])).status == 201
        # A gateway that its agent may not serve moves the router to one that may.
        body = {"router": {"external_gateway_info": {"network_id": two}}}
        assert (await api("PUT", f"/v2.0/routers/{inner['id']}", body)).status == 200
        assert await hosted(api, inner) == ["outward"] and await hosts_of_ports(api, inner) == {"outward"}
        outward = await agent_of(api, "outward", KIND)
        await admin("PUT", f"/v2.0/agents/{outward}", {"agent": {"admin_state_up": False}})
        _, other = await api.a_network("10.5.0.0/24")
        stuck = await api.make("router")
        await act(api, stuck, "add_router_interface", subnet_id=other)
        refused(await api("PUT", f"/v2.0/routers/{stuck['id']}", body), 409, "RouterReschedulingFailed")
        assert await hosted(api, stuck) == ["first"]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_an_l3_agent_is_told(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, outer = await admin.an_outside()
        await api.node("h1", KIND)
        network, subnet = await api.a_network()
        router = await api.make("router", name="r", external_gateway_info={"network_id": outside})
        empty = await api.routing("h1")
        assert empty.routers[0].interfaces == ()
        await act(api, router, "add_router_interface", subnet_id=subnet)
        port = await api.make("port", network_id=network)
        made = await api.make("floatingip", floating_network_id=outside, port_id=port["id"])
        free = await api.make("floatingip", floating_network_id=outside)
        hop = {"destination": "10.50.0.0/16", "nexthop": "10.0.0.9"}
        await api("PUT", f"/v2.0/routers/{router['id']}", {"router": {"routes": [hop]}})
        state = await api.routing("h1")
        (told,) = state.routers
        assert state.position > empty.position
        assert (told.router_id, told.name, told.admin_state_up, told.enable_snat) == (
            router["id"],
            "r",
            True,
            True,
        )
        assert told.gateway.network_id == outside and told.gateway.subnets[0].subnet_id == outer
        assert told.gateway.subnets[0].gateway_ip == "203.0.113.1"
        (inside,) = told.interfaces
        assert inside.network_id == network and inside.port.mtu == 1450
        assert [one.ip_address for one in inside.port.addresses] == ["10.0.0.1"]
        assert inside.subnets[0].cidr == "10.0.0.0/24"
        assert [one.floating_ip_id for one in told.floating_ips] == [made["id"]]
        assert told.routes[0].nexthop == "10.0.0.9" and free["id"] != made["id"]
        assert (await api.routing("h2")).routers == ()
        assert (await api.routing("h1", network)).routers == ()
        nothing: Any = await api.wire["l3_state"](L3StateRequest(host="h1", routers=()), Node("h1"))
        assert nothing.routers == ()

        async def position() -> int:
            report = await api.service_agent("h1", KIND, start=False)
            return int(report.position)

        seen: set[str] = set()
        unsubscribe = await api.listen(
            lambda published: seen.update(*(one.scopes for one in published.events))
        )
        own = scopes.router(router["id"])
        for path, body in (
            (f"/v2.0/routers/{router['id']}", {"router": {"admin_state_up": False}}),
            (f"/v2.0/floatingips/{made['id']}", {"floatingip": {"port_id": None}}),
            (f"/v2.0/routers/{router['id']}/remove_router_interface", {"subnet_id": subnet}),
            (f"/v2.0/routers/{router['id']}", {"router": {"routes": [], "external_gateway_info": {}}}),
        ):
            seen.clear()
            answer = await api("PUT", path, body)
            if answer.status == 409:  # the route still needs the interface
                await api("PUT", f"/v2.0/routers/{router['id']}", {"router": {"routes": []}})
                assert (await api("PUT", path, body)).status == 200
            if kind == "sqlite":  # published in the commit itself there
                assert own in seen, path
        before = await position()
        assert (await api("DELETE", f"/v2.0/routers/{router['id']}")).status == 204
        assert (await api.routing("h1")).routers == ()
        if kind == "sqlite":
            assert {own, scopes.l3("h1")} <= seen and await position() > before
        unsubscribe()

    tell(story, tmp_path, kind)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_floating_ips_that_nobody_serves_are_down(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        network, subnet = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        await act(api, router, "add_router_interface", subnet_id=subnet)
        port = await api.make("port", network_id=network)
        made = await api.make("floatingip", floating_network_id=outside, port_id=port["id"])

        async def status() -> str:
            answer = await api("GET", f"/v2.0/floatingips/{made['id']}")
            return str(answer.json["floatingip"]["status"])

        async def works(host: str) -> None:
            said = L3Status(host=host, routers=(router["id"],), floating_ips=(made["id"],))
            await api.wire["l3_status"](said, Node(host))
            assert await status() == "ACTIVE"

        await api.node("h1", KIND)
        assert await status() == "DOWN"
        await works("h1")
        agent = await agent_of(api, "h1", KIND)
        assert (await admin("DELETE", f"/v2.0/agents/{agent}/l3-routers/{router['id']}")).status == 204
        assert await status() == "ACTIVE", "its agent goes on for a moment"
        api.clock.advance(10)
        await api.service_agent("h1", KIND, start=False)
        assert await status() == "DOWN"
        assert (await bind(admin, agent, router["id"])).status == 201
        await works("h1")
        # One that moves is served all the time; where the only agent is deleted, nobody serves any more.
        await api.node("h2", KIND)
        assert (await admin("DELETE", f"/v2.0/agents/{agent}")).status == 204
        assert await hosted(api, router) == ["h2"] and await status() == "ACTIVE"
        agent = await agent_of(api, "h2", KIND)
        assert (await admin("DELETE", f"/v2.0/agents/{agent}")).status == 204
        assert await hosted(api, router) == [] and await status() == "DOWN"

    tell(story, tmp_path, kind)
