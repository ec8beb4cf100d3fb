"""Local IPs: made with a port or on a network, led to ports, refused; and what switch agents are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from tests import databases
from tests.api.network.cloud import P1, Answer, Cloud, tell

from pileus.services.network.local_ips.tables import local_ip_associations, local_ips
from pileus.store import Tx
from pileus.wire.switch import LocalIP


def refused(answer: Answer, status: int, error: str, *words: str) -> None:
    assert (answer.status, answer.error) == (status, error), answer
    for word in words:
        assert word in answer.json["NeutronError"]["message"]


async def associate(api: Cloud, local_ip: dict[str, Any], **values: Any) -> Answer:
    path = f"/v2.0/local_ips/{local_ip['id']}/port_associations"
    return await api("POST", path, {"port_association": values})


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_local_ip(kind: str, tmp_path: Path) -> None:
    async def told(api: Cloud, port: dict[str, Any]) -> tuple[LocalIP, ...]:
        (device,) = (await api.switch("n1", devices=(port["id"],))).devices
        return device.local_ips  # type: ignore[no-any-return]

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("n1", tunneling_ip="192.0.2.1")
        network, _ = await api.a_network()
        made = await api.make("local_ip", network_id=network, name="cache", description="near")
        address = made["local_ip_address"]
        assert made["project_id"] == P1 and made["ip_mode"] == "translate" and address.startswith("10.0.0.")
        (own,) = (await api("GET", f"/v2.0/ports?device_id={made['id']}")).json["ports"]
        assert own["id"] == made["local_port_id"] and own["device_owner"] == "network:local_ip"
        assert own["fixed_ips"][0]["ip_address"] == address
        (listed,) = (await api("GET", f"/v2.0/local-ips?name=cache&network_id={network}")).json["local_ips"]
        assert listed == made
        renamed = await api("PUT", f"/v2.0/local-ips/{made['id']}", {"local_ip": {"name": "x"}})
        assert renamed.json["local_ip"] == {**made, "name": "x"}

        port = await admin.make("port", network_id=network, project_id=P1, **{"binding:host_id": "n1"})
        fixed = port["fixed_ips"][0]["ip_address"]
        answer = await associate(api, made, fixed_port_id=port["id"])
        shown = {
            "local_ip_id": made["id"],
            "local_ip_address": address,
            "fixed_port_id": port["id"],
            "fixed_ip": fixed,
            "host": "n1",
        }
        assert (answer.status, answer.json) == (201, {"port_association": shown})
        path = f"/v2.0/local_ips/{made['id']}/port_associations"
        assert (await api("GET", f"{path}/{port['id']}")).json == {"port_association": shown}
        assert (await api("GET", f"{path}?host=n1")).json == {"port_associations": [shown]}
        assert (await api("GET", f"{path}?host=n2")).json == {"port_associations": []}
        assert await told(api, port) == (LocalIP(made["id"], address, fixed),)
        refused(await associate(api, made, fixed_port_id=port["id"]), 409, "NeutronDbObjectDuplicateEntry")
        refused(await api("DELETE", f"/v2.0/local-ips/{made['id']}"), 409, "LocalIPInUse", made["id"])
        refused(await api("DELETE", f"/v2.0/ports/{own['id']}"), 409, "ServicePortInUse", "Local IPs")
        refused(await api("DELETE", f"/v2.0/networks/{network}"), 409, "NetworkInUse")

        assert (await api("DELETE", f"{path}/{port['id']}")).status == 204
        gone = await api("GET", f"{path}/{port['id']}")
        refused(gone, 404, "LocalIPAssociationNotFound", port["id"])
        assert await told(api, port) == ()
        assert (await api("DELETE", f"/v2.0/local-ips/{made['id']}")).status == 204
        refused(await api("GET", f"/v2.0/local-ips/{made['id']}"), 404, "LocalIPNotFound")
        refused(await api("GET", f"/v2.0/ports/{own['id']}"), 404, "PortNotFound")

        # With the address of a port, which stays; and a port that goes ends what leads to it.
        passing = await api.make("local_ip", local_port_id=port["id"], ip_mode="passthrough")
        assert (passing["local_ip_address"], passing["network_id"]) == (fixed, network)
        other = await api.make("port", network_id=network)
        assert (await associate(api, passing, fixed_port_id=other["id"])).status == 201
        assert (await api("DELETE", f"/v2.0/ports/{other['id']}")).status == 204
        assert (await api("DELETE", f"/v2.0/local-ips/{passing['id']}")).status == 204
        assert (await api("GET", f"/v2.0/ports/{port['id']}")).status == 200
        assert await api.store.read(_left_over) == 0

    tell(story, tmp_path, kind)


def _left_over(tx: Tx) -> int:
    tables = (local_ips, local_ip_associations)
    return sum(tx.scalar(select(func.count()).select_from(table)) for table in tables)


def test_refusals(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network, subnet = await api.a_network()
        bob = api.as_("bob")
        theirs, _ = await bob.a_network()
        foreign = await bob.make("port", network_id=theirs)
        bare = await api.make("port", network_id=network, fixed_ips=[])
        both = await api.make(
            "port", network_id=network, fixed_ips=[{"subnet_id": subnet}, {"subnet_id": subnet}]
        )
        six = await api.make("network")

        async def make(**values: Any) -> Answer:
            return await api("POST", "/v2.0/local-ips", {"local_ip": values})

        refused(await make(), 400, "LocalIPPortOrNetworkRequired")
        refused(await make(local_port_id=foreign["id"]), 400, "BadRequest", "not found")
        refused(await make(network_id=theirs), 404, "NetworkNotFound")
        refused(await make(network_id=six["id"]), 400, "BadRequest", "IPv4 subnet")
        refused(await make(local_port_id=bare["id"]), 400, "LocalIPNoIP")
        refused(await make(local_port_id=both["id"]), 400, "LocalIPNoRequestedIP")
        strange = await make(local_port_id=both["id"], local_ip_address="10.0.0.250")
        refused(strange, 400, "LocalIPRequestedIPNotFound")
        refused(await make(network_id=network, ip_mode="x"), 400, "HTTPBadRequest")
        refused(await make(network_id=network, local_ip_address="192.0.2.1"), 400, "InvalidIpForNetwork")

        made = await api.make("local_ip", network_id=network)
        refused(await associate(api, made, fixed_port_id=foreign["id"]), 400, "BadRequest", "not found")
        refused(await associate(api, made, fixed_port_id=bare["id"]), 400, "LocalIPNoIP")
        refused(await associate(api, made), 400, "HTTPBadRequest", "fixed_port_id")
        refused(await associate(api, made, fixed_port_id=both["id"], color=1), 400, "HTTPBadRequest", "color")
        refused(await associate(bob, made, fixed_port_id=foreign["id"]), 404, "LocalIPNotFound")
        chosen = both["fixed_ips"][1]["ip_address"]
        answer = await associate(api, made, fixed_port_id=both["id"], fixed_ip=chosen)
        assert answer.json["port_association"]["fixed_ip"] == chosen
        # On a network of others nobody leads packets for addresses of his own networks to himself.
        shared = (await api.as_("admin").make("network", shared=True))["id"]
        await api.as_("admin").make("subnet", network_id=shared, cidr="10.9.0.0/24", ip_version=4)
        guest = await api.make("port", network_id=shared)
        refused(await associate(api, made, fixed_port_id=guest["id"]), 400, "BadRequest", "another project")

    tell(story, tmp_path)
