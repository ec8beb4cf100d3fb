"""The scheduler: filters with their numbers, weights, several servers at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pileus.services.compute.rules.scheduler import (
    HostFacts,
    Ratios,
    Wanted,
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
        ({}, {"same_host": ("h2",)}, "SameDifferentHostFilter", "are on h2"),
        ({}, {"same_host": ()}, "SameDifferentHostFilter", "are on no host"),
        ({}, {"different_host": ("h1",)}, "SameDifferentHostFilter", "is here"),
        ({}, {"policy": "affinity", "group_hosts": ("h2",)}, "ServerGroupFilter", "is on h2 (affinity)"),
        (
            {},
            {"policy": "anti-affinity", "group_hosts": ("h1",)},
            "ServerGroupFilter",
            "1 of its group are here",
        ),
        (
            {"architecture": "x86_64"},
            {"image": {"hw_architecture": "arm64"}},
            "ImagePropertiesFilter",
            "for arm64",
        ),
        ({}, {"image": {"img_hv_type": "xen"}}, "ImagePropertiesFilter", "wants the hypervisor xen"),
    ],
)
def test_a_refusal_has_its_filter_and_numbers(
    facts: dict[str, Any], asks: dict[str, Any], name: str, words: str
) -> None:
    choice = choose([host(**facts)], wanted(**asks), Ratios())
    assert choice.chosen is None
    ((refused, filter_name, reason),) = choice.refusals
    assert (refused, filter_name) == ("h1", name)
    assert words in reason


def test_all_reasons_of_a_host_are_recorded() -> None:
    choice = choose([host(up=False, memory_mib=100)], wanted(), Ratios())
    assert {one.filter for one in choice.refusals} == {"ComputeFilter", "RamFilter"}


def test_the_most_memory_wins_and_names_decide_between_equals() -> None:
    hosts = [host("b"), host("a"), host("c", memory_used_mib=1)]
    chosen = choose(hosts, wanted(), Ratios()).chosen
    assert chosen is not None and chosen.host == "a"


def test_over_commit() -> None:
    full = host(memory_used_mib=4096)
    assert choose([full], wanted(), Ratios()).chosen is None
    assert choose([full], wanted(), Ratios(ram=1.5)).chosen is full


def test_a_forced_host_is_asked_for_nothing_else() -> None:
    full = host(up=False, enabled=False, memory_used_mib=4096)
    assert choose([full, host("h2")], wanted(host="h1", forced=True), Ratios()).chosen is full


def test_several_count_what_those_before_were_promised() -> None:
    hosts = [host("a", memory_mib=1024), host("b", memory_mib=1024)]
    choices = choose_many(hosts, [wanted() for _ in range(5)], Ratios())
    assert [one.chosen.host if one.chosen else None for one in choices] == ["a", "b", "a", "b", None]


def test_anti_affinity_among_several_of_one_request() -> None:
    hosts = [host("a"), host("b")]
    apart = [wanted(policy="anti-affinity") for _ in range(3)]
    assert [one.chosen and one.chosen.host for one in choose_many(hosts, apart, Ratios())] == ["a", "b", None]
    two = [wanted(policy="anti-affinity", per_host=2) for _ in range(5)]
    assert sum(one.chosen is None for one in choose_many(hosts, two, Ratios())) == 1


def test_soft_policies_only_prefer() -> None:
    hosts = [host("a"), host("b", memory_used_mib=1000)]
    together = wanted(policy="soft-affinity", group_hosts=("b",))
    assert choose(hosts, together, Ratios()).chosen is hosts[1]
    apart = wanted(policy="soft-anti-affinity", group_hosts=("a",))
    assert choose(hosts, apart, Ratios()).chosen is hosts[1]


def test_the_sentence_counts_and_stays_short() -> None:
    choice = choose([host(f"h{n}", memory_mib=1) for n in range(50)], wanted(), Ratios())
    text = sentence(choice)
    assert text.startswith("No valid host was found. Of 50 hosts RamFilter refused 50. h0: 512 MiB")
    assert text.endswith("and 47 more.")
    assert sentence(choose([], wanted(), Ratios())).endswith("There are no hosts that run servers.")
