"""Many clients at once do as they please; afterwards what is kept twice is still the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select
from tests import databases
from tests.api.network.cloud import P1, Cloud, tell

from pileus.services.network.ports.tables import ports
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store import Tx

CLIENTS, STEPS = 8, 15


@pytest.mark.parametrize("kind", databases.KINDS)
def test_addresses_and_memberships_agree_with_their_keys(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.report("h1", tunneling_ip="192.0.2.1")
        network, subnet = await api.a_network("10.0.0.0/27")
        groups = [(await api.make("security_group", name=name))["id"] for name in "abc"]
        statuses: Counter[int] = Counter()

        async def client(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(STEPS):
                mine = [one["id"] for one in (await api("GET", "/v2.0/ports?fields=id")).json["ports"]]
                path = f"/v2.0/ports/{dice.choice(mine)}" if mine else ""
                some = dice.sample(groups, dice.randrange(3))
                address = {"ip_address": f"10.0.0.{dice.randrange(2, 31)}"}
                match dice.randrange(7) if mine else 0:
                    case 0 | 1:
                        body = {"port": {"network_id": network, "security_groups": some}}
                        answer = await api("POST", "/v2.0/ports", body)
                    case 2:
                        several = [{"network_id": network}, {"network_id": network, "fixed_ips": [address]}]
                        answer = await api("POST", "/v2.0/ports", {"ports": several})
                    case 3:
                        wish = [{"subnet_id": subnet}, address]
                        answer = await api("PUT", path, {"port": {"fixed_ips": wish}})
                    case 4:
                        answer = await api("PUT", path, {"port": {"security_groups": some}})
                    case 5:
                        answer = await admin("PUT", path, {"port": {"binding:host_id": "h1"}})
                    case _:
                        answer = await api("DELETE", path)
                statuses[answer.status] += 1

        await asyncio.gather(*(client(seed) for seed in range(CLIENTS)))
        assert set(statuses) <= {200, 201, 204, 404, 409}, statuses
        assert statuses[201] and statuses[204] and statuses[409]
        in_rows, in_keys = await api.store.read(_kept_twice)
        assert in_rows == in_keys
        assert len(in_rows) == len(set(in_rows))
        details = (await admin("GET", f"/v2.0/quotas/{P1}/details.json")).json["quota"]
        assert details["port"]["used"] == len((await api("GET", "/v2.0/ports?fields=id")).json["ports"])
        devices = (await api.switch("h1")).devices
        bound = (await admin("GET", "/v2.0/ports?binding:host_id=h1&fields=id")).json["ports"]
        assert {one.port_id for one in devices} == {one["id"] for one in bound}

    tell(story, tmp_path, kind)


def _kept_twice(tx: Tx) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    in_rows = []
    for row in tx.rows(select(ports.c.id, ports.c.fixed_ips, ports.c.security_groups)):
        in_rows += [(row.id, ip["subnet_id"], ip["ip_address"]) for ip in row.fixed_ips]
        in_rows += [(row.id, "group", group) for group in row.security_groups]
    allocations = select(ip_allocations.c.port_id, ip_allocations.c.subnet_id, ip_allocations.c.ip_address)
    in_keys = [(row.port_id, row.subnet_id, row.ip_address) for row in tx.rows(allocations)]
    members = select(security_group_ports.c.port_id, security_group_ports.c.security_group_id)
    in_keys += [(row.port_id, "group", row.security_group_id) for row in tx.rows(members)]
    return sorted(in_rows), sorted(in_keys)
