"""The packet rules of a router as one table: metadata, floating IPs, source NAT, limits. Pure.

A floating IP is one element in each of two maps: coming in, its address becomes the port's;
going out, the port's becomes it. What leaves through the gateway from a port without one
gets the gateway's address. Single ports of a floating IP may lead to several ports inside
(``forwarding.py``). A port that talks to a floating IP of the same router comes back
to its peer from outside (its floating IP, else the gateway's address), so that replies pass
through here again. Between the inner subnets nothing is translated. (Neutron's L3 agent
arranges the same with iptables.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pileus.drivers.nft import forwarding, helpers, limits
from pileus.drivers.nft.forwarding import Forwarding
from pileus.drivers.nft.helpers import Helper
from pileus.drivers.nft.limits import AddressLimit, one_or_all
from pileus.drivers.nft.table import PREFIX, Base, Chain, Element, Expression, NamedSet, Rule, Table

TABLE = f"{PREFIX}router"
FLOATING_TO_FIXED = "floating_to_fixed"
FIXED_TO_FLOATING = "fixed_to_floating"
INSIDE = "inside"

FROM_OUTSIDE = 0x2
_MARKS = 0xFFFF
_MANGLE, _DESTINATION_NAT, _FILTER, _SOURCE_NAT = -150, -100, 0, 100


class FloatingIp(msgspec.Struct, frozen=True):
    """An address of the outer network that belongs to a port's address."""

    id: str
    floating: str
    fixed: str


class Gateway(msgspec.Struct, frozen=True):
    """An outer interface, and the source address of packets of ports without a floating IP that leave by it
    (None: they leave as they are)."""

    name: str
    source_address: str | None = None


class RouterRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one router."""

    gateways: tuple[Gateway, ...] = ()
    inside: tuple[str, ...] = ()
    """Interfaces to the inner subnets."""
    floating_ips: tuple[FloatingIp, ...] = ()
    forwardings: tuple[Forwarding, ...] = ()
    helpers: tuple[Helper, ...] = ()
    limits: tuple[AddressLimit, ...] = ()
    metadata_port: int | None = None
    """Local port of the metadata service; None: none is here."""
    metadata_address: str = "169.254.169.254"


def render(rules: RouterRules) -> Table:
    """The whole table of a router. It has the same sets and chains whatever the router has, so that
    changes are elements and rules."""
    floating = sorted(rules.floating_ips, key=lambda item: item.floating)
    return Table(
        name=TABLE,
        sets=(
            NamedSet(name=INSIDE, type=("ifname",), elements=tuple(map(Element, sorted(rules.inside)))),
            NamedSet(
                name=FLOATING_TO_FIXED,
                type=("ipv4_addr",),
                value_type=("ipv4_addr",),
                counted=True,
                elements=tuple(Element(item.floating, item.fixed, item.id) for item in floating),
            ),
            NamedSet(
                name=FIXED_TO_FLOATING,
                type=("ipv4_addr",),
                value_type=("ipv4_addr",),
                counted=True,
                elements=tuple(Element(item.fixed, item.floating, item.id) for item in floating),
            ),
            *forwarding.sets(rules.forwardings),
        ),
        chains=(
            Chain("mark", tuple(_mark(rules)), Base("filter", "prerouting", _MANGLE)),
            Chain("helpers", tuple(helpers.rules(rules.helpers)), Base("filter", "prerouting", _MANGLE)),
            Chain("prerouting", tuple(_prerouting(rules)), Base("nat", "prerouting", _DESTINATION_NAT)),
            Chain("output", (_to_fixed(), *forwarding.rules()), Base("nat", "output", _DESTINATION_NAT)),
            Chain("input", tuple(_input(rules)), Base("filter", "input", _FILTER)),
            Chain("postrouting", tuple(_postrouting(rules)), Base("nat", "postrouting", _SOURCE_NAT)),
            *limits.chains([one.name for one in rules.gateways], rules.limits),
        ),
        objects=helpers.objects(rules.helpers),
    )


def _mark(rules: RouterRules) -> Iterable[Rule]:
    if rules.gateways:
        mark = {"mangle": {"key": _meta("mark"), "value": FROM_OUTSIDE}}
        yield Rule("from outside", (_is(_meta("iifname"), _outer(rules)), mark))


def _outer(rules: RouterRules) -> Any:
    """The outer interface, or all of them."""
    return one_or_all([one.name for one in rules.gateways])


def _prerouting(rules: RouterRules) -> Iterable[Rule]:
    if rules.metadata_port is not None:
        yield Rule(
            "metadata",
            (
                _is(_meta("iifname"), f"@{INSIDE}"),
                _is(_field("ip", "daddr"), rules.metadata_address),
                _is(_field("tcp", "dport"), 80),
                {"redirect": {"port": rules.metadata_port}},
            ),
        )
    yield _to_fixed()
    yield from forwarding.rules()


def _to_fixed() -> Rule:
    return Rule("to fixed", ({"dnat": {"addr": _looked_up("daddr", FLOATING_TO_FIXED)}},))


def _input(rules: RouterRules) -> Iterable[Rule]:
    if rules.metadata_port is not None:
        # Who is not sent to the metadata service by the rule above has no business there.
        port = _is(_field("tcp", "dport"), rules.metadata_port)
        yield Rule("metadata only", (port, _NOT_TRANSLATED, {"drop": None}))
    if rules.gateways:
        # Of a connection that began through another host's router: silence, where the kernel would end it.
        new = _is({"ct": {"key": "state"}}, "new", "in")
        flags = {"&": [_field("tcp", "flags"), ["syn", "rst"]]}
        yield Rule(
            "unknown connections", (_is(_meta("iifname"), _outer(rules)), new, _is(flags, 0), {"drop": None})
        )


def _postrouting(rules: RouterRules) -> Iterable[Rule]:
    if not rules.gateways:
        return
    inner = _is(_meta("oifname"), _outer(rules), "!=")
    yield Rule("between inner", (inner, _NOT_FROM_OUTSIDE, _NOT_TRANSLATED, {"accept": None}))
    yield Rule("to floating", ({"snat": {"addr": _looked_up("saddr", FIXED_TO_FLOATING)}},))
    changes = [
        (one.name, {"snat": {"addr": one.source_address}})
        for one in rules.gateways
        if one.source_address is not None
    ]
    for name, change in changes:
        yield Rule("source", (_is(_meta("oifname"), name), change))
    if changes:
        yield Rule("hairpin", (_NOT_FROM_OUTSIDE, _TRANSLATED, changes[0][1]))


def _is(left: Expression, right: Any, operator: str = "==") -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}


def _meta(key: str) -> Expression:
    return {"meta": {"key": key}}


def _field(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


def _looked_up(field: str, name: str) -> Expression:
    return {"map": {"key": _field("ip", field), "data": f"@{name}"}}


_TRANSLATED = _is({"ct": {"key": "status"}}, "dnat", "in")
_NOT_TRANSLATED = _is({"&": [{"ct": {"key": "status"}}, "dnat"]}, 0)
_NOT_FROM_OUTSIDE = _is({"&": [_meta("mark"), _MARKS]}, FROM_OUTSIDE, "!=")
