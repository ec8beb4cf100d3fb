"""Every path of the compute API, noun by noun."""

from __future__ import annotations

from pileus.services.compute import extensions, groups, keypairs, limits, quotas, timeline, usage
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.flavors import handlers as flavors
from pileus.services.compute.neighbours import NetworkConfig
from pileus.services.compute.nodes import aggregates, hosts, hypervisors, services
from pileus.services.compute.servers import handlers, history, metadata, password, tags
from pileus.services.compute.servers.actions import action_route, verbs
from pileus.services.compute.servers.interfaces import InterfaceHandlers
from pileus.services.compute.servers.quarantine import QuarantineHandlers
from pileus.services.compute.servers.questions import Ask, QuestionHandlers
from pileus.web.routes import Route


def routes(config: ComputeConfig, network: NetworkConfig, ask: Ask) -> tuple[Route, ...]:
    """The routes, below the service's prefix."""
    servers = handlers.ServerHandlers(config, network)
    interfaces = InterfaceHandlers(network)
    quarantine = QuarantineHandlers(network)
    questions = QuestionHandlers(ask)
    return (
        *extensions.ROUTES,
        *flavors.ROUTES,
        *keypairs.ROUTES,
        *limits.ROUTES,
        *quotas.ROUTES,
        *usage.ROUTES,
        *groups.ROUTES,
        *services.routes(config),
        *hypervisors.routes(config),
        *hosts.routes(config),
        *aggregates.ROUTES,
        *handlers.routes(servers),
        action_route(verbs(servers, {**interfaces.verbs(), **quarantine.verbs(), **questions.verbs()})),
        *metadata.ROUTES,
        *tags.ROUTES,
        *interfaces.routes(),
        *history.ROUTES,
        *questions.routes(),
        *password.ROUTES,
        *timeline.ROUTES,
    )
