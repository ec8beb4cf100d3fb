"""The calls of agents that the network service answers.

The bus has made sure that a node speaks of its own host; the units below take the host
from the record and touch nothing of another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.errors import Forbidden
from pileus.core.ids import new_id
from pileus.services.network.agents.report import agent_report
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.state import dhcp_state
from pileus.services.network.dhcp.status import dhcp_status
from pileus.services.network.ports.status import device_status
from pileus.services.network.ports.switch_state import switch_state
from pileus.services.network.routers.state import l3_state
from pileus.services.network.routers.status import l3_status
from pileus.store import Store
from pileus.wire.agents import AgentReply, AgentReport
from pileus.wire.calls import (
    AGENT_REPORT,
    DEVICE_STATUS,
    DHCP_STATE,
    DHCP_STATUS,
    L3_STATE,
    L3_STATUS,
    SWITCH_STATE,
)
from pileus.wire.dhcp import DhcpState, DhcpStateRequest, DhcpStatus
from pileus.wire.l3 import L3State, L3StateRequest, L3Status
from pileus.wire.switch import Acknowledged, DeviceStatus, SwitchState, SwitchStateRequest


class Node(Protocol):
    """Who asks: a node that has shown its token."""

    @property
    def host(self) -> str: ...


class NotYourHost(Forbidden):
    message = "A node may speak for its own host only, not for {host}."


Handler = Callable[[Any, Any], Awaitable[msgspec.Struct]]


def wire_handlers(store: Store, config: NetworkConfig, clock: Clock) -> dict[str, Handler]:
    """``{name of the call: async (request, node) -> reply}``."""

    async def report(request: AgentReport, node: Node) -> AgentReply:
        _own(request.host, node)
        context = system_context(clock.now())
        return await store.write(agent_report, context, request, new_id(), config=config)

    async def state(request: SwitchStateRequest, node: Node) -> SwitchState:
        _own(request.host, node)
        return await store.read(switch_state, request)

    async def status(request: DeviceStatus, node: Node) -> Acknowledged:
        _own(request.host, node)
        return await store.write(device_status, system_context(clock.now()), request)

    async def dhcp(request: DhcpStateRequest, node: Node) -> DhcpState:
        _own(request.host, node)
        return await store.read(dhcp_state, request, config)

    async def dhcp_done(request: DhcpStatus, node: Node) -> Acknowledged:
        _own(request.host, node)
        return await store.write(dhcp_status, system_context(clock.now()), request)

    async def routers(request: L3StateRequest, node: Node) -> L3State:
        _own(request.host, node)
        return await store.read(l3_state, request)

    async def routers_done(request: L3Status, node: Node) -> Acknowledged:
        _own(request.host, node)
        return await store.write(l3_status, system_context(clock.now()), request)

    return {
        AGENT_REPORT.name: report,
        SWITCH_STATE.name: state,
        DEVICE_STATUS.name: status,
        DHCP_STATE.name: dhcp,
        DHCP_STATUS.name: dhcp_done,
        L3_STATE.name: routers,
        L3_STATUS.name: routers_done,
    }


def _own(host: str, node: Node) -> None:
    if host != node.host:
        raise NotYourHost(host=host)
