"""The face of Placement: an API of its own over the tables by which compute schedules.

It is no service with a store of its own, as OpenStack's is: two stores of who has which room have to be kept
alike, and these are one.
"""

from __future__ import annotations

from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement import policy
from pileus.services.compute.placement.aggregates import aggregates_noun
from pileus.services.compute.placement.allocations import allocations_noun
from pileus.services.compute.placement.candidates import candidates_noun
from pileus.services.compute.placement.classes import RESOURCE_CLASSES
from pileus.services.compute.placement.inventories import inventories_noun
from pileus.services.compute.placement.microversions import MICROVERSIONS
from pileus.services.compute.placement.providers import providers_noun
from pileus.services.compute.placement.traits import traits_noun
from pileus.services.compute.placement.usages import usages_noun
from pileus.web.dialects import ApiVersion
from pileus.web.dialects.placement import PLACEMENT_API
from pileus.web.face import ServiceFace
from pileus.web.service import Service

VERSIONS = (
    ApiVersion("v1.0", "/", min_version=str(MICROVERSIONS.minimum), max_version=str(MICROVERSIONS.maximum)),
)


class Placement(ServiceFace):
    """``config`` is that of compute, whose hosts are its providers."""

    def __init__(self, config: ComputeConfig) -> None:
        self.service = Service(
            name="placement",
            type="placement",
            dialect=PLACEMENT_API,
            prefix="/placement",
            nouns=(
                RESOURCE_CLASSES,
                traits_noun(config),
                providers_noun(config),
                inventories_noun(config),
                aggregates_noun(config),
                usages_noun(config),
                allocations_noun(config),
                candidates_noun(config),
            ),
            base_rules=policy.BASE_RULES,
            versions=VERSIONS,
            microversions=MICROVERSIONS,
            description="OpenStack Placement",
        )
