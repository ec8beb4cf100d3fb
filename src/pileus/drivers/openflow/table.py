"""Reading and writing a bridge's flows and meters: the protocol, and ovs-ofctl behind it.

``apply`` is one atomic bundle (OpenFlow 1.4): all of it is in force when it returns, or none.
The switch answers a bundle's commit after its tables have changed, so no barrier is needed
beyond it. A flow that is not named in ``apply`` is not touched, and keeps its counters; one
that is written again with other actions keeps them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from pileus.drivers.openflow.channel import (
    Meter,
    MeterBand,
    SwitchRefused,
    change_meters,
    count_flows,
    read_meters,
    until_gone,
)
from pileus.drivers.openflow.flow import Flow, Key, parse_flow
from pileus.drivers.process import ProgramFailed, run

__all__ = ["FlowRejected", "FlowTable", "Meter", "MeterBand", "OvsOfctl", "SwitchAbsent", "SwitchRefused"]

_TIMEOUT_S = 30.0
_SYNTAX = re.compile(r"^ovs-ofctl: -:(\d+): (.*)$", re.MULTILINE)
_REFUSAL = re.compile(r"^Error (\w+) for: OFPT_FLOW_MOD [^:]*: (.*)$", re.MULTILINE)
_ABSENT = re.compile(r"No such file or directory|Connection (refused|reset)|End of file|Broken pipe")
_PACKETS = re.compile(r"n_packets=(\d+)")


class FlowRejected(Exception):
    """The switch, or the program that writes to it, refused a bundle; none of it is in force.

    ``culprit`` is the flow in question as far as it is known, ``reason`` what is wrong with it.
    """

    def __init__(self, bridge: str, reason: str, culprit: str) -> None:
        self.bridge = bridge
        self.reason = reason
        self.culprit = culprit
        super().__init__(f"{bridge}: {reason}: {culprit}")


class SwitchAbsent(Exception):
    """The bridge is not there, or no vswitchd serves it."""


class FlowTable(Protocol):
    """The flows of a switch as an agent reads and writes them. Bridges are named; all calls raise
    SwitchAbsent."""

    async def dump(self, bridge: str) -> list[Flow]:
        """Each flow of all tables."""
        ...

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        """Write and delete flows as one atomic step; raises FlowRejected."""
        ...

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        """How many packets each flow has seen."""
        ...

    async def count(self, bridge: str, cookie: int, mask: int) -> int:
        """How many flows have a cookie whose bits in ``mask`` are those of ``cookie``; costs little."""
        ...

    async def meters(self, bridge: str) -> dict[int, Meter]:
        """The meters of a bridge by their number."""
        ...

    async def apply_meters(self, bridge: str, put: Mapping[int, Meter], delete: Iterable[int] = ()) -> None:
        """Write (new or changed) and delete meters on one connection, then wait for a barrier; raises
        SwitchRefused. Flows that use a deleted meter go with it."""
        ...

    def incarnation(self, bridge: str) -> str | None:
        """Another text after vswitchd was started again (its flows were lost); None: no such bridge."""
        ...

    async def until_gone(self, bridge: str) -> None:
        """Return as soon as vswitchd dies, at once where the bridge is not there."""
        ...


class OvsOfctl:
    """Flows of the bridges whose management sockets are in vswitchd's run directory."""

    def __init__(self, run_dir: Path = Path("/var/run/openvswitch"), program: str = "ovs-ofctl") -> None:
        # ovs-ofctl looks for a relative socket in a directory of its own.
        self._run_dir = run_dir.absolute()
        self._program = program
        self._parsed: dict[str, dict[str, Flow]] = {}

    async def dump(self, bridge: str) -> list[Flow]:
        output = await self._ofctl("dump-flows", bridge, "--no-stats", "--no-names")
        # Most lines are those of the last dump: they are not read again.
        known = self._parsed.get(bridge, {})
        lines = [line for line in output.decode().splitlines() if "actions=" in line]
        parsed = {line: known.get(line) or parse_flow(line) for line in lines}
        self._parsed[bridge] = parsed
        return list(parsed.values())

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        lines = [f"add {flow}" for flow in add] + [_deletion(flow) for flow in delete]
        if not lines:
            return
        for line in lines:
            if not line.isprintable():  # a line break would begin another command
                raise FlowRejected(bridge, "characters that can't be printed", repr(line))
        text = "\n".join(lines).encode()
        try:
            await self._ofctl("add-flows", bridge, "--bundle", rest=("-",), stdin=text)
        except ProgramFailed as failure:
            reason, culprit = _blame(failure.stderr, lines)
            raise FlowRejected(bridge, reason, culprit) from failure

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        output = await self._ofctl("dump-flows", bridge, "--no-names")
        counts = {}
        for line in output.decode().splitlines():
            if (found := _PACKETS.search(line)) is not None:
                counts[parse_flow(line).key] = int(found[1])
        return counts

    async def count(self, bridge: str, cookie: int, mask: int) -> int:
        try:
            return await count_flows(self._socket(bridge), cookie, mask)
        except OSError as error:
            raise SwitchAbsent(f"{bridge}: {error}") from error

    async def meters(self, bridge: str) -> dict[int, Meter]:
        try:
            return await read_meters(self._socket(bridge))
        except OSError as error:
            raise SwitchAbsent(f"{bridge}: {error}") from error

    async def apply_meters(self, bridge: str, put: Mapping[int, Meter], delete: Iterable[int] = ()) -> None:
        try:
            await change_meters(self._socket(bridge), put, delete)
        except OSError as error:
            raise SwitchAbsent(f"{bridge}: {error}") from error

    def incarnation(self, bridge: str) -> str | None:
        try:
            status = self._socket(bridge).stat()
        except FileNotFoundError:
            return None
        return f"{status.st_ino}-{status.st_ctime_ns}"

    async def until_gone(self, bridge: str) -> None:
        await until_gone(self._socket(bridge))

    def _socket(self, bridge: str) -> Path:
        return self._run_dir / f"{bridge}.mgmt"

    async def _ofctl(
        self, command: str, bridge: str, *options: str, rest: tuple[str, ...] = (), stdin: bytes = b""
    ) -> bytes:
        arguments = (self._program, "-O", "OpenFlow14", *options, command, f"unix:{self._socket(bridge)}")
        try:
            return await run((*arguments, *rest), stdin=stdin, timeout_s=_TIMEOUT_S)
        except ProgramFailed as failure:
            if _ABSENT.search(failure.stderr):
                raise SwitchAbsent(f"{bridge}: {failure.stderr.strip()}") from failure
            raise


def _deletion(flow: Flow) -> str:
    match = f",{flow.match}" if flow.match else ""
    return f"delete_strict cookie={flow.cookie:#x}/-1,table={flow.table},priority={flow.priority}{match}"


def _blame(stderr: str, lines: list[str]) -> tuple[str, str]:
    """Parse ovs-ofctl's first complaint: the reason and the flow."""
    if (found := _SYNTAX.search(stderr)) is not None:
        return found[2], lines[int(found[1]) - 1]
    if (found := _REFUSAL.search(stderr)) is not None:
        return found[1], found[2]
    return stderr.strip()[-500:], ""
