"""The switch agent: what ML2's Open vSwitch agent is to Neutron (seed 002), one pass at a time.

A pass asks the server once for all that changed, reads what is plugged, writes the rows in one
transaction and the flows in one bundle for each bridge, reads back, takes away what is ours and
no longer wanted, and tells the server once which ports carry packets. The first pass is
seed 002's start: reports and streams run, the integration bridge, the physical bridges and
the tunnel bridge are made. Nothing is cleared: flows that are right stay as they are, so a
restart loses no packet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.netlink.links import Links
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.memos import MEMOS
from pileus.drivers.openflow.table import FlowTable, SwitchAbsent, SwitchRefused
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.shaping.queues import Queues
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.isolation import Failures, reason
from pileus.host.l2 import plan, rows, rules
from pileus.host.l2.apply import SwitchApplier
from pileus.host.l2.controller import Controller
from pileus.host.l2.device_agent import CONNECTS_WITHIN_S, DeviceAgent
from pileus.host.l2.devices import Wired
from pileus.host.l2.dhcp.journal import Journal
from pileus.host.l2.flow_watch import FlowWatch
from pileus.host.l2.minima import Minima
from pileus.host.l2.model import Model
from pileus.host.l2.policer import kernel_polices
from pileus.host.l2.restart import RestartHold
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.silence import Silence, devices
from pileus.host.l2.view import InterfaceView
from pileus.host.switch import SwitchUnreachable
from pileus.host.uplinks.apply import Uplinks
from pileus.wire.calls import DHCP_LEASES
from pileus.wire.dhcp import LeaseChange, LeaseReport

_log = log.get("host.l2")

T = TypeVar("T")

_ROUNDS = 3
"""Transactions of one pass, before the flows."""


class _Planned(msgspec.Struct, frozen=True):
    """All of a pass's plan: ``flows`` by bridge."""

    model: Model
    rows: rows.RowPlan
    wiring: plan.Wiring
    flows: dict[str, plan.FlowSet]


class SwitchAgent(DeviceAgent):
    """Wires the ports of one switch. ``links`` makes the veth pairs where bridges are joined by those;
    ``polices`` overrides the question whether the kernel can (None: try); ``silence`` keeps what devices send
    from the machine where the switch is in user space; ``uplinks`` brings what is declared of the host's own
    network first; ``leases`` is the file that remembers what DHCP has given."""

    binary = "neutron-openvswitch-agent"
    agent_type = "Open vSwitch agent"
    memos = (MEMOS,)

    def __init__(
        self,
        settings: AgentSettings,
        bridges: BridgeSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
        flows: FlowTable,
        *,
        links: Links | None = None,
        polices: bool | None = None,
        silence: Silence | None = None,
        uplinks: Uplinks | None = None,
        queues: Queues | None = None,
        leases: Path | None = None,
    ) -> None:
        super().__init__(settings, bridges, server, clock, client)
        if bridges.link == "veth" and links is None:
            raise ValueError("bridges are to be joined by veth pairs, and there is no driver of links")
        self.book = plan.FlowBook()
        self._flows = flows
        self._applier = SwitchApplier(client, flows, clock)
        self._hold = RestartHold(client)
        self._flow_watch = FlowWatch(flows, self._applier.lacks_flows, self._flows_changed)
        self._links = links
        self._polices = polices
        self._silence = silence if bridges.datapath_type == "netdev" else None
        self._uplinks = uplinks
        self._controller = Controller(bridges, flows, clock, self._tell_leases, Journal(leases))
        self._minima = Minima(_log, bridges, queues)
        self._wired: plan.Wiring | None = None
        self._vlans: dict[str, int] = {}

    # -- what the base asks

    async def prepare(self) -> None:
        if self._polices is None:
            auto = self._bridges.enforcement == "auto" and self._bridges.datapath_type == "system"
            self._polices = await asyncio.to_thread(kernel_polices) if auto else False
        await super().prepare()

    async def release(self) -> None:
        self._controller.close()
        await super().release()
        await self._flows.close()

    def configurations(self) -> dict[str, Any]:
        bridges = self._bridges
        return {
            "devices": len(self._wired.devices) if self._wired else 0,
            "failed": len(self._vetted.refused) + len(self._patience),
            "bridge_mappings": dict(bridges.bridge_mappings),
            "tunnel_types": list(bridges.tunnel_types) if bridges.tunnelling else [],
            "tunneling_ip": bridges.tunneling_ip,
            "l2_population": True,
            "arp_responder_enabled": bridges.arp_responder,
            "datapath_type": bridges.datapath_type,
            "integration_bridge": bridges.integration_bridge,
            "ovs_capabilities": {"datapath_types": ["netdev", "system"]},
            "enable_distributed_routing": True,
            "extensions": ["dhcp", "local_ip", "log", "qos"],
            "distributed_dhcp_devices": self._controller.dhcp.answered,
            "minimum_bandwidth_enforced": self._minima.enforced,
            "resource_provider_bandwidths": {
                name: {"egress": kbps, "ingress": kbps} for name, kbps in bridges.bandwidths
            },
            **({"host_network": self._uplinks.state()} if self._uplinks else {}),
        }

    def in_force(self) -> Mapping[str, Wired]:
        return self._wired.devices if self._wired else {}

    async def watch(self) -> None:
        await asyncio.gather(
            *(self.watch_rows(), self._watch_vswitchd(), self._watch_flows(), self._controller.watch()),
            self._flow_watch.watch(self._ours()),
        )

    async def _watch_vswitchd(self) -> None:
        bridge = self._bridges.integration_bridge

        def came() -> None:
            self.reconciler.wake(inspect=True)
            self.reconciler.hurry()

        await self._hold.watch(self._flows, bridge, lambda: self._applier.incarnation(bridge), came)

    def _ours(self) -> list[str]:
        """The bridges that flows of ours are on."""
        bridges = self._bridges
        return [
            bridges.integration_bridge,
            *([bridges.tunnel_bridge] if bridges.tunnelling else []),
            *(bridge for _, bridge in bridges.bridge_mappings),
        ]

    def _flows_changed(self, bridge: str) -> None:
        _log.warning("flows of ours were changed by somebody else: repairing", bridge=bridge)
        self.reconciler.wake(inspect=True)

    async def _watch_flows(self) -> None:
        """Nobody tells of packet rules that somebody takes away, nor old switches of flows: look often."""
        while True:
            await asyncio.sleep(self._bridges.watch_interval_s)
            await self._hold.check()
            if not (self.reconciler.is_resting and self._client.connected):
                continue
            passes = self.metrics.passes
            try:
                lacking = await self._applier.lacks_flows()
            except (SwitchAbsent, SwitchRefused, TimeoutError):
                continue  # noticed elsewhere
            if self._silence is not None and not lacking:
                lacking = await self._silence.is_disturbed()
            if lacking and self.reconciler.is_resting and self.metrics.passes == passes:
                _log.warning("flows or packet rules of ours were changed by somebody else: repairing")
                self.reconciler.wake(inspect=True)

    # -- a pass

    def begin(self, work: Work) -> None:
        super().begin(work)
        if work.inspect:
            self._applier.forget()
            self.book.forget()
            if self._silence is not None:
                self._silence.forget()

    async def act(self, work: Work) -> int:
        try:
            return await self._act(read_back=work.inspect)
        except SwitchAbsent as error:  # vswitchd is being restarted: its return wakes the next pass
            raise SwitchUnreachable(reason=str(error)) from error

    async def _act(self, read_back: bool) -> int:
        bridges, applier = self._bridges, self._applier
        changes = await self._uplinks.bring(whole=read_back) if self._uplinks is not None else 0
        model, row_plan = self._rows(self.plannable())
        for _ in range(_ROUNDS):  # what is plugged while a transaction is under way has its own
            if not row_plan.edits:
                break
            if self._links is not None:
                await self._links.ensure_veths(rows.veth_joints(bridges))
            edited, failed = await applier.edit(row_plan.edits)
            changes += edited
            self._blame_edits(model, row_plan, failed)
            model, row_plan = self._rows(self.plannable())
        planned = self._planned(model, row_plan)
        # Beside the flows, as another program does it; a port is ready when both are done.
        silencing = asyncio.ensure_future(self._silence_devices())
        try:
            changed, refused = await self._bring(planned, read_back)
        finally:
            silenced = await silencing
        view, wired = self.view(), planned.wiring.devices
        await self._minima.bring(wired, planned.model.networks, view, whole=read_back)
        await self.tell(planned.rows, planned.wiring, self._failures(refused, planned.wiring))
        self._retry.set(self._patience.pause(), applier.pause())
        return changes + changed + silenced

    async def _silence_devices(self) -> int:
        if self._silence is None:
            return 0
        return await self._silence.bring(devices(self.view(), self._bridges.integration_bridge))

    async def _bring(self, planned: _Planned, read_back: bool) -> tuple[int, list[Flow]]:
        """Flows and meters; what is no longer wanted goes last. How many changed, and what was refused."""
        applier, changes = self._applier, 0
        model, row_plan, wiring, wanted = planned.model, planned.rows, planned.wiring, planned.flows
        meters = plan.plan_meters(wiring, self._bridges, routing=bool(model.routers))
        inner = self._bridges.integration_bridge
        changes += await applier.put_meters(inner, meters)
        # br-int last: its devices send only when all that leads further is there. All is written before
        # anything is read back: after a restart of the switch nothing passes until the last bundle.
        written: dict[str, tuple[int, list[Flow]]] = {}
        for bridges in (wanted.keys() - {inner}, wanted.keys() & {inner}):
            names = sorted(bridges)
            done = await _all(applier.write(name, wanted[name]) for name in names)
            written.update(zip(names, done, strict=True))
        refused = [flow for _, bad in written.values() for flow in bad]
        changes += sum(number for number, _ in written.values())
        read_back = read_back or self._status.has_news(model, wiring)
        unproven = [
            name for name, (n, _) in written.items() if n and (read_back or name in applier.restarted)
        ]
        await _all(applier.read_back(name, wanted[name], written[name][1]) for name in unproven)
        applier.restarted.clear()
        await self._hold.end(applier.incarnation(inner))
        changes += await applier.drop_meters(inner, meters)
        changes += (await applier.edit(row_plan.removals))[0]
        self._wired = wiring
        self._controller.follow(wiring, model)
        self._vlans = row_plan.vlans
        for port_id in wiring.devices:
            self._patience.went_well(port_id)
        return changes, refused

    def _rows(self, model: Model) -> tuple[Model, rows.RowPlan]:
        """The plan of rows, and the model without the devices that can't be in one."""
        view = self.view()

        def attempt(some: Model) -> rows.RowPlan:
            return rows.plan_rows(some, view, self._bridges, self._vlans)

        return self.isolate(model, attempt)

    def _planned(self, model: Model, row_plan: rows.RowPlan) -> _Planned:
        view, bridges = self.view(), self._bridges

        def attempt(some: Model) -> _Planned:
            plan_of_rows = row_plan if some is model else rows.plan_rows(some, view, bridges, self._vlans)
            wiring = plan.wire(some, view, plan_of_rows, bridges, self._is_metered)
            return _Planned(some, plan_of_rows, wiring, plan.plan_flows(some, wiring, bridges, self.book))

        return self.isolate(model, attempt)[1]

    def _blame_edits(self, model: Model, row_plan: rows.RowPlan, failed: Failures[rows.RowEdit]) -> None:
        by_name = {
            port.name: port_id for port_id, port in row_plan.alive.items() if rows.is_own(port_id, port)
        }
        for edit, error in failed:
            port_id = by_name.get(edit.name)
            if port_id is not None:
                self._patience.failed(port_id, self.model.evidence(port_id), reason(error))

    def _failures(self, refused: list[Flow], wiring: plan.Wiring) -> dict[str, str]:
        """Devices of the model that are not as they should be, with the reason."""
        failures = self.failures()
        for owner, flow in (self.book.owners(refused) if refused else {}).items():
            kind, key = owner if isinstance(owner, tuple) else (owner, "")
            why = f"the switch refuses {flow}"
            failures |= {
                port_id: why
                for port_id, wired in wiring.devices.items()
                if key in (port_id, wired.details.network_id, rules.profile_key(wired.details))
                and kind != "joint"
            }
        return failures

    def _is_metered(self, interface: InterfaceView) -> bool:
        match self._bridges.enforcement:
            case "meter":
                return True
            case "policing":
                return False
        if self._bridges.datapath_type == "netdev":
            # The userspace datapath polices in DPDK's ports only; of others it takes the packets
            # before the kernel's policer sees them.
            return not interface.type.startswith("dpdk")
        return not self._polices

    async def _tell_leases(self, changes: Sequence[LeaseChange]) -> None:
        await self.call(DHCP_LEASES, LeaseReport(self.host, tuple(changes)))

    async def purge(self, *, guests: bool = False) -> None:
        """Take away all that is ours from the switch; with ``guests`` the devices' ports, too."""
        if not self._client.connected:
            await self._client.connect(CONNECTS_WITHIN_S)
        view = self.view()
        inner = self._bridges.integration_bridge
        ours = [inner, self._bridges.tunnel_bridge, *(bridge for _, bridge in self._bridges.bridge_mappings)]
        edits = rows.purge_rows(view, self._bridges, guests)
        gone = {edit.name for edit in edits if isinstance(edit, rows.RemoveBridge)}
        for bridge in ours:
            if bridge in view.bridges and bridge not in gone:
                await self._applier.remove_flows(bridge)
        if inner in view.bridges and inner not in gone:
            await self._applier.drop_meters(inner, {})
        await self._applier.edit(edits)
        self._controller.dhcp.leases.forget()
        if self._silence is not None:
            await self._silence.end()
        if self._links is not None:
            await self._links.delete_links([veth.name for veth in rows.veth_joints(self._bridges)])


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do these at the same time, each to its end; then raise the first error, if there was one."""
    found = await asyncio.gather(*works, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if not isinstance(one, BaseException)]
