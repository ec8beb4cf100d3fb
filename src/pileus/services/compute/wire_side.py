"""The calls of agents that the compute service answers: machines, what became of them, metadata."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.errors import Forbidden
from pileus.services.compute.guests.service import metadata_answer
from pileus.services.compute.nodes.report import hypervisor_report
from pileus.services.compute.nodes.state import Ticket, hypervisor_state
from pileus.services.compute.servers.chains.common import Parts
from pileus.store import Store
from pileus.wire.calls import HYPERVISOR_REPORT, HYPERVISOR_STATE, METADATA
from pileus.wire.hypervisor import HypervisorReport, HypervisorState, HypervisorStateRequest
from pileus.wire.metadata import MetadataReply, MetadataRequest
from pileus.wire.switch import Acknowledged


class Node(Protocol):
    """Who asks: a node that has shown its token."""

    @property
    def host(self) -> str: ...


class NotYourHost(Forbidden):
    message = "A node may speak for its own host only, not for {host}."


Handler = Callable[[Any, Any], Awaitable[msgspec.Struct]]


def wire_handlers(store: Store, parts: Parts, clock: Clock, ticket: Ticket) -> dict[str, Handler]:
    """``{name of the call: async (request, node) -> reply}``."""

    async def state(request: HypervisorStateRequest, node: Node) -> HypervisorState:
        _own(request.host, node)
        return await store.read(hypervisor_state, request, ticket=ticket)

    async def report(request: HypervisorReport, node: Node) -> Acknowledged:
        _own(request.host, node)
        return await store.write(hypervisor_report, system_context(clock.now()), request, parts=parts)

    async def metadata(request: MetadataRequest, node: Node) -> MetadataReply:
        _own(request.host, node)
        return await store.read(metadata_answer, request)

    return {HYPERVISOR_STATE.name: state, HYPERVISOR_REPORT.name: report, METADATA.name: metadata}


def _own(host: str, node: Node) -> None:
    if host != node.host:
        raise NotYourHost(host=host)
