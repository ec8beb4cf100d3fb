"""QoS in both spellings over the same rows, and the administration of quotas."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell

from pileus.resource.quota import quota_spend
from pileus.services.network.routers.work import ROUTER_QUOTA
from pileus.store.tx import Tx


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_limit_reaches_the_switch(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, manager = api.as_("admin"), api.as_("manager")
        network, _ = await api.a_network()
        await api.report("h1", tunneling_ip="192.0.2.1")
        # The seed: quantum qos-create --name spch2008 --rate 1000 --burst 100
        answer = await manager(
            "POST", "/v2.0/ovsqoss", {"ovsqos": {"name": "spch2008", "rate": 1000, "burst": 100}}
        )
        assert answer.status == 201
        made = answer.json["ovsqos"]
        assert made == {
            "id": made["id"],
            "name": "spch2008",
            "rate": 1000,
            "burst": 100,
            "tenant_id": P1,
            "project_id": P1,
        }
        policy = (await api("GET", f"/v2.0/qos/policies/{made['id']}")).json["policy"]
        (rule,) = policy["rules"]
        assert (rule["max_kbps"], rule["max_burst_kbps"], rule["direction"]) == (1000, 100, "egress")
        port = await api.make("port", network_id=network, qos_policy_id=made["id"])
        await admin("PUT", f"/v2.0/ports/{port['id']}", {"port": {"binding:host_id": "h1"}})

        async def limit() -> tuple[str, int, int]:
            found = (await api.switch("h1")).devices[0].rate_limit
            return (found.qos_id, found.rate_kbps, found.burst_kb)

        assert await limit() == (made["id"], 1000, 100)
        before = (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position
        path = f"/v2.0/qos/policies/{made['id']}/bandwidth_limit_rules/{rule['id']}"
        assert (await manager("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 2000}})).status == 200
        assert await limit() == (made["id"], 2000, 100)
        # On servers events get their positions right after the commit, by whoever relays them.
        while (await api.report("h1", start=False, tunneling_ip="192.0.2.1")).position <= before:
            await asyncio.sleep(0.01)
        changed = await manager(
            "PUT", f"/v2.0/ovsqoss/{made['id']}", {"ovsqos": {"rate": 500, "name": "slow"}}
        )
        assert (changed.json["ovsqos"]["rate"], changed.json["ovsqos"]["burst"]) == (500, 100)
        assert await limit() == (made["id"], 500, 100)
        used = await manager("DELETE", f"/v2.0/ovsqoss/{made['id']}")
        assert (used.status, used.error) == (409, "QosPolicyInUse")
        await api("PUT", f"/v2.0/ports/{port['id']}", {"port": {"qos_policy_id": None}})
        assert (await api.switch("h1")).devices[0].rate_limit is None
        await api("PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": made["id"]}})
        assert await limit() == (made["id"], 500, 100)
        await api("PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": None}})
        assert (await manager("DELETE", f"/v2.0/ovsqoss/{made['id']}")).status == 204
        assert (await api("GET", "/v2.0/ovsqoss")).json == {"ovsqoss": []}

    tell(story, tmp_path, kind)


def test_policies_as_today(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager = api.as_("manager")
        assert (await api("POST", "/v2.0/qos/policies", {"policy": {"name": "x"}})).status == 403
        policy = await manager.make("policy", name="gold", description="d")
        assert policy["rules"] == [] and policy["shared"] is False
        rules = f"/v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules"
        body = {"bandwidth_limit_rule": {"max_kbps": 3000}}
        rule = (await manager("POST", rules, body)).json["bandwidth_limit_rule"]
        assert rule == {"id": rule["id"], "max_kbps": 3000, "max_burst_kbps": 0, "direction": "egress"}
        second = await manager("POST", rules, body)
        assert (second.status, second.error) == (409, "QoSRulesConflict")
        assert (await api("GET", rules)).json == {"bandwidth_limit_rules": [rule]}
        assert (await api.as_("bob")("GET", f"{rules}/{rule['id']}")).status == 404
        unknown = "/v2.0/qos/policies/11111111-2222-3333-4444-555555555555/bandwidth_limit_rules"
        assert (await manager("POST", unknown, body)).error == "QosPolicyNotFound"
        assert (await manager("POST", rules, {"bandwidth_limit_rule": {"max_kbps": -1}})).status == 400
        assert (await manager("DELETE", f"{rules}/{rule['id']}")).status == 204
        # Made by today's face without a limit, and given one through the seed's.
        flat = f"/v2.0/ovsqoss/{policy['id']}"
        assert (await manager("GET", flat)).json["ovsqos"]["rate"] is None
        changed = await manager("PUT", flat, {"ovsqos": {"rate": 7}})
        assert changed.status == 200
        assert (await manager("GET", rules)).json["bandwidth_limit_rules"][0]["max_kbps"] == 7

    tell(story, tmp_path)


def test_quotas(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, manager = api.as_("admin"), api.as_("manager")
        path = f"/v2.0/quotas/{P1}"
        defaults = (await manager("GET", f"{path}/default")).json["quota"]
        assert defaults == {
            "network": 100,
            "subnet": 100,
            "subnetpool": -1,
            "port": 500,
            "rbac_policy": 10,
            "router": 50,
            "floatingip": 50,
            "security_group": 10,
            "security_group_rule": 100,
            "trunk": -1,
            "tap_service": -1,
            "tap_flow": -1,
            "tap_mirror": -1,
            "local_ip": -1,
            "l2_gateway": 5,
        }
        assert (await manager("GET", path)).json["quota"] == defaults
        assert (await api("GET", path)).json["quota"] == defaults
        assert (await api.as_("bob")("GET", path)).status == 403
        assert (await manager("GET", f"/v2.0/quotas/{P2}")).status == 403
        assert (await manager("PUT", path, {"quota": {"network": 5}})).status == 403
        changed = await admin("PUT", path, {"quota": {"network": 2, "subnet": -1}})
        assert changed.json["quota"] == {**defaults, "network": 2, "subnet": -1}
        for wrong in ({"network": -2}, {"network": "many"}, {"colour": 3}, {"network": 2**31}):
            assert (await admin("PUT", path, {"quota": wrong})).status == 400
        two = await api("POST", "/v2.0/networks", {"networks": [{}, {}]})
        assert two.status == 201
        over = await api("POST", "/v2.0/networks", {"network": {}})
        assert (over.status, over.error) == (409, "OverQuota")
        details = (await admin("GET", f"{path}/details.json")).json["quota"]
        assert details["network"] == {"limit": 2, "used": 2, "reserved": 0}
        listed = (await admin("GET", "/v2.0/quotas")).json["quotas"]
        assert [one["project_id"] for one in listed] == [P1]
        assert (await admin("DELETE", path)).status == 204
        assert (await manager("GET", path)).json["quota"] == defaults

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_who_is_far_from_a_limit_waits_for_nobody_and_near_it_it_is_exact(kind: str, tmp_path: Path) -> None:
    """Many at once, one each, beside bulks; those that meet near the limit in a deadlock are run again."""

    def slowly(tx: Tx, held: threading.Event, done: threading.Event) -> None:
        quota_spend(tx, {P1: 1}, ROUTER_QUOTA)
        held.set()
        assert done.wait(30)

    async def story(api: Cloud) -> None:
        admin = api.as_("admin")

        async def router(many: int = 1) -> int:
            answer = await api("POST", "/v2.0/routers", {"routers": [{"name": "r"}] * many})
            return answer.status

        async def limit(most: int) -> None:
            await admin("PUT", f"/v2.0/quotas/{P1}", {"quota": {"router": most}})

        await limit(1000)
        assert await router() == 201  # whoever was near a limit before is seen not to be any more
        if kind != "sqlite":  # which has one writer
            held, done = threading.Event(), threading.Event()
            waiting = asyncio.create_task(api.store.write(slowly, held, done))
            try:
                assert await asyncio.to_thread(held.wait, 30)
                async with asyncio.timeout(20):
                    assert [await router() for _ in range(3)] == [201] * 3
            finally:
                done.set()
            await waiting
        await limit(60)
        statuses = await asyncio.gather(*(router(4 if number % 9 == 8 else 1) for number in range(80)))
        assert set(statuses) == {201, 409}
        while await router() == 201:
            pass
        assert len((await api("GET", "/v2.0/routers?fields=id")).json["routers"]) == 60

    tell(story, tmp_path, kind)
