"""The Linux-bridge agent: what ML2's Linux-bridge agent is to Neutron, with the questions and answers of the
switch agent.

What the server is asked, what is vetted and what is told are the switch agent's. Ports are announced on the
plugging board. A pass makes links, brings the packet rules into force, and only then makes devices members of
their bridges: none sends or hears anything before. What is ours and not needed goes last. Nothing is cleared,
so a restart loses no packet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.linuxbridge.bridges import Bridges, Change, Seen, removal
from pileus.drivers.netlink.links import LinkError
from pileus.drivers.nft.driver import FilterFailed, PacketFilter
from pileus.drivers.nft.table import PREFIX, Base, Chain, Rule, Table
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import ProgramFailed, run
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.isolation import by_halves, reason
from pileus.host.l2 import plan as switch_plan
from pileus.host.l2 import rows, rules
from pileus.host.l2.device_agent import CONNECTS_WITHIN_S, DeviceAgent
from pileus.host.l2.devices import Wired
from pileus.host.l2.model import Model
from pileus.host.l2.rules import is_secured
from pileus.host.l2.settings import BridgeSettings
from pileus.host.linuxbridge import filtering, plan
from pileus.host.linuxbridge.filtering import PORTS, TRACKING, Filtered, Tracker
from pileus.host.linuxbridge.settings import LinuxBridgeSettings
from pileus.wire.switch import DeviceFailure

_log = log.get("host.linuxbridge")

_BR_NETFILTER = Path("/proc/sys/net/bridge")
NO_TRACKER = "this kernel tracks no connections of bridges (nf_conntrack_bridge, br_netfilter)"


async def find_tracker(packet_filter: PacketFilter, namespace: str | None) -> Tracker:
    """The family in which this kernel tracks connections of bridged packets: asked by loading rules like
    those that are used."""
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}
    probe = Table(
        name=f"{PREFIX}probe",
        family="bridge",
        chains=(
            filtering.zone_chain({"probe": 1}, "ibrname"),
            Chain("probe", (Rule("probe", (state,)),), Base("filter", "forward", 0)),
        ),
    )
    try:
        await packet_filter.apply({namespace: [probe]})
    except FilterFailed:
        # Each of them may be a module that nobody has loaded yet.
        with contextlib.suppress(ProgramFailed):
            await run(("modprobe", "br_netfilter"))
        return "inet" if await asyncio.to_thread(_BR_NETFILTER.exists) else ""
    finally:
        with contextlib.suppress(FilterFailed):
            await packet_filter.remove({namespace: [("bridge", probe.name)]})
    return "bridge"


class LinuxBridgeAgent(DeviceAgent):
    """Wires the ports of a node by the kernel's bridges. ``client`` is of the plugging board; ``tracker``
    overrides the question which the kernel has (None: try)."""

    binary = "neutron-linuxbridge-agent"
    agent_type = "Linux bridge agent"

    def __init__(
        self,
        settings: AgentSettings,
        bridges: LinuxBridgeSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
        links: Bridges,
        packet_filter: PacketFilter,
        *,
        tracker: Tracker | None = None,
    ) -> None:
        board = BridgeSettings(host=bridges.host, integration_bridge=bridges.board)
        super().__init__(settings, board, server, clock, client)
        self._settings = bridges
        self._kernel = links
        self._filter = packet_filter
        self._tracker = tracker
        self._tables: list[Table] | None = None
        """The rules as they were brought into force; None: nothing is known."""
        self._generation: int | None = None
        self._seen: Seen | None = None
        self._wanted = plan.Links({}, {}, {}, ())
        self._wired: dict[str, Wired] = {}
        self._permits: dict[str, plan.Permits] = {}

    async def prepare(self) -> None:
        if self._tracker is None:
            self._tracker = await find_tracker(self._filter, self._settings.namespace)
            _log.info("connections of bridged packets are tracked", family=self._tracker or "nowhere")
        await super().prepare()

    def configurations(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "devices": len(self._wanted.wired),
            "failed": len(self._vetted.refused) + len(self._wanted.failed),
            "interface_mappings": dict(settings.interfaces),
            "bridge_mappings": dict(settings.bridges),
            "tunnel_types": ["vxlan"] if settings.tunneling_ip else [],
            "tunneling_ip": settings.tunneling_ip,
            "l2_population": True,
            "extensions": [],
            "connection_tracking": self._tracker or "none",
        }

    def in_force(self) -> Mapping[str, Wired]:
        return self._wired

    async def watch(self) -> None:
        await asyncio.gather(self.watch_rows(), self._watch_kernel())

    async def _watch_kernel(self) -> None:
        """Nobody tells of links and rules that somebody changes: they are looked at."""
        while True:
            await asyncio.sleep(self._settings.watch_interval_s)
            if not (self.reconciler.is_resting and self._client.connected) or self._seen is None:
                continue
            passes = self.metrics.passes
            try:
                changed = await self._kernel.read() != self._seen or await self._is_disturbed()
            except (LinkError, FilterFailed):
                continue  # noticed by the next pass
            if changed and self.reconciler.is_resting and self.metrics.passes == passes:
                self.reconciler.wake(inspect=True)

    async def _is_disturbed(self) -> bool:
        return self._generation is not None and await self._read_generation() != self._generation

    async def _read_generation(self) -> int | None:
        namespace = self._settings.namespace
        return (await self._filter.generations([namespace])).get(namespace)

    # -- a pass

    def begin(self, work: Work) -> None:
        super().begin(work)
        if work.inspect:
            self._tables = None

    async def act(self, work: Work) -> int:
        changes = await self._put_board()
        seen = await self._kernel.read()
        model, wanted = self.isolate(self.plannable(), lambda some: self._wire(some, seen))
        tracked = self._tracker == "inet"
        done, unmade = await self._change(plan.making(wanted, seen, tracked=tracked))
        changes += done
        if done:
            seen = await self._kernel.read()
        failed = dict(wanted.failed) | _of_links(wanted, unmade)
        wanted = _without(wanted, failed)
        loaded, unfiltered = await self._bring_tables(model, wanted, seen)
        failed |= unfiltered
        changes += loaded
        wanted = _without(wanted, failed)
        done, unmoved = await self._change(plan.membership(wanted, seen))
        changes += done
        failed |= _of_links(wanted, unmoved)
        wanted = _without(wanted, failed)
        changes += (await self._change(plan.stale(wanted, seen)))[0]
        await self._cut(model, wanted)
        self._wanted = plan.Links(wanted.networks, wanted.wired, failed, wanted.dead)
        self._seen = await self._kernel.read() if changes or self._seen is None else seen
        await self._tell_of(model, self._wanted)
        self._retry.set(self._patience.pause())
        return changes

    def _wire(self, model: Model, seen: Seen) -> plan.Links:
        view = self.view()
        found, doubles = rows.plugged(view, self._bridges)
        interfaces = {port_id: port.interface.name for port_id, port in found.items()}
        extra = [port.interface.name for port in doubles]
        wanted = plan.links(model, interfaces, extra, seen, self._settings)
        if not self._tracker:
            secured = {key: one.details for key, one in wanted.wired.items() if is_secured(one.details)}
            profiles = {key: rules.profile_key(details) for key, details in secured.items()}
            stateless = rules.stateless_profiles(profiles.values(), model.groups)
            stateful = {key: NO_TRACKER for key, profile in profiles.items() if profile not in stateless}
            wanted = _without(plan.Links(wanted.networks, wanted.wired, stateful, wanted.dead), stateful)
        filtering.tables(model, wanted.wired.values(), wanted.dead, {}, self._tracker or "")
        return wanted

    async def _put_board(self) -> int:
        """The bridge of the board, which those who plug wait for."""
        edit = Edit(self._client)
        edit.ensure_bridge(self._settings.board, external_ids={"pileus-owner": "l2"})
        return int(await edit.commit())

    async def _change(self, change: Change) -> tuple[int, dict[str, str]]:
        if not change:
            return 0, {}
        failed = await self._kernel.apply(change)
        for name, why in failed.items():
            _log.error("a link can't be made as it should be", link=name, why=why)
        return len(change) - len(failed), failed

    async def _bring_tables(self, model: Model, wanted: plan.Links, seen: Seen) -> tuple[int, dict[str, str]]:
        """Load what differs; a device that makes the kernel refuse is left out. How much, and which."""
        zones = plan.zones(wanted, seen)
        changes = 0
        good: dict[str, Filtered] = {}

        def tables(devices: Mapping[str, Filtered]) -> list[Table]:
            return filtering.tables(model, devices.values(), wanted.dead, zones, self._tracker or "")

        whole = tables(wanted.wired)
        if whole == self._tables:
            return 0, {}
        namespace = self._settings.namespace

        async def load(some: Sequence[str]) -> None:
            nonlocal changes
            devices = good | {port_id: wanted.wired[port_id] for port_id in some}
            done = await self._filter.apply({namespace: tables(devices)})
            changes += sum(map(len, done.values()))
            good.update(devices)

        self._tables = None
        failures = await by_halves(sorted(wanted.wired), load) if wanted.wired else []
        if not wanted.wired:
            await load(())
        failed = {port_id: reason(error) for port_id, error in failures}
        self._tables = whole if not failed else tables(good)
        with contextlib.suppress(FilterFailed):
            self._generation = await self._read_generation()
        return changes, failed

    async def _cut(self, model: Model, wanted: plan.Links) -> None:
        """Forget the connections of devices that may do less than before: replies would go on."""
        profiles = {rules.profile_key(one.details) for one in wanted.wired.values()}
        known = {profile: plan.permits(model, profile.split(",")) for profile in profiles}
        now = {
            port_id: known[rules.profile_key(one.details)]
            for port_id, one in wanted.wired.items()
            if is_secured(one.details)
        }
        gone = plan.revoked(self._permits, now)
        self._permits = now
        addresses = {
            fixed.ip_address for port_id in gone for fixed in wanted.wired[port_id].details.fixed_ips
        }
        if four := sorted(address for address in addresses if ":" not in address):
            try:
                await self._filter.forget_connections({self._settings.namespace: four})
            except FilterFailed as error:
                _log.error("connections can't be cut", why=reason(error))

    async def _tell_of(self, model: Model, wanted: plan.Links) -> None:
        """In the words of the switch agent's status."""
        view = self.view()
        found, doubles = rows.plugged(view, self._bridges)
        alive = {port_id: port for port_id, port in found.items() if port_id in wanted.wired}
        dead = set(wanted.dead)
        row_plan = rows.RowPlan(
            edits=(),
            removals=(),
            vlans={},
            numbers={},
            alive=alive,
            dead=(*doubles, *(port for port in found.values() if port.interface.name in dead)),
            failed=tuple(DeviceFailure(port_id, why) for port_id, why in wanted.failed.items()),
        )
        # Rates are not limited here, so no means of it is told.
        wiring = switch_plan.Wiring(
            devices={
                port_id: Wired(_unlimited(one), one.interface, 0, 0, 0, 0)
                for port_id, one in wanted.wired.items()
            },
            joints={},
            tunnel_ports={},
            tunnel_joint=None,
            dead=(),
            plain=(),
            numbers=rules.GroupNumbers(),
        )
        self._wired = wiring.devices
        await self.tell(row_plan, wiring, self.failures())

    async def purge(self, *, guests: bool = False) -> None:
        """Take away all links and rules of ours; with ``guests`` the announced ports, too."""
        seen = await self._kernel.read()
        await self._kernel.apply(removal(plan.ours(seen)))
        keys = [("bridge", PORTS), ("inet", TRACKING)]
        await self._filter.remove({self._settings.namespace: keys})
        if not guests:
            return
        if not self._client.connected:
            await self._client.connect(CONNECTS_WITHIN_S)
        edit = Edit(self._client)
        for name in self._client.by_name("Bridge"):
            edit.delete_bridge(name)
        await edit.commit()


def _unlimited(one: Filtered) -> Any:
    return msgspec.structs.replace(one.details, rate_limit=None)


def _of_links(wanted: plan.Links, failed: Mapping[str, str]) -> dict[str, str]:
    """The ports that need these links, each with the reason."""
    if not failed:
        return {}
    bad = dict(failed)
    for one in wanted.networks.values():
        if one.uplink is not None and one.uplink in failed:
            bad.setdefault(one.bridge, failed[one.uplink])
    return {
        port_id: bad.get(one.interface) or bad[one.bridge]
        for port_id, one in wanted.wired.items()
        if one.interface in bad or one.bridge in bad
    }


def _without(wanted: plan.Links, failed: Mapping[str, str]) -> plan.Links:
    """Without devices that can't be wired: their interfaces are nobody's."""
    gone = failed.keys() & wanted.wired.keys()
    if not gone:
        return wanted
    dead = {*wanted.dead, *(wanted.wired[port_id].interface for port_id in gone)}
    wired = {port_id: one for port_id, one in wanted.wired.items() if port_id not in gone}
    used = {one.bridge for one in wired.values()}
    networks = {key: one for key, one in wanted.networks.items() if one.bridge in used}
    return plan.Links(networks, wired, {**wanted.failed, **failed}, tuple(sorted(dead)))
