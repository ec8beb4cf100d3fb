"""The base of the DHCP agent and the L3 agent: a namespace for each thing of the API.

A pass asks the server once for what changed, looks only at the namespaces of what differs from
the last pass (all of them when nothing is to be taken for granted), makes them in one batch,
plugs all their ports in one transaction, lets the agent do what is its own, takes away what nobody
wants, and tells the server once. What could not be done is told with its reason and tried again, at once
when it is wanted otherwise and else after a growing pause; the rest has been done meanwhile.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.drivers.netlink.links import Address, Contents, Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.flow.patience import Patience
from pileus.flow.reconcile import Work
from pileus.host.agent import AgentSettings, Server
from pileus.host.asking import KeyedAgent
from pileus.host.isolation import reason
from pileus.host.metadata_endpoint import MetadataEndpoint, MetadataServer
from pileus.host.namespaces.apply import NamespaceApplier
from pileus.host.namespaces.model import Namespace
from pileus.host.switch import SwitchUnreachable
from pileus.wire.calls import Call

_log = log.get("host.namespaces")

_CONNECTS_WITHIN_S = 5.0
_LOOKED_AT = 50
"""Namespaces that are looked into at a time, by turns: reading one takes a fraction of a millisecond."""
_CALM_S = 0.5
"""Between two looks at ports that somebody disturbs again and again."""
_ANNOUNCE_AFTER_S = (0.0, 0.05, 0.05, 0.1, 0.2, 0.4, 1.0, 3.0)
"""The pauses before each time. Not once only: the switch may not have wired a new port yet, and packets get
lost; often at first, since until it is heard neighbours send to where the address was before."""


class NamespaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``namespace_prefix`` goes before the id in the names of namespaces (field's names: ``qdhcp-``,
    ``qrouter-``); ``watch_interval_s``: how often what tells nobody of its end is looked at."""

    namespace_prefix: str
    integration_bridge: str = "br-int"
    watch_interval_s: float = 5.0


T = TypeVar("T", bound=msgspec.Struct)


class NameTaken(Exception):
    """The name of a port on the switch, made of its id, is another one's on this node."""


class _Switch(msgspec.Struct, frozen=True):
    reachable: bool
    generation: int


class NamespaceAgent(KeyedAgent[T]):
    """Keeps a namespace for each thing; ``owner`` is also the agent's label on all that it makes. The client
    of the switch belongs to whoever made it: it may be shared, and is closed there."""

    def __init__(
        self,
        settings: AgentSettings,
        namespaces: NamespaceSettings,
        server: Server,
        clock: Clock,
        client: OvsdbClient,
        links: Links,
        metadata: MetadataServer | None,
    ) -> None:
        super().__init__(settings, server, clock)
        self._patience = Patience(clock)
        self._namespaces = namespaces
        self._client = client
        self._metadata = metadata
        self._applier = NamespaceApplier(
            links,
            client,
            owner=self.owner,
            prefix=namespaces.namespace_prefix,
            bridge=namespaces.integration_bridge,
        )
        self._done: dict[str, T] = {}
        self._wanted: dict[str, Namespace] = {}
        self._opened: dict[str, tuple[MetadataEndpoint, ...]] = {}
        self._next_look = 0
        self._told: msgspec.Struct | None = None
        self._announcing: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> dict[str, str]:
        """Why things could not be made as they are wanted, by id."""
        return self._patience.reasons

    # -- what an agent of this kind says of itself

    @abc.abstractmethod
    def namespace(self, thing: T) -> Namespace | None:
        """The namespace of a thing; None: it has none."""

    @abc.abstractmethod
    def endpoints(self, thing: T, namespace: Namespace) -> Iterable[MetadataEndpoint]:
        """Where its guests may ask for metadata."""

    @abc.abstractmethod
    async def enforce(self, things: Collection[T]) -> tuple[int, dict[str, str]]:
        """Bring into force what is the agent's own, in namespaces that are there: how many changes, and
        failures by id. Raises for nothing that a single one is to blame for."""

    async def make_way(self, things: Collection[T]) -> None:
        """End what would disturb the making of these things' namespaces. Raises for nothing."""

    @abc.abstractmethod
    async def dismiss(self, wanted: Collection[str], found: Collection[str]) -> int:
        """End what runs for things other than ``wanted``, before their namespaces (among ``found``) go."""

    @abc.abstractmethod
    def status(self, in_force: Collection[T]) -> tuple[Call[Any, Any], msgspec.Struct]:
        """The call that tells the server what is in force, and what it says."""

    def worth_telling(self, news: msgspec.Struct) -> msgspec.Struct:
        """Leave out of the news what need not be told again; a full pass tells all."""
        return news

    def heard(self, news: msgspec.Struct) -> None:
        """The server has it."""

    @abc.abstractmethod
    async def disturbed(self) -> Collection[str]:
        """Things of which something that is the agent's own is not as it was left, as far as a glance
        shows; by id."""

    # -- what the base asks

    async def prepare(self) -> None:
        # The switch agent may be about to make the bridge; if that takes longer, the passes go on trying.
        with contextlib.suppress(TimeoutError):
            await self._client.connect(_CONNECTS_WITHIN_S)
            await self._client.wait_until(self._applier.reachable, _CONNECTS_WITHIN_S)

    async def release(self) -> None:
        await super().release()
        for task in self._announcing:
            task.cancel()
        await asyncio.gather(*self._announcing, return_exceptions=True)

    async def watch(self) -> None:
        await asyncio.gather(self._watch_ports(), self._watch_own())

    async def _watch_ports(self) -> None:
        known = self._switch()
        while True:
            await self._client.wait_until(partial(self._switch_differs, known))
            before, known = known, self._switch()
            if known.reachable:
                self.reconciler.wake(inspect=True)
            if known != before:
                self.reconciler.hurry()
            await asyncio.sleep(_CALM_S)

    def _switch(self) -> _Switch:
        return _Switch(self._applier.reachable(), self._client.generation)

    def _switch_differs(self, known: _Switch) -> bool:
        return self._switch() != known or self._applier.disturbed(self._in_force())

    async def _watch_own(self) -> None:
        while True:
            await asyncio.sleep(self._namespaces.watch_interval_s)
            in_force = self._in_force()
            if not in_force or not self.reconciler.is_resting:
                continue
            if not await self._applier.present() >= {namespace.name for namespace in in_force}:
                self.reconciler.wake(inspect=True)
                continue
            passes = self.metrics.passes
            some, self._next_look = _slice(in_force, self._next_look, _LOOKED_AT)
            keys = {*await self._applier.differing(some), *await self.disturbed()} & self._done.keys()
            if keys and self.reconciler.is_resting and self.metrics.passes == passes:
                _log.warning("changed by somebody else: repairing", owner=self.owner, ids=sorted(keys)[:20])
                for key in keys:
                    del self._done[key]
                self.reconciler.wake()

    def forget(self) -> None:
        """Take nothing for done: the next pass looks at everything that is desired."""
        self._done.clear()

    def _in_force(self) -> list[Namespace]:
        return [namespace for key, namespace in self._wanted.items() if key in self._done]

    # -- a pass

    def begin(self, work: Work) -> None:
        if not self._applier.reachable():
            raise SwitchUnreachable(reason="no connection to ovsdb-server, or no integration bridge")
        if work.inspect:
            self.forget()
        if work.reread:
            self._told = None
        if work.full:
            self._patience.hurry()

    async def act(self, work: Work) -> int:
        self._patience.keep(self.desired)
        dirty = {
            key: thing
            for key, thing in self.desired.items()
            if self._done.get(key) != thing and not self._patience.waits(key, thing)
        }
        # Also what could never be made wholly leaves something.
        gone = {*self._done, *self._wanted} - self.desired.keys()
        if not dirty and not gone and not work.inspect and not work.reread:
            return 0
        before = set(self._wanted)
        planned = self._plan(dirty)
        # Whatever comes between here and the end, an interruption too, leaves us knowing nothing of these.
        for key in dirty:
            self._done.pop(key, None)
        changes = 0
        if dirty or gone or work.inspect:
            leaving = work.inspect or bool(gone) or not before <= self._wanted.keys()
            changes = await self._bring(planned, leaving)
        self._serve_metadata()
        await self._tell()
        self._retry.set(self._patience.pause())
        return changes

    def _plan(self, dirty: Mapping[str, T]) -> dict[str, T]:
        """Say what is wanted of these; those of them that can be planned. One that can't stays as it was
        wanted before. Of two that need one name on the switch the one that has it keeps it."""
        wanted = {key: namespace for key, namespace in self._wanted.items() if key in self.desired}
        holders = {
            port.name: key
            for key, namespace in wanted.items()
            if key not in dirty
            for port in namespace.ports
        }
        planned = {}
        for key in sorted(dirty, key=lambda key: (key not in wanted, key)):
            thing = dirty[key]
            try:
                namespace = self.namespace(thing)
                ports = [port.name for port in namespace.ports] if namespace is not None else []
                if twice := [name for name in ports if name in holders or ports.count(name) > 1]:
                    raise NameTaken(f"another port is {twice[0]} on this node already")
                endpoints = tuple(self.endpoints(thing, namespace)) if namespace is not None else ()
            except Exception as error:
                self._note_failure(key, thing, reason(error))
                holders |= {port.name: key for port in wanted[key].ports} if key in wanted else {}
                continue
            planned[key] = thing
            holders |= dict.fromkeys(ports, key)
            if namespace is None:
                wanted.pop(key, None)
            else:
                wanted[key], self._opened[key] = namespace, endpoints
        self._wanted = wanted
        return planned

    def _note_failure(self, key: str, thing: T, why: str) -> None:
        if self._patience.reasons.get(key) != why:
            _log.warning("not to be done", owner=self.owner, key=key, why=why)
        self._patience.failed(key, thing, why)

    async def _tell(self) -> None:
        in_force = [thing for key, thing in self._done.items() if key in self._wanted]
        call, news = self.status(in_force)
        if news != self._told:
            await self.call(call, self.worth_telling(news))
            self.heard(news)
            self._told = news

    async def _bring(self, dirty: Mapping[str, T], leaving: bool) -> int:
        """Bring what was planned into force; ``leaving``: something may have to go."""
        applier, wanted = self._applier, list(self._wanted.values())
        namespaces = [self._wanted[key] for key in dirty if key in self._wanted]
        found, failed = await applier.look(namespaces, wanted)
        await self.make_way(list(dirty.values()))
        built = await applier.build(
            [namespace for namespace in namespaces if namespace.key not in failed], found
        )
        failed |= built.failed
        # Who is on the switch already is heard at once, others when they are.
        early = applier.plugged(namespaces)
        if now := [address for address in built.fresh if address.namespace in early]:
            self._announce(now)
        home = await applier.interfaces() if built.changes else found[None].links
        makeable = [thing for key, thing in dirty.items() if key in self._wanted and key not in failed]
        changes, refused = await self.enforce(makeable)
        # Away from the bridge before away from the node.
        plugged, unplugged = await applier.plug(wanted, home, self.failed.keys() - dirty.keys())
        failed |= refused | unplugged
        changes += plugged
        if leaving:
            try:
                changes += await self.dismiss(self._wanted.keys(), self._names(found))
            except Exception as error:
                _log.warning("not all that nobody wants has ended", owner=self.owner, why=reason(error))
        changes += await applier.clear(found, wanted)
        self._settle(dirty, failed)
        if later := [address for address in built.fresh if address.namespace not in early]:
            self._announce(later)
        return built.changes + changes

    def _settle(self, dirty: Mapping[str, T], failed: Mapping[str, str]) -> None:
        """Write down what became of each."""
        for key, why in failed.items():
            if key in self.desired:
                self._done.pop(key, None)
                self._note_failure(key, self.desired[key], why)
        for key in dirty.keys() - failed.keys():
            self._done[key] = dirty[key]
            self._patience.went_well(key)
        for key in self._done.keys() - self.desired.keys():
            del self._done[key]

    def _names(self, found: Mapping[str | None, Contents]) -> list[str]:
        prefix = self._namespaces.namespace_prefix
        return [name.removeprefix(prefix) for name in found if name is not None]

    def _serve_metadata(self) -> None:
        if self._metadata is not None:
            endpoints = {
                self._wanted[key].name: self._opened.get(key, ()) for key in self._done if key in self._wanted
            }
            self._metadata.serve_metadata(self.owner, endpoints)

    def may_announce(self, key: str) -> bool:
        """Whether the addresses of a thing are still to be announced from here."""
        return True

    def _announce(self, addresses: list[Address]) -> None:
        async def repeat() -> None:
            for pause in _ANNOUNCE_AFTER_S:
                await asyncio.sleep(pause)
                # What another host has meanwhile is not claimed here again.
                held = {
                    (one.name, port.name, address.partition("/")[0])
                    for one in self._wanted.values()
                    if self.may_announce(one.key)
                    for port in one.ports
                    for address in (*port.addresses, *port.proxied)
                }
                await self._applier.announce(
                    [
                        one
                        for one in addresses
                        if (one.namespace, one.device, one.address.partition("/")[0]) in held
                    ]
                )

        task = asyncio.create_task(repeat())
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def purge(self) -> None:
        """Take away all that is ours from the node."""
        with contextlib.suppress(TimeoutError):
            await self._client.connect(_CONNECTS_WITHIN_S)
        await self.dismiss((), ())
        await self._applier.purge()


def _slice(namespaces: list[Namespace], start: int, count: int) -> tuple[list[Namespace], int]:
    """The next ``count`` from ``start``, and where the ones after them begin."""
    start = start if start < len(namespaces) else 0
    return namespaces[start : start + count], start + count
