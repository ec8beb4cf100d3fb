"""The gateway agent: makes routers of virtual machines that the hypervisor agent runs here (seed 000).

The machine is a server of the cloud's own. What it is to be inside goes to it as one archive, through the
channel of QEMU's agent: no network has to work for that, and nobody else can say anything there. It is
pushed when it differs from what the machine says it has, and the machine is asked again and again whether it
is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.recurring import Recurring
from pileus.drivers.libvirt.hypervisor import GuestSaid, Hypervisor
from pileus.flow.patience import Patience
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.asking import KeyedAgent
from pileus.host.gateways.guests import MachineLeases, counters
from pileus.host.gateways.plan import PROGRAM, Archive, plan_archive
from pileus.host.isolation import reason
from pileus.host.l3.plan import floating_ids
from pileus.wire import scopes
from pileus.wire.calls import DHCP_LEASES, GATEWAY_STATE, GATEWAY_STATUS
from pileus.wire.dhcp import LeaseChange, LeaseReport
from pileus.wire.gateway import GatewayMachine, GatewayStateRequest
from pileus.wire.l3 import L3Status
from pileus.wire.metering import MeteringCount

_log = log.get("host.gateways")

WATCH_INTERVAL_S = 5.0
_AT_ONCE = 3
_APPLIES_WITHIN_S, _SAYS_WITHIN_S = 60.0, 20.0
_PATIENCE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_BOOTS_WITHIN_S, _SILENT_FOR_S = 60.0, 15.0
"""So long a machine that has never worked, or one that has, may fail until the server is told."""
_LEASES_EVERY = 2
"""Leases are looked at as often as every second time that machines are asked how they are."""
_LONGEST_REASON = 500


class _InForce(msgspec.Struct, frozen=True):
    """An archive that a machine has taken."""

    server_id: str
    digest: str
    machine: GatewayMachine


class NotTaken(Exception):
    """The machine could not become what it was told to be."""


class GatewayAgent(KeyedAgent[GatewayMachine]):
    """Configures the gateway machines of this host, which ``desired`` has by the routers' ids. The hypervisor
    is its agent's, who connects it."""

    binary = "pileus-gateway-agent"
    agent_type = "Gateway VM agent"
    topic = "gateway_agent"
    owner = "gateways"

    def __init__(
        self,
        settings: AgentSettings,
        server: Server,
        clock: Clock,
        hypervisor: Hypervisor,
        *,
        watch_interval_s: float = WATCH_INTERVAL_S,
    ) -> None:
        super().__init__(settings, server, clock)
        self._hypervisor = hypervisor
        self._clock = clock
        self._watch_interval_s = watch_interval_s
        self._patience = Patience(clock, first_s=_PATIENCE_S, limit_s=_LONGEST_PAUSE_S)
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._in_force: dict[str, _InForce] = {}
        self._worked: dict[str, str] = {}
        """Servers that have been what they should be once, by router."""
        self._ailing_since: dict[str, tuple[str, float]] = {}
        self._lease_s = 86400
        self._leases = MachineLeases(self._run_any, clock, self._tell_leases)
        self._told: object = None
        self._complained: dict[str, str] = {}

    # -- what the base asks

    def configurations(self) -> dict[str, Any]:
        routers = [machine.router for machine in self.desired.values()]
        return {
            "routers": len(routers),
            "ex_gw_ports": sum(router.gateway is not None for router in routers),
            "interfaces": sum(len(router.interfaces) for router in routers),
            "floating_ips": sum(len(router.floating_ips) for router in routers),
            "networks": len({one.network_id for machine in self.desired.values() for one in machine.served}),
            "failed": len(self._failed()),
        }

    async def prepare(self) -> None:
        """The hypervisor agent connects."""

    async def watch(self) -> None:
        await asyncio.gather(self._watch_machines(), self._watch_leases())

    async def _watch_leases(self) -> None:
        """Look at the leases that machines gave; what can't be told now is told later."""
        trouble = Recurring(_log, "leases of gateway machines are not told")
        while True:
            await asyncio.sleep(_LEASES_EVERY * self._watch_interval_s)
            known = [one.machine for one in self._in_force.values()]
            found = await asyncio.gather(*map(self._leases.look, known), return_exceptions=True)
            wrong = [one for one in found if isinstance(one, Exception)]
            if wrong:
                trouble.happened(type(wrong[0]).__name__, why=reason(wrong[0]))
            else:
                trouble.over()

    async def _tell_leases(self, changes: Sequence[LeaseChange]) -> None:
        await self.call(DHCP_LEASES, LeaseReport(self.host, tuple(changes)))

    async def counted(self) -> list[MeteringCount]:
        """Count by metering label, of the machines in force; nothing of those that do not answer."""
        known = [one.machine for one in self._in_force.values()]
        found = await asyncio.gather(
            *(counters(self._run_any, machine) for machine in known), return_exceptions=True
        )
        return [count for some in found if not isinstance(some, BaseException) for count in some]

    async def _watch_machines(self) -> None:
        """Ask the machines whether they are what they were told to be."""
        while True:
            await asyncio.sleep(self._watch_interval_s)
            if not self.reconciler.is_resting or not self._in_force:
                continue
            known = dict(self._in_force)
            answers = await asyncio.gather(*(self._says(one) for one in known.values()))
            for router_id, said in zip(known, answers, strict=True):
                if said is not None and self._in_force.get(router_id) is known[router_id]:
                    _log.warning("a gateway machine is not what it was", router=router_id, why=said)
                    del self._in_force[router_id]
                    self.reconciler.wake()

    # -- a pass

    def begin(self, work: Work) -> None:
        if work.reread:
            self._told = None
        if work.inspect:
            self._in_force.clear()
            self._patience.hurry()

    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, GatewayMachine]]:
        wanted = None if ids is None else tuple(sorted(ids))
        state = await self.call(GATEWAY_STATE, GatewayStateRequest(self.host, wanted))
        self._lease_s = state.lease_time_s
        return state.position, {machine.router.router_id: machine for machine in state.machines}

    def concerned(self, kind: str, key: str) -> Iterable[str]:
        if kind == "router" and key in self.desired:
            yield key
        if kind == "dhcp_network":
            yield from (router_id for router_id, one in self.desired.items() if key in _networks(one))

    async def act(self, work: Work) -> int:
        changes = await self._bring_due()
        await self._tell()
        self._retry.set(self._patience.pause())
        return changes

    def listened(self) -> Iterable[str]:
        yield from map(scopes.router, self.desired)
        for network_id in {key for machine in self.desired.values() for key in _networks(machine)}:
            yield scopes.dhcp_network(network_id)

    async def _bring_due(self) -> int:
        self._patience.keep(self.desired)
        for known in (self._in_force, self._worked, self._ailing_since):
            for key in known.keys() - self.desired.keys():
                del known[key]
        due = {
            key: machine
            for key, machine in self.desired.items()
            if not self._has(key, machine) and not self._patience.waits(key, machine)
        }
        done = await asyncio.gather(*(self._bring(key, machine) for key, machine in due.items()))
        return sum(done)

    def _has(self, key: str, machine: GatewayMachine) -> bool:
        known = self._in_force.get(key)
        return known is not None and known.machine == machine

    async def _bring(self, key: str, machine: GatewayMachine) -> bool:
        """Make a machine what it should be; whether something was pushed."""
        before = self._in_force.pop(key, None)
        try:
            archive = plan_archive(machine, self._lease_s)
            pushed = await self._push(machine.server_id, archive, fresh=before is None)
        except Exception as error:  # one machine keeps no other waiting
            self._patience.failed(key, machine, reason(error))
            since = self._ailing_since.get(key)
            if since is None or since[0] != machine.server_id:
                self._ailing_since[key] = machine.server_id, self._clock.monotonic()
            return False
        self._in_force[key] = _InForce(machine.server_id, archive.digest, machine)
        self._worked[key] = machine.server_id
        self._ailing_since.pop(key, None)
        self._patience.went_well(key)
        return pushed

    async def _push(self, server_id: str, archive: Archive, *, fresh: bool) -> bool:
        """Give the archive to the machine, unless it has it already (asked where that is not known)."""
        async with self._gate:
            if fresh:
                said = await self._run(server_id, "state", timeout_s=_SAYS_WITHIN_S)
                if said.exit_code == 0 and _text(said) == archive.digest:
                    return False
            said = await self._run(server_id, "apply", archive.content, timeout_s=_APPLIES_WITHIN_S)
            if said.exit_code != 0 or not _text(said).endswith(archive.digest):
                raise NotTaken(_text(said) or f"{PROGRAM} ended with {said.exit_code}")
            return True

    async def _says(self, known: _InForce) -> str | None:
        """Ask what is wrong with a machine; None where it is well."""
        try:
            async with self._gate:
                said = await self._run(known.server_id, "state", timeout_s=_SAYS_WITHIN_S)
        except Exception as error:
            return reason(error)
        return None if said.exit_code == 0 and _text(said) == known.digest else _text(said) or "no answer"

    async def _run(self, server_id: str, verb: str, content: bytes = b"", *, timeout_s: float) -> GuestSaid:
        return await self._hypervisor.run_in_guest(server_id, (PROGRAM, verb), content, timeout_s)

    async def _run_any(self, server_id: str, command: Sequence[str], content: bytes) -> GuestSaid:
        async with self._gate:
            return await self._hypervisor.run_in_guest(server_id, command, content, _SAYS_WITHIN_S)

    # -- what becomes of it

    def _failed(self) -> Mapping[str, str]:
        """Why machines do not work, of those that have had their time."""
        now = self._clock.monotonic()
        found = {}
        for key, why in self._patience.reasons.items():
            server_id, since = self._ailing_since.get(key, ("", now))
            bound = _SILENT_FOR_S if self._worked.get(key) == server_id else _BOOTS_WITHIN_S
            if now - since >= bound:
                found[key] = why
        return found

    async def _tell(self) -> None:
        in_force: Collection[_InForce] = self._in_force.values()
        failed = dict(sorted(self._failed().items()))
        for key, why in failed.items():
            if self._complained.get(key) != why:
                _log.warning("a gateway machine does not work", router=key, why=why)
        self._complained = failed
        routers = [one.machine.router for one in in_force]
        news = L3Status(
            self.host,
            tuple(sorted(router.router_id for router in routers)),
            tuple(sorted({floating_id for router in routers for floating_id in floating_ids(router)})),
            failed,
        )
        # A router whose machine is another one is said to work again, though nothing else has changed.
        told = news, frozenset(one.server_id for one in in_force)
        if told != self._told:
            await self.call(GATEWAY_STATUS, news)
            self._told = told


def _networks(machine: GatewayMachine) -> set[str]:
    return {one.network_id for one in machine.served}


def _text(said: GuestSaid) -> str:
    """The last words of a program in the guest, on one line."""
    text = said.output.decode(errors="replace").strip()[-_LONGEST_REASON:]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
