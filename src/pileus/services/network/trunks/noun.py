"""Trunks as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names
from pileus.services.network.config import NetworkConfig
from pileus.services.network.trunks import work
from pileus.services.network.trunks.handlers import subport_routes
from pileus.services.network.trunks.resource import RULES, TRUNK
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

PATH = "/v2.0/trunks"


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="trunk",
        routes=(
            *crud(
                TRUNK,
                PATH,
                create=partial(work.trunk_create, config=config),
                update=work.trunk_update,
                delete=partial(work.trunk_delete, config=config),
                statements={"create": 60, "delete": 40},
            ),
            *subport_routes(PATH, config),
            *tag_routes(TRUNK, PATH, rules=tag_rule_names("trunk")),
        ),
        rules=RULES,
        quotas=(work.TRUNK_QUOTA,),
        extensions=(
            Extension(
                "trunk", "Trunk Extension", "Provides support for trunk ports", "2016-01-01T10:00:00-00:00"
            ),
            Extension(
                "trunk-details",
                "Trunk port details",
                "Expose trunk port details",
                "2016-01-01T10:00:00-00:00",
            ),
        ),
    )
