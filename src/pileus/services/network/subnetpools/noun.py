"""Subnet pools and address scopes as a part of the API."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.subnetpools import prefix_routes, work
from pileus.services.network.subnetpools.resource import ADDRESS_SCOPE, RULES, SUBNETPOOL
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

POOLS, SCOPES = "/v2.0/subnetpools", "/v2.0/address-scopes"
EXTENSIONS = (
    Extension(
        "subnet_allocation",
        "Subnet Allocation",
        "Enables allocation of subnets from a subnet pool",
        "2015-03-30T10:00:00-00:00",
    ),
    Extension(
        "default-subnetpools",
        "Default Subnetpools",
        "Provides ability to mark and use a subnetpool as the default.",
        "2016-02-18T18:00:00-00:00",
    ),
    Extension("address-scope", "Address scope", "Address scopes extension.", "2015-07-26T10:00:00-00:00"),
    *prefix_routes.EXTENSIONS,
)

NOUN = Noun(
    name="subnetpool",
    routes=(
        *crud(
            SUBNETPOOL,
            POOLS,
            create=work.subnetpool_create,
            update=work.subnetpool_update,
            delete=work.subnetpool_delete,
        ),
        *prefix_routes.ROUTES,
        *tag_routes(SUBNETPOOL, POOLS, rules=tag_rule_names("subnetpool")),
        *crud(
            ADDRESS_SCOPE,
            SCOPES,
            create=work.address_scope_create,
            update=work.address_scope_update,
            delete=work.address_scope_delete,
        ),
    ),
    rules=(*RULES, *prefix_routes.RULES, *tag_rules("subnetpool")),
    quotas=(work.SUBNETPOOL_QUOTA,),
    extensions=EXTENSIONS,
)
