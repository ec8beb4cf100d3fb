"""Flows and meters of a simulated switch: what OvsOfctl is to a real one.

Flows are kept with the simulated switch's bridges and die with them. What ovs-ofctl or a
switch would refuse is refused; so is a field without its protocol, which the real ones drop
with a warning that nobody sees. A bundle is taken as a whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

import msgspec

from pileus.drivers.openflow.fields import BadFlow
from pileus.drivers.openflow.flow import Flow, Key, parse_flow
from pileus.drivers.openflow.table import FlowRejected, Meter, SwitchAbsent, SwitchRefused
from pileus.drivers.ovsdb.simulated import SimulatedSwitch

_METER = re.compile(r"\bmeter:(\d+)")
_GROUP = re.compile(r"\bgroup:\d+")
_METER_MOD_FAILED, _BAD_RATE, _INVALID_METER = 12, 6, 2


class SimulatedFlows:
    """The FlowTable of a simulated switch."""

    def __init__(self, switch: SimulatedSwitch) -> None:
        self._switch = switch

    async def dump(self, bridge: str) -> list[Flow]:
        return list(self._flows(bridge).values())

    async def apply(self, bridge: str, add: Iterable[Flow], delete: Iterable[Flow] = ()) -> None:
        flows = self._flows(bridge)
        added = list(add)
        for flow in added:
            try:
                flow.check()
            except BadFlow as error:
                raise FlowRejected(bridge, str(error), str(flow)) from error
            for number in _METER.findall(flow.actions):
                if int(number) not in self._switch.meters[bridge]:
                    raise FlowRejected(bridge, "OFPMMFC_INVALID_METER", str(flow))
            if _GROUP.search(flow.actions):
                raise FlowRejected(bridge, "OFPBAC_BAD_OUT_GROUP", str(flow))
        for flow in added:
            flows[flow.key] = flow
        for flow in delete:
            present = flows.get(flow.key)
            if present is not None and present.cookie == flow.cookie:
                del flows[flow.key]
        self._switch.flows_changed()

    async def packets(self, bridge: str) -> Mapping[Key, int]:
        return dict.fromkeys(self._flows(bridge), 0)

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
