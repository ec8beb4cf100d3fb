"""Servers whose hosts can't carry their networks: that is said at once, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, Cloud, Host, tell

GRE = {"name": "gre", "provider:network_type": "gre", "shared": True}
WHY = "the Open vSwitch agent of the host has no gre tunnels."
NET = "/networking/v2.0"


async def gre_network(api: Cloud) -> str:
    """A network of a kind that no scripted host carries."""
    made = await api.as_("admin")("POST", f"{NET}/networks", {"network": GRE})
    network_id: str = made.json["network"]["id"]
    subnet = {"network_id": network_id, "cidr": "10.7.0.0/24", "ip_version": 4}
    assert (await api.as_("admin")("POST", f"{NET}/subnets", {"subnet": subnet})).status == 201
    return network_id


async def compute_ports(api: Cloud) -> list[Any]:
    ports = (await api.as_("admin")("GET", f"{NET}/ports")).json["ports"]
    return [port for port in ports if port["device_owner"].startswith("compute:")]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_boot_ends_at_once_with_the_reason(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await gre_network(api)
        own = (await api("POST", f"{NET}/ports", {"port": {"network_id": network_id}})).json["port"]["id"]
        for network in ({"uuid": network_id}, {"port": own}):
            server_id = (await api.ask_for(networks=[network])).json["server"]["id"]
            await api.conductor().work()
            server = await api.server(server_id)
            assert server["status"] == "ERROR"
            assert server["fault"]["message"].startswith("Binding failed for port ")
            assert server["fault"]["message"].endswith(WHY)
            steps = (await api("GET", f"/servers/{server_id}/os-pileus-timeline")).json["timeline"]
            assert any(one.get("error", "").endswith(WHY) for one in steps)
            assert await compute_ports(api) == []
            assert await api.count("allocations") == await api.count("server_interfaces") == 0
            assert (await host.state()).servers == ()
        port = (await api("GET", f"{NET}/ports/{own}")).json["port"]
        assert (port["device_id"], port["device_owner"]) == ("", "")
        # The host learns to: nothing else stands in the way.
        host.tunnel_types = ["vxlan", "gre"]
        await host.switch_agent()
        await api.boot(host, networks=[{"port": own}])

    tell(story, tmp_path, kind)


def test_of_several_servers_only_those_on_such_hosts_fail(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        hosts = [await api.host("h1"), await api.host("h2")]
        hosts[1].tunnel_types = ["gre"]
        await hosts[1].switch_agent()
        network_id = await gre_network(api)
        body = {"name": "vm", "flavorRef": "1", "imageRef": IMAGE, "min_count": 4}
        made = await api("POST", "/servers", {"server": {**body, "networks": [{"uuid": network_id}]}})
        assert made.status == 202
        await api.conductor().work()
        for host in hosts:
            await host.pass_()
        await api.conductor().work()
        servers = (await api.as_("admin")("GET", "/servers/detail?all_tenants=1")).json["servers"]
        found = {(one["status"], one["OS-EXT-SRV-ATTR:host"]) for one in servers}
        assert found == {("ERROR", None), ("ACTIVE", "h2")}
        assert len(await compute_ports(api)) == sum(one["status"] == "ACTIVE" for one in servers)

    tell(story, tmp_path)


def test_a_port_waits_for_an_agent_that_is_away(tmp_path: Path) -> None:
    """It may be restarting: then it is bound as soon as it is back."""

    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        api.clock.advance(200)
        await host.hypervisor_agent()
        server_id = (await api.ask_for()).json["server"]["id"]
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "BUILD"
        (port,) = await api.ports_of(server_id)
        assert port["binding:vif_type"] == "binding_failed"
        await host.switch_agent()
        await host.pass_()
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "ACTIVE"

    tell(story, tmp_path)


def test_an_interface_is_not_attached_and_a_shelved_server_stays(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await gre_network(api)
        plain = await api.a_network()
        server_id = (await api.boot(host, networks=[{"uuid": plain}]))["id"]
        own = (await api("POST", f"{NET}/ports", {"port": {"network_id": network_id}})).json["port"]["id"]
        for asked in ({"net_id": network_id}, {"port_id": own}):
            refused = await api("POST", f"/servers/{server_id}/os-interface", {"interfaceAttachment": asked})
            assert refused.status == 409
            assert refused.json["conflictingRequest"]["message"].endswith(WHY)
            assert len(await compute_ports(api)) == await api.count("server_interfaces") == 1
        await shelve_and_unshelve(api, host, server_id)

    async def shelve_and_unshelve(api: Cloud, host: Host, server_id: str) -> None:
        assert (await api.act(server_id, "shelve", None)).status == 202
        for _ in range(2):
            await host.pass_()
            await api.conductor().work()
        host.tunnel_types = ["gre"]
        await host.switch_agent()
        assert (await api.act(server_id, "unshelve", None)).status == 202
        await api.conductor().work()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("SHELVED_OFFLOADED", None)
        (port,) = await api.ports_of(server_id)
        assert (port["binding:host_id"], port["binding:vif_type"]) == ("", "unbound")
        assert await api.count("allocations") == 0
        host.tunnel_types = ["vxlan"]
        await host.switch_agent()
        assert (await api.act(server_id, "unshelve", None)).status == 202
        await api.conductor().work()
        await host.pass_()
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "ACTIVE"

    tell(story, tmp_path)
