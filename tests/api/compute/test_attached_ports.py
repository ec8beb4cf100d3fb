"""A server's ports are those that were attached to it, whatever a port's owner writes into the port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from tests import databases
from tests.api.compute.cloud import Cloud, Host, tell

from pileus.services.compute.tables.servers import server_interfaces
from pileus.services.network.ports.tables import ports

_USER_DATA = "I2Nsb3VkLWNvbmZpZwo="


async def _say(api: Cloud, port_id: str, **values: Any) -> None:
    """Write what a port says of itself past all checks of the network API."""
    await api.store.write(lambda tx: tx.execute(update(ports).where(ports.c.id == port_id).values(**values)))


async def _port(api: Cloud, network_id: str) -> dict[str, Any]:
    answer = await api("POST", "/networking/v2.0/ports", {"port": {"network_id": network_id}})
    assert answer.status == 201, answer
    port: dict[str, Any] = answer.json["port"]
    return port


async def _state(host: Host) -> set[str]:
    (server,) = (await host.state()).servers
    return {port.port_id for port in server.ports}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_device_id_proves_nothing(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await host.service_agent("DHCP")
        await api.a_network()
        server = await api.boot(host, user_data=_USER_DATA)
        server_id = server["id"]
        (own,) = await api.ports_of(server_id)
        bob = api.as_("bob")
        foreign = await bob.a_network("10.9.0.0/24", "bobs")
        group = (
            await bob("POST", "/networking/v2.0/security-groups", {"security_group": {"name": "theirs"}})
        ).json["security_group"]
        port = await _port(bob, foreign)
        await _say(
            api,
            port["id"],
            device_id=server_id,
            device_owner="compute:nova",
            host="h1",
            vif_type="ovs",
            security_groups=[group["id"]],
        )
        address = port["fixed_ips"][0]["ip_address"]
        for path in ("/openstack/latest/user_data", "/openstack/latest/meta_data.json", "/latest/user-data"):
            assert (await host.metadata(path, address, foreign)).status == 404
        mine = await host.metadata(
            "/openstack/latest/user_data", own["fixed_ips"][0]["ip_address"], own["network_id"]
        )
        assert (mine.status, mine.body) == (200, b"#cloud-config\n")

        assert set((await api.server(server_id))["addresses"]) == {"net"}
        assert [one["name"] for one in (await api.server(server_id))["security_groups"]] == ["default"]
        listed = (await api("GET", f"/servers/{server_id}/os-interface")).json["interfaceAttachments"]
        assert [one["port_id"] for one in listed] == [own["id"]]
        groups = (await api("GET", f"/servers/{server_id}/os-security-groups")).json["security_groups"]
        assert [one["name"] for one in groups] == ["default"]
        assert (await api("GET", f"/servers?ip={address}")).json["servers"] == []
        assert await _state(host) == {own["id"]}
        assert (await api("DELETE", f"/servers/{server_id}/os-interface/{port['id']}")).status == 404
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_()
        left = (await bob("GET", f"/networking/v2.0/ports/{port['id']}")).json["port"]
        assert left["device_id"] == server_id

    tell(story, tmp_path, kind)


def test_metadata_is_for_the_project_and_the_host_of_the_port(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await host.service_agent("DHCP")
        network_id = await api.a_network()
        await api.boot(host)
        (port,) = await api.ports_of((await api("GET", "/servers")).json["servers"][0]["id"])
        address = port["fixed_ips"][0]["ip_address"]

        async def status() -> int:
            return int((await host.metadata("/openstack/latest/meta_data.json", address, network_id)).status)

        assert await status() == 200
        for odd in ({"host": "h2"}, {"host": ""}, {"project_id": "3" * 32}):
            await _say(api, port["id"], **odd)
            assert await status() == 404, odd
            await _say(api, port["id"], host="h1", project_id=port["project_id"])
        assert await status() == 200

    tell(story, tmp_path)


def test_a_user_points_his_own_port_at_his_own_server(tmp_path: Path) -> None:
    """Neutron allows it, and nothing follows from it; nor from taking it back."""

    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        server_id = (await api.boot(host))["id"]
        (own,) = await api.ports_of(server_id)
        spare = await _port(api, network_id)
        path = f"/networking/v2.0/ports/{spare['id']}"
        body = {"port": {"device_id": server_id, "device_owner": "compute:nova"}}
        assert (await api("PUT", path, body)).status == 200
        assert await _state(host) == {own["id"]}
        attach = {"interfaceAttachment": {"port_id": spare["id"]}}
        assert (await api("POST", f"/servers/{server_id}/os-interface", attach)).status == 409
        assert (await api("PUT", path, {"port": {"device_id": "", "device_owner": ""}})).status == 200
        assert (await api("POST", f"/servers/{server_id}/os-interface", attach)).status == 200
        assert await _state(host) == {own["id"], spare["id"]}
        # a port that says it is free is still plugged in
        assert (await api("PUT", path, {"port": {"device_id": "", "device_owner": ""}})).status == 200
        assert await _state(host) == {own["id"], spare["id"]}
        assert (await api("POST", f"/servers/{server_id}/os-interface", attach)).status == 409
        refused = await api.ask_for("second", networks=[{"port": spare["id"]}])
        assert refused.status == 409
        assert refused.message == f"Port {spare['id']} is still in use."
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        assert (await api("GET", path)).json["port"]["device_id"] == ""

    tell(story, tmp_path)


def test_a_servers_port_becomes_no_routers_port(tmp_path: Path) -> None:
    """What a router's port sends is not filtered: a guest on it could speak as anybody."""

    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        spare = await _port(api, network_id)
        server_id = (await api.boot(host, networks=[{"port": spare["id"]}]))["id"]
        router = (await api("POST", "/networking/v2.0/routers", {"router": {"name": "r"}})).json["router"]
        path = f"/networking/v2.0/ports/{spare['id']}"
        add = f"/networking/v2.0/routers/{router['id']}/add_router_interface"
        freed = {"port": {"device_id": "", "device_owner": ""}}
        assert (await api("PUT", path, freed)).status == 200
        for caller in (api, api.as_("admin")):
            refused = await caller("PUT", add, {"port_id": spare["id"]})
            assert refused.status == 409, refused
            assert refused.json["NeutronError"]["message"].endswith(
                f"Port already has an attached device {server_id}."
            )
        assert (await api("GET", path)).json["port"]["device_owner"] == ""
        assert (await api("DELETE", f"/servers/{server_id}/os-interface/{spare['id']}")).status == 202
        assert (await api("PUT", add, {"port_id": spare["id"]})).status == 200

    tell(story, tmp_path)


def test_a_port_that_became_a_routers_stays_with_the_router(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        (own,) = await api.ports_of(server_id)
        router = (await api("POST", "/networking/v2.0/routers", {"router": {"name": "r"}})).json["router"]
        freed = {"port": {"device_id": "", "device_owner": ""}}
        assert (await api("PUT", f"/networking/v2.0/ports/{own['id']}", freed)).status == 200
        plugged = await api.store.read(lambda tx: dict(tx.rows(select(server_interfaces))[0]._mapping))
        await api.store.write(lambda tx: tx.execute(delete(server_interfaces)))
        added = await api(
            "PUT", f"/networking/v2.0/routers/{router['id']}/add_router_interface", {"port_id": own["id"]}
        )
        assert added.status == 200, added
        # as clouds may be that were made when nobody refused it
        await api.store.write(lambda tx: tx.insert(server_interfaces, [plugged]))
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_()
        await api.conductor().work()
        assert (await api("GET", f"/servers/{server_id}")).status == 404
        left = (await api("GET", f"/networking/v2.0/ports/{own['id']}")).json["port"]
        assert left["device_id"] == router["id"]

    tell(story, tmp_path)
