"""DHCP as a part of the API (its agents' scheduler), and its side of the wire."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension, Resource
from pileus.services.network.agents.scheduled import Scheduler
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp.leases import dhcp_leases
from pileus.services.network.dhcp.scheduling import network_bind, network_unbind
from pileus.services.network.dhcp.state import dhcp_state
from pileus.services.network.dhcp.status import dhcp_status
from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.networks.resource import NETWORK
from pileus.web.answers import Answer
from pileus.web.noun import Noun
from pileus.wire.calls import DHCP_LEASES, DHCP_STATE, DHCP_STATUS

EXTENSIONS = (
    Extension(
        "dhcp_agent_scheduler",
        "DHCP Agent Scheduler",
        "Schedule networks among dhcp agents",
        "2013-02-07T10:00:00-00:00",
    ),
)


def noun(config: NetworkConfig, agent: Resource) -> Noun:
    """``agent`` is the declaration of agents, which depends on a clock."""
    scheduler = Scheduler(
        "dhcp",
        NETWORK,
        "network_id",
        dhcp_bindings,
        partial(network_bind, config=config),
        partial(network_unbind, config=config),
    )
    return Noun(
        name="dhcp",
        routes=scheduler.routes(agent),
        rules=scheduler.rules(),
        extensions=EXTENSIONS,
        answers=(
            Answer(DHCP_STATE, partial(dhcp_state, config=config)),
            Answer(DHCP_STATUS, dhcp_status, writes=True),
            Answer(DHCP_LEASES, dhcp_leases, writes=True),
        ),
    )
