"""Least bandwidths by the kernel's HTB queues on a network card (tc-htb(8), tc-u32(8)), by the real ``tc``.

All that leaves by the card shares its rate; a sender has what he is guaranteed, others what he leaves of it.
A sender is told by the hardware address in his frames, tagged or not, or inside of a tunnel, so it makes no
difference which switch sends them. The queues are ours by their handle; somebody else's stay, and are a
failure.

Queues are short: a switch in user space sends by one socket, which a queue of one sender could fill for all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from pileus.drivers.process import ProgramFailed, run

HANDLE = "504c:"
"""The label of ours."""
WHOLE, REST = 0xFFFF, 0xFFFE
"""Classes of the card's rate, and of everybody without a guarantee."""
_QUANTUM = 1514
_ROOT = re.compile(r"^qdisc (\w+) ([0-9a-f]+:) dev (\S+) root", re.MULTILINE)
_NOBODYS = "0:"
_SHORTEST, _LONGEST = 20, 1000
_FRAME_KBIT, _HELD_MS = 12, 10
_UDP, _GRE = 17, 47
_IPV4_HEADER, _IPV6_HEADER, _UDP_AND_VXLAN, _GRE_WITH_KEY = 20, 40, 16, 8


class Tunnel(msgspec.Struct, frozen=True):
    """The headers that a sender's frames leave in: between addresses of IP ``version``, to the UDP
    ``port`` where it is VXLAN. GRE has a key, as switches send it."""

    kind: Literal["vxlan", "gre"]
    version: int
    port: int = 0


class Guarantee(msgspec.Struct, frozen=True):
    """The least that the sender ``mac_address`` may send; ``number`` is his class."""

    number: int
    mac_address: str
    least_kbps: int
    tunnel: Tunnel | None = None


class Shape(msgspec.Struct, frozen=True):
    """The rate of a card, and who is guaranteed what of it."""

    rate_kbps: int
    guarantees: tuple[Guarantee, ...] = ()


class Queues(Protocol):
    """The queues of this machine's cards."""

    async def bring(self, wanted: Mapping[str, Shape], *, whole: bool) -> dict[str, str]:
        """Have exactly these, by card; why some could not be. ``whole``: take nothing for granted."""
        ...

    async def device_of(self, address: str) -> str | None:
        """The interface that has an address of this machine."""
        ...


class KernelQueues:
    """``prefix``: words before ``tc``, where the cards are in another place."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix
        self._believed: dict[str, Shape] | None = None

    async def bring(self, wanted: Mapping[str, Shape], *, whole: bool) -> dict[str, str]:
        if self._believed == wanted and not whole:
            return {}
        try:
            roots = await self._roots()
        except ProgramFailed as error:
            return dict.fromkeys(wanted, str(error))
        failed: dict[str, str] = {}
        for card in sorted(wanted.keys() | {card for card, handle in roots.items() if handle == HANDLE}):
            handle = roots.get(card)
            shape = wanted.get(card)
            if shape is not None and handle not in (None, _NOBODYS, HANDLE):
                failed[card] = f"{card} has queues of somebody else's"
                continue
            ours = handle == HANDLE
            if ours and shape is not None and not whole and (self._believed or {}).get(card) == shape:
                continue
            lines = [f"qdisc del dev {card} root"] if ours else []
            if shape is not None:
                lines += rendered(card, shape)
            try:
                await self._tc("-batch", "-", text="\n".join(lines) + "\n")
            except ProgramFailed as error:
                failed[card] = str(error)
        self._believed = None if failed else dict(wanted)
        return failed

    async def device_of(self, address: str) -> str | None:
        try:
            said = await run((*self._prefix, "ip", "-json", "address", "show", "to", address))
        except ProgramFailed:
            return None
        # Some versions list interfaces that have nothing of it as empty objects.
        names = [str(one["ifname"]) for one in json.loads(said or b"[]") if one.get("addr_info")]
        return names[0] if names else None

    async def _roots(self) -> dict[str, str]:
        said = (await self._tc("qdisc", "show")).decode()
        return {found[3]: found[2] for found in _ROOT.finditer(said)}

    async def _tc(self, *arguments: str, text: str = "") -> bytes:
        return await run((*self._prefix, "tc", *arguments), stdin=text.encode())


def rendered(card: str, shape: Shape) -> list[str]:
    """The lines of a batch that make a card's queues."""
    rate = shape.rate_kbps
    rest = max(rate - sum(one.least_kbps for one in shape.guarantees), rate // 100, 8)

    frames = min(max(_SHORTEST, rate * _HELD_MS // 1000 // _FRAME_KBIT), _LONGEST)

    def queue(number: int) -> str:
        return f"qdisc add dev {card} parent {HANDLE}{number:x} pfifo limit {frames}"

    def add(parent: str, number: int, least: int) -> str:
        return (
            f"class add dev {card} parent {parent} classid {HANDLE}{number:x} "
            f"htb rate {least}kbit ceil {rate}kbit quantum {_QUANTUM}"
        )

    lines = [
        f"qdisc add dev {card} root handle {HANDLE} htb default {REST:x}",
        add(HANDLE, WHOLE, rate),
        add(f"{HANDLE}{WHOLE:x}", REST, rest),
        queue(REST),
    ]
    for one in shape.guarantees:
        lines += [
            add(f"{HANDLE}{WHOLE:x}", one.number, min(one.least_kbps, rate)),
            queue(one.number),
            f"filter add dev {card} parent {HANDLE} protocol all prio 10 u32 "
            f"{_match(one)} "
            f"flowid {HANDLE}{one.number:x}",
        ]
    return lines


def _match(one: Guarantee) -> str:
    """Match the sender's hardware address; offsets are from the (outer) IP header."""
    mac = one.mac_address.replace(":", "").lower()
    if one.tunnel is None:
        return f"match u32 0x{mac[:8]} 0xffffffff at -8 match u16 0x{mac[8:]} 0xffff at -4"
    old = one.tunnel.version == 4
    header = _IPV4_HEADER if old else _IPV6_HEADER
    # An IPv4 header with options has another length; no switch sends one.
    version = "match u8 0x45 0xff at 0" if old else "match u8 0x60 0xf0 at 0"
    protocol = _UDP if one.tunnel.kind == "vxlan" else _GRE
    outer = f"{version} match u8 {protocol} 0xff at {9 if old else 6}"
    if one.tunnel.kind == "vxlan":
        outer += f" match u16 {one.tunnel.port} 0xffff at {header + 2}"
    source = header + (_UDP_AND_VXLAN if one.tunnel.kind == "vxlan" else _GRE_WITH_KEY) + 6
    return (
        f"{outer} match u16 0x{mac[:4]} 0xffff at {source} match u32 0x{mac[4:]} 0xffffffff at {source + 2}"
    )


class SimulatedQueues:
    """The twin: what was asked for. ``faults``: cards that refuse; ``devices``: interfaces by address."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.faults: dict[str, str] = {}
        self.devices: dict[str, str] = {}

    async def device_of(self, address: str) -> str | None:
        return self.devices.get(address)

    async def bring(self, wanted: Mapping[str, Shape], *, whole: bool) -> dict[str, str]:
        self.shapes = {card: shape for card, shape in wanted.items() if card not in self.faults}
        return {card: why for card, why in self.faults.items() if card in wanted}
