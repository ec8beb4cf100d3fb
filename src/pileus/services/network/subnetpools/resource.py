"""The declarations of subnet pools and address scopes (extensions ``subnet_allocation``,
``default-subnetpools``, ``address-scope``)."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import (
    ID,
    IP_VERSION,
    MOST,
    NAME,
    PROJECT,
    REFERENCE,
    given,
    number,
)
from pileus.services.network.common.names import name_type
from pileus.services.network.common.policy import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    any_of,
    rules,
)
from pileus.services.network.sharing.targets import ADDRESS_SCOPES, SUBNETPOOLS, seen_shared
from pileus.services.network.subnetpools.tables import address_scopes, subnetpools


class SubnetPoolNotFound(NotFound):
    message = "Subnet pool {subnetpool_id} could not be found."


class AddressScopeNotFound(NotFound):
    message = "Address scope {address_scope_id} could not be found"


_LENGTH = Type(
    "prefix length",
    number(0).parse,
    {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]},
    show=str,
)
"""Text in views, as the Network API has it."""


def _length(name: str) -> Attribute:
    return Attribute(name, _LENGTH, default=None, create=True, update=True, filter=True, sort=True)


SUBNETPOOL = Resource(
    "subnetpool",
    table=subnetpools,
    wording=NEUTRON,
    not_found=SubnetPoolNotFound,
    attributes=(
        ID,
        Attribute(
            "name",
            name_type(minimum=1),
            create=True,
            update=True,
            required=True,
            filter=True,
            sort=True,
        ),
        PROJECT,
        Attribute(
            "prefixes",
            types.list_of(types.cidr, unique=True, maximum=MOST),
            create=True,
            update=True,
            required=True,
        ),
        Attribute("ip_version", types.integer(), default=0, filter=True, sort=True),
        _length("default_prefixlen"),
        _length("min_prefixlen"),
        _length("max_prefixlen"),
        Attribute(
            "default_quota",
            given(number(0)),
            default=None,
            create=True,
            update=True,
            filter=True,
            sort=True,
            description="IPv4 addresses or IPv6 /64s that one project may be given.",
        ),
        Attribute(
            "is_default",
            types.boolean,
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute(
            "shared",
            types.boolean,
            seen=seen_shared(SUBNETPOOLS),
            default=False,
            create=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute(
            "address_scope_id", REFERENCE, default=None, create=True, update=True, filter=True, sort=True
        ),
        *STANDARD,
    ),
)

ADDRESS_SCOPE = Resource(
    "address_scope",
    table=address_scopes,
    wording=NEUTRON,
    not_found=AddressScopeNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "ip_version",
            IP_VERSION,
            create=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "shared",
            types.boolean,
            seen=seen_shared(ADDRESS_SCOPES),
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
    ),
)

RULES = rules(
    {
        "shared_subnetpools": "field:subnetpools:shared=True",
        "shared_address_scopes": "field:address_scopes:shared=True",
        "create_subnetpool": ADMIN_OR_MEMBER,
        "create_subnetpool:shared": ADMIN,
        "create_subnetpool:is_default": ADMIN,
        "get_subnetpool": any_of(ADMIN_OR_READER, "rule:shared_subnetpools"),
        "update_subnetpool": ADMIN_OR_MEMBER,
        "update_subnetpool:is_default": ADMIN,
        "delete_subnetpool": ADMIN_OR_MEMBER,
        "create_address_scope": ADMIN_OR_MEMBER,
        "create_address_scope:shared": ADMIN,
        "get_address_scope": any_of(ADMIN_OR_READER, "rule:shared_address_scopes"),
        "update_address_scope": ADMIN_OR_MEMBER,
        "update_address_scope:shared": ADMIN,
        "delete_address_scope": ADMIN_OR_MEMBER,
    }
)
