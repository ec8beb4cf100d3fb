"""L2 gateways as a part of the API, and their side of the wire."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.config import NetworkConfig
from pileus.services.network.l2_gateways import work
from pileus.services.network.l2_gateways.resource import L2_GATEWAY, L2_GATEWAY_CONNECTION, RULES
from pileus.services.network.l2_gateways.state import physical_state, physical_status
from pileus.web.answers import Answer
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.wire.calls import PHYSICAL_STATE, PHYSICAL_STATUS

_DESCRIPTION = "Connects Neutron networks with external networks at layer 2."


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; ``config`` says which agents count as alive."""
    return Noun(
        name="l2_gateway",
        routes=(
            *crud(
                L2_GATEWAY,
                "/v2.0/l2-gateways",
                create=work.gateway_create,
                update=work.gateway_update,
                delete=work.gateway_delete,
            ),
            *crud(
                L2_GATEWAY_CONNECTION,
                "/v2.0/l2-gateway-connections",
                create=work.connection_create,
                delete=work.connection_delete,
            ),
        ),
        rules=RULES,
        quotas=(work.L2_GATEWAY_QUOTA,),
        extensions=(
            Extension("l2-gateway", "L2 Gateway", _DESCRIPTION, "2015-01-01T00:00:00-00:00"),
            Extension(
                "l2-gateway-connection", "L2 Gateway connection", _DESCRIPTION, "2014-01-01T00:00:00-00:00"
            ),
        ),
        answers=(
            Answer(PHYSICAL_STATE, partial(physical_state, config=config), writes=True),
            Answer(PHYSICAL_STATUS, partial(physical_status, config=config), writes=True),
        ),
    )
