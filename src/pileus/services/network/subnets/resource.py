"""The declaration of subnets."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.addressing import CIDR, NAMESERVERS, POOLS, ROUTES
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
from pileus.services.network.common.errors import SubnetNotFound
from pileus.services.network.common.policy import (
    ADMIN,
    NET_OWNER_MEMBER,
    NET_OWNER_READER,
    PROJECT_MEMBER,
    PROJECT_READER,
    SERVICE,
    any_of,
    rules,
)
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.targets import NETWORK_COLUMNS, network_targets
from pileus.services.network.rules import addresses
from pileus.services.network.sharing.targets import NETWORKS, seen_shared
from pileus.services.network.subnets.tables import subnets

_MODE = types.nullable(types.enum("dhcpv6-stateful", "dhcpv6-stateless", "slaac"))


class InvalidSubnetServiceType(Invalid):
    message = "Subnet service type {service_type} does not correspond to a valid device owner."


class InvalidInputSubnetServiceType(Invalid):
    message = "Subnet service type {service_type} is not a string."


def _parse_service_types(value: Any) -> list[str]:
    """Check a text that ports' ``device_owner`` may be."""
    for one in value if isinstance(value, list) else ():
        if not isinstance(one, str):
            raise InvalidInputSubnetServiceType(service_type=one)
        if not one.startswith(_OWNERS_PREFIXES):
            raise InvalidSubnetServiceType(service_type=one)
    return _TEXTS.parse(value)  # type: ignore[no-any-return]


# Neutron compares with each letter of "compute:" by itself, and its tests rely on that.
_OWNERS_PREFIXES = ("network:", "neutron:", *"compute:")
_TEXTS = types.list_of(types.string(255), unique=True, maximum=MOST, none_is_empty=True)
_SERVICE_TYPES = Type("service types", _parse_service_types, _TEXTS.schema, accepts_none=True)

_POOL = types.nullable(types.one_of(types.enum(addresses.DELEGATED), types.uuid))

SUBNET = Resource(
    "subnet",
    table=subnets,
    source=subnets.join(networks, networks.c.id == subnets.c.network_id),
    wording=NEUTRON,
    not_found=SubnetNotFound,
    parents={"network_id": NETWORK},
    targets=network_targets,
    policy_columns=NETWORK_COLUMNS,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("network_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute("ip_version", IP_VERSION, create=True, required=True, filter=True, sort=True),
        Attribute("subnetpool_id", _POOL, default=None, create=True, filter=True, sort=True),
        Attribute("use_default_subnetpool", types.boolean, default=False, create=True, visible=False),
        Attribute(
            "prefixlen",
            given(number(0)),
            default=None,
            create=True,
            visible=False,
            description="How long a prefix to cut from the pool.",
        ),
        Attribute("cidr", types.nullable(CIDR), create=True, filter=True, sort=True),
        Attribute(
            "gateway_ip",
            types.nullable(types.ip_address),
            create=True,
            update=True,
            filter=True,
            sort=True,
            description="The first address unless given; null for none.",
        ),
        Attribute("allocation_pools", POOLS, create=True, update=True),
        Attribute(
            "dns_nameservers",
            NAMESERVERS,
            default=[],
            create=True,
            update=True,
        ),
        Attribute("host_routes", ROUTES, default=[], create=True, update=True),
        Attribute(
            "enable_dhcp", types.boolean, default=True, create=True, update=True, filter=True, sort=True
        ),
        Attribute("ipv6_ra_mode", _MODE, default=None, create=True, filter=True, sort=True),
        Attribute("ipv6_address_mode", _MODE, default=None, create=True, filter=True, sort=True),
        Attribute(
            "service_types",
            _SERVICE_TYPES,
            default=[],
            create=True,
            update=True,
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
            seen=seen_shared(NETWORKS),
            default=False,
            visible=False,
            filter=True,
            description="Whether its network is shared; for lists only.",
        ),
        Attribute(
            "segment_id",
            REFERENCE,
            default=None,
            create=True,
            update=True,
            policy=True,
            filter=True,
            sort=True,
            description="The segment of a routed network that it belongs to.",
        ),
        Attribute(
            "dns_publish_fixed_ip", types.boolean, default=False, create=True, update=True, filter=True
        ),
        *STANDARD,
    ),
)

_OWNERS = any_of(PROJECT_MEMBER, ADMIN, NET_OWNER_MEMBER)

RULES = rules(
    {
        "create_subnet": any_of(ADMIN, NET_OWNER_MEMBER),
        "create_subnet:segment_id": ADMIN,
        "create_subnet:service_types": ADMIN,
        "get_subnet": any_of(
            PROJECT_READER, "rule:shared", "rule:external_network", ADMIN, NET_OWNER_READER, SERVICE
        ),
        "get_subnet:segment_id": ADMIN,
        "update_subnet": _OWNERS,
        "update_subnet:segment_id": ADMIN,
        "update_subnet:service_types": ADMIN,
        "delete_subnet": _OWNERS,
    }
)
