"""Two guests (namespaces) on a machine's cloud that reach each other, and pings that are counted."""

from __future__ import annotations

import json
import re

from tests.machine.conftest import CHECKOUT, Inside

PINGS_A_SECOND = 10


def two_guests(inside: Inside, state: str, name: str, cidr: str, *pairs: str) -> str:
    """Make guests ``NAME-a`` and ``NAME-b`` on a network; the address of the second, once it answers."""
    net = f"cd {CHECKOUT} && .venv/bin/python tests/machine/net.py"
    ports = json.loads(inside.run(f"{net} {state} {name} {cidr} {' '.join(pairs)}"))
    for port in ports:
        inside.pileus(f"plug {port} --state {state}")
    address = str(ports[f"{name}-b"]["ip"])
    once = f"ip netns exec guest-{name}-a ping -c 1 -W 1 {address}"
    inside.run(f"for i in $(seq 60); do {once} && exit; sleep 0.2; done; exit 1")
    return address


def unplug_all(inside: Inside, state: str, name: str) -> None:
    """Take the two away again."""
    for port in (f"{name}-a", f"{name}-b"):
        inside.pileus(f"unplug {port} --state {state}")


def lost(inside: Inside, name: str, address: str, command: str, seconds: int) -> tuple[int, int]:
    """How many pings were sent while ``command`` ran and for a while after, and how many were lost."""
    pings = f"ip netns exec guest-{name}-a ping -i {1 / PINGS_A_SECOND} -w {seconds} {address}"
    said = inside.run(f"{pings} > /tmp/pings & sleep 3; {command}; wait; tail -n 3 /tmp/pings", seconds + 60)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    assert found, said
    return int(found[1]), int(found[1]) - int(found[2])
