"""Filters named many times: an answer or a refusal, on each database, and never a fault of the server's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import databases
from tests.api.network.cloud import CONFIG, Cloud, tell

from pileus.core.clock import ManualClock
from pileus.services.network.service import network_service

_PLURALS = {"policies": "qos/policies"}
_VALUES = {
    "fixed_ips": ("ip_address=10.0.{}.{}", "ip_address_substr=10.{}.{}", "subnet_id={}-{}"),
    "ip_address": ("10.0.{}.{}",),
}


@pytest.mark.parametrize("kind", databases.KINDS)
def test_a_filter_that_is_repeated_is_answered_or_refused(tmp_path: Path, kind: str) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        await api.a_network()
        faults = []
        for resource in network_service(CONFIG, ManualClock()).resources:
            path = _PLURALS.get(resource.plural, resource.collection)
            if resource.name == "bandwidth_limit_rule" or (kind != "sqlite" and resource.name != "port"):
                continue
            asked = [one.name for one in resource.attributes.values() if one.filter]
            if "tags" in resource.attributes:
                asked += ["tags", "tags-any", "not-tags", "not-tags-any"]
            for name in asked:
                for form in _VALUES.get(name, ("{}{}",)):
                    query = "&".join(f"{name}={form.format(one // 250, one % 250)}" for one in range(600))
                    answer = await admin("GET", f"/v2.0/{path}?{query}")
                    if answer.status >= 500:
                        faults.append((resource.name, name, form, answer.json))
            together = "&".join(f"{name}={one}" for name in asked for one in range(900 // len(asked)))
            answer = await admin("GET", f"/v2.0/{path}?{together}")
            if answer.status >= 500:
                faults.append((resource.name, "all together", "", answer.json))
        for several in ("tags", "tags-any", "not-tags", "not-tags-any"):
            tags = ",".join(map(str, range(1500)))
            answer = await admin("GET", f"/v2.0/networks?{several}={tags}")
            if answer.status >= 500:
                faults.append(("network", several, "commas", answer.json))
        for name in ("sort_key=name&sort_dir=asc", "fields=name"):
            answer = await admin("GET", "/v2.0/ports?" + "&".join([name] * 450))
            if answer.status >= 500:
                faults.append(("port", name, "", answer.json))
        assert faults == []

    tell(story, tmp_path, kind)
