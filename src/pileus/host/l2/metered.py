"""Metering labels of distributed routers: what their floating IPs translate here is counted here. Pure.

Such packets never visit the router's namespace, so no packet is counted twice. Each is led, with its inner
addresses, through METERING for each label of its router; METERED has the label's number and the direction::

    FLOATING_IN, ROUTE ─(label, direction)─► METERING: the label's rules ─► COUNTED: one flow for each label

METERING drops what a rule excludes. The flow in COUNTED stays while rules come and go, and so does its count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping

from pileus.drivers.openflow.flow import Flow, Key
from pileus.drivers.openflow.table import FlowTable, SwitchAbsent, SwitchRefused
from pileus.host.l2 import tables as t
from pileus.host.l2.model import Model
from pileus.host.l2.numbers import stable_ids
from pileus.wire.distributed import DistributedRouter
from pileus.wire.l3 import MeteringLabel, MeteringRule
from pileus.wire.metering import MeteringCount

_INWARDS, _OUTWARDS = 0, 1
_MOST_LABELS = (1 << 30) - 1
_ETHERNET = 14
"""Octets that a switch counts of each packet, and a router does not."""

Parts = tuple[int, int, str, str]


def numbers(routers: Iterable[DistributedRouter]) -> dict[tuple[str, str], int]:
    """The number of each router's labels."""
    names = {
        f"{router.router_id} {label.label_id}": (router.router_id, label.label_id)
        for router in routers
        for label in router.metering_labels
    }
    return {names[name]: number for name, number in stable_ids(names, _MOST_LABELS).items()}


def through(router: DistributedRouter, found: Mapping[tuple[str, str], int], direction: str) -> str:
    """The actions, each with a comma behind, that lead a packet through the labels of a router."""
    return "".join(
        f"set_field:0x{_value(found[router.router_id, label.label_id], direction):x}->{t.METERED},"
        f"resubmit(,{t.METERING}),"
        for label in router.metering_labels
        if any(rule.direction == direction and not rule.excluded for rule in label.rules)
    )


def through_all(routers: Collection[DistributedRouter]) -> dict[str, tuple[str, str]]:
    """By router the actions that count what comes in, and what goes out."""
    found = numbers(routers)
    return {
        router.router_id: (through(router, found, "ingress"), through(router, found, "egress"))
        for router in routers
    }


def label_flows(label: MeteringLabel, number: int) -> list[Flow]:
    """The flows of one label of one router."""
    return [Flow(*parts, t.COUNTER_COOKIE) for parts in _parts(label, number)]


def _parts(label: MeteringLabel, number: int) -> Iterator[Parts]:
    for rule in label.rules:
        where = _where(rule)
        if where is not None:
            match = f"ip,{t.METERED}=0x{_value(number, rule.direction):x}{where}"
            priority, actions = (20, "drop") if rule.excluded else (10, f"resubmit(,{t.COUNTED})")
            yield t.METERING, priority, match, actions
    yield t.COUNTED, 10, _counted_match(number), "drop"


def _where(rule: MeteringRule) -> str | None:
    """The addresses of a rule; None where it is about IPv6, which is not translated."""
    found = ""
    for field, prefix in (("nw_src", rule.source), ("nw_dst", rule.destination)):
        if prefix is not None:
            network = ipaddress.ip_network(prefix, strict=False)
            if network.version != 4:
                return None
            if network.prefixlen:  # else it matches any address, and the field is left out
                found += f",{field}={network}"
    return found


def _value(number: int, direction: str) -> int:
    return number << 1 | (_INWARDS if direction == "ingress" else _OUTWARDS)


def _counted_match(number: int) -> str:
    return f"{t.METERED}=0x{number << 1:x}/0xfffffffe"


async def counted(flows: FlowTable, bridge: str, model: Model) -> list[MeteringCount]:
    """Read what labels have counted here; nothing while the switch is away."""
    found = numbers(model.routers)
    if not found:
        return []
    try:
        counters: Mapping[Key, tuple[int, int]] = await flows.counters(bridge, t.COUNTER_COOKIE)
    except (SwitchAbsent, SwitchRefused, TimeoutError):
        return []
    told = []
    for (router_id, label_id), number in sorted(found.items()):
        key = Flow(t.COUNTED, 10, _counted_match(number), "drop", t.COUNTER_COOKIE).key
        if key in counters:
            packets, octets = counters[key]
            less = max(octets - _ETHERNET * packets, 0)
            told.append(MeteringCount(label_id, router_id, packets, less, distributed=True))
    return told
