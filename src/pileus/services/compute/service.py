"""The face of the compute service: what the app, edges and insight use."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Mapping

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.ids import new_id
from pileus.services.compute import extensions, groups, keypairs, limits, policy, quotas, usage
from pileus.services.compute.conductor import Conductor
from pileus.services.compute.config import ComputeConfig, from_settings
from pileus.services.compute.declared import COMPUTE, admit, spelling
from pileus.services.compute.flavors.resource import RULES as FLAVOR_RULES
from pileus.services.compute.flavors.work import flavors_seed
from pileus.services.compute.microversions import MICROVERSIONS
from pileus.services.compute.neighbours import NetworkConfig
from pileus.services.compute.nodes import aggregates, hosts, hypervisors, services
from pileus.services.compute.nodes.serving import look
from pileus.services.compute.routes import routes
from pileus.services.compute.servers.attached import holders_of, projects_of_servers
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.leaving import forget
from pileus.services.compute.servers.questions import Ask
from pileus.services.compute.servers.resource import RULES as SERVER_RULES
from pileus.services.compute.timeline import Entry, timeline_read
from pileus.services.compute.wire_side import Handler, wire_handlers
from pileus.store import Store
from pileus.web.dialects import ApiVersion
from pileus.web.face import ServiceFace
from pileus.web.noun import Noun
from pileus.web.service import Service

__all__ = [
    "PREFIX",
    "RULES",
    "Compute",
    "ComputeConfig",
    "Conductor",
    "Entry",
    "from_settings",
    "holders_of",
    "look",
    "projects_of_servers",
    "timeline_read",
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
    *usage.RULES,
    *groups.RULES,
    *services.RULES,
    *hypervisors.RULES,
    *hosts.RULES,
    *aggregates.RULES,
    *SERVER_RULES,
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


class Compute(ServiceFace):
    """``ticket`` gives the path under which a node gets an image's bytes; ``ask`` asks a host."""

    def __init__(
        self,
        config: ComputeConfig,
        network: NetworkConfig,
        clock: Clock,
        *,
        ticket: Callable[[str], str],
        ask: Ask,
    ) -> None:
        self._clock = clock
        self._network = network
        self._ticket = ticket
        self._conductor: Conductor | None = None
        self.config = config
        self.service = Service(
            name="nova",
            type="compute",
            dialect=COMPUTE,
            prefix=PREFIX,
            endpoint_path=ENDPOINT_PATH,
            nouns=(Noun(name="everything", routes=routes(config, network, ask), rules=RULES),),
            versions=VERSIONS,
            microversions=MICROVERSIONS,
            spelling=spelling,
            admit=admit,
            description="OpenStack Compute",
        )

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return wire_handlers(store, Parts(self.config, self._network), self._clock, self._ticket)

    async def start(self, store: Store) -> None:
        """Make the classic flavors where there are none; begin to bring servers up and to forget old ones."""
        await store.write(flavors_seed, system_context(self._clock.now()))
        self._conductor = Conductor(
            store, self.config, self._network, self._clock, owner=new_id(), host=socket.gethostname()
        )
        self._conductor.start()
        kept = dt.timedelta(days=self.config.keep_deleted_servers_days)
        store.trim_also(lambda tx, now: forget(tx, now - kept))

    async def close(self) -> None:
        """Stop the conductor; what is under way is taken up by the next."""
        if self._conductor is not None:
            await self._conductor.close()
