"""Who may come in to subnets whose addresses a router proxies, as a table of IPv6's own. Pure.

The subnets' addresses lead nowhere outside but by proxies: what comes in by the gateway for an address
without one is dropped, unless it belongs to a connection from inside. (Neutron arranges the same with
ip6tables.)
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.drivers.nft.limits import one_or_all
from pileus.drivers.nft.table import PREFIX, Base, Chain, Element, Expression, NamedSet, Rule, Table

TABLE = f"{PREFIX}ndp_proxy"
GUARDED, PROXIED = "guarded", "proxied"


def render(gateways: Sequence[str], prefixes: Sequence[str], proxied: Sequence[str]) -> Table:
    """The table; none is wanted where no prefix is guarded."""
    return Table(
        name=TABLE,
        family="ip6",
        absent=not gateways or not prefixes,
        sets=(
            NamedSet(
                name=GUARDED,
                type=("ipv6_addr",),
                interval=True,
                elements=tuple(map(Element, sorted(prefixes))),
            ),
            NamedSet(name=PROXIED, type=("ipv6_addr",), elements=tuple(map(Element, sorted(proxied)))),
        ),
        chains=(
            Chain(
                "forward",
                (
                    Rule(
                        "no proxy",
                        (
                            _is({"meta": {"key": "iifname"}}, one_or_all(gateways)),
                            _is(_TO, f"@{GUARDED}"),
                            _is(_TO, f"@{PROXIED}", "!="),
                            _is({"ct": {"key": "state"}}, ["new", "invalid", "untracked"], "in"),
                            {"drop": None},
                        ),
                    ),
                ),
                Base("filter", "forward", 0),
            ),
        ),
    )


_TO: Expression = {"payload": {"protocol": "ip6", "field": "daddr"}}


def _is(left: Expression, right: object, operator: str = "==") -> Expression:
    return {"match": {"op": operator, "left": left, "right": right}}
