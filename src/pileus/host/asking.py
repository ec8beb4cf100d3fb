"""The bases of agents that ask the server what is wanted here, and keep that up while it does not answer.

``AskingAgent`` says in which order a pass goes. ``KeyedAgent`` adds what is asked of an agent whose desired
state is things with ids, as routers and networks are.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Collection, Iterable
from typing import Generic, TypeVar

import msgspec

from pileus.core.clock import Clock
from pileus.core.errors import Fault
from pileus.flow.reconcile import Reconciler, Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.wire import scopes

_SHORTEST_PAUSE_S = 0.05

T = TypeVar("T", bound=msgspec.Struct)


class RetryTimer:
    """Wakes a loop when something that failed is worth another try."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._timer: asyncio.TimerHandle | None = None

    def set(self, *pauses: float | None) -> None:
        """Wake after the shortest of these pauses, and not as was said before; None: there is none."""
        self.cancel()
        known = [pause for pause in pauses if pause is not None]
        if known:
            pause = max(min(known), _SHORTEST_PAUSE_S)
            self._timer = asyncio.get_running_loop().call_later(pause, self._reconciler.wake)

    def cancel(self) -> None:
        """Wake no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


class AskingAgent(Agent):
    """Ask, then act. Where nobody has said yet what is wanted, all is left as it is."""

    def __init__(self, settings: AgentSettings, server: Server, clock: Clock) -> None:
        super().__init__(settings, server, clock)
        self._told_once = False
        self._read_at: dict[str, int] = {}
        """The positions at which scopes were read since everything was."""
        self._served: frozenset[str] = frozenset()
        self._retry = RetryTimer(self.reconciler)

    def begin(self, work: Work) -> None:
        """Forget what is not to be taken for granted in a pass; raises where it can't be made."""

    @abc.abstractmethod
    async def learn(self, work: Work) -> None:
        """Ask the server what may be wanted otherwise."""

    @abc.abstractmethod
    async def act(self, work: Work) -> int:
        """Bring what is wanted into force, and tell of it; how much changed."""

    async def reconcile(self, work: Work) -> int:
        self.begin(work)
        unanswered: Fault | None = None
        try:
            await self.learn(work)
        except Fault as fault:
            if not self._told_once:
                raise
            unanswered = fault
        changes = await self.act(work)
        if unanswered is not None:
            raise unanswered
        return changes

    async def release(self) -> None:
        self._retry.cancel()

    def scopes(self) -> frozenset[str]:
        return self._served

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return {scope for scope in scopes if max(self._read_at.get(scope, 0), self.position()) < position}

    def serve(self, listened: Iterable[str]) -> None:
        """Listen to these scopes from now on."""
        served = frozenset(listened)
        if served != self._served:
            self._served = served
            self.scopes_changed()


class KeyedAgent(AskingAgent, Generic[T]):
    """Keeps what the server wants here in ``desired``, by id."""

    owner: str
    """The kind of the scope that says which things are this host's."""

    def __init__(self, settings: AgentSettings, server: Server, clock: Clock) -> None:
        super().__init__(settings, server, clock)
        self.desired: dict[str, T] = {}
        self._position = 0

    @abc.abstractmethod
    async def ask(self, ids: Collection[str] | None) -> tuple[int, dict[str, T]]:
        """Position and desired state of these things (None: of all that are this host's)."""

    @abc.abstractmethod
    def concerned(self, kind: str, key: str) -> Iterable[str]:
        """The ids of desired things that a scope ``kind:key`` is about."""

    @abc.abstractmethod
    def listened(self) -> Iterable[str]:
        """The scopes that the desired things are about."""

    def scopes(self) -> frozenset[str]:
        return self._served | {f"{self.owner}:{self.host}"}

    def position(self) -> int:
        return self._position

    async def learn(self, work: Work) -> None:
        ids = self._question(work)
        if ids is not None and not ids:
            return
        position, answer = await self.ask(ids)
        if ids is None:
            self.desired = answer
            self._position = position
            self._read_at.clear()
            self._told_once = True
        else:
            kept = {key: thing for key, thing in self.desired.items() if key not in ids}
            self.desired = kept | answer
        for scope in work.scopes:
            self._read_at[scope] = position
        self.serve(self.listened())

    def _question(self, work: Work) -> set[str] | None:
        """The ids to be asked for; None for all."""
        if work.reread or not self._told_once:
            return None
        ids: set[str] = set()
        for scope in work.scopes:
            kind, key = scopes.split(scope)
            if kind == self.owner:
                return None
            ids.update(self.concerned(kind, key))
        return ids
