"""The table of calls between agents and servers: everything that crosses the line.

A call is asked by an agent and answered by any server, by its row here. Both ends
encode and decode by the row's types, also on one machine.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from pileus.wire.agents import AgentReply, AgentReport
from pileus.wire.dhcp import DhcpState, DhcpStateRequest, DhcpStatus, LeaseReport
from pileus.wire.gateway import GatewayState, GatewayStateRequest
from pileus.wire.hypervisor import HypervisorReport, HypervisorState, HypervisorStateRequest
from pileus.wire.l3 import L3State, L3StateRequest, L3Status
from pileus.wire.metadata import MetadataPost, MetadataReply, MetadataRequest
from pileus.wire.metering import MeteringReport
from pileus.wire.nodes import NodeTokenReply, NodeTokenRequest
from pileus.wire.physical import PhysicalState, PhysicalStateRequest, PhysicalStatus
from pileus.wire.questions import Answer
from pileus.wire.switch import Acknowledged, DeviceStatus, SwitchState, SwitchStateRequest
from pileus.wire.volume import VolumeReport, VolumeState, VolumeStateRequest

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
DHCP_STATE = Call("dhcp_state", DhcpStateRequest, DhcpState, BULK, "Which networks do I serve, and to whom?")
DHCP_STATUS = Call("dhcp_status", DhcpStatus, Acknowledged, QUICK, "These networks have their DHCP now.")
DHCP_LEASES = Call(
    "dhcp_leases", LeaseReport, Acknowledged, QUICK, "Guests got, renewed and lost these leases."
)
L3_STATE = Call("l3_state", L3StateRequest, L3State, BULK, "What should my routers look like?")
L3_STATUS = Call("l3_status", L3Status, Acknowledged, QUICK, "These routers and floating IPs are in place.")
GATEWAY_STATE = Call(
    "gateway_state", GatewayStateRequest, GatewayState, BULK, "What should my gateway machines be inside?"
)
GATEWAY_STATUS = Call(
    "gateway_status", L3Status, Acknowledged, QUICK, "These gateway machines are what they should be."
)
METERING_REPORT = Call(
    "metering_report", MeteringReport, Acknowledged, QUICK, "This is what my routers have counted."
)
METADATA = Call("metadata", MetadataRequest, MetadataReply, QUICK, "A guest asks for its metadata.")
METADATA_POST = Call(
    "metadata_post", MetadataPost, MetadataReply, QUICK, "A guest tells something of itself: its password."
)
HYPERVISOR_STATE = Call(
    "hypervisor_state",
    HypervisorStateRequest,
    HypervisorState,
    BULK,
    "Which machines should I have?",
)
HYPERVISOR_REPORT = Call(
    "hypervisor_report", HypervisorReport, Acknowledged, BULK, "This is how my machines are, and what I did."
)
VOLUME_STATE = Call(
    "volume_state",
    VolumeStateRequest,
    VolumeState,
    BULK,
    "Which volumes should my pools have, open for whom?",
)
VOLUME_REPORT = Call(
    "volume_report", VolumeReport, Acknowledged, BULK, "This is how my pools are, and what I did."
)
PHYSICAL_STATE = Call(
    "physical_state",
    PhysicalStateRequest,
    PhysicalState,
    BULK,
    "I drive these switches: what should they carry?",
)
PHYSICAL_STATUS = Call(
    "physical_status", PhysicalStatus, Acknowledged, QUICK, "This is how my switches are, and whom they see."
)
ANSWER = Call("answer", Answer, Acknowledged, QUICK, "The answer to your question.")
NODE_TOKEN = Call("node_token", NodeTokenRequest, NodeTokenReply, QUICK, "My token will end: another?")

CALLS: dict[str, Call[msgspec.Struct, msgspec.Struct]] = {
    call.name: call  # type: ignore[misc]
    for call in (
        AGENT_REPORT,
        SWITCH_STATE,
        DEVICE_STATUS,
        DHCP_STATE,
        DHCP_STATUS,
        DHCP_LEASES,
        L3_STATE,
        L3_STATUS,
        GATEWAY_STATE,
        GATEWAY_STATUS,
        METERING_REPORT,
        METADATA,
        METADATA_POST,
        HYPERVISOR_STATE,
        HYPERVISOR_REPORT,
        VOLUME_STATE,
        VOLUME_REPORT,
        PHYSICAL_STATE,
        PHYSICAL_STATUS,
        ANSWER,
        NODE_TOKEN,
    )
}
