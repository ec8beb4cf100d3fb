"""DHCP that the switches of guests answer (``network.distributed_dhcp``): what agents are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, Node, tell

from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.switch_state import switch_state
from pileus.store import Tx
from pileus.wire.dhcp import DhcpOption, LeaseChange, LeaseReport
from pileus.wire.switch import DeviceStatus, SwitchStateRequest

SWITCHED = msgspec.structs.replace(CONFIG, distributed_dhcp=True, dhcp_lease_time_s=3600)


async def plugged(api: Cloud, network: str, host: str, **values: Any) -> dict[str, Any]:
    port = await api.as_("admin").make(
        "port", network_id=network, **{"binding:host_id": host, "device_owner": "compute:nova"} | values
    )
    return dict(port)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_switches_are_told_what_guests_ask_for(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "DHCP agent", "L3 agent")
        await api.node("h2")
        network, subnet = await api.a_network(
            dns_nameservers=["192.0.2.53"],
            host_routes=[{"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}],
        )
        options = [{"opt_name": "bootfile-name", "opt_value": "pxe.0"}]
        port = await plugged(api, network, "h2", dns_name="web", extra_dhcp_opts=options)
        state = await api.switch("h2")
        (device,), (net,) = state.devices, state.networks
        assert device.dhcp.hostname == "web"
        assert device.dhcp.options == (DhcpOption("bootfile-name", "pxe.0"),)
        (own,) = (await api.as_("admin")("GET", "/v2.0/ports?device_owner=network:dhcp")).json["ports"]
        assert net.dhcp.lease_time_s == 3600 and net.dhcp.mac_address == own["mac_address"]
        assert [one.ip_address for one in net.dhcp.servers] == [own["fixed_ips"][0]["ip_address"]]
        (told,) = net.dhcp.subnets
        assert told.subnet_id == subnet and told.dns_nameservers == ("192.0.2.53",)
        assert told.host_routes[0].nexthop == "10.0.0.9" and not told.gateway_is_router
        # The agent has metadata for the guests of a network without a router, and gives no addresses.
        (served,) = (await api.dhcp("h1")).networks
        assert served.elsewhere == (subnet,)
        # Its own port is nobody who would be told anything.
        mine = {one.port_id: one for one in (await api.switch("h1")).devices}
        assert mine[own["id"]].dhcp is None

        before = state.position
        admin = api.as_("admin")
        changed = await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"dns_name": "other"}})
        assert changed.status == 200
        heard: Any = await api.report("h2", start=False)
        assert heard.position > before, "the switch hears of another name"
        router = await api.make("router")
        await api("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
        (net,) = (await api.switch("h2")).networks
        assert net.dhcp.subnets[0].gateway_is_router

        # Leases are told by the host where the port is.
        async def lease(host: str) -> None:
            change = LeaseChange(network, "started", port["fixed_ips"][0]["ip_address"], port["mac_address"])
            await api.wire["dhcp_leases"](LeaseReport(host=host, changes=(change,)), Node(host))

        await api.node("h3")
        await lease("h3")
        await lease("h2")
        shown = (await admin("GET", f"/v2.0/ports/{port['id']}/timeline")).json["timeline"]
        assert [one["step"] for one in shown if "lease" in one["step"]] == ["port lease started"]

    tell(story, tmp_path, kind, config=SWITCHED)


def test_guests_of_linux_bridges_are_the_agents_to_answer(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "DHCP agent")
        network, four = await api.a_network()
        modes = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
        stateless = await api.make("subnet", network_id=network, cidr="fd00::/64", ip_version=6, **modes)
        await plugged(api, network, "h1")
        (served,) = (await api.dhcp("h1")).networks
        assert set(served.elsewhere) == {four, stateless["id"]}
        modes = dict.fromkeys(modes, "dhcpv6-stateful")
        stateful = await api.make("subnet", network_id=network, cidr="fd01::/64", ip_version=6, **modes)
        (served,) = (await api.dhcp("h1")).networks
        assert set(served.elsewhere) == {four, stateless["id"], stateful["id"]}
        await api.report("b1", interface_mappings={})
        (served,) = (await api.dhcp("h1")).networks
        assert served.elsewhere == ()

    tell(story, tmp_path, config=SWITCHED)


def test_more_networks_cost_no_more_statements(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1")
        networks = [(await api.a_network(f"10.{n}.0.0/24"))[0] for n in range(3)]

        async def cost() -> int:
            return await api.store.read(_statements, SwitchStateRequest(host="h1"), api.config)

        await plugged(api, networks[0], "h1")
        one = await cost()
        for network in networks[1:]:
            await plugged(api, network, "h1")
        assert await cost() == one
        state = await api.switch("h1")
        assert all(net.dhcp is not None for net in state.networks) and len(state.networks) == 3

    tell(story, tmp_path, config=SWITCHED)


def _statements(tx: Tx, request: SwitchStateRequest, config: NetworkConfig) -> int:
    switch_state(tx, request, config)
    return tx.statements


def test_agents_ask_again_when_the_setting_has_changed(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        said = (await api.report("h1")).settings
        assert "distributed" in said and said == (await api.report("h1", start=False)).settings

    tell(story, tmp_path, config=SWITCHED)

    async def before(api: Cloud) -> None:
        assert "distributed" not in (await api.report("h1")).settings

    (tmp_path / "off").mkdir()
    tell(before, tmp_path / "off")


def test_a_prefix_that_is_not_delegated_yet_is_not_told(tmp_path: Path) -> None:
    config = msgspec.structs.replace(SWITCHED, ipv6_pd_enabled=True)

    async def story(api: Cloud) -> None:
        await api.node("h1", "DHCP agent")
        network, subnet = await api.a_network()
        modes = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
        await api.make("subnet", network_id=network, ip_version=6, subnetpool_id="prefix_delegation", **modes)
        await plugged(api, network, "h1")
        (net,) = (await api.switch("h1")).networks
        assert [one.subnet_id for one in net.dhcp.subnets] == [subnet]

    tell(story, tmp_path, config=config)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_a_guest_cannot_be_told_is_in_its_ports_timeline(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        port = await plugged(api, network, "h1")
        for host in ("h1", "h2"):
            await api.node(host)
            said = DeviceStatus(host, dhcp={port["id"]: f"said by {host}", "0" * 32: "of nobody"})
            await api.wire["device_status"](said, Node(host))
        shown = (await api("GET", f"/v2.0/ports/{port['id']}/timeline")).json["timeline"]
        assert [one["error"] for one in shown if one["step"] == "port dhcp_incomplete"] == ["said by h1"]
        assert (await api("GET", f"/v2.0/ports/{port['id']}")).json["port"]["status"] == "DOWN"

    tell(story, tmp_path, kind, config=SWITCHED)
