"""The declaration of subnets."""

from __future__ import annotations

from typing import Any

from pileus.services.network.attributes import ID, NAME, PROJECT, REFERENCE
from pileus.services.network.errors import SubnetNotFound
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.targets import NETWORK_COLUMNS, network_targets
from pileus.services.network.policy import (
    ADMIN,
    NET_OWNER_MEMBER,
    NET_OWNER_READER,
    PROJECT_MEMBER,
    PROJECT_READER,
    SERVICE,
    any_of,
    rules,
)
from pileus.services.network.subnets.tables import subnets
from pileus.web import types
from pileus.web.dialects.neutron import NEUTRON
from pileus.web.resource import Attribute, Resource
from pileus.web.standard import STANDARD
from pileus.web.types import Type


def _parse_version(value: Any) -> int:
    return int(types.enum(4, 6).parse(types.integer().parse(value)))


_VERSION = Type("ip version", _parse_version, {"enum": [4, 6]})
_MODE = types.nullable(types.enum("dhcpv6-stateful", "dhcpv6-stateless", "slaac"))
_POOLS = types.nullable(
    types.list_of(
        types.dict_of({"start": types.ip_address, "end": types.ip_address}, required=("start", "end"))
    )
)
_ROUTES = types.list_of(
    types.dict_of(
        {"destination": types.cidr, "nexthop": types.ip_address}, required=("destination", "nexthop")
    ),
    unique=True,
    none_is_empty=True,
)

SUBNET = Resource(
    "subnet",
    table=subnets,
    source=subnets.join(networks, networks.c.id == subnets.c.network_id),
    dialect=NEUTRON,
    not_found=SubnetNotFound,
    targets=network_targets,
    policy_columns=NETWORK_COLUMNS,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("network_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute("ip_version", _VERSION, create=True, required=True, filter=True, sort=True),
        Attribute("subnetpool_id", REFERENCE, default=None, create=True, filter=True, sort=True),
        Attribute("use_default_subnetpool", types.boolean, default=False, create=True, visible=False),
        Attribute(
            "prefixlen",
            types.nullable(types.integer(0, 128)),
            default=None,
            create=True,
            visible=False,
            description="How long a prefix to cut from the pool.",
        ),
        Attribute("cidr", types.nullable(types.cidr), create=True, filter=True, sort=True),
        Attribute(
            "gateway_ip",
            types.nullable(types.ip_address),
            create=True,
            update=True,
            filter=True,
            sort=True,
            description="The first address unless given; null for none.",
        ),
        Attribute("allocation_pools", _POOLS, create=True, update=True),
        Attribute(
            "dns_nameservers",
            types.list_of(types.ip_address, unique=True, none_is_empty=True),
            default=[],
            create=True,
            update=True,
        ),
        Attribute("host_routes", _ROUTES, default=[], create=True, update=True),
        Attribute(
            "enable_dhcp", types.boolean, default=True, create=True, update=True, filter=True, sort=True
        ),
        Attribute("ipv6_ra_mode", _MODE, default=None, create=True, filter=True, sort=True),
        Attribute("ipv6_address_mode", _MODE, default=None, create=True, filter=True, sort=True),
        Attribute(
            "service_types",
            types.list_of(types.string(255), unique=True, none_is_empty=True),
            default=[],
            create=True,
            update=True,
            policy=True,
            policy_get=False,
        ),
        Attribute(
            "router:external",
            types.boolean,
            column=networks.c.external,
            default=False,
            filter=True,
            description="Whether it belongs to an external network.",
        ),
        Attribute(
            "shared",
            types.boolean,
            column=networks.c.shared,
            default=False,
            visible=False,
            filter=True,
            description="Whether its network is shared; for lists only.",
        ),
        Attribute("dns_publish_fixed_ip", types.boolean, default=False, create=True, update=True),
        *STANDARD,
    ),
)

_OWNERS = any_of(PROJECT_MEMBER, ADMIN, NET_OWNER_MEMBER)

RULES = rules(
    {
        "create_subnet": any_of(ADMIN, NET_OWNER_MEMBER),
        "create_subnet:service_types": ADMIN,
        "get_subnet": any_of(
            PROJECT_READER, "rule:shared", "rule:external_network", ADMIN, NET_OWNER_READER, SERVICE
        ),
        "update_subnet": _OWNERS,
        "update_subnet:service_types": ADMIN,
        "delete_subnet": _OWNERS,
    }
)
