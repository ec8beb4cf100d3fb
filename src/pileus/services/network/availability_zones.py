"""Availability zones, as the agents that schedule by zone report them (extension ``availability_zone``)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.policy import rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULE = "get_availability_zone"

_REPLY = views_type(
    "availability_zones",
    types.dict_of(
        {
            "name": types.string(),
            "resource": types.enum("network", "router"),
            "state": types.enum("available", "unavailable"),
        }
    ),
)
_RESOURCES = {"DHCP agent": "network", "L3 agent": "router"}


def availability_zones(tx: Tx, alive_since: dt.datetime) -> list[dict[str, Any]]:
    """Each zone once for each kind of resource; available while one agent in it is alive and admin up."""
    found: dict[tuple[str, str], bool] = {}
    statement = select(
        agents.c.availability_zone, agents.c.agent_type, agents.c.admin_state_up, agents.c.heartbeat_timestamp
    ).where(agents.c.availability_zone.is_not(None), agents.c.agent_type.in_(_RESOURCES))
    for row in tx.rows(statement):
        key = (row.availability_zone, _RESOURCES[row.agent_type])
        up = row.admin_state_up and row.heartbeat_timestamp >= alive_since
        found[key] = found.get(key, False) or up
    return [
        {"name": name, "resource": resource, "state": "available" if up else "unavailable"}
        for (name, resource), up in sorted(found.items())
    ]


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""

    async def list_zones(request: Request) -> Reply:
        request.authorise(RULE)
        since = config.alive_since(request.context.now)
        zones = await request.read(availability_zones, since)
        return views_reply(request, "availability_zones", zones, "name", ("name", "resource", "state"))

    return Noun(
        name="availability_zone",
        routes=(
            Route(
                "GET",
                "/v2.0/availability_zones",
                list_zones,
                rule=RULE,
                reply=_REPLY,
                summary="List availability zones",
            ),
        ),
        rules=rules({RULE: "role:reader"}),
        extensions=(
            Extension(
                "availability_zone",
                "Availability Zone",
                "The availability zone extension.",
                "2015-01-01T10:00:00-00:00",
            ),
            Extension(
                "availability_zone_filter",
                "Availability Zone Filter Extension",
                "Add filter parameters to AvailabilityZone resource",
                "2018-06-22T10:00:00-00:00",
            ),
        ),
    )
