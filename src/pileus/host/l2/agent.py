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
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.drivers.netlink.links import Links
from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.memos import MEMOS
from pileus.drivers.openflow.table import FlowTable, SwitchAbsent, SwitchRefused
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.shaping.queues import Queues
from pileus.flow.patience import Patience
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.isolation import Failures, culprits, reason
from pileus.host.l2 import plan, rows, rules
from pileus.host.l2.apply import SwitchApplier
from pileus.host.l2.controller import Controller
from pileus.host.l2.minima import Minima
from pileus.host.l2.model import Model
from pileus.host.l2.policer import kernel_polices
from pileus.host.l2.question import question
from pileus.host.l2.restart import RestartHold
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.silence import Silence, devices
from pileus.host.l2.status import StatusBook
from pileus.host.l2.vetting import Vetted, Vetting
from pileus.host.l2.view import InterfaceView, SwitchView
from pileus.host.switch import SwitchUnreachable
from pileus.host.uplinks.apply import Uplinks
from pileus.wire import scopes
from pileus.wire.calls import DEVICE_STATUS, SWITCH_STATE
from pileus.wire.switch import SwitchStateRequest

_log = log.get("host.l2")

P = TypeVar("P")
T = TypeVar("T")

_SHORTEST_PAUSE_S = 0.05
_ROUNDS = 3
"""Transactions of one pass, before the flows."""
_CONNECTS_WITHIN_S = 5.0


class _Planned(msgspec.Struct, frozen=True):
    """All of a pass's plan: ``flows`` by bridge."""

    model: Model
    rows: rows.RowPlan
    wiring: plan.Wiring
    flows: dict[str, plan.FlowSet]


class SwitchAgent(Agent):
    """Wires the ports of one switch. ``links`` makes the veth pairs where bridges are joined by those;
    ``polices`` overrides the question whether the kernel can (None: try); ``silence`` keeps what devices send
    from the machine where the switch is in user space; ``uplinks`` brings what is declared of the host's own
    network first."""

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
    ) -> None:
        super().__init__(settings, server, clock)
        if bridges.link == "veth" and links is None:
            raise ValueError("bridges are to be joined by veth pairs, and there is no driver of links")
        self.model = Model()
        self.book = plan.FlowBook()
        self._bridges = bridges
        self._client = client
        self._flows = flows
        self._applier = SwitchApplier(client, flows, clock)
        self._hold = RestartHold(client)
        self._links = links
        self._polices = polices
        self._silence = silence if bridges.datapath_type == "netdev" else None
        self._uplinks = uplinks
        self._controller = Controller(bridges, flows, clock)
        self._status = StatusBook(settings.host)
        self._minima = Minima(_log, bridges, queues)
        self._told_once = False
        self._read_at: dict[str, int] = {}
        self._asked: set[str] = set()
        self._plugged: frozenset[str] = frozenset()
        self._wired: plan.Wiring | None = None
        self._vetting = Vetting()
        self._vetted = Vetted(self.model)
        self._patience = Patience(clock)
        self._retry_timer: asyncio.TimerHandle | None = None
        self._vlans: dict[str, int] = {}
        self._served: frozenset[str] = frozenset()

    # -- what the base asks

    async def prepare(self) -> None:
        if self._polices is None:
            auto = self._bridges.enforcement == "auto" and self._bridges.datapath_type == "system"
            self._polices = await asyncio.to_thread(kernel_polices) if auto else False
        with contextlib.suppress(TimeoutError):  # it goes on trying, and so do the passes
            await self._client.connect(_CONNECTS_WITHIN_S)

    async def release(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._controller.close()
        await self._client.close()
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
            "minimum_bandwidth_enforced": self._minima.enforced,
            **({"host_network": self._uplinks.state()} if self._uplinks else {}),
        }

    def scopes(self) -> frozenset[str]:
        return self._served

    def position(self) -> int:
        return self.model.position

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return {scope for scope in scopes if max(self._read_at.get(scope, 0), self.model.position) < position}

    async def watch(self) -> None:
        await asyncio.gather(
            self._watch_rows(), self._watch_vswitchd(), self._watch_flows(), self._controller.watch()
        )

    async def _watch_rows(self) -> None:
        generation = self._client.generation
        while True:
            await self._client.changed.wait()
            self._client.changed.clear()
            resumed = self._client.generation == generation
            generation = self._client.generation
            # After a reconnection anything may have changed, the flows too.
            self.reconciler.wake(inspect=not resumed)
            if not resumed:
                self.reconciler.hurry()

    async def _watch_vswitchd(self) -> None:
        bridge = self._bridges.integration_bridge

        def came() -> None:
            self.reconciler.wake(inspect=True)
            self.reconciler.hurry()

        await self._hold.watch(self._flows, bridge, lambda: self._applier.incarnation(bridge), came)

    async def _watch_flows(self) -> None:
        """Nobody tells of flows and packet rules that somebody takes away: they are counted."""
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

    async def reconcile(self, work: Work) -> int:
        if not self._client.connected:
            raise SwitchUnreachable(reason="no connection to ovsdb-server")
        if work.inspect:
            self._applier.forget()
            self.book.forget()
            if self._silence is not None:
                self._silence.forget()
        if work.full:
            self._patience.hurry()
        if work.reread:
            self._status.forget()
        unanswered: Fault | None = None
        try:
            await self._ask(work)
        except Fault as fault:
            # The switch is kept as it was last wanted, and repaired if need be; a switch of which
            # nobody has said yet how it should be is left alone.
            if not self._told_once:
                raise
            unanswered = fault
        try:
            changes = await self._act(read_back=work.inspect)
        except SwitchAbsent as error:  # vswitchd is being restarted: its return wakes the next pass
            raise SwitchUnreachable(reason=str(error)) from error
        if unanswered is not None:
            raise unanswered
        return changes

    async def _ask(self, work: Work) -> None:
        """Read again what may have changed, and what newly plugged devices need: in one call, and
        a second one where the first answer names networks or groups that are not known yet."""
        found = rows.plugged(self._applier.view(), self._bridges)[0]
        plugged = frozenset(filter(scopes.is_key, found))  # no port has another id: it stays dead
        request = self._question(work, plugged)
        model = self.model
        if request is not None:
            model = await self._asked_model(model, request)
        missing = model.missing()
        known = {
            *map(scopes.network, missing.networks),
            *map(scopes.security_group, missing.groups),
            *map(scopes.address_group, missing.address_groups),
        }
        if known and (request is not None or not known <= self._read_at.keys()):
            more = SwitchStateRequest(
                self.host,
                devices=(),
                networks=tuple(sorted(missing.networks)),
                security_groups=tuple(sorted(missing.groups)),
                address_groups=tuple(sorted(missing.address_groups)),
            )
            model = await self._asked_model(model, more)
        self.model = model.pruned()
        self._told_once = True
        self._asked = (self._asked | plugged) & plugged
        self._plugged = plugged
        served = frozenset(
            {
                scopes.tunnels(),
                # Those that are not plugged, too: their going is told by their name, beside others' changes.
                *map(scopes.port, plugged | set(filter(scopes.is_key, self.model.devices))),
                *(scopes.network(network_id) for network_id in self.model.networks),
                *(scopes.security_group(group_id) for group_id in self.model.groups),
                *(scopes.address_group(group_id) for group_id in self.model.address_groups),
            }
        )
        if served != self._served:
            self._served = served
            self.scopes_changed()

    def _question(self, work: Work, plugged: frozenset[str]) -> SwitchStateRequest | None:
        if work.reread or not self._told_once:
            return SwitchStateRequest(self.host)
        return question(self.host, work.scopes, self.model, plugged - self._asked)

    async def _asked_model(self, model: Model, request: SwitchStateRequest) -> Model:
        state = await self.call(SWITCH_STATE, request)
        for make, ids in (
            (scopes.port, request.devices),
            (scopes.network, request.networks),
            (scopes.security_group, request.security_groups),
            (scopes.address_group, request.address_groups),
        ):
            for key in ids or ():
                self._read_at[make(key)] = state.position
        if request.devices is None and request.networks is None:
            self._read_at.clear()
        return model.absorb(request, state)

    async def _act(self, read_back: bool) -> int:
        bridges, applier = self._bridges, self._applier
        changes = await self._uplinks.bring(whole=read_back) if self._uplinks is not None else 0
        model, row_plan = self._rows(self._plannable())
        for _ in range(_ROUNDS):  # what is plugged while a transaction is under way has its own
            if not row_plan.edits:
                break
            if self._links is not None:
                await self._links.ensure_veths(rows.veth_joints(bridges))
            edited, failed = await applier.edit(row_plan.edits)
            changes += edited
            self._blame_edits(model, row_plan, failed)
            model, row_plan = self._rows(self._plannable())
        planned = self._planned(model, row_plan)
        # Beside the flows, as another program does it; a port is ready when both are done.
        silencing = asyncio.ensure_future(self._silence_devices())
        try:
            changed, refused = await self._bring(planned, read_back)
        finally:
            silenced = await silencing
        view, wired = applier.view(), planned.wiring.devices
        await self._minima.bring(wired, planned.model.networks, view, whole=read_back)
        await self._tell(planned.rows, planned.wiring, refused)
        self._schedule_retry()
        return changes + changed + silenced

    async def _silence_devices(self) -> int:
        if self._silence is None:
            return 0
        return await self._silence.bring(devices(self._applier.view(), self._bridges.integration_bridge))

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
        self._controller.follow(wiring, model.routers)
        self._vlans = row_plan.vlans
        for port_id in wiring.devices:
            self._patience.went_well(port_id)
        return changes, refused

    # -- devices that can't be wired keep none waiting

    def _plannable(self) -> Model:
        """The wanted model, without devices that can't be wired and those whose next try is later."""
        vetted = self._vetted = self._vetting.vet(self.model, self._wired.devices if self._wired else ())
        self._patience.keep(vetted.model.devices)
        waiting = [
            port_id
            for port_id in self._patience.reasons
            if self._patience.waits(port_id, self.model.evidence(port_id))
        ]
        return vetted.model.without(waiting) if waiting else vetted.model

    def _rows(self, model: Model) -> tuple[Model, rows.RowPlan]:
        """The plan of rows, and the model without the devices that can't be in one."""
        view = self._applier.view()

        def attempt(some: Model) -> rows.RowPlan:
            return rows.plan_rows(some, view, self._bridges, self._vlans)

        return self._isolate(model, attempt)

    def _planned(self, model: Model, row_plan: rows.RowPlan) -> _Planned:
        view, bridges = self._applier.view(), self._bridges

        def attempt(some: Model) -> _Planned:
            plan_of_rows = row_plan if some is model else rows.plan_rows(some, view, bridges, self._vlans)
            wiring = plan.wire(some, view, plan_of_rows, bridges, self._is_metered)
            return _Planned(some, plan_of_rows, wiring, plan.plan_flows(some, wiring, bridges, self.book))

        return self._isolate(model, attempt)[1]

    def _isolate(self, model: Model, attempt: Callable[[Model], P]) -> tuple[Model, P]:
        """Return what ``attempt`` makes of the model, or of what is left of it without devices that make it
        raise."""
        try:
            return model, attempt(model)
        except Exception as error:
            found = culprits(
                list(model.devices), lambda some: attempt(model.without(model.devices.keys() - set(some)))
            )
            if not found:
                raise
            _log.error("devices can't be wired", devices=len(found), why=reason(error), exc_info=error)
            for port_id, fault in found:
                self._patience.failed(port_id, self.model.evidence(port_id), reason(fault))
            less = model.without({port_id for port_id, _ in found})
            self.reconciler.wake()  # their ports are closed by the rows of the next pass
            return less, attempt(less)

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
        failures = self._vetted.refused | self._patience.reasons
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

    def _schedule_retry(self) -> None:
        """Wake when something that failed is worth another try."""
        pauses = [pause for pause in (self._patience.pause(), self._applier.pause()) if pause is not None]
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._retry_timer = None
        if pauses:
            pause = max(min(pauses), _SHORTEST_PAUSE_S)
            self._retry_timer = asyncio.get_running_loop().call_later(pause, self.reconciler.wake)

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

    async def _tell(self, row_plan: rows.RowPlan, wiring: plan.Wiring, refused: list[Flow]) -> None:
        news = self._status.news(self.model, row_plan, wiring, self._failures(refused, wiring))
        if news is not None:
            await self.call(DEVICE_STATUS, news)
            self._status.told(news, self.model)

    async def purge(self, *, guests: bool = False) -> None:
        """Take away all that is ours from the switch; with ``guests`` the devices' ports, too."""
        if not self._client.connected:
            await self._client.connect(_CONNECTS_WITHIN_S)
        view: SwitchView = self._applier.view()
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
