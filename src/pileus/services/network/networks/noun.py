"""Networks as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.resource import NETWORK, RULES
from pileus.services.network.networks.work import (
    NETWORK_QUOTA,
    network_create,
    network_delete,
    network_update,
)
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

PATH = "/v2.0/networks"
EXTENSIONS = (
    Extension(
        "external-net",
        "Neutron external network",
        "Adds external network attribute to network resource.",
        "2013-01-14T10:00:00-00:00",
    ),
    Extension(
        "provider",
        "Provider Network",
        "Expose mapping of virtual networks to physical networks",
        "2012-09-07T10:00:00-00:00",
    ),
    Extension(
        "multi-provider",
        "Multi Provider Network",
        "Expose mapping of virtual networks to multiple physical networks",
        "2013-06-27T10:00:00-00:00",
    ),
    Extension(
        "vlan-transparent",
        "Vlantransparent",
        "Provides Vlan Transparent Networks",
        "2015-03-23T09:00:00-00:00",
    ),
    Extension(
        "qinq",
        "QinQ networks",
        "Expose network 'qinq' attribute in the API. This allows to configure network to allow vlan in vlan "
        "configuration using 0x88a8 ethertype (QinQ).",
        "2024-12-02T10:00:00-00:00",
    ),
    Extension(
        "l2_adjacency",
        "L2 Adjacency",
        "Display L2 Adjacency for Neutron Networks.",
        "2016-04-12T16:00:00-00:00",
    ),
    Extension(
        "net-mtu",
        "Network MTU",
        "Provides MTU attribute for a network resource.",
        "2015-03-25T10:00:00-00:00",
    ),
    Extension(
        "net-mtu-writable",
        "Network MTU (writable)",
        "Provides a writable MTU attribute for a network resource.",
        "2017-07-12T00:00:00-00:00",
    ),
    Extension(
        "network_availability_zone",
        "Network Availability Zone",
        "Availability zone support for network.",
        "2015-01-01T10:00:00-00:00",
    ),
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="network",
        routes=(
            *crud(
                NETWORK,
                PATH,
                create=partial(network_create, config=config),
                update=partial(network_update, config=config),
                delete=partial(network_delete, config=config),
                statements={"list": 8, "create": 14, "get": 8, "update": 16, "delete": 22},
            ),
            *tag_routes(NETWORK, PATH, rules=tag_rule_names("network")),
        ),
        rules=(*RULES, *tag_rules("network")),
        quotas=(NETWORK_QUOTA,),
        extensions=EXTENSIONS,
    )
