"""The DHCP agent scheduler of the API (seed 003): which agent serves which network."""

from __future__ import annotations

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.declaration import Resource
from pileus.services.network.agents.scheduled import list_where, wanted_id
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp import scheduling
from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.store.tx import Tx
from pileus.web.crud import find
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

RULES = rules(
    {
        "create_dhcp-network": ADMIN,
        "get_dhcp-networks": ADMIN,
        "delete_dhcp-network": ADMIN,
        "get_dhcp-agents": ADMIN,
    }
)


def routes(config: NetworkConfig, agent: Resource) -> tuple[Route, ...]:
    """The four requests."""
    one_agent = "/v2.0/agents/{agent_id}/dhcp-networks"

    def bind(tx: Tx, request: Request, context: Context, agent_id: str, network_id: str) -> None:
        find(tx, request, NETWORK, network_id)
        scheduling.network_bind(tx, context, agent_id, network_id, config=config)

    async def add_network(request: Request) -> Reply:
        request.authorise("create_dhcp-network")
        network_id = wanted_id(request, "network_id")
        await request.write(bind, request, request.context, request.path["agent_id"], network_id)
        return Reply.json(None, 201)

    async def remove_network(request: Request) -> Reply:
        request.authorise("delete_dhcp-network")
        at = request.path
        await request.write(
            scheduling.network_unbind, request.context, at["agent_id"], at["network_id"], config=config
        )
        return Reply.empty()

    async def list_networks(request: Request) -> Reply:
        request.authorise("get_dhcp-networks")
        agent_id = request.path["agent_id"]
        served = select(dhcp_bindings.c.network_id).where(dhcp_bindings.c.agent_id == agent_id)
        return await list_where(request, NETWORK, networks.c.id.in_(served), agent_id)

    async def list_agents(request: Request) -> Reply:
        request.authorise("get_dhcp-agents")
        serving = select(dhcp_bindings.c.agent_id).where(
            dhcp_bindings.c.network_id == request.path["network_id"]
        )
        return await list_where(request, agent, agents.c.id.in_(serving))

    def route(method: str, path: str, handler: Handler, rule: str, status: int, summary: str) -> Route:
        return Route(method, path, handler, rule=rule, status=status, summary=summary)

    return (
        route("POST", one_agent, add_network, "create_dhcp-network", 201, "Add a network to a DHCP agent"),
        route("GET", one_agent, list_networks, "get_dhcp-networks", 200, "List networks of a DHCP agent"),
        route(
            "DELETE",
            f"{one_agent}/{{network_id}}",
            remove_network,
            "delete_dhcp-network",
            204,
            "Remove a network from a DHCP agent",
        ),
        route(
            "GET",
            "/v2.0/networks/{network_id}/dhcp-agents",
            list_agents,
            "get_dhcp-agents",
            200,
            "List DHCP agents of a network",
        ),
    )
