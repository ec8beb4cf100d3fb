"""Where servers go: aggregates, hints, settings; the timeline says what refused which host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.api.compute.cloud import Cloud, tell

from pileus.app.settings import Settings
from pileus.services.compute.config import ComputeConfig, from_settings
from pileus.services.compute.rules.filters import CHOICE, USUAL
from pileus.services.compute.rules.scheduler import Weights
from pileus.services.compute.section import USUAL_FILTERS, ComputeSection, FilterName


async def placed(api: Cloud, **values: Any) -> tuple[str | None, list[dict[str, Any]]]:
    """Ask for a server: its host, and what was refused."""
    answer = await api.ask_for(**values)
    assert answer.status == 202, answer
    server_id = answer.json["server"]["id"]
    await api.conductor().work()
    server = (await api.as_("admin")("GET", f"/servers/{server_id}")).json["server"]
    timeline = (await api.as_("admin")("GET", f"/servers/{server_id}/os-pileus-timeline")).json["timeline"]
    refused = next(one for one in timeline if one["step"] == "schedule").get("refused", [])
    return server["OS-EXT-SRV-ATTR:host"], refused


async def aggregate(api: Cloud, host: str, **metadata: str) -> None:
    admin = api.as_("admin")
    made = (await admin("POST", "/os-aggregates", {"aggregate": {"name": host}})).json["aggregate"]["id"]
    await admin("POST", f"/os-aggregates/{made}/action", {"add_host": {"host": host}})
    reply = await admin("POST", f"/os-aggregates/{made}/action", {"set_metadata": {"metadata": metadata}})
    assert reply.status == 200


def test_aggregates_keep_hosts_for_some(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        for name, memory in (("h1", 32768), ("h2", 16384)):
            await api.host(name, memory_mib=memory)
        assert (await placed(api))[0] == "h1"
        await aggregate(api, "h1", filter_tenant_id="somebody", ssd="true")
        host, refused = await placed(api)
        assert host == "h2"
        assert refused == [
            {
                "host": "h1",
                "filter": "AggregateMultiTenancyIsolation",
                "reason": "its aggregates are for other projects",
            }
        ]
        await aggregate(api, "h2", ram_allocation_ratio="0.0625")  # of 16 GiB: one GiB, half of which is free
        host, refused = await placed(api, flavorRef="2")
        assert host is None
        reasons = {(one["host"], one["filter"]): one["reason"] for one in refused}
        assert "512 MiB free (512 of 1024 promised, ratio 0.0625)" in reasons["h2", "RamFilter"]

    tell(story, tmp_path)


def test_hints_of_facts_and_neighbourhood(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        for name, memory in (("h1", 32768), ("h2", 16384)):
            await api.host(name, memory_mib=memory)
        for query, host in (
            ('["<", "$free_ram_mb", 20000]', "h2"),
            ('["=", "$hypervisor_hostname", "h1.example"]', "h1"),
            ('["=", "$host", "h9"]', None),
        ):
            assert (await placed(api, hints={"query": query}))[0] == host, query
        host, refused = await placed(api, hints={"build_near_host_ip": "203.0.113.9", "cidr": "/28"})
        assert host is None and {one["filter"] for one in refused} == {"SimpleCIDRAffinityFilter"}
        for hints, words in (
            ({"query": "no"}, "Invalid scheduler hint query"),
            ({"query": '["run", 1, 2]'}, "Invalid scheduler hint query"),
            ({"query": '["=", "$host", "\\ud800"]'}, "Invalid scheduler hint query"),
            ({"query": '["=", "$host", NaN]'}, "Invalid scheduler hint query"),
            ({"query": json.dumps(["=", "$host", "x" * 5000])}, "attribute query"),
            ({"build_near_host_ip": "203.0.113.9", "cidr": "/99"}, "is no network"),
            ({"build_near_host_ip": "here"}, "here"),
            ({"build_near_host_ip": "203.0.113.9", "cidr": "x"}, "'x'"),
        ):
            answer = await api.ask_for(hints=hints)
            assert answer.status == 400 and words in answer.message, (hints, answer)

    tell(story, tmp_path, config=ComputeConfig(filters=(*USUAL, "JsonFilter")))


def test_members_read_how_many_hosts_were_refused_and_no_names(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        for name in ("h1", "h2"):
            await api.host(name, memory_mib=256)
        # a query tells nothing of hosts where nobody has chosen that filter
        answer = await api.ask_for(hints={"query": '["=", "$host", "h1"]'})
        assert answer.status == 202
        await api.conductor().work()
        path = f"/servers/{answer.json['server']['id']}"
        fault = (await api("GET", path)).json["server"]["fault"]["message"]
        assert fault == "No valid host was found. Of 2 hosts RamFilter refused 2."
        for person, names in (("alice", False), ("admin", True)):
            told = (await api.as_(person)("GET", f"{path}/os-pileus-timeline")).json
            assert ("h1" in json.dumps(told)) is names

    tell(story, tmp_path)


def test_members_are_not_told_where_a_server_is(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        server = await api.boot(await api.host("h1"))
        told = (await api("GET", f"/servers/{server['id']}/os-pileus-timeline")).json
        assert "a host of 1 hosts" in json.dumps(told) and "h1" not in json.dumps(told)

    tell(story, tmp_path)


def test_bandwidth_that_is_guaranteed_is_there(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        network = await api.a_network()
        await api.host("h1", memory_mib=32768)
        second = await api.host("h2", memory_mib=16384)
        second.bandwidths = {"rp_tunnelled": {"egress": 1000, "ingress": 1000}}
        await second.switch_agent()
        admin = api.as_("admin")
        policy = {"policy": {"name": "least", "shared": True}}
        policy_id = (await admin("POST", "/networking/v2.0/qos/policies", policy)).json["policy"]["id"]
        rule = {"minimum_bandwidth_rule": {"min_kbps": 600, "direction": "egress"}}
        path = f"/networking/v2.0/qos/policies/{policy_id}/minimum_bandwidth_rules"
        assert (await admin("POST", path, rule)).status == 201

        async def port() -> str:
            body = {"port": {"network_id": network, "qos_policy_id": policy_id}}
            reply = await api("POST", "/networking/v2.0/ports", body)
            assert reply.status == 201, reply
            return str(reply.json["port"]["id"])

        host, refused = await placed(api, networks=[{"port": await port()}])
        assert host == "h2"
        assert refused == [
            {
                "host": "h1",
                "filter": "BandwidthFilter",
                "reason": "600 kbps of rp_tunnelled egress wanted, and its agent tells no rate of that card",
            }
        ]
        host, refused = await placed(api, networks=[{"port": await port()}])
        assert host is None
        reasons = {one["host"]: one["reason"] for one in refused}
        assert reasons["h2"] == "600 kbps of rp_tunnelled egress wanted, 400 kbps are left"
        assert (await placed(api))[0] == "h1"

    tell(story, tmp_path)


def test_settings_choose_filters_and_weights(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.a_network()
        for name, memory in (("h1", 32768), ("h2", 16384)):
            await api.host(name, memory_mib=memory)
        assert [(await placed(api))[0] for _ in range(2)] == ["h2", "h2"]  # packed, the busy one not avoided
        await aggregate(api, "h2", max_io_ops_per_host="2")
        host, refused = await placed(api)
        assert host == "h1"
        assert refused[0]["reason"] == "2 servers are being built or moved here, 2 may be"

    config = ComputeConfig(filters=("IoOpsFilter",), weights=Weights(ram=-1.0))
    tell(story, tmp_path, config=config)


def test_settings_are_checked() -> None:
    section = msgspec.convert({"scheduler_filters": ["JsonFilter"], "ram_weight": -1}, ComputeSection)
    config = from_settings(section)
    assert config.filters == ("JsonFilter",) and config.weights.ram == -1.0
    assert from_settings(Settings().compute).manner == ComputeConfig().manner
    assert get_args(FilterName) == tuple(CHOICE) and USUAL_FILTERS == USUAL
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'NoFilter'"):
        msgspec.convert({"scheduler_filters": ["NoFilter"]}, ComputeSection)
