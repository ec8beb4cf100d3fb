"""Ports that one caller asks for at the same moment: made by few units, each as if it had been alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import P1, P2, Cloud, tell


@pytest.mark.parametrize("kind", databases.KINDS)
def test_each_request_has_its_own_answer_and_its_own_event(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin, bob = api.as_("admin"), api.as_("bob")
        network, _ = await api.a_network("10.0.0.0/24")
        taken = await api.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.77"}])
        good = {"network_id": network}
        bodies = [
            *({**good, "name": f"port-{number}"} for number in range(8)),
            {**good, "fixed_ips": [{"ip_address": "10.0.0.77"}]},
            {**good, "binding:host_id": "h1"},
            {"network_id": "00000000-0000-4000-8000-00000000dead"},
            *({**good, "name": f"port-{number}"} for number in range(8, 16)),
        ]
        asked = [api("POST", "/v2.0/ports", {"port": body}) for body in bodies]
        foreign = bob("POST", "/v2.0/ports", {"port": good})
        *answers, refused = await asyncio.gather(*asked, foreign)
        statuses = [one.status for one in answers]
        assert statuses == [201] * 8 + [409, 403, 404] + [201] * 8
        assert refused.status == 404, "nobody's rights are lent to another"

        made = [one for one in answers if one.status == 201]
        assert [one.json["port"]["name"] for one in made] == [f"port-{number}" for number in range(16)]
        # Those that are all well go together, to the end.
        more = [api("POST", "/v2.0/ports", {"port": {**good, "name": f"more-{n}"}}) for n in range(16)]
        before = api.store.statements
        more_made = await asyncio.gather(*more)
        assert [one.status for one in more_made] == [201] * 16, more_made
        made += more_made
        assert api.store.statements - before < 60, "few units, not sixteen"
        addresses = [one.json["port"]["fixed_ips"][0]["ip_address"] for one in made]
        assert len({*addresses, "10.0.0.77"}) == 33
        for one in made:
            path = f"/v2.0/ports/{one.json['port']['id']}"
            (step,) = (await admin("GET", f"{path}/timeline")).json["timeline"]
            assert step["request_id"] == one.headers["x-openstack-request-id"]
        listed = (await admin("GET", f"/v2.0/ports?network_id={network}&device_owner=")).json["ports"]
        assert len(listed) == 33 and taken["id"] in {one["id"] for one in listed}

    tell(story, tmp_path, kind)


def test_a_quota_is_exact_for_those_who_come_together(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        network, _ = await api.a_network("10.0.0.0/24")
        other = await admin.make("network", name="shared", shared=True)
        await admin.make("subnet", network_id=other["id"], cidr="10.9.0.0/24", ip_version=4)
        used = len((await api("GET", "/v2.0/ports")).json["ports"])
        for project in (P1, P2):
            await admin("PUT", f"/v2.0/quotas/{project}", {"quota": {"port": used + 5}})
        mine = [api("POST", "/v2.0/ports", {"port": {"network_id": network}}) for _ in range(20)]
        bobs = [
            api.as_("bob")("POST", "/v2.0/ports", {"port": {"network_id": other["id"]}}) for _ in range(20)
        ]
        statuses = [one.status for one in await asyncio.gather(*mine, *bobs)]
        assert Counter(statuses[:20]) == {201: 5, 409: 15}
        assert Counter(statuses[20:]) == {201: used + 5, 409: 15 - used}

    tell(story, tmp_path)
