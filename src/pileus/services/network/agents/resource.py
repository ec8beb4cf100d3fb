"""The declaration of agents (seed 003; extension ``agent`` of the Network API)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import ColumnElement, bindparam, func

from pileus.core.clock import Clock
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.config import NetworkConfig
from pileus.store.schema import Moment

FORMAT = "%Y-%m-%d %H:%M:%S"


class AgentNotFound(NotFound):
    message = "Agent {id} could not be found."


_TIME = Type(
    "timestamp",
    types.timestamp.parse,
    {"type": "string", "description": "UTC, as 2013-06-05 11:53:55"},
    show=lambda moment: moment.strftime(FORMAT),
)
_TEXT = types.string(255)


def _of_types(texts: Sequence[str]) -> ColumnElement[bool]:
    """In any case: clients ask for "DHCP Agent" too, which Neutron's usual database takes for the same."""
    return func.lower(agents.c.agent_type).in_([text.lower() for text in texts])


def agent_resource(clock: Clock, config: NetworkConfig) -> Resource:
    """The declaration; ``alive`` compares in SQL with a moment that ``clock`` gives at each statement."""

    def since() -> dt.datetime:
        return config.alive_since(clock.now())

    alive = agents.c.heartbeat_timestamp >= bindparam("alive_since", callable_=since, type_=Moment())
    return Resource(
        "agent",
        table=agents,
        wording=NEUTRON,
        bulk=False,
        not_found=AgentNotFound,
        attributes=(
            Attribute("id", types.uuid, filter=True, sort=True),
            Attribute("agent_type", _TEXT, filter=True, sort=True, condition=_of_types),
            Attribute("binary", _TEXT, filter=True, sort=True),
            Attribute("topic", _TEXT, filter=True, sort=True),
            Attribute("host", _TEXT, filter=True, sort=True),
            Attribute("admin_state_up", types.boolean, update=True, filter=True, sort=True),
            Attribute("alive", types.boolean, column=alive, filter=True, sort=True),
            Attribute("description", types.nullable(_TEXT), update=True, filter=True, sort=True),
            Attribute("availability_zone", types.nullable(_TEXT), filter=True, sort=True),
            Attribute("resources_synced", types.nullable(types.boolean)),
            Attribute("configurations", types.anything),
            Attribute("started_at", _TIME, sort=True),
            Attribute("created_at", _TIME, sort=True),
            Attribute("heartbeat_timestamp", _TIME, sort=True),
        ),
    )


RULES = rules({f"{action}_agent": ADMIN for action in ("create", "get", "update", "delete")})
