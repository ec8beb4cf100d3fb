"""Plan each machine of a host, from what is desired, observed and remembered."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.libvirt.hypervisor import Power
from pileus.host.hypervisor import plan
from pileus.host.hypervisor.desired import Desired
from pileus.host.hypervisor.executor import Executor
from pileus.host.hypervisor.jobs import Jobs
from pileus.host.hypervisor.observed import Observed
from pileus.host.hypervisor.records import Failure, Instance, InstanceBook, Journal
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.steps import Tell, step
from pileus.host.isolation import reason
from pileus.wire.hypervisor import ServerDetails

_log = log.get("host.hypervisor")


class Planner:
    """Plans machines one by one, and remembers what it finds out about them."""

    def __init__(
        self,
        settings: NodeSettings,
        desired: Desired,
        observed: Observed,
        book: InstanceBook,
        journal: Journal,
        jobs: Jobs,
        executor: Executor,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._desired = desired
        self._observed = observed
        self._book = book
        self._journal = journal
        self._jobs = jobs
        self._executor = executor
        self._clock = clock
        self._tell = tell

    def plan_all(self, touched: Collection[str], *, reachable: bool) -> dict[str, plan.Todo]:
        """Plan those without a job; ``reachable``: whether the switch is."""
        todos = {}
        for server_id in touched:
            server = self._desired.servers.get(server_id)
            if server is None or server_id in self._jobs:
                continue
            try:
                self._adopt(server)
                todo = plan.plan_server(
                    server,
                    self._observed.view(server_id),
                    journal=self._journal.operations,
                    failure=self._journal.failures.get(server_id),
                    resume=self._settings.resume,
                )
                self._note_run(server, todo)
            except Exception as error:  # one machine keeps none of the others waiting
                _log.warning("a server can't be planned", server=server_id, exc_info=error)
                todo = plan.Todo(error=reason(error))
            if todo.error is not None:
                self._journal.note_failure(server_id, Failure(server.generation, server.wanted, todo.error))
            elif todo and (reachable or not (server.ports and plan.needs_switch(todo))):
                todos[server_id] = todo
            elif todo.applied and not todo:
                self._executor.applied(server_id, todo.applied)
        return todos

    def _adopt(self, server: ServerDetails) -> None:
        """A machine whose record was lost is taken to be what is wanted, as nobody knows better; one that
        came from another host is whole."""
        instance = self._book.get(server.server_id)
        power = self._observed.powers.get(server.server_id)
        if instance is not None and instance.comes:
            applied = server.wanted if power in (Power.RUNNING, Power.PAUSED) else ""
            whole = Instance(
                *(server.server_id, server.generation),
                built=True,
                applied=applied,
                boot_id=self._settings.boot_id,
            )
            self._book.put(whole, matters=True)
            return
        if instance is not None and instance.built and instance.generation == 0 < server.generation:
            applied = "running" if power is Power.RUNNING else ""
            self._book.put(
                Instance(server.server_id, server.generation, built=True, applied=applied), matters=True
            )

    def _note_run(self, server: ServerDetails, todo: plan.Todo) -> None:
        """Remember in which run of the host a machine was seen running. One that went off with the host and
        stays off is told once: from then on it is as one that went off by itself."""
        key, view = server.server_id, self._observed.view(server.server_id)
        instance = view.instance
        if not self._settings.boot_id or instance is None or not instance.built or todo.because:
            return
        off_with_host = plan.went_with_the_host(server, view)
        if off_with_host:
            now = self._clock.now()
            self._tell.step(
                key, step("host.restarted", now, now, f"{plan.HOST_RESTARTED}: the server stays off")
            )
        if instance.boot_id != self._settings.boot_id and (off_with_host or self._observed.is_running(key)):
            self._book.put(msgspec.structs.replace(instance, boot_id=self._settings.boot_id))
