"""The scheduler: filters with their numbers, weights, several servers at once."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from pileus.services.compute.rules.filters import CHOICE
from pileus.services.compute.rules.host_query import BadQuery, holds, read_query_hint
from pileus.services.compute.rules.requirements import meets
from pileus.services.compute.rules.scheduler import (
    HostFacts,
    Manner,
    Ratios,
    Wanted,
    Weights,
    choose,
    choose_many,
    sentence,
)

NOW = dt.datetime(2026, 1, 1)


def host(name: str = "h1", **facts: Any) -> HostFacts:
    values: dict[str, Any] = {
        "host": name,
        "node": f"{name}.example",
        "zone": "nova",
        "up": True,
        "seen_at": NOW,
        "enabled": True,
        "vcpus": 4,
        "memory_mib": 4096,
        "disk_gib": 100,
        **facts,
    }
    return HostFacts(**values)


def wanted(**facts: Any) -> Wanted:
    return Wanted(**{"vcpus": 1, "memory_mib": 512, "disk_gib": 1, **facts})


@pytest.mark.parametrize(
    ("facts", "asks", "name", "words"),
    [
        ({"up": False}, {}, "ComputeFilter", "it is down, last heard of at 2026-01-01T00:00:00Z"),
        ({"enabled": False, "disabled_reason": "fan"}, {}, "ComputeFilter", "disabled (fan)"),
        ({"zone": "a"}, {"zone": "b"}, "AvailabilityZoneFilter", "in zone a, not b"),
        ({}, {"host": "h2"}, "RequestedHostFilter", "host h2 was asked for"),
        ({}, {"node": "x"}, "RequestedHostFilter", "hypervisor x was asked for"),
        ({"memory_used_mib": 4000}, {}, "RamFilter", "512 MiB of memory wanted, 96 MiB free (4000 of 4096"),
        (
            {"vcpus_used": 16},
            {},
            "CoreFilter",
            "1 cores of CPU wanted, 0 cores free (16 of 16 promised, ratio 4)",
        ),
        ({}, {"vcpus": 5}, "CoreFilter", "5 virtual CPUs wanted, the host has 4"),
        ({"disk_used_gib": 100}, {}, "DiskFilter", "1 GiB of disk wanted, 0 GiB free"),
        ({}, {"same_host": ("h2",)}, "SameHostFilter", "are on h2"),
        ({}, {"same_host": ()}, "SameHostFilter", "are on no host"),
        ({}, {"different_host": ("h1",)}, "DifferentHostFilter", "is here"),
        (
            {},
            {"policy": "affinity", "group_hosts": ("h2",)},
            "ServerGroupAffinityFilter",
            "is on h2 (affinity)",
        ),
        (
            {},
            {"policy": "anti-affinity", "group_hosts": ("h1",)},
            "ServerGroupAntiAffinityFilter",
            "1 of its group are here",
        ),
        (
            {"architecture": "x86_64"},
            {"image": {"hw_architecture": "arm64"}},
            "ImagePropertiesFilter",
            "for arm64",
        ),
        ({}, {"image": {"img_hv_type": "xen"}}, "ImagePropertiesFilter", "wants the hypervisor xen"),
        (
            {"aggregates": ({"ssd": "true"},)},
            {"extra_specs": {"aggregate_instance_extra_specs:ssd": "false"}},
            "AggregateInstanceExtraSpecsFilter",
            "asks for ssd false of its aggregates, they say true",
        ),
        (
            {},
            {"extra_specs": {"aggregate_instance_extra_specs:ssd": "<or> true <or> yes"}},
            "AggregateInstanceExtraSpecsFilter",
            "they say nothing",
        ),
        (
            {"aggregates": ({"os_distro": "debian, ubuntu"},)},
            {"image": {"os_distro": "windows"}},
            "AggregateImagePropertiesIsolation",
            "for images with os_distro debian, ubuntu",
        ),
        (
            {"aggregates": ({"filter_tenant_id": "p1,p2"},)},
            {"project_id": "p3"},
            "AggregateMultiTenancyIsolation",
            "for other projects",
        ),
        (
            {"aggregates": ({"instance_type": "m1.tiny"},)},
            {"flavor": "m1.large"},
            "AggregateTypeAffinityFilter",
            "for the flavors m1.tiny",
        ),
        (
            {"memory_used_mib": 3000},
            {"query": [">=", "$free_ram_mb", 2048]},
            "JsonFilter",
            "the query of the hints is not true of it",
        ),
        ({"address": "192.0.2.7"}, {"near": "198.51.100.0/24"}, "SimpleCIDRAffinityFilter", "not in 198.51"),
        ({}, {"near": "198.51.100.0/24"}, "SimpleCIDRAffinityFilter", "address is not known"),
        (
            {},
            {"extra_specs": {"capabilities:vcpus_total": ">= 8"}},
            "ComputeCapabilitiesFilter",
            "asks for vcpus_total >= 8, the host has 4",
        ),
        (
            {"aggregates": ({"cpu_allocation_ratio": "1.0"},), "vcpus_used": 4},
            {},
            "CoreFilter",
            "4 of 4 promised, ratio 1",
        ),
    ],
)
def test_a_refusal_has_its_filter_and_numbers(
    facts: dict[str, Any], asks: dict[str, Any], name: str, words: str
) -> None:
    choice = choose([host(**facts)], wanted(**asks), Manner(filters=tuple(CHOICE)))
    assert choice.chosen is None
    ((refused, filter_name, reason),) = choice.refusals
    assert (refused, filter_name) == ("h1", name)
    assert words in reason


def test_all_reasons_of_a_host_are_recorded() -> None:
    choice = choose([host(up=False, memory_mib=100)], wanted(), Manner())
    assert {one.filter for one in choice.refusals} == {"ComputeFilter", "RamFilter"}


def test_the_most_memory_wins_and_names_decide_between_equals() -> None:
    hosts = [host("b"), host("a"), host("c", memory_used_mib=1)]
    chosen = choose(hosts, wanted(), Manner()).chosen
    assert chosen is not None and chosen.host == "a"


def test_over_commit() -> None:
    full = host(memory_used_mib=4096)
    assert choose([full], wanted(), Manner()).chosen is None
    assert choose([full], wanted(), Manner(Ratios(ram=1.5))).chosen is full


def test_a_forced_host_is_asked_for_nothing_else() -> None:
    full = host(up=False, enabled=False, memory_used_mib=4096)
    assert choose([full, host("h2")], wanted(host="h1", forced=True), Manner()).chosen is full


def test_several_count_what_those_before_were_promised() -> None:
    hosts = [host("a", memory_mib=1024), host("b", memory_mib=1024)]
    choices = choose_many(hosts, [wanted() for _ in range(5)], Manner())
    assert [one.chosen.host if one.chosen else None for one in choices] == ["a", "b", "a", "b", None]


def test_anti_affinity_among_several_of_one_request() -> None:
    hosts = [host("a"), host("b")]
    apart = [wanted(policy="anti-affinity") for _ in range(3)]
    assert [one.chosen and one.chosen.host for one in choose_many(hosts, apart, Manner())] == ["a", "b", None]
    two = [wanted(policy="anti-affinity", per_host=2) for _ in range(5)]
    assert sum(one.chosen is None for one in choose_many(hosts, two, Manner())) == 1


def test_soft_policies_only_prefer() -> None:
    hosts = [host("a"), host("b", memory_used_mib=1000)]
    together = wanted(policy="soft-affinity", group_hosts=("b",))
    assert choose(hosts, together, Manner()).chosen is hosts[1]
    apart = wanted(policy="soft-anti-affinity", group_hosts=("a",))
    assert choose(hosts, apart, Manner()).chosen is hosts[1]


def test_the_sentence_counts_and_stays_short() -> None:
    choice = choose([host(f"h{n}", memory_mib=1) for n in range(50)], wanted(), Manner())
    assert sentence(choice) == "No valid host was found. Of 50 hosts RamFilter refused 50."
    text = sentence(choice, named=True)
    assert text.startswith("No valid host was found. Of 50 hosts RamFilter refused 50. h0: 512 MiB")
    assert text.endswith("and 47 more.")
    assert sentence(choose([], wanted(), Manner())).endswith("There are no hosts that run servers.")


def test_filters_are_those_of_the_settings() -> None:
    crowded = host(servers=50, busy=8)
    assert choose([crowded], wanted(), Manner()).chosen is crowded
    both = Manner(filters=("IoOpsFilter", "NumInstancesFilter"))
    refusals = choose([crowded], wanted(), both).refusals
    assert [(one.filter, one.reason) for one in refusals] == [
        ("IoOpsFilter", "8 servers are being built or moved here, 8 may be"),
        ("NumInstancesFilter", "50 servers are here, 50 may be"),
    ]
    roomy = host(
        servers=50, busy=8, aggregates=({"max_io_ops_per_host": "9", "max_instances_per_host": "60"},)
    )
    assert choose([roomy], wanted(), both).chosen is roomy
    elsewhere = host(zone="a")
    assert choose([elsewhere], wanted(zone="b"), Manner(filters=())).chosen is elsewhere


def test_weights_spread_and_pack() -> None:
    hosts = [
        host("a", memory_used_mib=1000, vcpus_used=8, busy=3),
        host("b", memory_used_mib=2000, vcpus_used=2),
        host("c", memory_used_mib=3000, vcpus_used=4, busy=1),
    ]

    def taken(weights: Weights) -> str:
        chosen = choose(hosts, wanted(), Manner(weights=weights)).chosen
        assert chosen is not None
        return chosen.host

    assert taken(Weights()) == "a"
    assert taken(Weights(ram=-1.0)) == "c"
    assert taken(Weights(ram=0.0, cpu=1.0)) == "b"
    assert taken(Weights(ram=0.0, busy=1.0)) == "b"
    assert taken(Weights(ram=0.1, cpu=-1.0)) == "a"
    assert taken(Weights(ram=0.0)) == "a"


@pytest.mark.parametrize(
    ("value", "required", "met"),
    [
        ("8", ">= 4", True), ("2", ">= 4", False), ("4", "= 4", True), ("x", ">= 4", False),
        ("a", "s== a", True), ("a", "s!= a", False), ("b", "s> a", True),
        ("avx sse", "<in> avx", True), ("sse", "<in> avx", False), ("avx sse", "<all-in> avx sse", True),
        ("b", "<or> a <or> b", True), ("c", "<or> a <or> b", False), ("true", "true", True),
        ("", "true", False),
    ],
)  # fmt: skip
def test_requirements(value: str, required: str, met: bool) -> None:
    assert meets(value, required) is met


def test_queries() -> None:
    facts = {"free_ram_mb": 2048, "host": "h1"}
    for text, true in (
        ('["and", [">=", "$free_ram_mb", 1024], ["=", "$host", "h1"]]', True),
        ('["or", ["<", "$free_ram_mb", 1024], ["in", "$host", "h2", "h1"]]', True),
        ('["not", ["=", "$host", "h1"]]', False),
        ('["=", "$unknown", 1]', False),
        ('["<", "$host", 5]', False),
    ):
        assert holds(read_query_hint(text), facts) is true, text
    deep = json.loads("1")
    for _ in range(40):
        deep = ["not", deep]
    for text in (
        "",
        "5",
        "[]",
        '["sleep", 1, 2]',
        '["="]',
        '["=", [], 1]',
        '["and"]',
        json.dumps(deep),
        "[" * 4000,
    ):
        with pytest.raises(BadQuery):
            read_query_hint(text)
