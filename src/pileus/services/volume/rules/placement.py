"""Which pool a volume goes into: filters, then weights. Pure.

As Cinder's scheduler does it by default: availability zone, capacity (with thin provisioning and the
reserve), what the type's extra specs ask for; of the pools that are left, the one with most room.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

GIB = 1 << 30
_SCOPE = "capabilities"
_ZONES = "RESKEY:availability_zones"


class Pool(NamedTuple):
    """A pool as the scheduler sees it; sizes in GiB. ``provisioned``: promised to volumes. ``backup_place``:
    where its volumes are backed up; None: nowhere now."""

    host: str
    node: str
    name: str
    zone: str
    up: bool
    enabled: bool
    error: str | None
    total: float
    free: float
    provisioned: int
    volumes: int
    thin: bool
    ratio: float
    reserved_percentage: int
    capabilities: Mapping[str, Any]
    backup_place: str | None = None

    @property
    def room(self) -> float:
        """GiB that may still be promised."""
        reserved = self.total * self.reserved_percentage / 100
        if self.thin:
            return self.total * self.ratio - reserved - self.provisioned
        return min(self.free, self.total - self.provisioned) - reserved

    @property
    def free_now(self) -> float:
        """GiB that can still be written."""
        return self.free - self.total * self.reserved_percentage / 100


class Wanted(NamedTuple):
    """A volume that is to be placed. ``hosts``: only there (None: anywhere); ``zones``: only in these."""

    size: int
    specs: Mapping[str, str]
    zones: Collection[str] = ()
    hosts: Collection[str] | None = None
    not_hosts: Collection[str] = ()
    disk_format: str = ""


class NoPool(Exception):
    """No pool fits; ``reasons`` by the pool's host."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("No valid backend was found. No weighed backends available.")
        self.reasons = dict(reasons)


def choose(pools: Sequence[Pool], wanted: Wanted) -> Pool:
    """The pool for a volume. Raises NoPool."""
    reasons = {pool.host: refusal(pool, wanted) for pool in pools}
    fitting = [pool for pool in pools if reasons[pool.host] is None]
    if not fitting:
        raise NoPool({host: reason for host, reason in reasons.items() if reason is not None})
    return max(fitting, key=lambda pool: (pool.room, -pool.volumes, pool.host))


def refusal(pool: Pool, wanted: Wanted) -> str | None:
    """Why a pool does not take a volume; None: it does."""
    if not pool.up:
        return "its agent does not report"
    if not pool.enabled:
        return "it is disabled"
    if pool.error is not None:
        return "it is not usable now"
    if pool.host in wanted.not_hosts or (wanted.hosts is not None and pool.host not in wanted.hosts):
        return "it is not one of those that were asked for"
    if wanted.zones and pool.zone not in wanted.zones:
        return f"it is in the zone {pool.zone}"
    return lacking(pool, wanted.specs) or _full(pool, wanted.size)


def _full(pool: Pool, size: int) -> str | None:
    if pool.room < size:
        return f"it has room for {max(0, int(pool.room))} GiB"
    if pool.thin and pool.free_now * pool.ratio < size:
        return f"it has {max(0, int(pool.free_now))} GiB free"
    return None


def lacking(pool: Pool, specs: Mapping[str, str]) -> str | None:
    """Say which of a type's extra specs a pool does not have; None: it has all."""
    for key, asked in specs.items():
        if key == _ZONES:
            if pool.zone not in [zone.strip() for zone in asked.split(",")]:
                return f"it is in the zone {pool.zone}"
            continue
        scope, _, name = key.rpartition(":")
        if scope not in ("", _SCOPE):
            continue  # for somebody else
        if name not in pool.capabilities:
            return f"it has no {name}"
        if not matches(pool.capabilities[name], asked):
            return f"its {name} is {pool.capabilities[name]}"
    return None


def zones_of(specs: Mapping[str, str]) -> list[str]:
    """The zones to which a type's extra specs keep its volumes; none: all."""
    return [zone.strip() for zone in specs.get(_ZONES, "").split(",") if zone.strip()]


def says_true(text: str | None) -> bool:
    """Whether an extra spec is ``<is> True``."""
    return text is not None and text.replace("<is>", "").strip().lower() == "true"


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def test(has: str, asked: str) -> bool:
        try:
            return compare(float(has), float(asked))
        except ValueError:
            return False

    return test


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "=": _number(lambda has, asked: has >= asked),
    "==": _number(lambda has, asked: has == asked),
    "!=": _number(lambda has, asked: has != asked),
    ">=": _number(lambda has, asked: has >= asked),
    "<=": _number(lambda has, asked: has <= asked),
    "s==": lambda has, asked: has == asked,
    "s!=": lambda has, asked: has != asked,
    "s<": lambda has, asked: has < asked,
    "s<=": lambda has, asked: has <= asked,
    "s>": lambda has, asked: has > asked,
    "s>=": lambda has, asked: has >= asked,
    "<in>": lambda has, asked: asked in has,
    "<is>": lambda has, asked: has.lower() == asked.lower(),
}
_OR = re.compile(r"\s*<or>\s*")


def matches(has: Any, asked: str) -> bool:
    """Whether a capability is what an extra spec asks for, in the language of Cinder's extra specs."""
    if isinstance(has, list | tuple):
        return any(matches(one, asked) for one in has)
    text = str(has)
    if asked.strip().startswith("<or>"):
        return text in [one for one in _OR.split(asked.strip()) if one]
    operator, _, rest = asked.strip().partition(" ")
    test = _OPERATORS.get(operator)
    if test is None or not rest:
        return text.lower() == asked.strip().lower()
    return test(text, rest.strip())
