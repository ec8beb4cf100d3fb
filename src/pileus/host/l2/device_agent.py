"""The base of the agents that wire what is plugged into this node: Open vSwitch's and that of Linux bridges.

They ask the server the same questions, vet its answers alike, and tell in the same words which ports carry
packets. How ports are wired is the affair of the agent, and of the drivers that it is given.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.flow.patience import Patience
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.asking import AskingAgent
from pileus.host.isolation import culprits, reason
from pileus.host.l2 import plan, rows
from pileus.host.l2.devices import Wired
from pileus.host.l2.model import Model
from pileus.host.l2.question import GroupsRead, question
from pileus.host.l2.settings import BridgeSettings
from pileus.host.l2.status import StatusBook
from pileus.host.l2.vetting import Vetted, Vetting
from pileus.host.l2.view import SwitchView, switch_view
from pileus.host.switch import SwitchUnreachable
from pileus.wire import scopes
from pileus.wire.calls import DEVICE_STATUS, SWITCH_STATE
from pileus.wire.switch import SwitchStateRequest

_log = log.get("host.l2")

P = TypeVar("P")

CONNECTS_WITHIN_S = 5.0


class DeviceAgent(AskingAgent):
    """Knows which devices are plugged, and what is wanted of them. ``bridges`` names the integration bridge
    in the database that ``client`` reads, which is closed with the agent."""

    def __init__(
        self,
        settings: AgentSettings,
        bridges: BridgeSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
    ) -> None:
        super().__init__(settings, server, clock)
        self.model = Model()
        self._bridges = bridges
        self._client = client
        self._status = StatusBook(settings.host)
        self._vetting = Vetting()
        self._vetted = Vetted(self.model)
        self._patience = Patience(clock)
        self._asked: set[str] = set()
        self._groups_read = GroupsRead()

    # -- what an agent of this kind says of itself

    @abc.abstractmethod
    def in_force(self) -> Mapping[str, Wired]:
        """The devices that are wired, by their ports."""

    @abc.abstractmethod
    async def purge(self, *, guests: bool = False) -> None:
        """Take away all that is ours from the node; with ``guests`` the ports of devices, too."""

    # -- what the base asks

    async def prepare(self) -> None:
        with contextlib.suppress(TimeoutError):  # it goes on trying, and so do the passes
            await self._client.connect(CONNECTS_WITHIN_S)

    async def release(self) -> None:
        await super().release()
        await self._client.close()

    def position(self) -> int:
        return self.model.position

    async def watch_rows(self) -> None:
        """Wake the loop for what is plugged and unplugged."""
        generation = self._client.generation
        while True:
            await self._client.changed.wait()
            self._client.changed.clear()
            resumed = self._client.generation == generation
            generation = self._client.generation
            # After a reconnection anything may have changed, what is not told of too.
            self.reconciler.wake(inspect=not resumed)
            if not resumed:
                self.reconciler.hurry()

    def view(self) -> SwitchView:
        """The rows as the replica has them."""
        return switch_view(self._client)

    # -- a pass

    def begin(self, work: Work) -> None:
        if not self._client.connected:
            raise SwitchUnreachable(reason="no connection to ovsdb-server")
        if work.full:
            self._patience.hurry()
        if work.reread:
            self._status.forget()

    async def learn(self, work: Work) -> None:
        """Read again what may have changed, and what newly plugged devices need: in one call, and
        others where the first answer names networks or groups that are not known yet."""
        found = rows.plugged(self.view(), self._bridges)[0]
        plugged = frozenset(filter(scopes.is_key, found))  # no port has another id: it stays dead
        request = self._question(work, plugged)
        model, read_at, groups_read = self.model, dict(self._read_at), self._groups_read
        try:
            if request is not None:
                model = await self._asked_model(model, request)
            self.model = (await self._with_what_is_missing(model, asked=request is not None)).pruned()
        except BaseException:
            # Of an answer that the model does not have nothing was read.
            self._read_at, self._groups_read = read_at, groups_read
            raise
        self._told_once = True
        self._asked = (self._asked | plugged) & plugged
        self.serve(
            {
                scopes.tunnels(),
                # Those that are not plugged, too: their going is told by their name, beside others' changes.
                *map(scopes.port, plugged | set(filter(scopes.is_key, self.model.devices))),
                *(scopes.network(network_id) for network_id in self.model.networks),
                *(scopes.security_group(group_id) for group_id in self.model.groups),
                *(scopes.address_group(group_id) for group_id in self.model.address_groups),
            }
        )

    async def _with_what_is_missing(self, model: Model, *, asked: bool) -> Model:
        """The model with what its devices refer to and it does not have: their groups, then whom the rules of
        these name. What the server did not have is not asked for again until the next question
        (``asked``)."""
        tried: set[str] = set()
        for _ in range(2):
            missing = model.missing()
            groups = missing.groups | missing.remote_groups
            known = {
                *map(scopes.network, missing.networks),
                *map(scopes.security_group, groups),
                *map(scopes.address_group, missing.address_groups),
            }
            if known <= tried or (not asked and known <= self._read_at.keys()):
                break
            tried |= known
            more = SwitchStateRequest(
                self.host,
                devices=(),
                networks=tuple(sorted(missing.networks)),
                security_groups=tuple(sorted(groups)),
                address_groups=tuple(sorted(missing.address_groups)),
            )
            model, asked = await self._asked_model(model, more), True
        return model

    def _question(self, work: Work, plugged: frozenset[str]) -> SwitchStateRequest | None:
        if work.reread or not self._told_once:
            return SwitchStateRequest(self.host)
        return question(self.host, work.scopes, self.model, plugged - self._asked, self._groups_read)

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
        self._groups_read = self._groups_read.after(request, state)
        return model.absorb(request, state)

    # -- devices that can't be wired keep none waiting

    def plannable(self) -> Model:
        """The wanted model, without devices that can't be wired and those whose next try is later."""
        vetted = self._vetted = self._vetting.vet(self.model, self.in_force())
        self._patience.keep(vetted.model.devices)
        waiting = [
            port_id
            for port_id in self._patience.reasons
            if self._patience.waits(port_id, self.model.evidence(port_id))
        ]
        return vetted.model.without(waiting) if waiting else vetted.model

    def isolate(self, model: Model, attempt: Callable[[Model], P]) -> tuple[Model, P]:
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

    def failures(self) -> dict[str, str]:
        """Devices of the model that are not wired as they should be, with the reason."""
        return self._vetted.refused | self._patience.reasons

    async def tell(self, row_plan: rows.RowPlan, wiring: plan.Wiring, failures: Mapping[str, str]) -> None:
        """Tell the server what it does not know yet."""
        news = self._status.news(self.model, row_plan, wiring, failures)
        if news is not None:
            await self.call(DEVICE_STATUS, news)
            self._status.told(news, self.model)
