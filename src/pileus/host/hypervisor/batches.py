"""The work of a pass on all machines at once: ports on the switch, descriptions to the hypervisor."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

from pileus.core.clock import Clock
from pileus.drivers.libvirt.hypervisor import Hypervisor, NotDefined
from pileus.host.hypervisor import plan
from pileus.host.hypervisor.desired import Desired
from pileus.host.hypervisor.jobs import Jobs
from pileus.host.hypervisor.machine import domain_spec
from pileus.host.hypervisor.observed import Observed
from pileus.host.hypervisor.records import InstanceBook, Journal
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.steps import Tell, step
from pileus.host.hypervisor.taps import Taps
from pileus.host.isolation import reason


class Batches:
    """Carries out a pass for all machines. ``busy`` are servers with a job, ``begun`` those whose job
    begins with this pass."""

    def __init__(
        self,
        settings: NodeSettings,
        desired: Desired,
        observed: Observed,
        book: InstanceBook,
        journal: Journal,
        jobs: Jobs,
        hypervisor: Hypervisor,
        taps: Taps,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._desired = desired
        self._observed = observed
        self._book = book
        self._journal = journal
        self._jobs = jobs
        self._hypervisor = hypervisor
        self._taps = taps
        self._clock = clock
        self._tell = tell

    def survey(
        self, plugged: Mapping[str, str], loose: Collection[str], busy: Collection[str]
    ) -> plan.Housekeeping:
        """Plan the work on the host; ``loose`` ports have lost their interface."""
        return plan.plan_house(
            self._desired.with_ports(),
            self._observed.ids(),
            busy,
            self._given_up(),
            self._held(plugged),
            {name: port_id for name, port_id in plugged.items() if name not in loose},
            self._desired.kept,
        )

    def _given_up(self) -> set[str]:
        """Servers that are wanted, of which nothing is here because building them failed."""
        found = set()
        for server_id, failure in self._journal.failures.items():
            server = self._desired.servers.get(server_id)
            if server is not None and self._book.get(server_id) is None:
                try:
                    todo = plan.plan_server(
                        server, plan.View(), journal=self._journal.operations, failure=failure
                    )
                except Exception:  # its reason is in the journal already
                    todo = plan.Todo()
                if not todo:
                    found.add(server_id)
        return found

    def _held(self, plugged: Mapping[str, str]) -> set[str]:
        """Taps that must not go yet: a machine has them, or is just being worked on."""
        busy = self._jobs.busy | (self._observed.ids() - self._desired.servers.keys())
        return self._observed.cards() | (self._taps.of(busy) if busy and plugged else set())

    async def plug(
        self, house: plan.Housekeeping, loose: Collection[str], begun: Collection[str]
    ) -> tuple[int, dict[str, str]]:
        """Taps in one batch, ports in one transaction; how many changed, and servers whose ports could not
        be plugged, with the reason."""
        began = self._clock.now()
        again = [name for name in loose if name not in house.unplug]
        changes, failed = await self._taps.plug(house.plug, again)
        ended = self._clock.now()
        for server_id, ports in itertools.groupby(house.plug, key=lambda pair: pair[0]):
            if server_id in begun and server_id not in failed:
                names = " ".join(port.port_id for _, port in ports)
                self._tell.step(server_id, step("ports.plug", began, ended, names))
        return changes + await self._taps.unplug(house.unplug), failed

    async def sweep(self) -> int:
        """No taps that a crash left off the switch; how many there were."""
        plugged = self._taps.plugged()
        return await self._taps.unplug((await self._taps.made()) - plugged.keys() - self._held(plugged))

    async def define(self, touched: Collection[str], begun: Collection[str]) -> tuple[dict[str, str], int]:
        """Descriptions of all that were touched, in one call: those that were refused, with the reason,
        and how many were written of machines without a job."""
        began = self._clock.now()
        specs = []
        refused: dict[str, str] = {}
        for server_id in touched:
            server = self._desired.servers.get(server_id)
            instance = self._book.get(server_id)
            if server is None or (server_id in self._jobs and server_id not in begun):
                continue
            is_older = instance is not None and instance.generation > server.generation
            if server_id in begun or (instance is not None and instance.built and not is_older):
                try:
                    specs.append(domain_spec(server, self._book.places(server_id), self._settings))
                except Exception as error:
                    refused[server_id] = reason(error)
        if not specs:
            return refused, 0
        try:
            defined = await self._hypervisor.ensure_defined(specs)
        except NotDefined as not_defined:
            refused |= not_defined.reasons
            defined = []
        for server_id in defined:
            if server_id in begun:
                self._tell.step(server_id, step("domain.define", began, self._clock.now()))
        return refused, len(set(defined) - set(begun))
