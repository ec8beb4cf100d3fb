"""Gateway machines: their side of the wire. Their API is that of routers."""

from __future__ import annotations

from functools import partial

from pileus.services.network.config import NetworkConfig
from pileus.services.network.gateway_machines.state import gateway_state
from pileus.services.network.routers.status import l3_status
from pileus.services.network.rules.agent_types import GATEWAY_AGENT
from pileus.web.answers import Answer
from pileus.web.noun import Noun
from pileus.wire.calls import GATEWAY_STATE, GATEWAY_STATUS


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="gateway_machine",
        answers=(
            Answer(GATEWAY_STATE, partial(gateway_state, config=config)),
            Answer(
                GATEWAY_STATUS,
                partial(l3_status, config=config, agent_type=GATEWAY_AGENT),
                writes=True,
            ),
        ),
    )
