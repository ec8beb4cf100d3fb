"""Quarantine is not undone by the quarantined, whatever he asks of compute or of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.compute.cloud import IMAGE, Cloud, Host, Node, tell

from pileus.wire.switch import DeviceDetails, SwitchStateRequest


async def _devices(api: Cloud, host: Host) -> list[DeviceDetails]:
    state: Any = await api.wire["switch_state"](SwitchStateRequest(host=host.name), Node(host.name))
    return list(state.devices)


async def _port(api: Cloud, network_id: str) -> str:
    answer = await api("POST", "/networking/v2.0/ports", {"port": {"network_id": network_id}})
    return str(answer.json["port"]["id"])


@pytest.mark.parametrize("kind", databases.KINDS)
def test_nothing_that_its_owner_asks_lets_it_out(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        server_id = (await api.boot(host))["id"]
        (port,) = await api.ports_of(server_id)
        spare = await _port(api, network_id)
        itsec = api.as_("itsec")
        assert (await api.act(server_id, "os-pileus-quarantine")).status == 403
        assert (await itsec.act(server_id, "os-pileus-quarantine")).status == 202
        assert (await itsec.act(server_id, "os-pileus-quarantine")).status == 409

        async def is_cut_off() -> None:
            devices = await _devices(api, host)
            assert devices
            assert all(device.quarantined for device in devices)

        await is_cut_off()
        refused = f"Instance {server_id} is in quarantine"
        interfaces = f"/servers/{server_id}/os-interface"
        for asked in ({"port_id": spare}, {"net_id": network_id}, {}):
            answer = await api("POST", interfaces, {"interfaceAttachment": asked})
            assert (answer.status, answer.message) == (409, refused)
        answer = await api("DELETE", f"{interfaces}/{port['id']}")
        assert (answer.status, answer.message) == (409, refused)
        for verb, argument in (
            ("rebuild", {"imageRef": IMAGE}),
            ("addSecurityGroup", {"name": "default"}),
            ("removeSecurityGroup", {"name": "default"}),
        ):
            answer = await api.act(server_id, verb, argument)
            assert (answer.status, answer.message) == (409, refused), verb
        for verb, argument in (
            ("addFixedIp", {"networkId": network_id}),
            ("removeFixedIp", {"address": port["fixed_ips"][0]["ip_address"]}),
        ):
            answer = await api.at("2.40").act(server_id, verb, argument)
            assert (answer.status, answer.message) == (409, refused), verb
        assert (await api.act(server_id, "os-pileus-unquarantine")).status == 403

        path = f"/networking/v2.0/ports/{port['id']}"
        for change in (
            {"admin_state_up": True},
            {"security_groups": [], "port_security_enabled": False},
            {"device_id": "", "device_owner": ""},
            {"name": "another"},
        ):
            assert (await api("PUT", path, {"port": change})).status in (200, 403), change
            await is_cut_off()
        assert (await api("PUT", path, {"port": {"quarantined": False}})).status == 400
        assert (await api.act(server_id, "reboot", {"type": "HARD"})).status == 202
        await host.pass_()
        await is_cut_off()

        # those with the right may, and what they attach is cut off as well
        admin = api.as_("admin")
        body = {"interfaceAttachment": {"port_id": spare}}
        assert (await admin("POST", interfaces, body)).status == 200
        body = {"interfaceAttachment": {"net_id": network_id}}
        assert (await admin("POST", interfaces, body)).status == 200
        assert len(await _devices(api, host)) == 3
        await is_cut_off()
        assert (await admin("DELETE", f"{interfaces}/{spare}")).status == 202
        assert (await api("GET", f"/networking/v2.0/ports/{spare}")).json["port"]["quarantined"] is False

        assert (await itsec.act(server_id, "os-pileus-unquarantine")).status == 202
        assert (await itsec.act(server_id, "os-pileus-unquarantine")).status == 409
        assert not any(device.quarantined for device in await _devices(api, host))

    tell(story, tmp_path, kind)


def test_a_server_that_is_being_built(tmp_path: Path) -> None:
    """Its ports are made after the quarantine, and have the mark from the first moment."""

    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        given = await _port(api, network_id)
        answer = await api.ask_for(networks=[{"port": given}, {"uuid": network_id}])
        server_id = answer.json["server"]["id"]
        assert (await api.as_("itsec").act(server_id, "os-pileus-quarantine")).status == 202
        await api.conductor().work()
        devices = await _devices(api, host)
        assert [device.quarantined for device in devices] == [True, True]
        await host.pass_(ports=False)
        await api.conductor().work()
        assert (await api.server(server_id))["status"] == "ACTIVE"
        assert (await api("DELETE", f"/servers/{server_id}")).status == 204
        await host.pass_()
        port = (await api("GET", f"/networking/v2.0/ports/{given}")).json["port"]
        assert (port["device_id"], port["quarantined"]) == ("", False)

    tell(story, tmp_path)


def test_no_floating_ip_is_led_to_it(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        server_id = (await api.boot(host))["id"]
        (port,) = await api.ports_of(server_id)
        admin = api.as_("admin")
        body: dict[str, Any] = {"network": {"name": "ext", "router:external": True}}
        outside = (await admin("POST", "/networking/v2.0/networks", body)).json["network"]["id"]
        body = {"subnet": {"network_id": outside, "cidr": "203.0.113.0/24", "ip_version": 4}}
        assert (await admin("POST", "/networking/v2.0/subnets", body)).status == 201
        body = {"router": {"external_gateway_info": {"network_id": outside}}}
        router = (await api("POST", "/networking/v2.0/routers", body)).json["router"]["id"]
        subnets = (await api("GET", f"/networking/v2.0/subnets?network_id={network_id}")).json["subnets"]
        added = await api(
            "PUT",
            f"/networking/v2.0/routers/{router}/add_router_interface",
            {"subnet_id": subnets[0]["id"]},
        )
        assert added.status == 200
        await api.as_("itsec").act(server_id, "os-pileus-quarantine")
        body = {"floatingip": {"floating_network_id": outside, "port_id": port["id"]}}
        answer = await api("POST", "/networking/v2.0/floatingips", body)
        assert answer.status == 409
        body = {"floatingip": {"floating_network_id": outside}}
        floating = (await api("POST", "/networking/v2.0/floatingips", body)).json["floatingip"]["id"]
        body = {"floatingip": {"port_id": port["id"]}}
        assert (await api("PUT", f"/networking/v2.0/floatingips/{floating}", body)).status == 409
        await api.as_("itsec").act(server_id, "os-pileus-unquarantine")
        assert (await api("PUT", f"/networking/v2.0/floatingips/{floating}", body)).status == 200

    tell(story, tmp_path)
