"""Metering labels and rules, what agents are told of them, and what they have counted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests import databases
from tests.api.network.cloud import CONFIG, P1, P2, Answer, Cloud, Node, tell
from tests.api.network.test_routers import refused

from pileus.wire.l3 import MeteringLabel, MeteringRule
from pileus.wire.metering import MeteringCount, MeteringReport

LABELS, RULES = "/v2.0/metering/metering-labels", "/v2.0/metering/metering-label-rules"


async def label(api: Cloud, **values: Any) -> dict[str, Any]:
    answer = await api("POST", LABELS, {"metering_label": {"name": "traffic", **values}})
    assert answer.status == 201, answer
    made: dict[str, Any] = answer.json["metering_label"]
    return made


async def rule(api: Cloud, of: dict[str, Any], **values: Any) -> Answer:
    body = {"metering_label_id": of["id"], "direction": "egress", **values}
    return await api("POST", RULES, {"metering_label_rule": body})


async def counters(api: Cloud, of: dict[str, Any]) -> list[tuple[str, int, int]]:
    answer = await api("GET", f"{LABELS}/{of['id']}/counters")
    return [(one["router_id"], one["packets"], one["bytes"]) for one in answer.json["counters"]]


@pytest.mark.parametrize("kind", databases.KINDS)
def test_what_is_counted(kind: str, tmp_path: Path) -> None:
    sent: list[tuple[str, dict[str, Any], dt.datetime, str]] = []

    async def story(api: Cloud) -> None:
        manager, admin = api.as_("manager"), api.as_("admin")
        await api.node("h1", "L3 agent")
        outside, _ = await admin.an_outside()
        mine = await api.make("router", external_gateway_info={"network_id": outside})
        theirs = await admin.make("router", external_gateway_info={"network_id": outside})
        own, shared = await label(manager), await label(admin, shared=True)
        assert (own["project_id"], own["shared"]) == (P1, False) and shared["project_id"] == P2
        made = await rule(manager, own, remote_ip_prefix="10.0.0.0/24")
        assert made.status == 201, made
        first = made.json["metering_label_rule"]
        assert first == {
            "id": first["id"],
            "metering_label_id": own["id"],
            "direction": "egress",
            "excluded": False,
            "remote_ip_prefix": "10.0.0.0/24",
            "source_ip_prefix": None,
            "destination_ip_prefix": None,
        }
        await rule(admin, shared, direction="ingress", excluded=True, source_ip_prefix="192.0.2.0/24")
        told = {router.router_id: router.metering_labels for router in (await api.routing("h1")).routers}
        of_all = MeteringLabel(shared["id"], (MeteringRule("ingress", True, "192.0.2.0/24", None),))
        of_one = MeteringLabel(own["id"], (MeteringRule("egress", False, "10.0.0.0/24", None),))
        assert told[theirs["id"]] == (of_all,)
        assert set(told[mine["id"]]) == {of_all, of_one}

        async def report(packets: int, octets: int, host: str = "h1") -> None:
            count = MeteringCount(own["id"], mine["id"], packets, octets)
            gone = MeteringCount(mine["id"], mine["id"], 1, 1)
            await api.wire["metering_report"](MeteringReport(host, (count, gone)), Node(host))

        await report(5, 500)
        await report(5, 500)
        api.clock.advance(30)
        await report(8, 800)
        # So others are told as by Neutron's metering agent: of what came, and of nothing that did not.
        first_at, second_at = (int(at.replace(tzinfo=dt.UTC).timestamp()) for _, _, at, _ in sent)
        ids = {"host": "h1", "label_id": own["id"], "project_id": P1}
        assert [(kind, payload, publisher) for kind, payload, _, publisher in sent] == [
            (
                "l3.meter",
                {
                    "pkts": 5, "bytes": 500, "time": 0, "first_update": first_at, "last_update": first_at,
                    **ids,
                },
                "metering.h1",
            ),
            (
                "l3.meter",
                {
                    "pkts": 3, "bytes": 300, "time": 30, "first_update": first_at, "last_update": second_at,
                    **ids,
                },
                "metering.h1",
            ),
        ]  # fmt: skip
        assert second_at == first_at + 30
        assert await counters(api, own) == [(mine["id"], 8, 800)]
        await report(2, 200)  # the namespace was made anew
        assert await counters(api, own) == [(mine["id"], 10, 1000)]
        await report(99, 9900, "h2")
        assert await counters(api, own) == [(mine["id"], 10, 1000)], "not that host's router"

        assert (await manager("DELETE", f"{RULES}/{first['id']}")).status == 204
        told = {router.router_id: router.metering_labels for router in (await api.routing("h1")).routers}
        assert told[mine["id"]] == (of_all,)
        assert (await manager("DELETE", f"{LABELS}/{own['id']}")).status == 204
        refused(await api("GET", f"{LABELS}/{own['id']}"), 404, "MeteringLabelNotFound", own["id"])
        assert (await api("DELETE", f"/v2.0/routers/{mine['id']}")).status == 204

    tell(story, tmp_path, kind, replace(CONFIG, notify=lambda *one: sent.append(one)))


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        manager = api.as_("manager")
        own = await label(manager)
        refused(await api("POST", LABELS, {"metering_label": {"name": "x"}}), 403, "PolicyNotAuthorized")
        refused(await manager("POST", LABELS, {"metering_label": {"name": "x" * 256}}), 400, "HTTPBadRequest")
        refused(await rule(manager, own), 400, "InvalidMeteringRule", "You must define at least one of")
        both = {"remote_ip_prefix": "10.0.0.0/24", "source_ip_prefix": "10.0.0.0/24"}
        refused(await rule(manager, own, **both), 400, "InvalidMeteringRule", "in conjunction with")
        assert (await rule(manager, own, remote_ip_prefix="10.0.0.0/24")).status == 201
        overlap = await rule(manager, own, remote_ip_prefix="10.0.0.128/25")
        refused(overlap, 409, "MeteringLabelRuleOverlaps", "'10.0.0.128/25' overlaps another")
        assert (await rule(manager, own, remote_ip_prefix="10.0.0.0/8", excluded=True)).status == 201
        assert (await rule(manager, own, remote_ip_prefix="10.0.0.0/8", direction="ingress")).status == 201
        none = {"id": "0" * 8 + own["id"][8:]}
        refused(await rule(manager, none, remote_ip_prefix="10.0.0.0/8"), 404, "MeteringLabelNotFound")
        assert (await api.as_("bob")("GET", LABELS)).json == {"metering_labels": []}
        assert (await api.as_("bob")("GET", RULES)).json == {"metering_label_rules": []}
        assert (await api("GET", f"{RULES}?id=33")).json == {"metering_label_rules": []}
        refused(await api("DELETE", f"{LABELS}/{own['id']}"), 403, "PolicyNotAuthorized")

    tell(story, tmp_path)
