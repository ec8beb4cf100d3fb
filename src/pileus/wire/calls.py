"""The table of calls between agents and servers: everything that crosses the line.

A call is asked by an agent and answered by any server, by its row here. Both ends
encode and decode by the row's types, also on one machine.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from pileus.wire.agents import AgentReply, AgentReport
from pileus.wire.switch import Acknowledged, DeviceStatus, SwitchState, SwitchStateRequest

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)


class Call(msgspec.Struct, Generic[Q, R], frozen=True):
    """One row: name, types of request and reply, how long an agent waits, a line of meaning."""

    name: str
    request: type[Q]
    reply: type[R]
    timeout_s: float
    meaning: str


QUICK = 10.0
BULK = 60.0

AGENT_REPORT = Call(
    "agent_report", AgentReport, AgentReply, QUICK, "I am here, this is my state; am I up to date?"
)
SWITCH_STATE = Call("switch_state", SwitchStateRequest, SwitchState, BULK, "What should my switch look like?")
DEVICE_STATUS = Call(
    "device_status", DeviceStatus, Acknowledged, BULK, "These ports carry packets now, and these no longer."
)

CALLS: dict[str, Call[msgspec.Struct, msgspec.Struct]] = {
    call.name: call  # type: ignore[misc]
    for call in (AGENT_REPORT, SWITCH_STATE, DEVICE_STATUS)
}
