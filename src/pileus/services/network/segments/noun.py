"""Segments as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.segments.resource import RULES, SEGMENT
from pileus.services.network.segments.work import segment_create, segment_delete, segment_update
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

PATH = "/v2.0/segments"
EXTENSIONS = (
    Extension("segment", "Segment", "Segments extension.", "2016-02-24T17:00:00-00:00"),
    Extension(
        "standard-attr-segment",
        "Standard Attribute Segment Extension",
        "Add standard attributes to Segment resource",
        "2018-04-09T10:00:00-00:00",
    ),
    Extension(
        "segments-peer-subnet-host-routes",
        "Segments peer-subnet host routes",
        "Add host routes to subnets on a routed network (segments)",
        "2018-06-12T10:00:00-00:00",
    ),
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="segment",
        routes=(
            *crud(
                SEGMENT,
                PATH,
                create=partial(segment_create, config=config),
                update=partial(segment_update, config=config),
                delete=partial(segment_delete, config=config),
                statements={"list": 3, "create": 18, "get": 3, "update": 10, "delete": 14},
            ),
            *tag_routes(SEGMENT, PATH, rules=tag_rule_names("segment")),
        ),
        rules=(*RULES, *tag_rules("segment")),
        extensions=EXTENSIONS,
    )
