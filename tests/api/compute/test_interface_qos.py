"""A rule set of seed 004 for a server's interfaces: a field of the order, or a hint of the stock client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.compute.cloud import P1, Cloud, Node, tell

from pileus.wire.qos import RateLimit
from pileus.wire.switch import SwitchStateRequest


@pytest.mark.parametrize("way", ["field", "hint"])
def test_ports_that_a_server_is_given_have_the_rule_set(way: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        rule_set = {"name": "slow", "rate": 2000, "burst": 200, "tenant_id": P1}
        made = await api.as_("admin")("POST", "/networking/v2.0/ovsqoss", {"ovsqos": rule_set})
        assert made.status == 201, made
        policy = made.json["ovsqos"]["id"]
        order: dict[str, Any] = {"networks": [{"uuid": network_id}]}
        if way == "field":
            server = await api.boot(host, interface_qos=policy, **order)
        else:
            server = await api.boot(host, hints={"interface_qos": policy}, **order)
        (port,) = await api.ports_of(server["id"])
        assert port["qos_policy_id"] == policy
        told: Any = await api.wire["switch_state"](
            SwitchStateRequest("h1", devices=(port["id"],)), Node("h1")
        )
        (device,) = told.devices
        assert device.rate_limit == RateLimit(policy, 2000, 200)

    tell(story, tmp_path)
