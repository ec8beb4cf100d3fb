"""Reads what gateway machines know of their guests: the leases that they gave, and what labels have counted.

Both are read through QEMU's agent. Which leases the server has been told of is kept in the machine beside the
leases themselves, so that no restart of the agent loses or repeats a change. What a machine says is text of
another: whatever can't be read counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from pileus.core.clock import Clock
from pileus.drivers.dnsmasq.leases import parse_leases
from pileus.drivers.dnsmasq.spec import Lease
from pileus.drivers.libvirt.hypervisor import GuestSaid
from pileus.drivers.nft import metering
from pileus.host.dhcp.leases import compare, current
from pileus.wire import scopes
from pileus.wire.dhcp import LeaseChange
from pileus.wire.gateway import GatewayMachine
from pileus.wire.metering import MeteringCount

Run = Callable[[str, Sequence[str], bytes], Awaitable[GuestSaid]]
"""Runs a command in a machine, with bytes on its standard input."""
Tell = Callable[[Sequence[LeaseChange]], Awaitable[None]]

_SHELL = "/bin/sh"
READ_LEASES = (
    _SHELL,
    "-c",
    'cd /run/pileus/gateway && cat told 2>/dev/null; echo; cd dhcp && for port in *; do echo "port $port"; '
    'cat "$port/leases" 2>/dev/null; done',
)
KEEP_TOLD = (
    _SHELL,
    "-c",
    "cd /run/pileus/gateway && cat >told.new && mv told.new told",
)
READ_COUNTERS = (_SHELL, "-c", f"nft -j list counters table inet {metering.TABLE}")
_TOLD = msgspec.json.Decoder(dict[str, list[Lease]])
_AT_ONCE = 500
"""Changes in one report."""


class MachineLeases:
    """The leases of machines. ``tell`` hands changes over; where it raises they are told at the next look."""

    def __init__(self, run: Run, clock: Clock, tell: Tell) -> None:
        self._run = run
        self._clock = clock
        self._tell = tell

    async def look(self, machine: GatewayMachine) -> int:
        """Tell what changed in a machine; how much it was."""
        if not machine.served:
            return 0
        said = await self._run(machine.server_id, READ_LEASES, b"")
        told, leases = _parse(said.output.decode(errors="replace"))
        now = self._clock.now().timestamp()
        changes: list[LeaseChange] = []
        after: dict[str, list[Lease]] = {}
        for network in machine.served:
            port_id = network.port.port_id
            held = current(leases.get(port_id, ()), now)
            before = {lease.address: lease for lease in told.get(port_id, ())}
            changes += compare(network.network_id, before, held)
            after[port_id] = list(held.values())
        for start in range(0, len(changes), _AT_ONCE):
            await self._tell(changes[start : start + _AT_ONCE])
        if changes:
            await self._run(machine.server_id, KEEP_TOLD, msgspec.json.encode(after) + b"\n")
        return len(changes)


def _parse(said: str) -> tuple[Mapping[str, list[Lease]], dict[str, list[Lease]]]:
    """The leases that the server knows, and those that there are, by port."""
    first, _, rest = said.partition("\n")
    try:
        told = _TOLD.decode(first)
    except msgspec.DecodeError:
        told = {}
    found: dict[str, list[Lease]] = {}
    for part in f"\n{rest}".split("\nport ")[1:]:
        port_id, _, lines = part.partition("\n")
        if scopes.is_key(port_id):
            found[port_id] = parse_leases(lines)
    return told, found


async def counters(run: Run, machine: GatewayMachine) -> list[MeteringCount]:
    """Read what the labels of a machine's router have counted."""
    router = machine.router
    if not router.metering_labels:
        return []
    said = await run(machine.server_id, READ_COUNTERS, b"")
    if said.exit_code != 0:
        return []
    known = {metering.counter_name(label.label_id): label.label_id for label in router.metering_labels}
    try:
        listed = json.loads(said.output)["nftables"]
        found = {one["counter"]["name"]: one["counter"] for one in listed if "counter" in one}
        return [
            MeteringCount(known[name], router.router_id, _number(one["packets"]), _number(one["bytes"]))
            for name, one in sorted(found.items())
            if name in known
        ]
    except (ValueError, KeyError, TypeError):
        return []


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(value)
    return value
