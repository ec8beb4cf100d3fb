"""DHCP agents and the networks they serve (seed 003): by request, with a network's first port, when an agent
appears, and when one dies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from tests import databases
from tests.api.network.cloud import CONFIG, Answer, Cloud, Node, tell
from tests.api.network.test_routers import refused

from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store import Tx
from pileus.wire import scopes
from pileus.wire.dhcp import DhcpStateRequest, DhcpStatus, LeaseChange, LeaseReport

KIND = "DHCP agent"


async def agent_of(api: Cloud, host: str, kind: str = KIND) -> str:
    query = f"/v2.0/agents?host={host}&agent_type={kind.title().replace(' ', '%20')}"
    (agent,) = (await api.as_("admin")("GET", query)).json["agents"]
    return str(agent["id"])


async def served(api: Cloud, network: str) -> list[str]:
    """The hosts that serve a network."""
    answer = await api.as_("admin")("GET", f"/v2.0/networks/{network}/dhcp-agents")
    return sorted(agent["host"] for agent in answer.json["agents"])


async def dhcp_ports(api: Cloud, network: str) -> list[dict[str, Any]]:
    query = f"/v2.0/ports?network_id={network}&device_owner=network:dhcp"
    found: list[dict[str, Any]] = (await api.as_("admin")("GET", query)).json["ports"]
    return found


async def bind(api: Cloud, agent: str, network: str) -> Answer:
    return await api("POST", f"/v2.0/agents/{agent}/dhcp-networks", {"network_id": network})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_networks_by_request(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1", KIND)
        agent = await agent_of(api, "h1")
        switch = await agent_of(api, "h1", "Open vSwitch agent")
        bare = (await api.make("network", name="bare"))["id"]
        path = f"/v2.0/agents/{agent}/dhcp-networks"

        made = await bind(admin, agent, bare)
        assert (made.status, made.json) == (201, None)
        refused(await bind(admin, agent, bare), 409, "NetworkHostedByDHCPAgent")
        refused(await bind(admin, switch, bare), 404, "InvalidDHCPAgent")
        refused(await bind(admin, bare, bare), 404, "AgentNotFound")
        refused(await bind(admin, agent, agent), 404, "NetworkNotFound")
        refused(await admin("POST", path, {}), 400, "HTTPBadRequest")
        refused(await bind(api, agent, bare), 403, "PolicyNotAuthorized")
        assert [one["id"] for one in (await admin("GET", path)).json["networks"]] == [bare]
        assert await served(api, bare) == ["h1"]
        refused(await admin("GET", f"/v2.0/agents/{bare}/dhcp-networks"), 404, "AgentNotFound")
        # Nothing runs where there is no subnet with DHCP; it comes and goes with the first and the last.
        assert (await api.dhcp("h1")).networks == () and await dhcp_ports(api, bare) == []
        subnet = await api.make("subnet", network_id=bare, cidr="10.0.0.0/24", ip_version=4)
        (port,) = await dhcp_ports(api, bare)
        assert port["binding:host_id"] == "h1" and port["binding:vif_type"] == "ovs"
        assert port["device_id"].startswith("dhcp") and port["device_id"].endswith(bare)
        (told,) = (await api.dhcp("h1")).networks
        assert told.network_id == bare and told.port.port_id == port["id"]
        assert [one.port_id for one in (await api.switch("h1")).devices] == [port["id"]]
        off = f"/v2.0/subnets/{subnet['id']}"
        await api("PUT", off, {"subnet": {"enable_dhcp": False}})
        assert (await api.dhcp("h1")).networks == () and await dhcp_ports(api, bare) == []
        await api("PUT", off, {"subnet": {"enable_dhcp": True}})
        more = await api.make("subnet", network_id=bare, cidr="10.1.0.0/24", ip_version=4)
        (port,) = await dhcp_ports(api, bare)
        assert {ip["subnet_id"] for ip in port["fixed_ips"]} == {subnet["id"], more["id"]}
        assert (await api("DELETE", f"/v2.0/subnets/{more['id']}")).status == 204

        assert (await admin("DELETE", f"{path}/{bare}")).status == 204
        refused(await admin("DELETE", f"{path}/{bare}"), 409, "NetworkNotHostedByDhcpAgent")
        assert (await admin("GET", path)).json["networks"] == [] and await dhcp_ports(api, bare) == []
        await admin("PUT", f"/v2.0/agents/{agent}", {"agent": {"admin_state_up": False}})
        refused(await bind(admin, agent, bare), 404, "InvalidDHCPAgent")
        assert (await api("DELETE", f"/v2.0/networks/{bare}")).status == 204
        assert await api.store.read(_left_over) == 0

    tell(story, tmp_path, kind)


def _left_over(tx: Tx) -> int:
    return sum(
        tx.scalar(select(func.count()).select_from(table)) for table in (dhcp_bindings, ip_allocations)
    )


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_network_gets_its_dhcp_with_its_first_port(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for host in ("h1", "h2"):
            await api.node(host, KIND)
        networks = [(await api.a_network(f"10.{number}.0.0/24"))[0] for number in range(4)]
        assert [await served(api, one) for one in networks] == [[], [], [], []]

        async def first_ports(network: str) -> None:
            answers = await asyncio.gather(
                *(api("POST", "/v2.0/ports", {"port": {"network_id": network}}) for _ in range(4))
            )
            assert {answer.status for answer in answers} == {201}

        await asyncio.gather(*map(first_ports, networks))
        hosts = [host for one in networks for host in await served(api, one)]
        assert sorted(hosts) == ["h1", "h1", "h2", "h2"]  # the least loaded each time
        for network in networks:
            assert len(await dhcp_ports(api, network)) == 1
        before = await dhcp_ports(api, networks[0])
        await api.make("port", network_id=networks[0])
        assert await dhcp_ports(api, networks[0]) == before
        plain = (await api.make("network"))["id"]
        await api.make("subnet", network_id=plain, cidr="10.9.0.0/24", ip_version=4, enable_dhcp=False)
        await api.make("port", network_id=plain)
        assert await served(api, plain) == []
        for network in networks:
            found = (await api("GET", f"/v2.0/ports?network_id={network}")).json["ports"]
            for port in found:
                if port["device_owner"] != "network:dhcp":
                    await api("DELETE", f"/v2.0/ports/{port['id']}")
            assert (await api("DELETE", f"/v2.0/networks/{network}")).status == 204
        assert (await api.dhcp("h1")).networks == (await api.dhcp("h2")).networks == ()

    tell(story, tmp_path, kind)


def test_what_nobody_serves_is_picked_up(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network()
        unused, _ = await api.a_network("10.1.0.0/24")
        await api.make("port", network_id=network)
        await api.node("h1")
        assert await served(api, network) == []
        await api.service_agent("h1", KIND)
        assert await served(api, network) == ["h1"] and await served(api, unused) == []
        agent = await agent_of(api, "h1")
        await admin("PUT", f"/v2.0/agents/{agent}", {"agent": {"admin_state_up": False}})
        assert await served(api, network) == ["h1"]  # what it serves keeps working
        assert len((await api.dhcp("h1")).networks) == 1
        await api.make("port", network_id=unused)
        assert await served(api, unused) == []
        await admin("PUT", f"/v2.0/agents/{agent}", {"agent": {"admin_state_up": True}})
        assert await served(api, unused) == ["h1"]
        # A deleted agent's networks are scheduled anew; a living one comes back with its next report.
        assert (await admin("DELETE", f"/v2.0/agents/{agent}")).status == 204
        assert await served(api, network) == [] and await dhcp_ports(api, network) == []
        await api.service_agent("h1", KIND, start=False)
        assert await served(api, network) == ["h1"]

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_networks_of_a_dead_agent_move_and_keep_their_address(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        network, _ = await api.a_network()
        await api.make("port", network_id=network)
        (port,) = await dhcp_ports(api, network)
        api.clock.advance(76)
        # Two come at once, and one gets it.
        await asyncio.gather(*(api.node(host, KIND) for host in ("h2", "h3")))
        (host,) = await served(api, network)
        assert host in ("h2", "h3")
        (moved,) = await dhcp_ports(api, network)
        assert moved["id"] == port["id"] and moved["fixed_ips"] == port["fixed_ips"]
        assert moved["binding:host_id"] == host and moved["device_id"] != port["device_id"]
        assert (await api.dhcp("h1")).networks == ()
        assert [one.network_id for one in (await api.dhcp(host)).networks] == [network]

    tell(story, tmp_path, kind)


def test_nobody_moves_where_there_is_nobody_to_move_to(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        network, _ = await api.a_network()
        await api.make("port", network_id=network)
        api.clock.advance(76)
        await api.make("port", network_id=network)
        assert await served(api, network) == ["h1"]
        await api.service_agent("h1", KIND, start=False)
        assert len((await api.dhcp("h1")).networks) == 1

    tell(story, tmp_path)


def test_several_agents_for_a_network(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        for host in ("h1", "h2", "h3"):
            await api.node(host, KIND)
        network, _ = await api.a_network()
        await api.make("port", network_id=network)
        hosts = await served(api, network)
        assert len(hosts) == 2
        ports = await dhcp_ports(api, network)
        assert sorted(port["binding:host_id"] for port in ports) == hosts
        for host in hosts:
            (told,) = (await api.dhcp(host)).networks
            assert told.port.port_id in {port["id"] for port in ports}

    tell(story, tmp_path, config=msgspec.structs.replace(CONFIG, dhcp_agents_per_network=2))


def test_zones(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1")
        await api.node("h2")
        await api.service_agent("h1", KIND, zone="east")
        await api.service_agent("h2", KIND, zone="west")
        for zone, host in (("east", "h1"), ("west", "h2"), ("west", "h2")):
            network = await api.make("network", availability_zone_hints=[zone])
            await api.make("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
            await api.make("port", network_id=network["id"])
            assert await served(api, network["id"]) == [host]
            seen = (await api("GET", f"/v2.0/networks/{network['id']}")).json["network"]
            assert seen["availability_zones"] == [zone]
        zones = (await api("GET", "/v2.0/availability_zones")).json["availability_zones"]
        assert {zone["name"] for zone in zones} == {"east", "west"}

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_dhcp_is_told(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        network, subnet = await api.a_network(
            dns_nameservers=["192.0.2.53"],
            host_routes=[{"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}],
        )
        still = await api.make(
            "subnet", network_id=network, cidr="10.1.0.0/24", ip_version=4, enable_dhcp=False
        )
        named = await api.make("port", network_id=network, dns_name="web")
        options = [{"opt_name": "bootfile-name", "opt_value": "pxe.0"}]
        plain = await api.make(
            "port",
            network_id=network,
            extra_dhcp_opts=options,
            fixed_ips=[{"ip_address": "10.0.0.77"}],
        )
        state = await api.dhcp("h1")
        assert state.lease_time_s == 86400
        (told,) = state.networks
        assert told.admin_state_up and told.mtu == 1450
        hosts = {host.port_id: host for host in told.hosts}
        assert hosts.keys() == {named["id"], plain["id"]}
        assert hosts[named["id"]].hostname == "web" and hosts[plain["id"]].hostname == "host-10-0-0-77"
        assert hosts[plain["id"]].addresses[0].subnet_id == subnet
        assert [(one.name, one.value, one.ip_version) for one in hosts[plain["id"]].options] == [
            ("bootfile-name", "pxe.0", 4)
        ]
        prefixes = {one.subnet_id: one for one in told.subnets}
        assert prefixes.keys() == {subnet, still["id"]} and not prefixes[still["id"]].enable_dhcp
        assert prefixes[subnet].dns_nameservers == ("192.0.2.53",)
        assert prefixes[subnet].host_routes[0].nexthop == "10.0.0.9"
        assert not prefixes[subnet].gateway_is_router
        router = await api.make("router")
        await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
        (told,) = (await api.dhcp("h1", network)).networks
        assert {one.subnet_id: one.gateway_is_router for one in told.subnets} == {
            subnet: True,
            still["id"]: False,
        }
        assert len(told.hosts) == 2
        assert (await api.dhcp("h1", router["id"])).networks == ()
        assert (await api.dhcp("h2")).networks == ()
        nothing: Any = await api.wire["dhcp_state"](DhcpStateRequest(host="h1", networks=()), Node("h1"))
        assert nothing.networks == () and nothing.position >= state.position
        if kind == "sqlite":
            before = api.store.statements
            await api.dhcp("h1")
            few = api.store.statements - before
            for number in range(2, 6):
                other, _ = await api.a_network(f"10.{number}.0.0/24")
                await api("POST", "/v2.0/ports", {"ports": [{"network_id": other}] * 5})
            before = api.store.statements
            assert len((await api.dhcp("h1")).networks) == 5
            assert api.store.statements - before == few <= 5

    tell(story, tmp_path, kind)


def test_who_is_told_and_what_is_heard(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        network, subnet = await api.a_network()
        seen: dict[str, list[set[str]]] = {}

        def heard(published: Any) -> None:
            for event in published.events:
                seen.setdefault(event.kind, []).append(set(event.scopes))

        unsubscribe = await api.listen(heard)
        start = (await api.service_agent("h1", KIND, start=False)).position
        port = await api.make("port", network_id=network)
        assert scopes.dhcp("h1") in seen["network.dhcp_bind"][0]
        own = scopes.dhcp_network(network)
        assert all(own in one for one in seen["port.create"])
        assert scopes.dhcp("h1") in seen["port.create"][1]  # DHCP's own
        bound = (await api.service_agent("h1", KIND, start=False)).position
        assert bound > start  # by its host alone: it could not know the network yet

        async def position() -> int:
            report = await api.service_agent("h1", KIND, start=False)
            return int(report.position)

        path = f"/v2.0/ports/{port['id']}"
        for change in ({"dns_name": "x"}, {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}]}):
            seen.clear()
            await api("PUT", path, {"port": change})
            assert own in seen["port.update"][0]
        seen.clear()
        await api("PUT", path, {"port": {"name": "x"}})
        assert seen["port.update"] == [set()]
        await api("PUT", f"/v2.0/subnets/{subnet}", {"subnet": {"dns_nameservers": ["192.0.2.1"]}})
        assert own in seen["subnet.update"][0]

        async def say(**said: Any) -> list[str]:
            seen.clear()
            await api.wire["dhcp_status"](DhcpStatus(host="h1", **said), Node("h1"))
            return [kind for kind in seen if kind.startswith("network.")]

        assert await say(serving=(network,)) == ["network.dhcp_active"]
        assert await say(serving=(network,)) == []
        assert await say(failed={network: "dnsmasq does not start"}) == ["network.dhcp_failed"]
        assert await api.store.read(_reasons) == ["dnsmasq does not start"]
        assert await say(serving=(network, port["id"])) == ["network.dhcp_active"]
        # What a port can't be told is said of ports of the networks that the host serves, and of no others.
        await api.wire["dhcp_status"](
            DhcpStatus(host="h1", serving=(network,), ports={port["id"]: "no MAC", "elsewhere": "x"}),
            Node("h1"),
        )
        assert [kind for kind in seen if kind.startswith("port.")] == ["port.dhcp_failed"]
        await api.wire["dhcp_status"](DhcpStatus(host="h2", ports={port["id"]: "forged"}), Node("h2"))
        assert len(seen["port.dhcp_failed"]) == 1
        # Leases are shown in the timelines of the ports that hold them, and of no others.
        address = port["fixed_ips"][0]["ip_address"]

        async def lease(kind: str, host: str = "h1", **differing: Any) -> None:
            values = {"ip_address": address, "mac_address": port["mac_address"], "expires_s": 1800000000}
            change = LeaseChange(network_id=network, kind=kind, **{**values, **differing})
            await api.wire["dhcp_leases"](LeaseReport(host=host, changes=(change,)), Node(host))

        for kind in ("started", "renewed", "ended"):
            await lease(kind)
        await lease("started", host="h2")
        await lease("started", mac_address="fa:16:3e:99:99:99")
        await lease("started", ip_address="10.0.0.250")
        await lease("forged")
        shown = (await api("GET", f"/v2.0/ports/{port['id']}/timeline")).json["timeline"]
        said = [(one["step"], one["detail"]) for one in shown if "lease" in one["step"]]
        assert said == [
            ("port lease started", f"{address} until 2027-01-15T08:00:00Z"),
            ("port lease renewed", f"{address} until 2027-01-15T08:00:00Z"),
            ("port lease ended", address),
        ]
        assert await position() >= bound
        unsubscribe()

    tell(story, tmp_path)


def _reasons(tx: Tx) -> list[str]:
    return [row[0] for row in tx.rows(select(dhcp_bindings.c.reason))]


def test_a_full_subnet_keeps_nobody_from_a_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", KIND)
        network, _ = await api.a_network("10.0.0.0/30")
        last = await api.make("port", network_id=network)  # DHCP finds no address
        assert await dhcp_ports(api, network) == [] and await served(api, network) == ["h1"]
        assert (await api.dhcp("h1")).networks == ()
        await api("DELETE", f"/v2.0/ports/{last['id']}")
        await api.service_agent("h1", KIND)
        assert len(await dhcp_ports(api, network)) == 1

    tell(story, tmp_path)
