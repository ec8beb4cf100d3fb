"""Requests of the agent schedulers: bodies that name one thing, and lists of those that an agent serves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pileus.resource.declaration import Resource
from pileus.resource.wordings.neutron import HTTPBadRequest
from pileus.services.network.agents.resource import AgentNotFound
from pileus.services.network.agents.tables import agents
from pileus.store.tx import Tx
from pileus.web.crud import list_page
from pileus.web.reply import Reply
from pileus.web.request import Request


def wanted_id(request: Request, name: str) -> str:
    """The id under ``name`` in the body."""
    body = request.json()
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, str):
        raise HTTPBadRequest(f"Unable to find '{name}' in request body")
    return value


def check_agent_exists(tx: Tx, agent_id: str) -> None:
    """AgentNotFound where there is none of this id."""
    if tx.first(select(agents.c.id).where(agents.c.id == agent_id)) is None:
        raise AgentNotFound(id=agent_id)


async def list_where(request: Request, resource: Resource, where: Any, agent_id: str | None = None) -> Reply:
    """A list as usual, narrowed by ``where``; AgentNotFound where an agent is named that is not there."""
    listing = request.dialect.listing(request, resource)
    listing.where.append(where)

    def page(tx: Tx) -> list[bytes]:
        if agent_id is not None:
            check_agent_exists(tx, agent_id)
        return list_page(tx, request, resource, listing)

    return Reply.chunks(await request.read(page))
