"""Flows, meters and groups of a simulated switch: what OpenFlow is to a real one.

Flows are kept with the simulated switch's bridges and die with them. What can't be written to a
switch, or what it would refuse, is refused. A bundle is taken as a whole or not at all. Packets are not
switched; one that is to go to the controller comes back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import cast

import msgspec

from pileus.drivers.openflow import messages
from pileus.drivers.openflow.actions import split_arguments
from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.flow import Flow, Key, parse_flow
from pileus.drivers.openflow.table import (
    FlowRejected,
    Group,
    Meter,
    PacketIn,
    PacketOut,
    SwitchAbsent,
    SwitchRefused,
)
from pileus.drivers.ovsdb.simulated import SimulatedSwitch

_METER = re.compile(r"\bmeter:(\d+)")
_GROUP = re.compile(r"\bgroup:(\d+)")
_METER_MOD_FAILED, _BAD_RATE, _INVALID_METER = 12, 6, 2
_USERDATA = re.compile(r"userdata=([0-9a-f.]*)")


class SimulatedFlows:
    """The FlowTable of a simulated switch."""

    def __init__(self, switch: SimulatedSwitch) -> None:
        self._switch = switch
        self._groups: dict[str, dict[int, Group]] = {}
        self._listeners: dict[str, set[asyncio.Queue[PacketIn | None]]] = {}
        self.sent: dict[str, list[PacketOut]] = {}
        """Packets that were given to a bridge, to be looked at by tests."""
        self.counted: dict[Key, tuple[int, int]] = {}
        """Packets and octets that flows have seen, as tests say it."""

    async def dump(self, bridge: str, cookie: int = 0, mask: int = 0) -> list[Flow]:
        return [flow for flow in self._flows(bridge).values() if flow.cookie & mask == cookie & mask]

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        flows = self._flows(bridge)
        added = list(add)
        for flow in added:
            try:
                flow.check()
                messages.flow_mod(flow, messages.ADD)
            except BadFlow as error:
                raise FlowRejected(bridge, str(error), str(flow)) from error
            for number in _METER.findall(flow.actions):
                if int(number) not in self._switch.meters[bridge]:
                    raise FlowRejected(bridge, "OFPMMFC_INVALID_METER", str(flow))
            for number in _GROUP.findall(flow.actions):
                if int(number) not in self._groups.get(bridge, {}):
                    raise FlowRejected(bridge, "OFPBAC_BAD_OUT_GROUP", str(flow))
        cookies = set()
        for flow in added:
            if flows.get(flow.key) != flow:
                cookies.add(flow.cookie)
            flows[flow.key] = flow
        for flow in delete:
            present = flows.get(flow.key)
            if present is not None and present.cookie == flow.cookie:
                del flows[flow.key]
                cookies.add(flow.cookie)
        self._switch.flows_changed()
        for owner, queue in self._switch.monitors.get(bridge, ()):
            if cookies and owner is not self:
                queue.put_nowait(frozenset(cookies))

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        return dict.fromkeys(self._flows(bridge), 0)

    async def counters(self, bridge: str, cookie: int) -> Mapping[Key, tuple[int, int]]:
        return {
            flow.key: self.counted.get(flow.key, (0, 0))
            for flow in await self.dump(bridge, cookie, 2**64 - 1)
        }

    async def count(self, bridge: str, cookie: int, mask: int) -> int:
        return sum(flow.cookie & mask == cookie & mask for flow in self._flows(bridge).values())

    async def meters(self, bridge: str) -> dict[int, Meter]:
        self._flows(bridge)
        stored = self._switch.meters[bridge]
        return {number: msgspec.convert(meter, Meter) for number, meter in stored.items()}

    async def apply_meters(self, bridge: str, put: Mapping[int, Meter], delete: Iterable[int] = ()) -> None:
        flows = self._flows(bridge)
        for number, meter in put.items():
            if number < 1:
                raise SwitchRefused(_METER_MOD_FAILED, _INVALID_METER, f"meter {number}")
            if meter.band.rate < 1:
                raise SwitchRefused(_METER_MOD_FAILED, _BAD_RATE, f"meter {number}")
        meters = self._switch.meters[bridge]
        for number in delete:
            meters.pop(number, None)
            for key in [key for key, flow in flows.items() if str(number) in _METER.findall(flow.actions)]:
                del flows[key]
        meters.update({number: msgspec.to_builtins(meter) for number, meter in put.items()})
        self._switch.flows_changed()

    async def groups(self, bridge: str) -> dict[int, Group]:
        self._flows(bridge)
        return dict(self._groups.get(bridge, {}))

    async def apply_groups(self, bridge: str, put: Mapping[int, Group], delete: Iterable[int] = ()) -> None:
        flows, groups = self._flows(bridge), self._groups.setdefault(bridge, {})
        for number, group in put.items():
            try:
                messages.group_mod(messages.ADD, number, group)
            except BadFlow as error:
                raise SwitchRefused(*messages.BAD_BUCKET, f"group {number}: {error}") from error
        groups.update(put)
        for number in delete:
            groups.pop(number, None)
            for key in [key for key, flow in flows.items() if str(number) in _GROUP.findall(flow.actions)]:
                del flows[key]
        self._switch.flows_changed()

    async def changes(self, bridge: str) -> AsyncGenerator[frozenset[int] | None, None]:
        self._flows(bridge)
        queue: asyncio.Queue[frozenset[int] | None] = asyncio.Queue()
        monitor = self, queue
        monitors = self._switch.monitors.setdefault(bridge, [])
        monitors.append(monitor)
        gone = asyncio.ensure_future(self.until_gone(bridge))
        gone.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while not gone.done():
                yield await queue.get()
        finally:
            gone.cancel()
            monitors.remove(monitor)

    async def packets_in(self, bridge: str) -> AsyncGenerator[PacketIn, None]:
        self._flows(bridge)
        queue: asyncio.Queue[PacketIn | None] = asyncio.Queue()
        listeners = self._listeners.setdefault(bridge, set())
        listeners.add(queue)
        gone = asyncio.ensure_future(self.until_gone(bridge))
        gone.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (packet := await queue.get()) is not None:
                yield packet
        finally:
            gone.cancel()
            listeners.discard(queue)

    async def packet_out(self, bridge: str, *packets: PacketOut) -> None:
        self._flows(bridge)
        try:
            for packet in packets:
                messages.packet_out(packet)
        except BadFlow as error:
            raise SwitchRefused(*messages.BAD_ACTION, f"a packet: {error}") from error
        for packet in packets:
            self._treat(bridge, packet)

    def _treat(self, bridge: str, packet: PacketOut) -> None:
        self.sent.setdefault(bridge, []).append(packet)
        for action in split_arguments(packet.actions):
            if action.lower().startswith("controller"):
                found = _USERDATA.search(action)
                said = bytes.fromhex(found[1].replace(".", "")) if found else b""
                self.bring(bridge, PacketIn(packet.data, userdata=said, match=f"in_port={packet.in_port:#x}"))

    def bring(self, bridge: str, packet: PacketIn) -> None:
        """A packet for the controller, as if a flow had sent it."""
        for queue in self._listeners.get(bridge, ()):
            queue.put_nowait(packet)

    async def close(self) -> None:
        """Nothing is open."""

    def incarnation(self, bridge: str) -> str | None:
        present = self._switch.running and bridge in self._switch.flows
        return str(self._switch.incarnation) if present else None

    async def until_gone(self, bridge: str) -> None:
        if self.incarnation(bridge) is not None:
            await self._switch.gone.wait()

    def _flows(self, bridge: str) -> dict[Key, Flow]:
        flows = self._switch.flows.get(bridge)
        if flows is None or not self._switch.running:
            raise SwitchAbsent(bridge)
        if any(isinstance(flow, str) for flow in flows.values()):  # from a file, or the switch's own
            parsed = [parse_flow(flow) if isinstance(flow, str) else flow for flow in flows.values()]
            flows = self._switch.flows[bridge] = {flow.key: flow for flow in parsed}
        return cast(dict[Key, Flow], flows)
