"""The face of the compute service: what the app, edges and insight use."""

from __future__ import annotations

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.services.compute import extensions, keypairs, limits, policy, quotas
from pileus.services.compute.config import ComputeConfig, from_settings
from pileus.services.compute.declared import COMPUTE
from pileus.services.compute.flavors.resource import FLAVOR
from pileus.services.compute.flavors.resource import RULES as FLAVOR_RULES
from pileus.services.compute.flavors.work import flavors_seed
from pileus.services.compute.microversions import MICROVERSIONS
from pileus.services.compute.nodes import hosts, hypervisors, services
from pileus.services.compute.routes import routes
from pileus.store import Store
from pileus.web.service import ApiVersion, Service

__all__ = [
    "ENDPOINT_PATH",
    "PREFIX",
    "RULES",
    "Compute",
    "ComputeConfig",
    "from_settings",
]

PREFIX = "/compute"
ENDPOINT_PATH = "/v2.1"
"""What the catalog's address has after the prefix."""

RULES = (
    *policy.BASE_RULES,
    *extensions.RULES,
    *FLAVOR_RULES,
    *keypairs.RULES,
    *limits.RULES,
    *quotas.RULES,
    *services.RULES,
    *hypervisors.RULES,
    *hosts.RULES,
)

VERSIONS = (
    ApiVersion("v2.0", "/v2", "SUPPORTED", "2011-01-21T11:33:21Z", shows_window=True),
    ApiVersion(
        "v2.1",
        "/v2.1",
        "CURRENT",
        "2013-07-23T11:33:21Z",
        min_version=str(MICROVERSIONS.minimum),
        max_version=str(MICROVERSIONS.maximum),
        media_types=("application/vnd.openstack.compute+json;version=2.1",),
    ),
)


class Compute:
    """The service. ``service`` goes to the web room's app; ``start`` is awaited before the first request."""

    def __init__(self, config: ComputeConfig, clock: Clock) -> None:
        self._clock = clock
        self.config = config
        self.service = Service(
            name="nova",
            type="compute",
            dialect=COMPUTE,
            prefix=PREFIX,
            routes=routes(config),
            resources=(FLAVOR,),
            rules=RULES,
            versions=VERSIONS,
            microversions=MICROVERSIONS,
            description="OpenStack Compute",
        )

    async def start(self, store: Store) -> None:
        """Make the classic flavors where there are none."""
        await store.write(flavors_seed, system_context(self._clock.now()))
