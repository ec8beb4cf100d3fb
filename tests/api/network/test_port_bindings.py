"""Bindings of a port to several hosts, and the attributes of ports that extensions add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Cloud, tell


async def _a_guest(api: Cloud) -> tuple[str, str]:
    """A port of a guest on h1, and the path of its bindings."""
    network, _ = await api.a_network()
    for number in (1, 2):
        await api.report(f"h{number}", tunneling_ip=f"192.0.2.{number}")
    port = await api.make("port", network_id=network, device_owner="compute:nova", device_id="guest")
    return str(port["id"]), f"/v2.0/ports/{port['id']}/bindings"


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_port_moves_to_the_host_whose_binding_is_activated(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        nova, admin = api.as_("service"), api.as_("admin")
        port_id, path = await _a_guest(api)

        async def bindings() -> dict[str, str]:
            found = (await nova("GET", path)).json["bindings"]
            return {one["host"]: one["status"] for one in found}

        async def served(host: str) -> list[str]:
            return [one.port_id for one in (await api.switch(host)).devices]

        assert await bindings() == {}
        first = await nova("POST", path, {"binding": {"host": "h1"}})
        assert first.status == 201
        details = first.json["binding"].pop("vif_details")
        assert details["connectivity"] == "l2"
        assert first.json["binding"] == {
            "host": "h1",
            "vnic_type": "normal",
            "profile": {},
            "vif_type": "ovs",
            "status": "ACTIVE",
        }
        assert await served("h1") == [port_id]
        await api.status("h1", up=(port_id,))
        profile = {"migrating_to": "h2"}
        second = await nova("POST", path, {"binding": {"host": "h2", "profile": profile}})
        assert (second.status, second.json["binding"]["status"]) == (201, "INACTIVE")
        assert second.json["binding"]["profile"] == profile
        again = await nova("POST", path, {"binding": {"host": "h2"}})
        assert (again.status, again.error) == (409, "PortBindingAlreadyExists")
        assert await bindings() == {"h1": "ACTIVE", "h2": "INACTIVE"}
        assert (await served("h1"), await served("h2")) == ([port_id], [])
        assert (await api("GET", f"/v2.0/ports/{port_id}")).json["port"]["status"] == "ACTIVE"

        moved = await nova("PUT", f"{path}/h2/activate")
        assert (moved.status, moved.json["binding"]["status"]) == (200, "ACTIVE")
        assert await bindings() == {"h1": "INACTIVE", "h2": "ACTIVE"}
        assert (await served("h1"), await served("h2")) == ([], [port_id])
        shown = (await admin("GET", f"/v2.0/ports/{port_id}")).json["port"]
        assert (shown["binding:host_id"], shown["binding:profile"], shown["status"]) == (
            "h2",
            profile,
            "DOWN",
        )
        again = await nova("PUT", f"{path}/h2/activate")
        assert (again.status, again.error) == (409, "PortBindingAlreadyActive")
        back = await nova("PUT", f"{path}/h1/activate")
        assert (back.status, await bindings()) == (200, {"h1": "ACTIVE", "h2": "INACTIVE"})
        assert (await nova("DELETE", f"{path}/h2")).status == 204
        missing = await nova("DELETE", f"{path}/h2")
        assert (missing.status, missing.error) == (404, "PortBindingNotFound")
        assert (await nova("DELETE", f"{path}/h1")).status == 204
        assert (await bindings(), await served("h1")) == ({}, [])
        assert (await admin("GET", f"/v2.0/ports/{port_id}")).json["port"]["binding:vif_type"] == "unbound"
        steps = [
            one["step"] for one in (await admin("GET", f"/v2.0/ports/{port_id}/timeline")).json["timeline"]
        ]
        assert [one for one in steps if one.startswith("port_binding")] == [
            "port_binding create",
            "port_binding delete",
        ]

    tell(story, tmp_path, kind)


def test_bindings_that_are_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        nova = api.as_("service")
        port_id, path = await _a_guest(api)
        assert (await api("GET", path)).status == 403
        assert (await api("POST", path, {"binding": {"host": "h1"}})).status == 403
        assert (await nova("POST", path, {"binding": {}})).status == 400
        assert (await nova("POST", path, {"binding": {"host": "h1", "vnic_type": "odd"}})).status == 400
        assert (await nova("POST", path, {"binding": {"host": "h1", "color": 1}})).status == 400
        # Nobody plugs such a kind here, and nobody has heard of the other host.
        for odd in ({"host": "h1", "vnic_type": "direct"}, {"host": "h9"}):
            failed = await nova("POST", path, {"binding": odd})
            assert (failed.status, failed.error) == (500, "HTTPInternalServerError")
        assert (await nova("GET", path)).json == {"bindings": []}
        large = {"host": "h1", "profile": {"key": "x" * 5000}}
        assert "binding:profile value too large" in (await nova("POST", path, {"binding": large})).message
        await nova("POST", path, {"binding": {"host": "h1"}})
        await nova("POST", path, {"binding": {"host": "h2"}})
        # A request for the port itself takes the waiting binding's place.
        await nova("PUT", f"/v2.0/ports/{port_id}", {"port": {"binding:host_id": "h2"}})
        found = (await nova("GET", path)).json["bindings"]
        assert [(one["host"], one["status"]) for one in found] == [("h2", "ACTIVE")]
        changed = await nova("PUT", f"{path}/h2", {"binding": {"host": "h1", "profile": {"a": 1}}})
        assert (changed.status, changed.json["binding"]["profile"]) == (200, {"a": 1})
        network = (await api("GET", f"/v2.0/ports/{port_id}")).json["port"]["network_id"]
        plain = await api.make("port", network_id=network)
        other = await nova("GET", f"/v2.0/ports/{plain['id']}/bindings")
        assert (other.status, other.error) == (400, "BadRequest")

    tell(story, tmp_path)


def test_attributes_that_extensions_add(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network()
        await api.report("h1", tunneling_ip="192.0.2.1")
        usual = {
            "ip_allocation": "immediate",
            "data_plane_status": None,
            "propagate_uplink_status": True,
            "device_profile": None,
            "hardware_offload_type": None,
            "numa_affinity_policy": None,
        }
        plain = await api.make("port", network_id=network)
        assert {name: plain[name] for name in usual} == usual
        assert not {"trusted", "hints"} & plain.keys()
        path = f"/v2.0/ports/{plain['id']}"

        async def put(person: Cloud, **values: Any) -> Any:
            return await person("PUT", path, {"port": values})

        for name, value in (("trusted", True), ("hints", None), ("data_plane_status", "DOWN")):
            assert (await put(api, **{name: value})).status == 403
        hints = {"openvswitch": {"other_config": {"tx-steering": "hash"}}}
        changed = await put(admin, trusted=True, hints=hints, data_plane_status="DOWN")
        assert changed.status == 200
        assert changed.json["port"]["binding:profile"] == {"trusted": True}
        await put(admin, **{"binding:host_id": "h1"})
        (device,) = (await api.switch("h1")).devices
        assert device.tx_steering == "hash"
        await put(admin, hints=None)
        assert (await api.switch("h1")).devices[0].tx_steering is None
        values = {"numa_affinity_policy": "socket", "propagate_uplink_status": False}
        assert (await put(api, **values)).status == 200
        shown = (await api("GET", path)).json["port"]
        assert {name: shown[name] for name in values} == values
        for wrong in (
            {"numa_affinity_policy": "often"},
            {"data_plane_status": "UP"},
            {"hints": {"openvswitch": {"other_config": {"tx-steering": "luck"}}}},
            {"hints": {"openvswitch": {"options": {}}}},
            {"device_profile": "late"},
            {"trusted": None},
        ):
            assert (await put(admin, **wrong)).status == 400, wrong
        offloaded = await admin.make(
            "port", network_id=network, hardware_offload_type="switchdev", device_profile="gpu"
        )
        assert offloaded["binding:profile"] == {"capabilities": ["switchdev"]}
        assert offloaded["device_profile"] == "gpu"
        bare = await api.make("port", network_id=network, fixed_ips=[])
        assert bare["ip_allocation"] == "none"
        found = (await api("GET", "/v2.0/ports?ip_allocation=none")).json["ports"]
        assert [one["id"] for one in found] == [bare["id"]]

    tell(story, tmp_path)


def test_a_physical_device_gives_its_port_its_address(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        nova = api.as_("service")
        network, _ = await api.a_network()
        port = await api.make(
            "port",
            network_id=network,
            device_id="guest",
            device_owner="compute:nova",
            **{"binding:vnic_type": "direct-physical"},
        )
        path = f"/v2.0/ports/{port['id']}"
        profile = {"device_mac_address": "52:54:00:12:34:56"}
        bound = await nova("PUT", path, {"port": {"binding:host_id": "h1", "binding:profile": profile}})
        assert bound.json["port"]["mac_address"] == "52:54:00:12:34:56"
        freed = {"binding:host_id": "", "device_id": "", "device_owner": "", "binding:profile": {}}
        after = (await nova("PUT", path, {"port": freed})).json["port"]
        assert after["mac_address"] != "52:54:00:12:34:56"

    tell(story, tmp_path)


def test_a_host_of_linux_bridges_binds_as_a_bridge(tmp_path: Path) -> None:
    """It is in the mesh of tunnels with hosts of Open vSwitch, and in the list of agents."""

    async def story(api: Cloud) -> None:
        network, _ = await api.a_network()
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1")
        await api.report("h2", tunneling_ip="192.0.2.2", interface_mappings={"physnet1": "eth1"})
        made = [
            await admin.make("port", network_id=network, **{"binding:host_id": host}) for host in ("h1", "h2")
        ]
        assert [port["binding:vif_type"] for port in made] == ["ovs", "bridge"]
        details = made[1]["binding:vif_details"]
        assert details == {"connectivity": "l2", "port_filter": True, "bound_drivers": {"0": "linuxbridge"}}
        ends = {}
        for host in ("h1", "h2"):
            state = await api.switch(host)
            ends[host] = [entry.tunneling_ip for one in state.networks for entry in one.forwarding]
            assert {end.host for end in state.tunnels} >= {"h1", "h2"} - {host}
        assert ends == {"h1": ["192.0.2.2"], "h2": ["192.0.2.1"]}
        listed = (await admin("GET", "/v2.0/agents?agent_type=Linux+bridge+agent")).json["agents"]
        assert [(one["host"], one["binary"]) for one in listed] == [("h2", "neutron-linuxbridge-agent")]
        await api.status("h2", up=(made[1]["id"],))
        assert (await api("GET", f"/v2.0/ports/{made[1]['id']}")).json["port"]["status"] == "ACTIVE"

    tell(story, tmp_path)
