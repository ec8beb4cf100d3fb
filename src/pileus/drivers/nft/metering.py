"""Metering of what passes a router's gateway, as a table of its own: a counter for each label. Pure.

A label has a chain: what a rule excludes leaves it, what a rule names is counted once. Addresses are
the inner ones, since packets are seen before their source is translated and after their destination was.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pileus.drivers.nft.limits import one_or_all
from pileus.drivers.nft.table import PREFIX, Base, Chain, Expression, NamedObject, Rule, Table

TABLE = f"{PREFIX}metering"
_FORWARD = 0


class Metered(msgspec.Struct, frozen=True):
    """A rule of a label. ``inwards``: of what comes in by the gateway."""

    inwards: bool
    excluded: bool
    source: str | None = None
    destination: str | None = None


class Label(msgspec.Struct, frozen=True):
    """A label with its rules."""

    id: str
    rules: tuple[Metered, ...] = ()


def counter_name(label_id: str) -> str:
    """The counter (and chain) of a label."""
    return f"label_{label_id.replace('-', '_')}"


def label_id(counter: str) -> str:
    """The label of a counter."""
    return counter.removeprefix("label_").replace("_", "-")


def render(gateways: Sequence[str], labels: Sequence[Label]) -> Table:
    """The table; none is wanted where there is no gateway or nothing to count."""
    some = sorted(labels, key=lambda label: label.id) if gateways else []
    return Table(
        name=TABLE,
        family="inet",
        absent=not some,
        chains=(
            *(Chain(counter_name(label.id), tuple(_rules(gateways, label))) for label in some),
            Chain("forward", tuple(map(_jump, some)), Base("filter", "forward", _FORWARD)),
        ),
        objects=tuple(NamedObject("counter", counter_name(label.id)) for label in some),
    )


def _jump(label: Label) -> Rule:
    return Rule("label", ({"jump": {"target": counter_name(label.id)}},))


def _rules(gateways: Sequence[str], label: Label) -> Iterable[Rule]:
    for one in sorted(label.rules, key=lambda rule: not rule.excluded):
        meta = "iifname" if one.inwards else "oifname"
        outer = one_or_all(gateways)
        where: list[Expression] = [{"match": {"op": "==", "left": {"meta": {"key": meta}}, "right": outer}}]
        for field, prefix in (("saddr", one.source), ("daddr", one.destination)):
            if prefix is not None:
                where.append(_within(field, prefix))
        if one.excluded:
            yield Rule("excluded", (*where, {"return": None}))
        else:
            yield Rule("count", (*where, {"counter": counter_name(label.id)}, {"return": None}))


def _within(field: str, prefix: str) -> Expression:
    network = ipaddress.ip_network(prefix, strict=False)
    left = {"payload": {"protocol": "ip6" if network.version == 6 else "ip", "field": field}}
    right: Any = str(network.network_address)
    if network.prefixlen < network.max_prefixlen:
        right = {"prefix": {"addr": right, "len": network.prefixlen}}
    return {"match": {"op": "==", "left": left, "right": right}}
