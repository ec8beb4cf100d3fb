"""The hypervisor agent: what nova-compute is to Nova, one pass at a time.

A pass asks the server once for all that changed, lists the domains in one call, plans, and does at once
what is cheap for many: taps in one batch and one transaction, definitions in one call. What takes its
time for one machine (an image, a guest that shuts down) is a job of that machine, and the pass
does not wait for it: a machine with a job is left alone until the job has ended, and is then looked
at again. Only that it is no longer wanted, or wanted anew, ends a job early.

Whatever happens to the agent in between, the next pass finds it: a record says which machines were
whole, labels say which taps are ours, and what was given up, carried out or removed is in a journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.core.streams import ByteStream
from pileus.drivers.libvirt.hypervisor import (
    Hypervisor,
    HypervisorFailed,
)
from pileus.drivers.netlink.links import Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.qemu_img.images import Images
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.hypervisor import plan
from pileus.host.hypervisor.answers import ConsoleStreams, answer
from pileus.host.hypervisor.arrivals import Arrivals
from pileus.host.hypervisor.batches import Batches
from pileus.host.hypervisor.consoles import keep_small
from pileus.host.hypervisor.departures import Departures
from pileus.host.hypervisor.desired import Desired
from pileus.host.hypervisor.executor import Executor, Prepared
from pileus.host.hypervisor.hands import ImageServer
from pileus.host.hypervisor.images import ImageCache
from pileus.host.hypervisor.inventory import inventory, memory_used_mib
from pileus.host.hypervisor.jobs import Jobs
from pileus.host.hypervisor.observed import Observed
from pileus.host.hypervisor.outbox import Outbox
from pileus.host.hypervisor.passage import Identity
from pileus.host.hypervisor.planner import Planner
from pileus.host.hypervisor.records import Failure, InstanceBook, Journal
from pileus.host.hypervisor.settings import NodeSettings
from pileus.host.hypervisor.steps import TRANSIENT, Again, GivenUp
from pileus.host.hypervisor.taps import Taps
from pileus.host.hypervisor.watch import HostWatch
from pileus.host.isolation import by_halves, reason
from pileus.host.switch import SwitchUnreachable
from pileus.wire import scopes
from pileus.wire.agents import Wakeup
from pileus.wire.calls import ANSWER, HYPERVISOR_REPORT, HYPERVISOR_STATE
from pileus.wire.hypervisor import (
    HypervisorReport,
    HypervisorStateRequest,
    OperationReport,
    ServerDetails,
    ServerReport,
    Step,
)
from pileus.wire.questions import Question

_log = log.get("host.hypervisor")

_CONNECTS_WITHIN_S = 5.0
_CONNECT_PAUSE_S = 2.0
_HEARTBEAT_RETRY_S = 2.0


class ComputeServer(Server, ImageServer, Protocol):
    """The calls that this agent makes; ``pileus.bus.client.WireClient`` is one."""

    async def stream(self, name: str) -> ByteStream: ...


class HypervisorAgent(Agent):
    """Brings the machines of a host to their desired state.

    ``client`` is of the host's switch, and is closed by the caller; ``memory_used`` gives MiB of the host's
    memory that are in use.
    """

    binary = "nova-compute"
    agent_type = "Hypervisor agent"

    def __init__(
        self,
        settings: AgentSettings,
        node: NodeSettings,
        server: ComputeServer,
        clock: Clock,
        hypervisor: Hypervisor,
        images: Images,
        cache: ImageCache,
        links: Links,
        client: OvsdbClient,
        *,
        memory_used: Callable[[], int] = memory_used_mib,
    ) -> None:
        super().__init__(settings, server, clock)
        self._node = node
        self._clock = clock
        self._hypervisor = hypervisor
        self._cache = cache
        self._client = client
        self._memory_used = memory_used
        self.book = InstanceBook(node.instances, durable=node.durable)
        self.journal = Journal(node.instances, durable=node.durable)
        self.taps = Taps(links, client, node.integration_bridge)
        self.outbox = Outbox(self.host, self._send, self._taken)
        self._identity = Identity(self.host)
        self.departures = Departures(self._identity, self.outbox.progress)
        self.arrivals = Arrivals(node, self._identity, self.book, hypervisor, images, self.outbox.operation)
        self.observed = Observed(hypervisor, self.book, node.boot_id)
        self._executor = Executor(
            *(node, self.book, self.journal, hypervisor, images, cache, server, self.taps, clock, self),
            departures=self.departures,
            refused=self.observed.refused,
        )
        self.desired = Desired(self.host)
        self.jobs = Jobs(self.reconciler.wake)
        self._present_due = False
        self._served: frozenset[str] = frozenset()
        self._batches = Batches(
            node,
            self.desired,
            self.observed,
            self.book,
            self.journal,
            self.jobs,
            hypervisor,
            self.taps,
            clock,
            self,
        )
        self._watch = HostWatch(
            *(self.reconciler, hypervisor, client, self.taps, self.desired, self.observed, self.book),
            *(self.jobs, self.departures.stopped, self._arrived),
        )
        self._planner = Planner(
            node, self.desired, self.observed, self.book, self.journal, self.jobs, self._executor, clock, self
        )
        self._answering: set[asyncio.Task[None]] = set()
        self._consoles = ConsoleStreams(server.stream)

    # -- what the base asks

    async def prepare(self) -> None:
        await asyncio.to_thread(self.book.open)
        await asyncio.to_thread(self.journal.open)
        await asyncio.to_thread(self._cache.open)
        while True:
            try:
                await self._hypervisor.connect()
                break
            except HypervisorFailed as error:
                _log.warning("the hypervisor does not answer", error=error.reason)
                await asyncio.sleep(_CONNECT_PAUSE_S)
        with contextlib.suppress(TimeoutError):  # it goes on trying, and so do the passes
            await self._client.connect(_CONNECTS_WITHIN_S)

    async def release(self) -> None:
        await self.jobs.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._consoles.close()
        await self.arrivals.close()
        await self._cache.close()
        await self._hypervisor.close()

    def configurations(self) -> dict[str, Any]:
        return {
            "servers": len(self.desired.servers),
            "failed": len(self.journal.failures),
            "integration_bridge": self._node.integration_bridge,
        }

    def scopes(self) -> frozenset[str]:
        return self._served | {scopes.hypervisor(self.host)}

    def position(self) -> int:
        return self.desired.position

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return self.desired.unread(scopes, position)

    async def watch(self) -> None:
        await asyncio.gather(
            self._watch.run(),
            keep_small(self.book, self._node.console_limit),
            self.outbox.run(),
        )

    def _woken(self, wakeup: Wakeup) -> None:
        super()._woken(wakeup)
        for question in wakeup.questions:
            task = asyncio.create_task(self._answer(question))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def _arrived(self, server_id: str) -> None:
        task = asyncio.create_task(self.arrivals.arrived(server_id))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, question: Question) -> None:
        with contextlib.suppress(Fault):
            said = await answer(self.host, question, self.book, self._hypervisor, self._consoles)
            await self.call(ANSWER, said)

    async def _heartbeat(self) -> None:
        """Compute services report here, not among the network's agents."""
        while True:
            self._report_soon.clear()
            pause = _HEARTBEAT_RETRY_S
            try:
                facts = await self._hypervisor.host()
                used = await asyncio.to_thread(self._memory_used)
                certificate = self._identity.certificate if self._node.migration_address else ""
                stock = await asyncio.to_thread(inventory, self.host, facts, self._node, used, certificate)
                reply = await self.call(HYPERVISOR_REPORT, HypervisorReport(self.host, inventory=stock))
            except Fault as fault:
                self.report_trouble.fault(fault)
            except HypervisorFailed as error:
                self.report_trouble.happened(type(error).__name__, error=str(error))
            else:
                self.report_trouble.over()
                pause = self._node.heartbeat_interval_s
                if reply.position > self.desired.position:
                    self.reconciler.wake(reread=True)
                if self.reconciler.status.failures_in_a_row:
                    self.reconciler.hurry()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._report_soon.wait()

    async def _send(self, report: HypervisorReport) -> None:
        await self.call(HYPERVISOR_REPORT, report)

    def _taken(self, report: HypervisorReport) -> None:
        self.journal.forget_gone(report.gone)

    @property
    def has_kvm(self) -> bool:
        """Whether machines run under KVM here."""
        return self._node.kvm

    # -- news from jobs

    def step(self, server_id: str, step: Step) -> None:
        """A job has done something."""
        self.outbox.step(server_id, step, self._report(server_id, False, None))

    def operation(self, report: OperationReport) -> None:
        """A job has ended an operation."""
        self.outbox.operation(report)

    def _report(self, server_id: str, in_place: bool, error: str | None) -> ServerReport:
        return self.observed.report(server_id, self.desired.servers.get(server_id), in_place, error)

    # -- a pass

    async def reconcile(self, work: Work) -> int:
        dirty, self.jobs.dirty = self.jobs.dirty, set()
        unanswered: Fault | None = None
        everything = work.reread or work.inspect or not self.desired.known
        if work.reread:
            self.outbox.forget()
        try:
            touched = await self._ask(work)
        except Fault as fault:
            # Machines are kept as they were last wanted; those of which nobody has said yet how they
            # should be are left alone.
            if not self.desired.known:
                raise
            touched, unanswered = set(), fault
        if everything or touched is None:
            touched = {*self.desired.servers, *self.book.all(), *dirty}
        else:
            touched |= dirty
        try:
            idle = not (touched or everything or self._present_due)
            changes = 0 if idle else await self._act(touched, everything)
        except Exception:
            self.jobs.dirty |= touched
            raise
        if unanswered is not None:
            raise unanswered
        return changes

    async def _ask(self, work: Work) -> set[str] | None:
        """Read again what may have changed; those servers, None for all."""
        desired = self.desired
        asked = None if work.reread or not desired.known else desired.named_in(work.scopes)
        if asked is not None and not asked:
            return asked
        names = None if asked is None else tuple(sorted(asked))
        state = await self.call(HYPERVISOR_STATE, HypervisorStateRequest(self.host, names))
        desired.take(state, asked)
        self.departures.hear(desired.servers)
        self._present_due |= asked is None
        self._take_note(state.servers, asked)
        served = frozenset(scopes.server(key) for key in {*desired.servers, *self.book.all()})
        if served != self._served:
            self._served = served
            self.scopes_changed()
        return asked

    def _take_note(self, servers: Iterable[ServerDetails], asked: Collection[str] | None) -> None:
        """Forget operations that are no longer named and failures that are no longer wanted."""
        journal = self.journal
        named = {operation.operation_id for server in servers for operation in server.operations}
        for operation_id in named & journal.operations.keys():
            ended = journal.operations[operation_id]
            if ended.done:
                self.outbox.operation(OperationReport(operation_id, ended.error, ended.result))
        journal.forget_operations(
            [
                operation_id
                for operation_id, ended in journal.operations.items()
                if operation_id not in named
                and (asked is None or ended.server_id in asked)
                and ended.server_id not in self.jobs
            ]
        )
        journal.forget_failures(
            [
                server_id
                for server_id, failure in journal.failures.items()
                if server_id not in self.desired.servers
                or not plan.is_given_up(self.desired.servers[server_id], failure)
            ]
        )
        # Whoever is wanted again has not gone; whoever has gone is told until it was heard.
        journal.forget_gone(self.desired.servers)
        if asked is None:
            self.outbox.gone([key for key in journal.gone if not self._is_here(key)])
        else:
            nowhere = [key for key in asked if key not in self.desired.servers and not self._is_here(key)]
            if nowhere:
                self.outbox.gone(nowhere)

    def _is_here(self, server_id: str) -> bool:
        return server_id in self.observed.ids() or server_id in self.jobs

    async def _act(self, touched: set[str], inspect: bool) -> int:
        # A job that ends from here on makes the list stale for its machine, and asks for another pass.
        busy = self.jobs.busy
        observed = self.observed
        await observed.list()
        if inspect:
            touched = touched | observed.powers.keys()
        await observed.look_at_cards(touched, inspect)
        if self._present_due:
            self.outbox.present(sorted(observed.ids() | self.jobs.busy), self.desired.position)
            self._present_due = False
        changes = self.jobs.end_moot(self._is_moot)
        unreachable: SwitchUnreachable | None = None
        loose: set[str] = set()
        try:
            plugged = self.taps.plugged()
            if inspect:
                loose = await self.taps.loose()
                touched |= observed.lost_taps(self.taps.lost)
        except SwitchUnreachable as error:
            plugged, unreachable = {}, error
        touched = touched - busy
        todos = self._planner.plan_all(touched, reachable=unreachable is None)
        house = self._batches.survey(plugged, loose, self.jobs.busy | busy)
        self.jobs.lacks_nothing(touched - todos.keys() - set(house.remove))
        prepared: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        self._start_jobs(todos, prepared)
        changes += len(todos) + self._start_removal(house.remove)
        try:
            if unreachable is None:
                plugged_now, unplugged = await self._batches.plug(house, loose, todos.keys())
                changes += plugged_now + await self.arrivals.settle(self.desired.incoming, unplugged)
                if inspect:
                    changes += await self._batches.sweep()
            else:
                unplugged = {}
            refused, defined = await self._batches.define(touched, todos.keys())
            refused |= unplugged
            changes += defined
            # Those without a job are tried again by themselves; a job that can't have its ports has failed.
            waiting = [key for key in unplugged if key not in todos and key in self.desired.servers]
            self.jobs.later(waiting, "its ports can't be plugged")
        except BaseException as error:
            prepared.set_exception(Again(str(error)))
            prepared.exception()  # with no job waiting, nobody else asks for it
            raise
        prepared.set_result(Prepared(refused))
        self._tell_all(touched, refused)
        if inspect:
            changes += await self._prune()
        if unreachable is not None and (house.remove or any(s.ports for s in self.desired.servers.values())):
            raise unreachable
        return changes

    def _is_moot(self, server_id: str, generation: int) -> bool:
        """Whether a job's server is no longer wanted, or is wanted anew."""
        wanted = self.desired.servers.get(server_id)
        return wanted is None or wanted.generation > generation

    def _tell_all(self, touched: Collection[str], refused: Mapping[str, str]) -> None:
        for server_id in touched:
            server = self.desired.servers.get(server_id)
            if server is None or server_id in self.jobs:
                continue
            failure = self.journal.failures.get(server_id)
            error = refused.get(server_id) or (failure.reason if failure else None)
            here = error is None and plan.in_place(server, self.observed.view(server_id))
            self.outbox.server(self._report(server_id, here, error))

    async def _prune(self) -> int:
        instances = self.book.all().values()
        in_use = {name for one in instances for name in (one.base, one.rescue_base) if name}
        return len(await asyncio.to_thread(self._cache.prune, self.host, in_use))

    # -- jobs

    def _start_jobs(self, todos: Mapping[str, plan.Todo], prepared: asyncio.Future[Prepared]) -> None:
        for server_id, todo in todos.items():
            server = self.desired.servers[server_id]
            self.jobs.start((server_id,), server.generation, self._work(server, todo, prepared))

    async def _work(self, server: ServerDetails, todo: plan.Todo, prepared: asyncio.Future[Prepared]) -> None:
        key = server.server_id
        try:
            await self._executor.carry_out(server, todo, prepared)
        except Again as error:
            self.jobs.later((key,), error)
        except GivenUp as error:
            _log.warning("a server could not be brought to where it should be", server=key, error=str(error))
            self.journal.note_failure(key, Failure(server.generation, server.wanted, str(error)))
            self.jobs.went_well(key)
        else:
            if todo.renew:
                self.observed.renewed(key)
            self.jobs.went_well(key)
        finally:
            self.observed.changed(key)

    def _start_removal(self, server_ids: tuple[str, ...]) -> int:
        if server_ids:
            self.jobs.start(server_ids, None, self._remove(server_ids))
        return len(server_ids)

    async def _remove(self, server_ids: tuple[str, ...]) -> None:
        # Written before the last trace goes: who is killed in between still knows whom to tell of.
        self.journal.note_gone(server_ids)
        failed = await by_halves(server_ids, self._executor.take_apart)
        for server_id, error in failed:
            if not isinstance(error, TRANSIENT):
                _log.warning("a server could not be removed", server=server_id, error=reason(error))
            self.jobs.later((server_id,), error)
        stayed = {server_id for server_id, _ in failed}
        went = [server_id for server_id in server_ids if server_id not in stayed]
        self.observed.gone(went)
        self.outbox.gone(went)

    async def purge(self) -> None:
        """Take away all machines of ours with everything that is theirs; the agent must not run."""
        await self.prepare()
        await self._hypervisor.undefine([state.uuid for state in await self._hypervisor.list_domains()])
        with contextlib.suppress(SwitchUnreachable):
            await self.taps.unplug(self.taps.plugged())
        await self.taps.delete(await self.taps.made())
        await asyncio.to_thread(shutil.rmtree, self._node.instances, ignore_errors=True)
        await self.release()
