"""Servers from the request to ACTIVE and away again, with scripted hosts, on three databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.compute.cloud import Cloud, tell


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_server_boots_and_goes(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        asked = await api.ask_for("web", tags=["blue"], metadata={"role": "front"})
        assert asked.status == 202
        server_id = asked.json["server"]["id"]
        assert asked.headers["location"].endswith(f"/compute/v2.1/servers/{server_id}")
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")
        conductor = api.conductor()
        await conductor.work()
        server = await api.server(server_id)
        assert (server["status"], server["OS-EXT-STS:task_state"]) == ("BUILD", "spawning")
        (port,) = await api.ports_of(server_id)
        assert port["binding:host_id"] == "h1"
        assert port["device_owner"] == "compute:nova"
        assert port["network_id"] == network_id

        # the machine runs before its port carries packets: it is not ACTIVE yet
        await host.pass_(ports=False)
        assert (await api.server(server_id))["status"] == "BUILD"
        await host.plug()
        await conductor.work()
        server = await api.server(server_id)
        assert server["status"] == "ACTIVE"
        assert server["OS-EXT-STS:power_state"] == 1
        assert server["OS-EXT-STS:task_state"] is None
        assert server["tags"] == ["blue"]
        assert server["metadata"] == {"role": "front"}
        assert server["flavor"]["original_name"] == "m1.tiny"
        assert server["security_groups"] == [{"name": "default"}]
        (address,) = server["addresses"]["net"]
        assert address["addr"] == port["fixed_ips"][0]["ip_address"]
        assert server["OS-SRV-USG:launched_at"]
        assert "OS-EXT-SRV-ATTR:host" not in server
        seen = await api.as_("admin").server(server_id)
        assert seen["OS-EXT-SRV-ATTR:host"] == "h1"
        assert seen["host_status"] == "UP"
        usage = (await api("GET", "/limits")).json["limits"]["absolute"]
        assert (usage["totalInstancesUsed"], usage["totalRAMUsed"]) == (1, 512)

        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        assert (await api.server(server_id))["OS-EXT-STS:task_state"] == "deleting"
        await host.pass_()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert await api.ports_of(server_id) == []
        assert await api.count("allocations") == 0
        assert await api.count("server_interfaces") == 0
        usage = (await api("GET", "/limits")).json["limits"]["absolute"]
        assert usage["totalInstancesUsed"] == 0

    tell(story, tmp_path, kind)


def test_a_name_that_no_host_can_have_keeps_no_server_from_its_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        for hostname, dns_name in (("web.example.org", "web.example.org"), ("web.9", "")):
            server = await api.boot(host, "s", networks=[{"uuid": network_id}], hostname=hostname)
            assert (server["status"], server["OS-EXT-SRV-ATTR:hostname"]) == ("ACTIVE", hostname)
            (port,) = await api.ports_of(server["id"])
            assert port["dns_name"] == dns_name

    tell(story, tmp_path)


def test_asking_for_servers_takes_as_many_statements_as_it_did(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.host()
        network_id = await api.a_network()
        port = await api("POST", "/networking/v2.0/ports", {"port": {"network_id": network_id}})
        wanted = {"server_group": {"name": "g", "policy": "affinity"}}
        group_id = (await api("POST", "/os-server-groups", wanted)).json["server_group"]["id"]
        hints = {"hints": {"group": group_id}}
        for most, values in (
            (25, {}),
            (15, {"networks": "none"}),
            (18, {"networks": [{"port": port.json["port"]["id"]}]}),
            (26, {"networks": [{"uuid": network_id, "fixed_ip": "10.0.0.77"}]}),
            (28, hints),
            (35, {**hints, "security_groups": [{"name": "default"}], "availability_zone": "nova"}),
        ):
            before = api.store.statements
            assert (await api.ask_for("vm", **values)).status == 202
            assert api.store.statements - before <= most, values

    tell(story, tmp_path)
