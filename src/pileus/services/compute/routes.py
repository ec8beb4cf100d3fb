"""Every path of the compute API, noun by noun."""

from __future__ import annotations

from pileus.services.compute import extensions, keypairs, limits, quotas
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.flavors import handlers as flavors
from pileus.services.compute.nodes import hosts, hypervisors, services
from pileus.web.routes import Route


def routes(config: ComputeConfig) -> tuple[Route, ...]:
    """The routes, below the service's prefix."""
    return (
        *extensions.ROUTES,
        *flavors.ROUTES,
        *keypairs.ROUTES,
        *limits.ROUTES,
        *quotas.ROUTES,
        *services.routes(config),
        *hypervisors.routes(config),
        *hosts.routes(config),
    )
