"""Which host gets a server: filters, weights, and for each host refused the reason with its numbers.

Pure. All filters are asked of each host, so that the record of a refusal is whole. Of the hosts that are left
the one with the greatest weight is taken (usually that with the most memory free), the fewest servers
deciding between equals, then the name. A soft policy of a server group goes before all weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pileus.services.compute.rules.candidates import candidates
from pileus.services.compute.rules.filters import ALWAYS, CHOICE, USUAL, WHEN_FORCED
from pileus.services.compute.rules.host_facts import (
    HostFacts,
    Ratios,
    Wanted,
    ratios_of,
    stock_of,
)
from pileus.services.compute.rules.providers import Amounts

__all__ = [
    "Choice",
    "HostFacts",
    "Manner",
    "Ratios",
    "Refusal",
    "Wanted",
    "Weights",
    "choose",
    "choose_many",
    "sentence",
]


class Weights(NamedTuple):
    """How much counts what a host has left: more than 0 spreads servers, less packs them."""

    ram: float = 1.0
    cpu: float = 0.0
    disk: float = 0.0
    busy: float = 0.0


class Manner(NamedTuple):
    """How hosts are chosen: the filters by their names, the weights, the ratios that no aggregate changes."""

    ratios: Ratios = Ratios()
    filters: tuple[str, ...] = USUAL
    weights: Weights = Weights()


class Refusal(NamedTuple):
    """A host that is not taken: the filter, and its sentence with numbers."""

    host: str
    filter: str
    reason: str


class Choice(NamedTuple):
    """The outcome for one server: the host, or None; why each other host could not be; and what providers of
    resources give besides CPUs, memory and disk."""

    chosen: HostFacts | None
    refusals: tuple[Refusal, ...]
    considered: int
    resources: Mapping[str, Amounts] = {}


def _soft(host: HostFacts, wanted: Wanted) -> int:
    """How much a soft policy speaks against a host."""
    here = wanted.group_hosts.count(host.host)
    return {"soft-affinity": -here, "soft-anti-affinity": here}.get(wanted.policy or "", 0)


def _measures(host: HostFacts, ratios: Ratios) -> tuple[float, float, float, float]:
    """The measures that are weighed, in the order of Weights: the more the better."""
    cpu, ram, disk = (stock_of(host, ratios, position) for position in range(3))
    return (
        ram.capacity - host.memory_used_mib if ram else 0,
        cpu.capacity - host.vcpus_used if cpu else 0,
        disk.capacity - host.disk_used_gib if disk else 0,
        -host.busy,
    )


def _best(hosts: Sequence[HostFacts], wanted: Wanted, manner: Manner) -> HostFacts:
    """The host to take. Each measure counts from 0 to 1 between the least and the most of these hosts, so
    that weights can be compared, as Nova's weighers have it."""
    measured = [_measures(host, ratios_of(host, manner.ratios)) for host in hosts]
    bounds = [(min(column), max(column)) for column in zip(*measured, strict=True)]

    def order(position: int) -> tuple[int, float, int, str]:
        parts = zip(measured[position], bounds, manner.weights, strict=True)
        total = sum(
            weight * (value - least) / (most - least)
            for value, (least, most), weight in parts
            if weight and most > least
        )
        host = hosts[position]
        return (_soft(host, wanted), -total, host.servers, host.host)

    return hosts[min(range(len(hosts)), key=order)]


def _refusals(host: HostFacts, wanted: Wanted, manner: Manner) -> list[Refusal]:
    ratios = ratios_of(host, manner.ratios)
    tests = {**ALWAYS, **{name: CHOICE[name] for name in manner.filters}}
    return [
        Refusal(host.host, name, reason)
        for name, test in tests.items()
        if (not wanted.forced or name in WHEN_FORCED) and (reason := test(host, wanted, ratios))
    ]


def choose(hosts: Iterable[HostFacts], wanted: Wanted, manner: Manner) -> Choice:
    """One server's host."""
    fitting: list[HostFacts] = []
    refusals: list[Refusal] = []
    considered = 0
    for host in hosts:
        considered += 1
        mine = _refusals(host, wanted, manner)
        if mine:
            refusals += mine
        else:
            fitting.append(host)
    chosen = _best(fitting, wanted, manner) if fitting else None
    return Choice(chosen, tuple(refusals), considered, _given(chosen, wanted))


def _given(host: HostFacts | None, wanted: Wanted) -> Mapping[str, Amounts]:
    if host is None or wanted.question is None or host.landscape is None:
        return {}
    answers = candidates(host.landscape, wanted.question, [host.node_id])
    return answers[0].amounts if answers else {}


def choose_many(hosts: Sequence[HostFacts], wanted: Sequence[Wanted], manner: Manner) -> list[Choice]:
    """Hosts for several servers of one request, each counting what those before it were promised."""
    now = {host.host: host for host in hosts}
    choices = []
    members: list[str] = []
    for one in wanted:
        if one.policy:
            one = msgspec.structs.replace(one, group_hosts=(*one.group_hosts, *members))
        choice = choose(now.values(), one, manner)
        choices.append(choice)
        if choice.chosen is not None:
            host = choice.chosen
            members.append(host.host)
            now[host.host] = msgspec.structs.replace(
                host,
                vcpus_used=host.vcpus_used + one.vcpus,
                memory_used_mib=host.memory_used_mib + one.memory_mib,
                disk_used_gib=host.disk_used_gib + one.disk_gib,
                servers=host.servers + 1,
                busy=host.busy + 1,
            )
        if choice.resources and host.landscape is not None:
            # others may share what this one was given, wherever they are
            less = host.landscape.less(choice.resources)
            now = {key: msgspec.structs.replace(one, landscape=less) for key, one in now.items()}
    return choices


def sentence(choice: Choice, named: bool = False, limit: int = 3) -> str:
    """Why there is no host, short enough for a fault: how many each filter refused. ``named``: with examples
    by their names and numbers, which are for administrators."""
    if not choice.considered:
        return "No valid host was found. There are no hosts that run servers."
    first: dict[str, Refusal] = {}
    for refusal in choice.refusals:
        first.setdefault(refusal.host, refusal)
    counted: dict[str, int] = {}
    for refusal in first.values():
        counted[refusal.filter] = counted.get(refusal.filter, 0) + 1
    by_filter = ", ".join(f"{name} refused {count}" for name, count in sorted(counted.items()))
    counts = f"No valid host was found. Of {choice.considered} hosts {by_filter}."
    if not named:
        return counts
    shown = list(first.values())[:limit]
    examples = "; ".join(f"{one.host}: {one.reason}" for one in shown)
    more = f"; and {len(first) - limit} more" if len(first) > limit else ""
    return f"{counts} {examples}{more}."
