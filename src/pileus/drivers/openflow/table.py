"""Reading and writing a bridge's flows, meters and groups, and packets by its controller's way.

``apply`` is one atomic bundle (OpenFlow 1.4): all of it is in force when it returns, or none.
The switch answers a bundle's commit after its tables have changed, so no barrier is needed
beyond it. A flow that is not named in ``apply`` is not touched, and keeps its counters; one
that is written again with other actions keeps them too.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from pileus.drivers.openflow import messages as m
from pileus.drivers.openflow.channel import Channel, Message, Refusal, SwitchRefused, open_channel
from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.flow import Flow, Key
from pileus.drivers.openflow.messages import Bucket, Group, Meter, MeterBand, PacketIn, PacketOut

__all__ = [
    "Bucket",
    "FlowRejected",
    "FlowTable",
    "Group",
    "Meter",
    "MeterBand",
    "OpenFlow",
    "PacketIn",
    "PacketOut",
    "SwitchAbsent",
    "SwitchRefused",
]


_WHOLE_COOKIE = (1 << 64) - 1
_LOOK_AGAIN_S = 0.02


class FlowRejected(Exception):
    """The switch refused a bundle, or a flow of it can't be written; none of it is in force.

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

    async def dump(self, bridge: str, cookie: int = 0, mask: int = 0) -> list[Flow]:
        """Each flow of all tables whose cookie has the bits of ``cookie`` that are in ``mask``."""
        ...

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        """Write and delete flows as one atomic step; raises FlowRejected."""
        ...

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        """How many packets each flow has seen."""
        ...

    async def counters(self, bridge: str, cookie: int) -> Mapping[Key, tuple[int, int]]:
        """How many packets and octets each flow with this cookie has seen."""
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

    async def groups(self, bridge: str) -> dict[int, Group]:
        """The groups of a bridge by their number."""
        ...

    async def apply_groups(self, bridge: str, put: Mapping[int, Group], delete: Iterable[int] = ()) -> None:
        """Write (new or changed) and delete groups, then wait for a barrier; raises SwitchRefused. Flows that
        use a deleted group go with it."""
        ...

    def changes(self, bridge: str) -> AsyncGenerator[frozenset[int] | None, None]:
        """The cookies of flows that others have changed, again and again, until the bridge goes; None: there
        were too many to say. What is applied here is not told. Raises SwitchRefused where the switch can't
        tell."""
        ...

    def packets_in(self, bridge: str) -> AsyncGenerator[PacketIn, None]:
        """The packets that flows send to the controller, until the bridge goes."""
        ...

    async def packet_out(self, bridge: str, *packets: PacketOut) -> None:
        """Let the switch treat packets in their order; raises SwitchRefused, where others are treated all the
        same."""
        ...

    async def close(self) -> None:
        """End the connections; they are made again when they are needed."""
        ...

    def incarnation(self, bridge: str) -> str | None:
        """Another text after vswitchd was started again (its flows were lost); None: no such bridge."""
        ...

    async def until_gone(self, bridge: str) -> None:
        """Return as soon as vswitchd dies, at once where the bridge is not there."""
        ...


class OpenFlow:
    """Bridges whose management sockets are in vswitchd's run directory. One connection to each is kept, and
    made again when vswitchd has closed it; packets come by one of their own,
    so that many don't delay flows."""

    def __init__(self, run_dir: Path = Path("/var/run/openvswitch")) -> None:
        self._run_dir = run_dir.absolute()
        self._channels: dict[str, Channel] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._parsed: dict[str, dict[bytes, Flow | None]] = {}

    async def dump(self, bridge: str, cookie: int = 0, mask: int = 0) -> list[Flow]:
        entries = await self._entries(bridge, cookie, mask)
        if mask:
            return [flow for still, _ in entries if (flow := _parse(still)) is not None]
        # Most are those of the last dump: they are not read again.
        known = self._parsed.get(bridge, {})
        parsed = {still: known[still] if still in known else _parse(still) for still, _ in entries}
        self._parsed[bridge] = parsed
        return [flow for flow in parsed.values() if flow is not None]

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        flows = [(flow, m.ADD) for flow in add] + [(flow, m.DELETE_STRICT) for flow in delete]
        if not flows:
            return
        mods: list[Message] = []
        for flow, command in flows:
            try:
                mods.append((m.FLOW_MOD, m.flow_mod(flow, command)))
            except BadFlow as error:
                raise FlowRejected(bridge, str(error), str(flow)) from error
        try:
            async with self._conversation(bridge) as channel:
                await channel.bundle(mods)
        except Refusal as refusal:
            culprit = str(flows[refusal.place][0]) if 0 <= refusal.place < len(flows) else ""
            raise FlowRejected(bridge, str(refusal), culprit) from refusal

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        counted = ((_parse(still), packets) for still, packets in await self._entries(bridge))
        return {flow.key: packets for flow, packets in counted if flow is not None}

    async def counters(self, bridge: str, cookie: int) -> Mapping[Key, tuple[int, int]]:
        async with self._conversation(bridge) as channel:
            body = await channel.question(m.flow_question(cookie, _WHOLE_COOKIE))
            counted = [(_parse(still), counts) for still, counts in m.flow_counters(body)]
        return {flow.key: counts for flow, counts in counted if flow is not None}

    async def count(self, bridge: str, cookie: int, mask: int) -> int:
        async with self._conversation(bridge) as channel:
            return m.parse_count(await channel.question(m.flow_question(cookie, mask, m.MP_AGGREGATE)))

    async def meters(self, bridge: str) -> dict[int, Meter]:
        async with self._conversation(bridge) as channel:
            return dict(m.parse_meters(await channel.question(m.meter_question())))

    async def apply_meters(self, bridge: str, put: Mapping[int, Meter], delete: Iterable[int] = ()) -> None:
        present = await self.meters(bridge) if put else {}
        mods: list[tuple[str, Message]] = [
            (f"meter {number}", (m.METER_MOD, m.meter_mod(m.DELETE, number, None))) for number in delete
        ]
        for number, meter in put.items():
            if present.get(number) != meter:
                command = m.MODIFY if number in present else m.ADD
                mods.append((f"meter {number}", (m.METER_MOD, m.meter_mod(command, number, meter))))
        await self._change(bridge, mods)

    async def groups(self, bridge: str) -> dict[int, Group]:
        async with self._conversation(bridge) as channel:
            return dict(m.parse_groups(await channel.question(m.group_question())))

    async def apply_groups(self, bridge: str, put: Mapping[int, Group], delete: Iterable[int] = ()) -> None:
        present = await self.groups(bridge) if put else {}
        mods: list[tuple[str, Message]] = []
        for number, group in put.items():
            if present.get(number) != group:
                command = m.MODIFY if number in present else m.ADD
                try:
                    mods.append((f"group {number}", (m.GROUP_MOD, m.group_mod(command, number, group))))
                except BadFlow as error:
                    raise SwitchRefused(*m.BAD_BUCKET, f"group {number}: {error}") from error
        mods += [(f"group {number}", (m.GROUP_MOD, m.group_mod(m.DELETE, number, None))) for number in delete]
        await self._change(bridge, mods)

    async def _change(self, bridge: str, mods: list[tuple[str, Message]]) -> None:
        if not mods:
            return
        try:
            async with self._conversation(bridge) as channel:
                await channel.changes([message for _, message in mods])
        except Refusal as refusal:
            about = mods[refusal.place][0] if 0 <= refusal.place < len(mods) else "a message"
            raise SwitchRefused(refusal.kind, refusal.code, about) from refusal

    async def changes(self, bridge: str) -> AsyncGenerator[frozenset[int] | None, None]:
        # On the connection by which flows are written, so that the switch knows which changes are ours.
        async with self._conversation(bridge) as channel:
            try:
                heard = await channel.hear_changes()
            except Refusal as refusal:
                raise SwitchRefused(refusal.kind, refusal.code, "a flow monitor") from refusal
        while channel.is_open:
            await heard.came.wait()
            yield heard.taken()

    async def packets_in(self, bridge: str) -> AsyncGenerator[PacketIn, None]:
        with _absent(bridge):
            channel = await open_channel(self._socket(bridge))
        try:
            with _absent(bridge):
                queue = await channel.hear_packets()
            while (packet := await queue.get()) is not None:
                yield packet
        finally:
            channel.close()

    async def packet_out(self, bridge: str, *packets: PacketOut) -> None:
        try:
            bodies = [m.packet_out(packet) for packet in packets]
        except BadFlow as error:
            raise SwitchRefused(*m.BAD_ACTION, f"a packet: {error}") from error
        await self._change(bridge, [("a packet", (m.PACKET_OUT, body)) for body in bodies])

    def incarnation(self, bridge: str) -> str | None:
        try:
            status = self._socket(bridge).stat()
        except FileNotFoundError:
            return None
        return f"{status.st_ino}-{status.st_ctime_ns}"

    async def until_gone(self, bridge: str) -> None:
        known = self.incarnation(bridge)
        while known is not None and self.incarnation(bridge) == known:
            with contextlib.suppress(SwitchAbsent, Refusal):
                async with self._conversation(bridge) as channel:
                    await asyncio.shield(channel.gone)
            # A connection may end, or get no answer in time, while vswitchd lives.
            if not await _listens(self._socket(bridge)):
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def close(self) -> None:
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    async def _entries(self, bridge: str, cookie: int = 0, mask: int = 0) -> list[tuple[bytes, int]]:
        async with self._conversation(bridge) as channel:
            return list(m.flow_entries(await channel.question(m.flow_question(cookie, mask))))

    @asynccontextmanager
    async def _conversation(self, bridge: str) -> AsyncIterator[Channel]:
        """The bridge's connection; what goes wrong with it is that the switch is absent."""
        with _absent(bridge):
            yield await self._channel(bridge)

    async def _channel(self, bridge: str) -> Channel:
        async with self._opening.setdefault(bridge, asyncio.Lock()):
            channel = self._channels.get(bridge)
            if channel is None or not channel.is_open or channel.loop is not asyncio.get_running_loop():
                channel = self._channels[bridge] = await open_channel(self._socket(bridge))
            return channel

    def _socket(self, bridge: str) -> Path:
        return self._run_dir / f"{bridge}.mgmt"


async def _listens(socket: Path) -> bool:
    """Whether somebody takes connections at a socket."""
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # it has no room for one more at the moment
        return True
    writer.close()
    return True


@contextlib.contextmanager
def _absent(bridge: str) -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError, ValueError, struct.error) as error:  # it has gone, or talks nonsense
        raise SwitchAbsent(f"{bridge}: {error}") from error


def _parse(still: bytes) -> Flow | None:
    """A flow; None: it has what we don't know, so it is none of ours and no flow of ours has its match."""
    try:
        flow = m.parse_entry(still)
        _ = flow.key, flow.effect
    except BadFlow:
        return None
    return flow
