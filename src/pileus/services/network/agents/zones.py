"""Availability zones, as the agents that schedule by zone report them (extension ``availability_zone``)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import select

from pileus.services.network.agents.tables import agents
from pileus.services.network.common.view_lists import list_views
from pileus.services.network.config import NetworkConfig
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request

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


def zones_handler(config: NetworkConfig) -> Handler:
    """A handler of GET on the zones."""

    async def list_zones(request: Request) -> Reply:
        since = config.alive_since(request.context.now)
        zones = await request.read(availability_zones, since)
        shown = list_views(request, zones, "name", ("name", "resource", "state"))
        return Reply.json({"availability_zones": shown})

    return list_zones
