"""The kinds of QoS rules as data: how each is called, what it holds, and in which directions."""

from __future__ import annotations

from typing import Any, NamedTuple

from pileus.resource import types
from pileus.resource.types import Type
from pileus.services.network.common.attributes import GREATEST, number, one_of_numbers

EGRESS, INGRESS, ANY = "egress", "ingress", "any"
DSCP_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56)
_BOTH = (INGRESS, EGRESS)


class Kind(NamedTuple):
    """``amount`` and ``burst`` are the API's names of what a rule says; ``burst`` is empty where there is
    none, and so are ``directions``."""

    name: str
    amount: str
    burst: str = ""
    directions: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """The name of one in the API."""
        return f"{self.name}_rule"

    @property
    def amount_type(self) -> Type:
        """The values that the amount may have."""
        return one_of_numbers(*DSCP_MARKS) if self is DSCP_MARKING else number(0)

    @property
    def direction_type(self) -> Type:
        """The directions, as they are checked."""
        return types.enum(*self.directions)

    def parameters(self) -> list[dict[str, Any]]:
        """Describe its parameters, as a driver does."""
        numeric = {"start": 0, "end": GREATEST}
        said: list[tuple[str, str, Any]] = []
        if self is DSCP_MARKING:
            said.append((self.amount, "choices", list(DSCP_MARKS)))
        else:
            said += [(name, "range", numeric) for name in (self.amount, self.burst) if name]
        if self.directions:
            said.append(("direction", "choices", list(self.directions)))
        return [
            {"parameter_name": name, "parameter_type": kind, "parameter_values": values}
            for name, kind, values in said
        ]


BANDWIDTH_LIMIT = Kind("bandwidth_limit", "max_kbps", "max_burst_kbps", _BOTH)
DSCP_MARKING = Kind("dscp_marking", "dscp_mark")
MINIMUM_BANDWIDTH = Kind("minimum_bandwidth", "min_kbps", directions=_BOTH)
MINIMUM_PACKET_RATE = Kind("minimum_packet_rate", "min_kpps", directions=(ANY, *_BOTH))
PACKET_RATE_LIMIT = Kind("packet_rate_limit", "max_kpps", "max_burst_kpps", _BOTH)

KINDS = (BANDWIDTH_LIMIT, DSCP_MARKING, MINIMUM_BANDWIDTH, MINIMUM_PACKET_RATE, PACKET_RATE_LIMIT)
BY_NAME = {kind.name: kind for kind in KINDS}
