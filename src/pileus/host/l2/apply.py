"""Applies the switch agent's plan: rows in one transaction, one bundle of flows for each bridge, meters.

What was written is remembered as what is there, so that a small change need not read ten
thousand flows; whenever that may be wrong (a start, a restart of vswitchd, a failure, a full
pass) the flows are dumped again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.openflow.flow import Flow, Key
from pileus.drivers.openflow.table import FlowRejected, FlowTable, Meter, MeterBand, SwitchRefused
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.flow.patience import Patience
from pileus.host.isolation import Failures, by_halves, reason
from pileus.host.l2 import plan, qos, tables
from pileus.host.l2.guest_tags import RaiseVlanLimit
from pileus.host.l2.rows import EnsureBridge, EnsurePort, RemoveBridge, RemovePort, RowEdit, SetPort
from pileus.host.l2.settings import OWNER, OWNER_KEY

_log = log.get("host.l2")

_SWITCH_WITHIN_S = 15.0
_FORMER_S = 2.0
"""How long flows in tables that only an earlier version has used outlive their successors."""


class NotInForce(Exception):
    """Flows that were written are not there when they are read back."""


class _Former(NamedTuple):
    """Flows in tables that are used no more, and when they go, by the clock."""

    flows: Mapping[Key, Flow]
    due: float


class SwitchApplier:
    """Reads and writes one switch through OVSDB and OpenFlow."""

    def __init__(self, client: OvsdbClient, flows: FlowTable, clock: Clock) -> None:
        self._client = client
        self._flows = flows
        self._clock = clock
        self._former: dict[str, _Former] = {}
        self._begun: set[str] = set()
        self._refused = Patience(clock)
        self._refused_edits = Patience(clock)
        self._believed: dict[str, plan.FlowSet] = {}
        self._believed_meters: dict[str, dict[int, qos.Meter]] = {}
        self._incarnations: dict[str, str] = {}
        self.restarted: set[str] = set()
        """Bridges that were found in another incarnation since this was last cleared, by whichever
        pass."""

    def forget(self) -> None:
        """Believe nothing: flows and meters are read again when they are needed."""
        self._believed.clear()
        self._believed_meters.clear()

    def incarnation(self, bridge: str) -> str | None:
        """The last incarnation in which a bridge's flows were looked at, also a gone one; None: in none."""
        return self._incarnations.get(bridge)

    async def edit(self, edits: Sequence[RowEdit]) -> tuple[int, Failures[RowEdit]]:
        """One transaction, or some where the database refuses it; how many edits were made, and which could
        not be. Waits for vswitchd where it must act (numbers for ports, policers); raises ConnectionLost,
        TimeoutError."""

        async def commit(some: Sequence[RowEdit]) -> None:
            edit = Edit(self._client)
            for one in some:
                _write(edit, one)
            await edit.commit(wait_s=_SWITCH_WITHIN_S if any(map(_needs_vswitchd, some)) else None)

        edits = [one for one in edits if not self._refused_edits.waits(one.name, one)]
        failed = await by_halves(edits, commit, fatal=(ConnectionLost, TimeoutError))
        self._refused_edits.keep(self._refused_edits.reasons.keys() - {one.name for one in edits})
        for one, error in failed:
            self._refused_edits.failed(one.name, one, str(error))
            _log.error("the switch's database refuses an edit", edit=str(one)[:500], why=reason(error))
        return len(edits) - len(failed), failed

    async def installed(self, bridge: str) -> plan.FlowSet:
        """The flows of a bridge: as remembered, or read if nothing is (any more)."""
        incarnation = self._flows.incarnation(bridge)
        if incarnation is None or incarnation != self._incarnations.get(bridge):
            self._believed.pop(bridge, None)
            self._believed_meters.pop(bridge, None)
            self.restarted.add(bridge)
        if incarnation is not None:
            self._incarnations[bridge] = incarnation
        if bridge not in self._believed:
            self._believed[bridge] = plan.keyed(await self._flows.dump(bridge))
        return self._believed[bridge]

    async def lacks_flows(self) -> bool:
        """Whether somebody took flows of ours away, or added such, as far as counting shows. Nothing is known
        where nothing is remembered, or while it changes."""
        for bridge, flows in list(self._believed.items()):
            expected = sum(flow.cookie in tables.COOKIES for flow in flows.values())
            found = await self._flows.count(bridge, tables.COOKIE_BITS, tables.COOKIE_MASK)
            if self._believed.get(bridge) is flows and found != expected:
                return True
        return False

    async def write(self, bridge: str, wanted: plan.FlowSet) -> tuple[int, list[Flow]]:
        """Make a bridge's flows the wanted ones; how many changed, and which the switch refused."""
        change = plan.compare(wanted, await self.installed(bridge), tables.COOKIES)
        former = self._still_there(bridge, wanted, change.delete)
        if former:
            change = plan.FlowChange(
                change.add, tuple(flow for flow in change.delete if flow.key not in former)
            )
        waiting = self._waiting(bridge, change)
        if waiting:
            add = tuple(flow for flow in change.add if flow.key not in waiting)
            change = plan.FlowChange(add, change.delete)
        if not change:
            return 0, list(waiting.values())
        # Whatever comes between here and the end, an interruption too, leaves us knowing nothing.
        installed = self._believed.pop(bridge)
        refused = await self._bundle(bridge, change.add, change.delete)
        others = {key: flow for key, flow in installed.items() if flow.cookie not in tables.COOKIES}
        self._believed[bridge] = {**others, **former, **wanted}
        for flow in refused:
            self._refused.failed(f"{bridge} {flow}", flow, "refused")
        for flow in (*refused, *waiting.values()):
            if installed.get(flow.key) is None:
                self._believed[bridge].pop(flow.key, None)
            else:
                self._believed[bridge][flow.key] = installed[flow.key]
        return len(change), [*refused, *waiting.values()]

    def _still_there(self, bridge: str, wanted: plan.FlowSet, gone: Sequence[Flow]) -> Mapping[Key, Flow]:
        """Of the flows that are to go, those that stay for a while.

        At an agent's first pass, flows of an earlier version may be in tables that this one does not use.
        Packets on their way through connection tracking come back to the table that they left for, until
        vswitchd has looked at its cached flows again: with nothing there they would be lost.
        """
        if bridge not in self._begun:
            self._begun.add(bridge)
            used = {flow.table for flow in wanted.values()}
            if flows := {flow.key: flow for flow in gone if flow.table not in used}:
                self._former[bridge] = _Former(flows, self._clock.monotonic() + _FORMER_S)
        former = self._former.get(bridge)
        if former is None:
            return {}
        if former.due <= self._clock.monotonic():
            del self._former[bridge]
            return {}
        return {flow.key: flow for flow in gone if flow.key in former.flows}

    def _waiting(self, bridge: str, change: plan.FlowChange) -> dict[Key, Flow]:
        """Flows that were refused a moment ago, and are not tried with every pass."""
        if not self._refused:
            return {}
        names = {f"{bridge} {flow}": flow for flow in change.add}
        self._refused.keep(
            {name for name in self._refused.reasons if not name.startswith(f"{bridge} ")} | {*names}
        )
        return {flow.key: flow for name, flow in names.items() if self._refused.waits(name, flow)}

    def pause(self) -> float | None:
        """Seconds until something that was refused is worth another try, or flows that were kept may go;
        None: there is no such thing."""
        now = self._clock.monotonic()
        former = (max(0.0, one.due - now) for one in self._former.values())
        pauses = (self._refused.pause(), self._refused_edits.pause(), *former)
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _bundle(self, bridge: str, add: Sequence[Flow], delete: Sequence[Flow]) -> list[Flow]:
        """One bundle; where the switch refuses it, halves, until the culprits stand alone."""
        try:
            await self._flows.apply(bridge, add, delete)
        except FlowRejected as rejection:
            if delete:
                # What is new is there before what is old goes, also when it takes several bundles.
                refused = await self._bundle(bridge, add, ())
                await self._flows.apply(bridge, (), delete)
                return refused
            if len(add) <= 1:
                _log.error("the switch refuses a flow", bridge=bridge, flow=str(add[0]), why=rejection.reason)
                return list(add)
            half = len(add) // 2
            return [*await self._bundle(bridge, add[:half], ()), *await self._bundle(bridge, add[half:], ())]
        return []

    async def read_back(self, bridge: str, wanted: plan.FlowSet, refused: Iterable[Flow]) -> None:
        """Make sure that what was written is there; raises NotInForce."""
        self._believed.pop(bridge, None)
        present = await self.installed(bridge)
        expected = {key: flow for key, flow in wanted.items() if key not in {flow.key for flow in refused}}
        if missing := plan.compare(expected, present, ()).add:
            raise NotInForce(f"{bridge}: {len(missing)} flows are missing, one is {missing[0]}")

    async def put_meters(self, bridge: str, wanted: Mapping[int, qos.Meter]) -> int:
        """Write the meters that flows are about to use; how many."""
        present = await self._meters(bridge, wanted)
        put = {number: meter for number, meter in wanted.items() if present.get(number) != meter}
        if put:
            meters = {n: Meter(MeterBand(meter.rate, meter.burst), meter.packets) for n, meter in put.items()}
            try:
                await self._flows.apply_meters(bridge, meters)
            except SwitchRefused as error:
                # Which ones there are is read back; flows of the others are refused, and told by that.
                _log.error("the switch refuses a meter", bridge=bridge, why=str(error))
                self._believed_meters.pop(bridge, None)
                return 0
            present.update(put)
        return len(put)

    async def drop_meters(self, bridge: str, wanted: Mapping[int, qos.Meter]) -> int:
        """Take away meters that no flow uses any more; how many. All meters of br-int are ours."""
        present = await self._meters(bridge, wanted)
        gone = [number for number in present if number not in wanted]
        if gone:
            await self._flows.apply_meters(bridge, {}, gone)
            for number in gone:
                del present[number]
        return len(gone)

    async def _meters(self, bridge: str, wanted: Mapping[int, qos.Meter]) -> dict[int, qos.Meter]:
        if bridge not in self._believed_meters:
            found = await self._flows.meters(bridge)
            self._believed_meters[bridge] = {
                number: qos.Meter(meter.band.rate, meter.band.burst, meter.packets)
                for number, meter in found.items()
            }
        return self._believed_meters[bridge]

    async def remove_flows(self, bridge: str) -> int:
        """Take away all flows that are ours; how many."""
        self.forget()
        ours = [flow for flow in (await self.installed(bridge)).values() if flow.cookie in tables.COOKIES]
        await self._flows.apply(bridge, (), ours)
        self.forget()
        return len(ours)


def _needs_vswitchd(edit: RowEdit) -> bool:
    if isinstance(edit, SetPort):
        return "ingress_policing_rate" in edit.interface or "ingress_policing_burst" in edit.interface
    if isinstance(edit, EnsureBridge):
        return "fail_mode" in edit.columns
    return not isinstance(edit, RaiseVlanLimit)


def _write(edit: Edit, one: RowEdit) -> None:
    match one:
        case EnsureBridge(name, columns):
            edit.ensure_bridge(name, **columns)
        case RaiseVlanLimit():
            edit.set_switch(one.columns)
        case EnsurePort(bridge, name, interface):
            edit.ensure_port(bridge, name, interface=interface, external_ids={OWNER_KEY: OWNER})
        case SetPort(name, columns, interface):
            edit.set_port(name, columns)
            edit.set_interface(name, interface)
        case RemovePort(name):
            edit.delete_port(name)
        case RemoveBridge(name):
            edit.delete_bridge(name)
