"""Floating IPs as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.resource import FLOATING_IP, RULES
from pileus.services.network.floating_ips.work import (
    FLOATING_IP_QUOTA,
    floatingip_create,
    floatingip_delete,
    floatingip_update,
)
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

PATH = "/v2.0/floatingips"
EXTENSIONS = (
    Extension(
        "fip-port-details",
        "Floating IP Port Details Extension",
        "Add port_details attribute to Floating IP resource",
        "2018-04-09T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-router-writable",
        "Floating IP Router (writable)",
        "Provides a writable router_id attribute for a floating IP resource.",
        "2026-08-05T00:00:00-00:00",
    ),
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="floatingip",
        routes=(
            *crud(
                FLOATING_IP,
                PATH,
                create=partial(floatingip_create, config=config),
                update=partial(floatingip_update, config=config),
                delete=partial(floatingip_delete, config=config),
                # Of distributed routers a host may get its gateway, and another one lose its own.
                statements={"list": 5, "create": 32, "get": 6, "update": 36, "delete": 27},
            ),
            *tag_routes(FLOATING_IP, PATH, rules=tag_rule_names("floatingip")),
        ),
        rules=(*RULES, *tag_rules("floatingip")),
        quotas=(FLOATING_IP_QUOTA,),
        extensions=EXTENSIONS,
    )
