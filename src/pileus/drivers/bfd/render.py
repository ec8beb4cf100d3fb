"""BIRD's configuration for the next hops of one router. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from pileus.drivers.bfd.spec import INTERVAL_MS, MULTIPLIER, WatchedHop, WatchedRouter

PROGRAM = "bird"
_FIRST_PREFERENCE, _LAST_PREFERENCE = 200, 1
_RESCAN_S = 10
_FAMILIES = ((4, "0.0.0.0/0"), (6, "::/0"))


def render(router: WatchedRouter) -> str:
    """The file. Every interval is as long while a next hop is down, so that it is soon back."""
    timing = (
        f"min rx interval {INTERVAL_MS} ms; min tx interval {INTERVAL_MS} ms; "
        f"idle tx interval {INTERVAL_MS} ms; multiplier {MULTIPLIER};"
    )
    devices = sorted({hop.device for hop in router.hops})
    lines = [
        "log syslog { warning, error, auth, fatal, bug };",
        "router id 0.0.0.1;",  # no protocol here tells it to anybody
        f"protocol device {{ scan time {_RESCAN_S}; }}",
        f"protocol bfd {{ interface {', '.join(map(_name, devices))} {{ {timing} }}; }}",
    ]
    for version, everything in _FAMILIES:
        hops = [hop for hop in router.hops if ipaddress.ip_address(hop.address).version == version]
        if hops:
            lines += _static(version, everything, hops, balanced=router.balanced)
            lines.append(
                f"protocol kernel kernel{version} {{ ipv{version} {{ export all; }}; "
                f"kernel table {router.table}; scan time {_RESCAN_S}; }}"
            )
    return "\n".join(lines) + "\n"


def _static(version: int, everything: str, hops: Sequence[WatchedHop], *, balanced: bool) -> Iterator[str]:
    several = [list(hops)] if balanced else [[hop] for hop in hops]
    for number, some in enumerate(several):
        preference = max(_FIRST_PREFERENCE - number, _LAST_PREFERENCE)
        ways = " ".join(map(_way, some))
        yield (
            f"protocol static hops{version}_{number} {{ ipv{version} {{ preference {preference}; }}; "
            f"route {everything} {ways}; }}"
        )


def _way(hop: WatchedHop) -> str:
    onlink = " onlink" if hop.far else ""
    return f"via {ipaddress.ip_address(hop.address)}%{_symbol(hop.device)}{onlink} bfd"


def _name(device: str) -> str:
    """A device's name in quotes; ours have letters, digits, dots and dashes."""
    if not all(letter.isalnum() or letter in "-._" for letter in device):
        raise ValueError(f"no name of a device: {device!r}")
    return f'"{device}"'


def _symbol(device: str) -> str:
    """The name where BIRD takes a symbol, in quotes of another kind."""
    return _name(device).replace('"', "'")
