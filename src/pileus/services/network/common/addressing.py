"""Prefixes, routes, name servers and pools as bodies of the Network API name them.

The sentences are those of neutron-lib's validators.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pileus.core import addresses
from pileus.core.repeats import first_repeat
from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.attributes import MOST


def _parse_cidr(value: Any) -> str:
    """A prefix; an address alone is one of full length, an IPv4 netmask stands for its length."""
    text = value
    if isinstance(value, str):
        start, _, mask = value.partition("/")
        if "/" not in value:
            text = f"{value}/{32 if ':' not in value else 128}"
        elif "." in mask:
            try:
                text = f"{start}/{ipaddress.IPv4Network(f'0.0.0.0/{mask}').prefixlen}"
            except ValueError:
                text = value
    try:
        return addresses.prefix(text)
    except ValueError:
        raise BadValue(f"{value} is not in a CIDR format", value=value, conversion=True) from None


def _parse_destination(value: Any) -> str:
    """A prefix without host bits, and not the loopback's."""
    try:
        interface = addresses.parse_interface(value)
        if "/" not in value or interface.ip != interface.network.network_address:
            raise ValueError
    except ValueError:
        raise BadValue(f"'{value}' is not a valid CIDR", value=value) from None
    if interface.is_loopback:
        raise BadValue(f"'{value}' is not a routable CIDR", value=value)
    return str(interface)


def _parse_routes(value: Any) -> list[dict[str, str]]:
    routes: list[dict[str, str]] = _ROUTES.parse(value)
    position = first_repeat(routes)
    if position is not None:
        raise BadValue(f"Duplicate hostroute '{routes[position]}'", value=value)
    return routes


def _parse_servers(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadValue(f"Invalid data format for nameserver: '{value}'", value=value)
    if len(value) > MOST:
        raise BadValue(f"'{value}' exceeds maximum length of {MOST}", value=value)
    servers: dict[str, None] = {}
    for one in value:
        try:
            server = types.ip_address.parse(one)
        except BadValue as bad:
            raise BadValue(f"'{one}' is not a valid nameserver. {bad.text}", value=value) from None
        if server in servers:
            raise BadValue(f"Duplicate nameserver '{one}'", value=value)
        servers[server] = None
    return list(servers)


CIDR = Type("cidr", _parse_cidr, types.cidr.schema)
NAMESERVERS = Type(
    "name servers", _parse_servers, {"type": "array", "items": types.ip_address.schema}, accepts_none=True
)
_ROUTES = types.list_of(
    types.dict_of(
        {
            "destination": Type("prefix", _parse_destination, types.cidr.schema),
            "nexthop": types.ip_address,
        },
        required=("destination", "nexthop"),
    ),
    maximum=MOST,
    none_is_empty=True,
)
ROUTES = Type("routes", _parse_routes, _ROUTES.schema, accepts_none=True)
POOLS = types.list_of(
    types.dict_of({"start": types.ip_address, "end": types.ip_address}, required=("start", "end")),
    maximum=MOST,
    none_is_empty=True,
)
