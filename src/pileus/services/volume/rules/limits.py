"""Limits of volumes: the keys of QoS specs that QEMU keeps, and what they come to for a volume. Pure.

Source: Cinder's administration guide, "Basic volume quality of service" and "capacity based QoS"; libvirt's
domain format, ``iotune``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

FRONT_END, BACK_END, BOTH = "front-end", "back-end", "both"
CONSUMERS = (FRONT_END, BACK_END, BOTH)
"""Who keeps the limits: the hypervisor, the pool, or both."""

_UNITS = ("bytes_sec", "iops_sec")
_SIDES = ("read", "write")
_RATES = tuple(f"{side}_{unit}" for unit in _UNITS for side in ("total", *_SIDES))
_PER_GB, _PER_GB_MIN = "_per_gb", "_per_gb_min"
_NUMBERS = frozenset(
    {
        *_RATES,
        *(f"{rate}{end}" for rate in _RATES for end in (_PER_GB, _PER_GB_MIN, "_max", "_max_length")),
        "size_iops_sec",
    }
)
_LARGEST = 10**15
_LONGEST_S = 2**32 - 1
"""QEMU's greatest numbers."""


def objection(consumer: str, specs: Mapping[str, str]) -> str | None:
    """Why a hypervisor can't keep these specs; None: it can, or need not."""
    if consumer == BACK_END:
        return None
    for key, text in sorted(specs.items()):
        if key in _NUMBERS and _number(text) is None:
            return f"{key} must be an integer from 0 to {_LARGEST}, and is '{text}'"
    for unit in _UNITS:
        total, parts = _named(specs, f"total_{unit}"), [f"{side}_{unit}" for side in _SIDES]
        if total and any(_named(specs, part) for part in parts):
            return f"total_{unit} can't be limited together with {' or '.join(parts)}"
    return next(filter(None, (_burst_objection(specs, rate) for rate in _RATES)), None)


def _burst_objection(specs: Mapping[str, str], rate: str) -> str | None:
    burst, seconds = _burst(specs, rate)
    if rate in specs and burst and burst < int(specs[rate]):
        return f"{rate}_max is below {rate}"
    if not _can_last(burst, seconds):
        return f"{rate}_max_length is too long: {seconds}"
    return None


def _burst(numbers: Mapping[str, str] | Mapping[str, int], rate: str) -> tuple[int, int]:
    """The burst of a rate and its seconds; 0 where it has none."""
    return int(numbers.get(f"{rate}_max", 0)), int(numbers.get(f"{rate}_max_length", 0))


def _can_last(burst: int, seconds: int) -> bool:
    return seconds <= _LONGEST_S and burst * seconds <= _LARGEST


def _named(specs: Mapping[str, str], rate: str) -> bool:
    return rate in specs or rate + _PER_GB in specs


def _number(text: str) -> int | None:
    if not (text.isdecimal() and text.isascii() and len(text) <= 16):
        return None
    number = int(text)
    return number if number <= _LARGEST else None


def front_end(consumer: str, specs: Mapping[str, str], size_gib: int) -> dict[str, str]:
    """The specs that the hypervisor is told of a volume of this size: rates for each GiB are multiplied."""
    if consumer == BACK_END:
        return {}
    told = {key: text for key, text in specs.items() if not key.endswith((_PER_GB, _PER_GB_MIN))}
    for rate in _RATES:
        per_gib = _number(specs.get(rate + _PER_GB, ""))
        if per_gib is not None:
            least = _number(specs.get(rate + _PER_GB_MIN, "")) or 0
            told[rate] = str(min(_LARGEST, max(per_gib * size_gib, least)))
    return told


def limits_of(consumer: str, specs: Mapping[str, str], size_gib: int) -> dict[str, int]:
    """The same as numbers by libvirt's names, without what QEMU would refuse: zeros, which limit nothing,
    bursts of what has no limit or that are below it (it may grow with the volume), and their lengths."""
    told = front_end(consumer, specs, size_gib)
    found = {key: number for key, number in _numbers(told) if number}

    def is_limited(key: str) -> bool:
        if key == "size_iops_sec":
            return any(rate.endswith("iops_sec") and rate in found for rate in _RATES)
        rate, is_burst, end = key.partition("_max")
        if rate not in found or not is_burst:
            return rate in found
        burst, seconds = _burst(found, rate)
        return burst >= found[rate] and (end != "_length" or _can_last(burst, seconds))

    return {key: number for key, number in found.items() if is_limited(key)}


def _numbers(told: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for key, text in sorted(told.items()):
        if key in _NUMBERS and (number := _number(text)) is not None:
            yield key, number
