"""The line: network, subnet, port, a host's agent, ACTIVE; then everything deleted, and nothing left over."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests import databases
from tests.api.network.cloud import P1, Cloud, tell

from pileus.services.network.networks.tables import networks, segments
from pileus.services.network.ports.tables import ports
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations, subnets
from pileus.store import Tx


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_line(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1")
        await api.report("h2", tunneling_ip="192.0.2.2")
        network = await api.make("network", name="blue")
        assert network["status"] == "ACTIVE" and network["mtu"] == 1450 and network["subnets"] == []
        assert "provider:network_type" not in network
        seen = (await admin("GET", f"/v2.0/networks/{network['id']}")).json["network"]
        assert seen["provider:network_type"] == "vxlan" and 1 <= seen["provider:segmentation_id"] <= 10000
        subnet = await api.make("subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        assert subnet["gateway_ip"] == "10.0.0.1"
        assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]

        port = await api.make("port", network_id=network["id"])
        assert port["status"] == "DOWN" and port["mac_address"].startswith("fa:16:3e:")
        assert [ip["subnet_id"] for ip in port["fixed_ips"]] == [subnet["id"]]
        assert len(port["security_groups"]) == 1 and port["tenant_id"] == P1
        assert "binding:host_id" not in port
        path = f"/v2.0/ports/{port['id']}"
        bound = await admin("PUT", path, {"port": {"binding:host_id": "h1"}})
        assert bound.json["port"]["binding:vif_type"] == "ovs"
        other = await admin.make("port", network_id=network["id"], project_id=P1, **{"binding:host_id": "h2"})

        state = await api.switch("h1")
        assert [device.port_id for device in state.devices] == [port["id"]]
        assert state.devices[0].fixed_ips[0].cidr == "10.0.0.0/24"
        assert [(one.host, one.tunneling_ip) for one in state.tunnels] == [("h2", "192.0.2.2")]
        (blue,) = state.networks
        assert blue.segment.segmentation_id == seen["provider:segmentation_id"] and blue.mtu == 1450
        assert [(one.mac_address, one.tunneling_ip) for one in blue.forwarding] == [
            (other["mac_address"], "192.0.2.2")
        ]
        (group,) = state.security_groups
        assert len(group.rules) == 4
        assert set(group.member_ips) == {one["fixed_ips"][0]["ip_address"] for one in (port, other)}

        # Another host's word does not count.
        await api.status("h2", up=(port["id"],))
        assert (await api("GET", path)).json["port"]["status"] == "DOWN"
        await api.status("h1", up=(port["id"],))
        assert (await api("GET", path)).json["port"]["status"] == "ACTIVE"
        await api.status("h1", down=(port["id"],))
        assert (await api("GET", path)).json["port"]["status"] == "DOWN"

        refused = await api("DELETE", f"/v2.0/networks/{network['id']}")
        assert (refused.status, refused.error) == (409, "NetworkInUse")
        refused = await api("DELETE", f"/v2.0/subnets/{subnet['id']}")
        assert (refused.status, refused.error) == (409, "SubnetInUse")
        for one in (port, other):
            assert (await api("DELETE", f"/v2.0/ports/{one['id']}")).status == 204
        assert (await api("DELETE", f"/v2.0/networks/{network['id']}")).status == 204
        assert await api.store.read(_left_over) == 0
        assert (await api.switch("h1")).devices == ()

    tell(story, tmp_path, kind)


def _left_over(tx: Tx) -> int:
    tables = (networks, segments, subnets, ports, ip_allocations, security_group_ports)
    return sum(tx.scalar(select(func.count()).select_from(table)) for table in tables)
