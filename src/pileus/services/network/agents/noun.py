"""Agents as a part of the API, and their reports."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension, Resource
from pileus.resource.wordings.neutron import HTTPBadRequest
from pileus.services.network.agents.report import agent_report
from pileus.services.network.agents.resource import RULES
from pileus.services.network.agents.work import agent_deleter, agent_updater
from pileus.services.network.config import NetworkConfig
from pileus.web.answers import Answer
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.wire.calls import AGENT_REPORT

PATH = "/v2.0/agents"
EXTENSIONS = (
    Extension("agent", "agent", "The agent management extension.", "2013-02-03T10:00:00-00:00"),
    Extension(
        "agent_sort_key",
        "Agents Sort Key",
        "Enabling the keyword sort_key for sorting in agents.",
        "2013-02-03T10:00:00-00:00",
    ),
    Extension(
        "agent-resources-synced",
        "Agent's Resource View Synced to Placement",
        "Whether an agent's resources are known.",
        "2018-12-19T00:00:00-00:00",
    ),
)


async def create_agent(request: Request) -> Reply:
    """Refuse: agents come into being by reporting."""
    request.authorise("create_agent")
    raise HTTPBadRequest("Agents can't be created by request: they appear when they report.")


def noun(config: NetworkConfig, agent: Resource) -> Noun:
    """``agent`` is the declaration, which depends on a clock."""
    return Noun(
        name="agent",
        routes=(
            Route(
                "POST",
                PATH,
                create_agent,
                resource=agent,
                action="create",
                rule="create_agent",
                summary="Refused: agents report",
            ),
            *crud(agent, PATH, update=agent_updater(agent, config), delete=agent_deleter(agent, config)),
        ),
        rules=RULES,
        extensions=EXTENSIONS,
        answers=(Answer(AGENT_REPORT, partial(agent_report, config=config), writes=True),),
    )
