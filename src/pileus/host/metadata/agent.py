"""The metadata agent: answers guests' HTTP requests to 169.254.169.254 and fe80::a9fe:a9fe.

The agents that make the namespaces say which endpoints there are; this one opens a listening socket at
each and carries questions to the server. It keeps nothing: a restart opens the sockets again.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pileus.core.clock import Clock
from pileus.drivers.listening.listeners import Listeners
from pileus.flow.reconcile import Work
from pileus.host.agent import Agent, AgentSettings, Server
from pileus.host.metadata.apply import EndpointApplier
from pileus.host.metadata.plan import EndpointPlan, plan_endpoints
from pileus.host.metadata_endpoint import MetadataEndpoint
from pileus.wire.calls import METADATA, METADATA_POST
from pileus.wire.metadata import MetadataPost, MetadataReply, MetadataRequest


class NotListening(Exception):
    """Some endpoints could not be opened; they are tried again."""


class MetadataAgent(Agent):
    """Answers guests at the endpoints that other agents name: a ``metadata_endpoint.MetadataServer``."""

    binary = "neutron-metadata-agent"
    agent_type = "Metadata agent"

    def __init__(self, settings: AgentSettings, server: Server, clock: Clock, listeners: Listeners) -> None:
        super().__init__(settings, server, clock)
        self._applier = EndpointApplier(settings.host, listeners, self._question)
        self._wanted: dict[str, dict[str, tuple[MetadataEndpoint, ...]]] = {}
        self._failed = 0

    def serve_metadata(self, owner: str, endpoints: Mapping[str, Iterable[MetadataEndpoint]]) -> None:
        """Serve these endpoints of an owner, by namespace, and no others of it. Call it after each change
        there, and when a namespace was made anew."""
        self._wanted[owner] = {namespace: tuple(some) for namespace, some in endpoints.items()}
        if len(self._plan()):
            self.reconciler.wake()

    async def prepare(self) -> None:
        """There is nothing to connect to."""

    async def release(self) -> None:
        await self._applier.apply(EndpointPlan(close=tuple(self._applier.opened), open=()))

    async def watch(self) -> None:
        """Nothing changes by itself."""
        await asyncio.Event().wait()

    def configurations(self) -> dict[str, Any]:
        return {
            "doors": len(self._applier.opened),
            "failed": self._failed,
            "answered": self._applier.answered,
        }

    def scopes(self) -> frozenset[str]:
        return frozenset()

    def position(self) -> int:
        return sys.maxsize  # nothing of what the server knows is kept here

    def unread(self, scopes: Iterable[str], position: int) -> set[str]:
        return set()

    async def reconcile(self, work: Work) -> int:
        plan = self._plan()
        failed = await self._applier.apply(plan)
        self._failed = len(failed)
        if failed:
            raise NotListening("; ".join(f"{d.namespace} {d.address}: {why}" for d, why in failed.items()))
        return len(plan)

    def _plan(self) -> EndpointPlan:
        wanted = {name: endpoints for some in self._wanted.values() for name, endpoints in some.items()}
        names = {*wanted, *(endpoint.namespace for endpoint in self._applier.opened)}
        incarnations = {name: self._applier.incarnation(name) for name in names}
        return plan_endpoints(wanted, self._applier.opened, incarnations)

    async def _question(self, request: MetadataRequest | MetadataPost) -> MetadataReply:
        if isinstance(request, MetadataPost):
            return await self.call(METADATA_POST, request)
        return await self.call(METADATA, request)
