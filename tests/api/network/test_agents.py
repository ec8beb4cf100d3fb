"""Agents (seed 003): they report, are listed, changed and deleted; and binding follows what they can do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, Node, tell

from pileus.core.errors import Fault
from pileus.services.network.agents.report import BadReport
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.switch_state import switch_state
from pileus.store import Tx
from pileus.wire import scopes
from pileus.wire.switch import SwitchStateRequest


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_an_agent(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        refused = await admin("POST", "/v2.0/agents", {"agent": {"host": "h1"}})
        assert refused.status == 400
        replies = await asyncio.gather(*(api.report("h1", devices=0) for _ in range(4)))
        assert len({reply.agent_id for reply in replies}) == 1
        (agent,) = (await admin("GET", "/v2.0/agents")).json["agents"]
        assert agent == {
            "id": replies[0].agent_id,
            "binary": "neutron-openvswitch-agent",
            "agent_type": "Open vSwitch agent",
            "topic": "N/A",
            "host": "h1",
            "admin_state_up": True,
            "alive": True,
            "description": None,
            "heartbeat_timestamp": "2026-01-01 00:00:00",
            "started_at": "2026-01-01 00:00:00",
            "created_at": "2026-01-01 00:00:00",
            "availability_zone": None,
            "resources_synced": None,
            "configurations": {
                "tunnel_types": ["vxlan"],
                "bridge_mappings": {"physnet1": "br-ex"},
                "devices": 0,
            },
        }
        path = f"/v2.0/agents/{agent['id']}"
        api.clock.advance(76)
        assert (await admin("GET", path)).json["agent"]["alive"] is False
        assert (await admin("GET", "/v2.0/agents?alive=false&host=h1")).json["agents"][0]["id"] == agent["id"]
        assert (await admin("GET", "/v2.0/agents?alive=true")).json["agents"] == []
        await api.report("h1", start=False, devices=3)
        seen = (await admin("GET", path)).json["agent"]
        assert seen["alive"] is True and seen["configurations"]["devices"] == 3
        assert seen["heartbeat_timestamp"] == "2026-01-01 00:01:16"
        change = {"agent": {"admin_state_up": False, "description": "added by kong"}}
        changed = (await admin("PUT", path, change)).json["agent"]
        assert changed["admin_state_up"] is False and changed["description"] == "added by kong"
        assert (await api.report("h1", start=False)).admin_state_up is False
        assert (await admin("PUT", path, {"agent": {"host": "h2"}})).status == 400
        assert (await api("GET", path)).status == 404
        assert (await api("GET", "/v2.0/agents")).json["agents"] == []
        assert (await admin("DELETE", path)).status == 204
        gone = await admin("GET", path)
        assert (gone.status, gone.error) == (404, "AgentNotFound")
        await api.report("h1", start=False)
        assert len((await admin("GET", "/v2.0/agents")).json["agents"]) == 1

    tell(story, tmp_path, kind)


def test_a_heartbeat_costs_three_statements(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.report("h1", tunneling_ip="192.0.2.1")
        before = api.store.statements
        await api.report("h1", start=False, tunneling_ip="192.0.2.1")
        assert api.store.statements - before <= 5  # with the store's own savepoint and commit

    tell(story, tmp_path)


def test_positions_tell_who_must_look_again(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network()
        await api.report("h1", tunneling_ip="192.0.2.1")
        own = (await api.report("h2", tunneling_ip="192.0.2.2")).position
        first = (await api.report("h2", start=False, tunneling_ip="192.0.2.2")).position
        assert first > own
        # A new endpoint concerns everybody in the mesh.
        assert (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position == first
        unbound = await api.make("port", network_id=network)
        assert (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position == first
        await admin("PUT", f"/v2.0/ports/{unbound['id']}", {"port": {"binding:host_id": "h1"}})
        second = (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position
        assert second > first
        assert (await api.report("h2", start=False, tunneling_ip="192.0.2.2")).position == first
        state = await api.switch("h1")
        assert state.position >= second
        await admin("PUT", f"/v2.0/ports/{unbound['id']}", {"port": {"binding:host_id": "h2"}})
        assert (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position > second

    tell(story, tmp_path)


def test_events_name_whoever_is_concerned(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network()
        seen: dict[str, set[str]] = {}
        unsubscribe = await api.listen(
            lambda published: seen.update({event.kind: set(event.scopes) for event in published.events})
        )
        for host in ("h1", "h2"):
            await api.report(host, tunneling_ip=f"192.0.2.{host[1]}")
        assert seen["agent.tunnel"] == {scopes.tunnels()}
        port = await api.make("port", network_id=network)
        group = scopes.security_group(port["security_groups"][0])
        dhcp = scopes.dhcp_network(network)
        assert seen["port.create"] == {group, dhcp}
        path = f"/v2.0/ports/{port['id']}"
        await admin("PUT", path, {"port": {"binding:host_id": "h1"}})
        own = scopes.port(port["id"])
        assert seen["port.update"] == {scopes.host("h1"), own, scopes.network(network), group}
        await admin("PUT", path, {"port": {"binding:host_id": "h2"}})
        assert seen["port.update"] >= {scopes.host("h1"), scopes.host("h2"), scopes.network(network)}
        await admin("PUT", path, {"port": {"name": "x"}})
        assert seen["port.update"] == set()
        await admin("PUT", path, {"port": {"admin_state_up": False}})
        assert seen["port.update"] == {scopes.host("h2"), own}
        await api.status("h2", up=(port["id"],), enforcement={port["id"]: "meter"})
        assert seen["port.active"] == set()
        assert (await api("GET", path)).json["port"]["qos_enforced_by"] == "meter"
        await admin("DELETE", path)
        assert seen["port.delete"] == {scopes.host("h2"), own, scopes.network(network), group, dhcp}
        unsubscribe()

    tell(story, tmp_path)


def test_a_port_bound_before_its_agent_came_is_plugged_when_it_comes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network()
        port = await admin.make("port", network_id=network, **{"binding:host_id": "h1"})
        assert port["binding:vif_type"] == "binding_failed"
        assert (await api.switch("h1")).devices == ()
        await api.report("h1", tunneling_ip="192.0.2.1")
        seen = (await admin("GET", f"/v2.0/ports/{port['id']}")).json["port"]
        assert seen["binding:vif_type"] == "ovs" and seen["binding:vif_details"]["port_filter"] is True
        assert [one.port_id for one in (await api.switch("h1")).devices] == [port["id"]]

    tell(story, tmp_path)


def test_a_node_speaks_for_its_own_host_only(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        with pytest.raises(Fault) as refused:
            await api.wire["switch_state"](SwitchStateRequest(host="h1"), Node("h2"))
        assert refused.value.code == "NotYourHost"

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_switch_state_in_parts(kind: str, tmp_path: Path) -> None:
    """What is asked for comes and nothing else; the number of statements does not depend on the ports'."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network("10.0.0.0/22")
        other, _ = await api.a_network("10.8.0.0/24")
        for host in ("h1", "h2"):
            await api.report(host, tunneling_ip=f"192.0.2.{host[1]}")

        async def fill(host: str, count: int) -> list[str]:
            one = {"network_id": network, "project_id": "1" * 32, "binding:host_id": host}
            answer = await admin("POST", "/v2.0/ports", {"ports": [one] * count})
            return [port["id"] for port in answer.json["ports"]]

        async def cost() -> int:
            return await api.store.read(_statements_of_state, SwitchStateRequest(host="h1"), api.config)

        (first,) = await fill("h1", 1)
        one = await cost()
        await fill("h1", 60)
        await fill("h2", 40)
        assert await cost() == one <= 14
        whole = await api.switch("h1")
        assert len(whole.devices) == 61 and len(whole.networks[0].forwarding) == 40
        assert len(whole.security_groups[0].member_ips) == 101
        part = await api.switch("h1", devices=(first, "unknown"), networks=(other,), security_groups=())
        assert [one.port_id for one in part.devices] == [first]
        assert part.networks == () and part.security_groups == () and len(part.tunnels) == 1
        group = whole.security_groups[0].security_group_id
        part = await api.switch("h1", devices=(), networks=(network,), security_groups=(group,))
        assert part.devices == () and part.networks == whole.networks
        assert part.security_groups == whole.security_groups

    tell(story, tmp_path, kind)


def _statements_of_state(tx: Tx, request: SwitchStateRequest, config: NetworkConfig) -> int:
    switch_state(tx, request, config)
    return tx.statements


def test_one_host_has_only_so_many_agents(tmp_path: Path) -> None:
    """Its token lets it name them as it likes; those that it has go on."""

    async def story(api: Cloud) -> None:
        await api.report("h1")
        with pytest.raises(BadReport, match="has 32 agents"):
            for number in range(33):
                await api.service_agent("h1", f"kind {number}")
        assert len((await api.as_("admin")("GET", "/v2.0/agents")).json["agents"]) == 32
        await api.report("h1", start=False)
        await api.service_agent("h2", "kind 40")

    tell(story, tmp_path)
