"""Routers on their way from one L3 agent to another: who is told what, and when the one that leaves ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, Node, tell
from tests.api.network.test_dhcp_scheduling import agent_of
from tests.api.network.test_l3_scheduling import KIND, bind, hosted, hosts_of_ports
from tests.waiting import until

from pileus.wire.l3 import L3Status

Story = Callable[[Cloud, dict[str, Any], dict[str, str]], Awaitable[None]]


def moving(tmp_path: Path, story: Story, kind: str = "sqlite", **config: Any) -> None:
    """A story about a router of h1 with a gateway and an interface; ``agents`` are those of h1 and h2."""

    async def begin(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", KIND)
        outside, _ = await admin.an_outside()
        _, subnet = await api.a_network()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api("PUT", path, {"subnet_id": subnet})).status == 200
        await api.node("h2", KIND)
        await api.node("h3")
        await story(api, router, {host: await agent_of(api, host, KIND) for host in ("h1", "h2")})

    tell(begin, tmp_path, kind, config=msgspec.structs.replace(CONFIG, **config))


async def said(api: Cloud, host: str, **status: Any) -> None:
    await api.wire["l3_status"](L3Status(host, **status), Node(host))


async def take(api: Cloud, agent: str, router: dict[str, Any]) -> None:
    answer = await api.as_("admin")("DELETE", f"/v2.0/agents/{agent}/l3-routers/{router['id']}")
    assert answer.status == 204, answer


async def told(api: Cloud, host: str) -> list[bool]:
    """Of each router that a host has: whether it is to be silent."""
    return [one.standby for one in (await api.routing(host)).routers]


async def sent_to(api: Cloud, port_id: str) -> set[str]:
    """The hosts to which another one sends frames for a port."""
    port = (await api.as_("admin")("GET", f"/v2.0/ports/{port_id}")).json["port"]
    guest = await api.make("port", network_id=port["network_id"])
    await api.as_("admin")("PUT", f"/v2.0/ports/{guest['id']}", {"port": {"binding:host_id": "h3"}})
    (network,) = [one for one in (await api.switch("h3")).networks if one.network_id == port["network_id"]]
    return {one.host for one in network.forwarding if one.mac_address == port["mac_address"]}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_phases(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        key = router["id"]
        ports = (await api.as_("admin")("GET", f"/v2.0/ports?device_id={key}")).json["ports"]
        (inside,) = [one["id"] for one in ports if one["device_owner"] == "network:router_interface"]
        await take(api, agents["h1"], router)
        assert (await bind(api.as_("admin"), agents["h2"], key)).status == 201
        # It is the other agent's by the API, and served as before.
        assert await hosted(api, router) == ["h2"]
        for _ in range(2):
            assert await told(api, "h1") == [False] and await told(api, "h2") == [True]
            assert await hosts_of_ports(api, router) == {"h1"} and await sent_to(api, inside) == {"h1"}
            for host in ("h1", "h2"):
                (device,) = [one for one in (await api.switch(host)).devices if one.port_id == inside]
                assert device.replicated
            # It does not serve yet, and what it says of a failure is not the router's.
            await said(api, "h2", failed={key: "no"})
            assert (await api("GET", f"/v2.0/routers/{key}")).json["router"]["status"] != "ERROR"
        await said(api, "h2", ready=(key,))
        assert await told(api, "h1") == [False] and await told(api, "h2") == [False]
        assert await hosts_of_ports(api, router) == {"h1"} and await sent_to(api, inside) == {"h1"}
        await said(api, "h2", routers=(key,))
        assert await hosts_of_ports(api, router) == {"h2"} and await sent_to(api, inside) == {"h2"}
        (lingering,) = (await api.routing("h1")).routers
        assert lingering.leaves_in_s == 1.0 and not lingering.standby
        await api.service_agent("h1", KIND, start=False)
        assert await told(api, "h1") == [False]
        api.clock.advance(1)
        await api.service_agent("h1", KIND, start=False)
        assert (await api.routing("h1")).routers == () and await told(api, "h2") == [False]
        assert inside not in [one.port_id for one in (await api.switch("h1")).devices]
        (device,) = [one for one in (await api.switch("h2")).devices if one.port_id == inside]
        assert not device.replicated

    moving(tmp_path, story, kind)


@pytest.mark.parametrize("ha", [False, True])
def test_a_host_is_told_of_the_ports_that_it_loses(tmp_path: Path, ha: bool) -> None:
    """They are bound to another host already, or to none."""

    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        key, admin = router["id"], api.as_("admin")
        if ha:
            for change in ({"admin_state_up": False}, {"ha": True}, {"admin_state_up": True}):
                answer = await admin("PUT", f"/v2.0/routers/{key}", {"router": change})
                assert answer.status == 200, answer
            assert sorted(await hosted(api, router)) == ["h1", "h2"]
        listed = (await admin("GET", f"/v2.0/ports?device_id={key}")).json["ports"]
        ports = {one["id"] for one in listed if one["device_owner"] != "network:router_ha_interface"}
        assert len(ports) == 2
        told: set[str] = set()
        end = api.store.subscribe(lambda published: told.update(published.scopes))

        async def has(host: str) -> set[str]:
            return {one.port_id for one in (await api.switch(host)).devices} & ports

        async def loses(host: str, losing: Awaitable[None]) -> None:
            assert await has(host) == ports
            told.clear()
            await losing
            assert await has(host) == set()
            await until(lambda: {f"port:{one}" for one in ports} <= told)

        if ha:
            (bound,) = {one["binding:host_id"] for one in listed if one["id"] in ports}
            (ready,) = agents.keys() - {bound}
            await loses(ready, take(api, agents[ready], router))
        else:
            await take(api, agents["h1"], router)
            await bind(admin, agents["h2"], key)
            await loses("h2", take(api, agents["h2"], router))
            await bind(admin, agents["h2"], key)
            await said(api, "h2", ready=(key,))
            await said(api, "h2", routers=(key,))
            api.clock.advance(1)
            await loses("h1", api.service_agent("h1", KIND, start=False))
        end()

    moving(tmp_path, story)


def test_an_agent_that_knows_no_standby_serves_at_once(tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        await take(api, agents["h1"], router)
        await bind(api.as_("admin"), agents["h2"], router["id"])
        await said(api, "h2", routers=(router["id"],))
        assert await hosts_of_ports(api, router) == {"h2"}

    moving(tmp_path, story)


def test_given_back_nothing_happens(tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        before = await api.routing("h1")
        await take(api, agents["h1"], router)
        await bind(api.as_("admin"), agents["h1"], router["id"])
        after = await api.routing("h1")
        assert after.routers == before.routers and await hosts_of_ports(api, router) == {"h1"}
        # Also while another one makes ready.
        await take(api, agents["h1"], router)
        await bind(api.as_("admin"), agents["h2"], router["id"])
        await take(api, agents["h2"], router)
        await bind(api.as_("admin"), agents["h1"], router["id"])
        assert (await api.routing("h1")).routers == before.routers
        assert (await api.routing("h2")).routers == ()

    moving(tmp_path, story)


def test_whoever_is_deleted_or_dead(tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        admin, key = api.as_("admin"), router["id"]
        await take(api, agents["h1"], router)
        await bind(admin, agents["h2"], key)
        # The next one is deleted: another gets it (the first), which serves it still.
        assert (await admin("DELETE", f"/v2.0/agents/{agents['h2']}")).status == 204
        assert await hosted(api, router) == ["h1"] and await told(api, "h1") == [False]
        assert await hosts_of_ports(api, router) == {"h1"}
        # The first is deleted while the other makes ready: that one serves at once.
        await api.service_agent("h2", KIND)
        await take(api, agents["h1"], router)
        await bind(admin, await agent_of(api, "h2", KIND), key)
        assert await told(api, "h2") == [True]
        assert (await admin("DELETE", f"/v2.0/agents/{agents['h1']}")).status == 204
        assert await told(api, "h2") == [False] and await hosts_of_ports(api, router) == {"h2"}
        # A dead one's goes on nowhere.
        api.clock.advance(80)
        await api.service_agent("h1", KIND)
        assert await hosted(api, router) == ["h1"] and await told(api, "h1") == [False]
        assert await hosts_of_ports(api, router) == {"h1"}
        # The router goes while it is on its way.
        await api.service_agent("h2", KIND, start=False)
        await take(api, await agent_of(api, "h1", KIND), router)
        ports = (await admin("GET", f"/v2.0/ports?device_id={key}")).json["ports"]
        for port in ports:
            if port["device_owner"] == "network:router_interface":
                path = f"/v2.0/routers/{key}/remove_router_interface"
                assert (await api("PUT", path, {"port_id": port["id"]})).status == 200
        assert (await api("DELETE", f"/v2.0/routers/{key}")).status == 204
        assert (await api.routing("h1")).routers == ()

    moving(tmp_path, story)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_routers_of_an_agent_that_is_disabled_move(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        admin = api.as_("admin")
        down = {"agent": {"admin_state_up": False}}
        assert (await admin("PUT", f"/v2.0/agents/{agents['h1']}", down)).status == 200
        assert await hosted(api, router) == ["h2"] and await hosts_of_ports(api, router) == {"h1"}
        await said(api, "h2", ready=(router["id"],))
        await said(api, "h2", routers=(router["id"],))
        assert await hosts_of_ports(api, router) == {"h2"}
        # Where no other takes any, they stay.
        assert (await admin("PUT", f"/v2.0/agents/{agents['h2']}", down)).status == 200
        assert await hosted(api, router) == ["h2"]

    moving(tmp_path, story, kind)


def test_without_a_handover_a_router_leaves_at_once(tmp_path: Path) -> None:
    async def story(api: Cloud, router: dict[str, Any], agents: dict[str, str]) -> None:
        await take(api, agents["h1"], router)
        assert (await api.routing("h1")).routers == () and await hosts_of_ports(api, router) == {""}

    moving(tmp_path, story, router_handover_s=0.0)
