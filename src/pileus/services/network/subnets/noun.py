"""Subnets as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.subnets import onboard
from pileus.services.network.subnets.resource import RULES, SUBNET
from pileus.services.network.subnets.work import SUBNET_QUOTA, subnet_create, subnet_delete, subnet_update
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

PATH = "/v2.0/subnets"
EXTENSIONS = (
    Extension(
        "subnet-external-network",
        "Subnet belongs to an external network",
        "Informs if the subnet belongs to an external network",
        "2024-02-05T18:00:00-00:00",
    ),
    Extension(
        "subnet-service-types",
        "Subnet service types",
        "Provides ability to set the subnet service_types field",
        "2016-03-15T18:00:00-00:00",
    ),
    Extension(
        "subnet-segmentid-enforce",
        "Subnet SegmentID (policy enforced)",
        "Enforce segment_id policy rule.",
        "2018-09-04T00:00:00-00:00",
    ),
    Extension(
        "subnet-segmentid-writable",
        "Subnet SegmentID (writable)",
        "Provides a writable segment_id attribute for a subnet resource.",
        "2018-03-12T00:00:00-00:00",
    ),
    *onboard.EXTENSIONS,
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="subnet",
        routes=(
            *crud(
                SUBNET,
                PATH,
                create=partial(subnet_create, config=config),
                update=partial(subnet_update, config=config),
                delete=partial(subnet_delete, config=config),
                statements={"list": 4, "create": 26, "get": 4, "update": 22, "delete": 18},
            ),
            *onboard.ROUTES,
            *tag_routes(SUBNET, PATH, rules=tag_rule_names("subnet")),
        ),
        rules=(*RULES, *onboard.RULES, *tag_rules("subnet")),
        quotas=(SUBNET_QUOTA,),
        extensions=EXTENSIONS,
    )
