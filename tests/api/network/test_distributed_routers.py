"""Distributed routers: their central ports, agents, and what switches are told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests import databases
from tests.api.network.cloud import CONFIG, P1, Cloud, Node, tell
from tests.api.network.test_dhcp_scheduling import agent_of
from tests.api.network.test_ha_routers import ports_of
from tests.api.network.test_l3_scheduling import KIND, bind, hosted
from tests.api.network.test_routers import act, put, refused

from pileus.wire.distributed import AdvertisedSubnet
from pileus.wire.l3 import L3Status
from pileus.wire.switch import RemoteAddress

INTERFACE, CENTRAL = "network:router_interface_distributed", "network:router_centralized_snat"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_switches_are_told_of_the_routers_of_their_networks(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        outside, _ = await admin.an_outside()
        for host in ("h1", "h2", "h3"):
            await api.node(host)
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        near, near_subnet = await api.a_network("10.1.0.0/24")
        far, far_subnet = await api.a_network("10.2.0.0/24")
        info = {"network_id": outside}
        router = await admin.make("router", project_id=P1, distributed=True, external_gateway_info=info)
        assert (router["distributed"], router["ha"]) == (True, False)
        await act(api, router, "add_router_interface", subnet_id=near_subnet)
        await act(api, router, "add_router_interface", subnet_id=far_subnet)
        interfaces = {port["network_id"]: port for port in await ports_of(api, router, INTERFACE)}
        central = {port["network_id"]: port for port in await ports_of(api, router, CENTRAL)}
        assert interfaces.keys() == central.keys() == {near, far}
        assert {port["binding:host_id"] for port in central.values()} == {"h1"}
        for port in (*interfaces.values(), *central.values()):
            refused(await admin("DELETE", f"/v2.0/ports/{port['id']}"), 409, "ServicePortInUse")
        (seen,) = (await api.routing("h1")).routers
        assert {one.port.port_id for one in seen.interfaces} == {
            port["id"] for port in (*central.values(), *interfaces.values())
        }, "for hosts that don't route, too"

        # A host with a guest on one of its networks is told of the router, and of the other network.
        assert (await api.switch("h2")).routers == ()
        for host, network in (("h2", near), ("h3", far)):
            port = await api.make("port", network_id=network)
            await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": host}})
        told = await api.switch("h2")
        (one,) = told.routers
        assert {i.network_id: (i.mac_address, i.central_mac) for i in one.interfaces} == {
            network: (interfaces[network]["mac_address"], central[network]["mac_address"])
            for network in (near, far)
        }
        assert {network.network_id for network in told.networks} == {near, far}
        there = next(network for network in told.networks if network.network_id == far)
        assert port["mac_address"] in {entry.mac_address for entry in there.forwarding}

        # As in Neutron, there are central ports while there is a gateway.
        for gateway, count in (({}, 0), (info, 2)):
            await put(admin, router, external_gateway_info=gateway)
            assert len(await ports_of(api, router, CENTRAL)) == count

        # It becomes a central one, and a distributed one again.
        refused(
            await put(admin, router, distributed=False),
            400,
            "BadRequest",
            "Cannot change the 'distributed' attribute of active routers.",
        )
        await put(admin, router, admin_state_up=False)
        assert (await api.switch("h2")).routers == ()
        await put(admin, router, distributed=False)
        assert await ports_of(api, router, CENTRAL) == await ports_of(api, router, INTERFACE) == []
        assert len(await ports_of(api, router, "network:router_interface")) == 2
        await put(admin, router, distributed=True)
        await put(admin, router, admin_state_up=True)
        assert len(await ports_of(api, router, CENTRAL)) == 2 and len((await api.switch("h2")).routers) == 1
        for subnet in (near_subnet, far_subnet):
            await act(api, router, "remove_router_interface", subnet_id=subnet)
        assert await ports_of(api, router, CENTRAL) == [] and (await api.switch("h2")).routers == ()
        assert (await admin("DELETE", f"/v2.0/routers/{router['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_the_ports_of_a_router_that_is_down_are_down(tmp_path: Path) -> None:
    """Clients wait for that before they make a router one of another kind."""

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1")
        await api.service_agent("h1", KIND, agent_mode="dvr_snat")
        _, subnet = await api.a_network("10.1.0.0/24")
        router = await admin.make("router", distributed=True)
        await act(admin, router, "add_router_interface", subnet_id=subnet)

        async def status() -> str:
            await api.wire["l3_status"](L3Status("h1", routers=(router["id"],)), Node("h1"))
            (port,) = await ports_of(admin, router, INTERFACE)
            return str(port["status"])

        assert await status() == "ACTIVE"
        await put(admin, router, admin_state_up=False)
        assert await status() == "DOWN", "a report that the router is as it should be does not raise it"
        await put(admin, router, admin_state_up=True)
        (port,) = await ports_of(admin, router, INTERFACE)
        assert port["status"] == "ACTIVE"

    tell(story, tmp_path)


def test_hosts_are_told_what_routers_advertise(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.node("h1")
        network, _ = await api.a_network("10.1.0.0/24")
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
        values = {
            "network_id": network,
            "ip_version": 6,
            "cidr": "fd00:1::/64",
            "dns_nameservers": ["fd00::53"],
        }
        subnet = await api.make("subnet", **values, **modes)
        quiet = await api.make(
            "subnet", network_id=network, ip_version=6, cidr="fd00:2::/64", enable_dhcp=False
        )
        router = await admin.make("router", project_id=P1, distributed=True)
        for one in (subnet, quiet):
            await act(api, router, "add_router_interface", subnet_id=one["id"])
        port = await api.make("port", network_id=network)
        await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h1"}})
        (told,) = (await api.switch("h1")).routers
        advertised = {one.cidr: one for interface in told.interfaces for one in interface.advertised}
        assert advertised == {"fd00:1::/64": AdvertisedSubnet("fd00:1::/64", "slaac", ("fd00::53",))}

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_hosts_route_on_vlans_with_addresses_of_their_own(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h2"):
            await api.node(host)
        values = {"provider:network_type": "vlan", "provider:physical_network": "physnet1"}
        near = await admin.make("network", project_id=P1, **values, **{"provider:segmentation_id": 101})
        lonely = await admin.make("network", project_id=P1, **values, **{"provider:segmentation_id": 102})
        subnet = await api.make("subnet", network_id=near["id"], ip_version=4, cidr="10.1.0.0/24")
        router = await admin.make("router", project_id=P1, distributed=True)
        await act(api, router, "add_router_interface", subnet_id=subnet["id"])
        ports = {}
        for host, network in (("h1", near), ("h2", near), ("h1", lonely), ("h2", lonely)):
            port = await api.make("port", network_id=network["id"])
            await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": host}})
            ports[host, network["id"]] = port
        told = {host: await api.switch(host) for host in ("h1", "h2")}
        macs = {}
        for host, other in (("h1", "h2"), ("h2", "h1")):
            networks = {network.network_id: network for network in told[host].networks}
            far = ports[other, near["id"]]
            assert networks[near["id"]].remote == (
                RemoteAddress(far["mac_address"], (far["fixed_ips"][0]["ip_address"],)),
            )
            assert networks[near["id"]].forwarding == networks[lonely["id"]].remote == ()
            mac = told[host].routing_mac
            assert (mac.base, mac.mask) == ("fa:16:3f:00:00:00", "ff:ff:ff:00:00:00")
            assert mac.mac_address.startswith("fa:16:3f:")
            macs[host] = mac.mac_address
        assert macs["h1"] != macs["h2"]
        # The host keeps it, until its agent is deleted.
        await api.node("h1")
        assert (await api.switch("h1")).routing_mac.mac_address == macs["h1"]
        (agent,) = (await admin("GET", "/v2.0/agents?host=h1")).json["agents"]
        assert (await admin("DELETE", f"/v2.0/agents/{agent['id']}")).status == 204
        assert (await api.switch("h1")).routing_mac is None

    tell(story, tmp_path, kind)


def test_agents_by_their_modes(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        _, subnet = await api.a_network()
        modes = {"h1": "legacy", "h2": "dvr", "h3": "dvr_no_external"}
        for host, mode in modes.items():
            await api.node(host)
            await api.service_agent(host, KIND, agent_mode=mode)
        router = await admin.make("router", project_id=P1, distributed=True)
        await act(api, router, "add_router_interface", subnet_id=subnet)
        assert await hosted(api, router) == [], "nobody here can do what is central"
        by_host = {host: await agent_of(api, host, KIND) for host in modes}
        refused(await bind(admin, by_host["h1"], router["id"]), 409, "RouterL3AgentMismatch")
        refused(await bind(admin, by_host["h2"], router["id"]), 409, "DVRL3CannotAssignToDvrAgent")
        refused(await bind(admin, by_host["h3"], router["id"]), 409, "DVRL3CannotAssignToDvrAgent")
        await api.node("h4")
        await api.service_agent("h4", KIND, agent_mode="dvr_snat")
        assert await hosted(api, router) == ["h4"]
        plain = await api.make("router")
        _, other = await api.a_network("10.9.0.0/24")
        await act(api, plain, "add_router_interface", subnet_id=other)
        assert await hosted(api, plain) in (["h1"], ["h4"])

    tell(story, tmp_path)


def test_both_at_once_and_by_a_setting(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        for host in ("h1", "h2"):
            await api.node(host)
            await api.service_agent(host, KIND, agent_mode="dvr_snat")
        network, subnet = await api.a_network()
        made = await admin.make("router", project_id=P1, ha=True)
        assert (made["ha"], made["distributed"]) == (True, True)
        await act(api, made, "add_router_interface", subnet_id=subnet)
        assert sorted(await hosted(api, made)) == ["h1", "h2"]
        (own,) = await ports_of(api, made, INTERFACE)
        assert await ports_of(api, made, CENTRAL) == [], "it has no gateway"
        for host in ("h1", "h2"):
            devices = {one.port_id: one for one in (await api.switch(host)).devices}
            assert devices[own["id"]].replicated
        # While routers need not be down: at once.
        assert (await put(admin, made, distributed=False)).json["router"]["distributed"] is False
        assert await ports_of(api, made, CENTRAL) == []
        assert len(await ports_of(api, made, "network:ha_router_replicated_interface")) == 1
        aliases = {one["alias"] for one in (await api("GET", "/v2.0/extensions")).json["extensions"]}
        assert "dvr" in aliases and "router-admin-state-down-before-update" not in aliases
        assert network

    config = replace(CONFIG, router_distributed=True, down_before_distributed=False)
    tell(story, tmp_path, config=config)
