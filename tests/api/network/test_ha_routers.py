"""Routers of high availability: their networks, agents and states, and what nodes are told of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests import databases
from tests.api.network.cloud import CONFIG, P1, Cloud, Node, tell
from tests.api.network.test_dhcp_scheduling import agent_of
from tests.api.network.test_l3_scheduling import KIND, bind, hosted, hosts_of_ports
from tests.api.network.test_routers import act, put, refused

from pileus.wire.l3 import L3Status

NAME = f"HA network project {P1}"


async def ports_of(api: Cloud, router: dict[str, Any], owner: str) -> list[dict[str, Any]]:
    path = f"/v2.0/ports?device_id={router['id']}&device_owner={owner}"
    found: list[dict[str, Any]] = (await api.as_("admin")("GET", path)).json["ports"]
    return found


async def states(api: Cloud, router: dict[str, Any]) -> dict[str, str | None]:
    answer = await api.as_("admin")("GET", f"/v2.0/routers/{router['id']}/l3-agents")
    return {agent["host"]: agent["ha_state"] for agent in answer.json["agents"]}


async def tells(api: Cloud, host: str, **ha_states: str) -> None:
    by_id = {key.replace("_", "-"): state for key, state in ha_states.items()}
    await api.wire["l3_status"](L3Status(host=host, ha_states=by_id), Node(host))


async def a_ha_router(api: Cloud, **values: Any) -> dict[str, Any]:
    admin = api.as_("admin")
    return await admin.make("router", project_id=P1, ha=True, **values)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_whole_life_of_one(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        for host in ("h1", "h2", "h3", "h4"):
            await api.node(host, KIND)
        refused(await api("POST", "/v2.0/routers", {"router": {"ha": True}}), 403, "PolicyNotAuthorized")
        router = await a_ha_router(api, external_gateway_info={"network_id": outside})
        assert (router["ha"], router["distributed"]) == (True, False)
        assert "ha" not in (await api("GET", f"/v2.0/routers/{router['id']}")).json["router"]
        (network,) = (await admin("GET", f"/v2.0/networks?name={NAME}")).json["networks"]
        assert (network["project_id"], network["shared"]) == ("", False)
        assert (await api("GET", f"/v2.0/networks?name={NAME}")).json["networks"] == []
        (subnet,) = (await admin("GET", f"/v2.0/subnets?network_id={network['id']}")).json["subnets"]
        assert (subnet["cidr"], subnet["gateway_ip"], subnet["enable_dhcp"]) == (
            "169.254.192.0/18",
            None,
            False,
        )

        holding = await hosted(api, router)
        assert len(set(holding)) == 3, "as many as the settings say"
        assert await states(api, router) == dict.fromkeys(holding, "standby")
        own = await ports_of(api, router, "network:router_ha_interface")
        assert {port["binding:host_id"] for port in own} == set(holding)
        assert {port["name"] for port in own} == {f"HA port project {P1}"}
        inner, its_subnet = await api.a_network()
        await act(api, router, "add_router_interface", subnet_id=its_subnet)
        (inside,) = await ports_of(api, router, "network:ha_router_replicated_interface")
        for port in (*own, inside):
            refused(await admin("DELETE", f"/v2.0/ports/{port['id']}"), 409, "ServicePortInUse")

        # Every host has the same ports beside its own one, and hears of the others' by VRRP.
        told = {}
        for host in holding:
            (seen,) = (await api.routing(host)).routers
            told[host] = seen
            assert [one.port.port_id for one in seen.interfaces] == [inside["id"]]
            assert seen.ha.cidr == "169.254.192.0/18"
            devices = {one.port_id: one for one in (await api.switch(host)).devices}
            assert devices[inside["id"]].replicated and not devices[seen.ha.port.port_id].replicated
        assert len({seen.ha.port.port_id for seen in told.values()}) == 3
        assert len({seen.ha.vr_id for seen in told.values()}) == 1
        # Who sends to it from elsewhere sends to all of them.
        (spare,) = {"h1", "h2", "h3", "h4"} - set(holding)
        guest = await api.make("port", network_id=inner)
        await admin("PUT", f"/v2.0/ports/{guest['id']}", {"port": {"binding:host_id": spare}})
        (seen_there,) = (await api.switch(spare)).networks
        ways = [one.host for one in seen_there.forwarding if one.mac_address == inside["mac_address"]]
        assert sorted(ways) == sorted(holding)

        # The active one has the ports; another one takes them when it becomes active.
        key = router["id"].replace("-", "_")
        for active in (holding[1], holding[2]):
            await tells(api, active, **{key: "active"})
            assert (await states(api, router))[active] == "active"
            api.clock.advance(1)
            (inside,) = await ports_of(api, router, "network:ha_router_replicated_interface")
            assert inside["binding:host_id"] == active
        await tells(api, spare, **{key: "active"})
        assert (await states(api, router))[holding[2]] == "active", "a host that has no part in it"
        await tells(api, holding[0], **{key: "nonsense"})
        assert (await states(api, router))[holding[0]] == "standby"
        await tells(api, holding[1], **{key: "standby"})
        assert list((await states(api, router)).values()).count("active") == 1
        (inside,) = await ports_of(api, router, "network:ha_router_replicated_interface")
        assert inside["binding:host_id"] == holding[2]

        another = await a_ha_router(api)
        assert (await admin("DELETE", f"/v2.0/routers/{another['id']}")).status == 204
        assert (await admin("GET", f"/v2.0/networks/{network['id']}")).status == 200
        await act(api, router, "remove_router_interface", subnet_id=its_subnet)
        assert (await admin("DELETE", f"/v2.0/routers/{router['id']}")).status == 204
        assert (await admin("GET", f"/v2.0/networks/{network['id']}")).status == 404, "with the last of them"

    tell(story, tmp_path, kind)


def test_agents_by_request_and_by_themselves(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        _, subnet = await api.a_network()
        router = await a_ha_router(api)
        await act(api, router, "add_router_interface", subnet_id=subnet)
        assert await hosted(api, router) == [], "there is no agent yet"
        for host in ("h1", "h2"):
            await api.node(host, KIND)
        assert sorted(await hosted(api, router)) == ["h1", "h2"], "agents that appear take it"
        assert len(await hosts_of_ports(api, router)) == 2
        second = await agent_of(api, "h2", KIND)
        refused(await bind(admin, second, router["id"]), 409, "RouterHostedByL3Agent", second)
        path = f"/v2.0/agents/{second}/l3-routers/{router['id']}"
        assert (await admin("DELETE", path)).status == 204
        assert await states(api, router) == {"h1": "standby"}
        assert len(await ports_of(api, router, "network:router_ha_interface")) == 1
        refused(await admin("DELETE", path), 409, "RouterNotHostedByL3Agent")
        assert (await bind(admin, second, router["id"])).status == 201
        assert sorted(await hosted(api, router)) == ["h1", "h2"]

        # An agent that is deleted leaves it; one that dies does not: others are ready.
        await api.node("h3", KIND)
        assert len(await hosted(api, router)) == 3
        await admin("DELETE", f"/v2.0/agents/{second}")
        assert sorted(await hosted(api, router)) == ["h1", "h3"]
        assert len(await ports_of(api, router, "network:router_ha_interface")) == 2
        api.clock.advance(300)
        await api.node("h3", KIND)
        await api.service_agent("h3", KIND, start=False)
        assert sorted(await hosted(api, router)) == ["h1", "h3"]
        assert await states(api, router) == {"h1": "unknown", "h3": "standby"}
        only_dvr = await api.service_agent("h5", KIND, agent_mode="dvr")
        refused(await bind(admin, only_dvr.agent_id, router["id"]), 409, "DVRL3CannotAssignToDvrAgent")

    tell(story, tmp_path)


def test_changes_of_the_kind_need_a_router_that_is_down(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        for host in ("h1", "h2"):
            await api.node(host, KIND)
        _, subnet = await api.a_network()
        router = await admin.make("router", project_id=P1, external_gateway_info={"network_id": outside})
        await act(api, router, "add_router_interface", subnet_id=subnet)
        refused(
            await put(admin, router, ha=True),
            400,
            "BadRequest",
            "Cannot change HA attribute of active routers. Please set router admin_state_up to False "
            "prior to upgrade",
        )
        assert (await put(admin, router, ha=False)).status == 200, "no change"
        assert (await put(admin, router, ha=None)).json["router"]["ha"] is False
        became = (await put(admin, router, ha=True, admin_state_up=False)).json["router"]
        assert became["ha"] and sorted(await hosted(api, router)) == ["h1", "h2"]
        assert len(await ports_of(api, router, "network:ha_router_replicated_interface")) == 1
        assert await ports_of(api, router, "network:router_interface") == []
        await put(admin, router, admin_state_up=True)
        refused(await put(admin, router, ha=False), 400, "BadRequest")
        await put(admin, router, admin_state_up=False)
        became = (await put(admin, router, ha=False)).json["router"]
        assert not became["ha"] and len(await hosted(api, router)) == 1
        assert len(await ports_of(api, router, "network:router_interface")) == 1
        assert await ports_of(api, router, "network:router_ha_interface") == []
        assert (await admin("GET", f"/v2.0/networks?name={NAME}")).json["networks"] == []
        (host,) = await hosted(api, router)
        assert await hosts_of_ports(api, router) == {host}

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_numbers_and_networks_are_given_once(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        routers = await asyncio.gather(*(a_ha_router(api) for _ in range(8)))
        seen = (await api.routing("h1")).routers
        assert len({one.ha.vr_id for one in seen}) == len(routers)
        networks = (await api.as_("admin")("GET", f"/v2.0/networks?name={NAME}")).json["networks"]
        assert len(networks) == 1

    tell(story, tmp_path, kind)


def test_settings(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        refused(
            await api("POST", "/v2.0/routers", {"router": {}}),
            409,
            "HANotEnoughAvailableAgents",
            "Minimum required 2, available 0.",
        )
        for host in ("h1", "h2", "h3", "h4"):
            await api.node(host, KIND)
        assert len(await hosted(api, await api.make("router"))) == 4

    config = replace(CONFIG, l3_ha=True, min_l3_agents_per_router=2, max_l3_agents_per_router=0)
    tell(story, tmp_path, config=config)


@pytest.mark.parametrize("last", ["deleted", "of another kind"])
def test_a_port_on_a_ha_network_keeps_no_router(last: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", KIND)
        router = await a_ha_router(api)
        (network,) = (await admin("GET", f"/v2.0/networks?name={NAME}")).json["networks"]
        port = await admin.make("port", network_id=network["id"])
        path = f"/v2.0/routers/{router['id']}"
        if last == "deleted":
            assert (await admin("DELETE", path)).status == 204
        else:
            body = {"router": {"admin_state_up": False, "ha": False}}
            assert (await admin("PUT", path, body)).status == 200
        # The network is the administrator's, and the next router has another one.
        await a_ha_router(api)
        assert len((await admin("GET", f"/v2.0/networks?name={NAME}")).json["networks"]) == 2
        for path in (f"/v2.0/ports/{port['id']}", f"/v2.0/networks/{network['id']}"):
            assert (await admin("DELETE", path)).status == 204

    tell(story, tmp_path)
