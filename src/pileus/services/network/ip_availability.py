"""Addresses that networks have, and that are taken (``network-ip-availability`` and its details)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, Select, func, select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import IP_VERSION
from pileus.services.network.common.errors import NetworkNotFound
from pileus.services.network.common.policy import ADMIN_OR_SERVICE, rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.networks.tables import networks
from pileus.services.network.rules import addresses
from pileus.services.network.subnets.tables import ip_allocations, subnets
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/network-ip-availabilities"
RULE = "get_network_ip_availability"

_TEXT = types.string()
_COUNTED = {"used_ips": types.integer(0), "total_ips": types.integer(0)}
_NUMBERS = tuple(
    f"{what}_ips_in_{where}" for what in ("total", "used") for where in ("subnet", "allocation_pool")
)
_DETAILS = types.dict_of(dict.fromkeys(_NUMBERS, types.integer(0)))
_VIEW = types.dict_of(
    {
        "network_id": types.uuid,
        "network_name": _TEXT,
        "project_id": _TEXT,
        "tenant_id": _TEXT,
        "subnet_ip_availability": types.list_of(
            types.dict_of(
                {
                    "subnet_id": types.uuid,
                    "subnet_name": _TEXT,
                    "cidr": types.cidr,
                    "ip_version": IP_VERSION,
                    "ip_availability_details": _DETAILS,
                    **_COUNTED,
                }
            )
        ),
        "ip_availability_details": _DETAILS,
        **_COUNTED,
    }
)

_FILTERS: Mapping[str, Any] = {
    "network_id": networks.c.id,
    "network_name": networks.c.name,
    "project_id": networks.c.project_id,
    "tenant_id": networks.c.project_id,
    "ip_version": subnets.c.ip_version,
}
_USED = (
    select(func.count())
    .where(ip_allocations.c.subnet_id == subnets.c.id)
    .correlate(subnets)
    .scalar_subquery()
    .label("used")
)
_OF = ip_allocations.c.subnet_id
_TAKEN = select(_OF, ip_allocations.c.ip_address)
_ROWS = (
    select(
        networks.c.id.label("network_id"),
        networks.c.name.label("network_name"),
        networks.c.project_id,
        subnets.c.id.label("subnet_id"),
        subnets.c.name.label("subnet_name"),
        subnets.c.cidr,
        subnets.c.ip_version,
        subnets.c.allocation_pools,
        _USED,
    )
    .select_from(networks.outerjoin(subnets, subnets.c.network_id == networks.c.id))
    .order_by(networks.c.id, subnets.c.created_at, subnets.c.id)
)


def _details(row: Row[Any], taken: Collection[str]) -> dict[str, int]:
    """Count the addresses of a subnet, and those that it gives to who names none."""
    prefix = ipaddress.ip_network(row.cidr)
    pools = [
        addresses.Pool(addresses.number(pool["start"]), addresses.number(pool["end"]))
        for pool in row.allocation_pools
    ]
    whole = addresses.pool_range(prefix).size if prefix.version == 4 else prefix.num_addresses
    return {
        "total_ips_in_subnet": whole,
        "total_ips_in_allocation_pool": sum(pool.size for pool in pools),
        "used_ips_in_subnet": len(taken),
        "used_ips_in_allocation_pool": sum(
            1 for one in map(addresses.number, taken) if any(one in pool for pool in pools)
        ),
    }


def availabilities(tx: Tx, statement: Select[Any]) -> list[dict[str, Any]]:
    """A summary for each network, with one for each of its subnets; two statements."""
    found: dict[str, dict[str, Any]] = {}
    rows = tx.rows(statement)
    taken: dict[str, list[str]] = {}
    subnet_ids = sorted({row.subnet_id for row in rows if row.used})
    for allocation in tx.rows(_TAKEN.where(column_in(tx, _OF, subnet_ids))) if subnet_ids else ():
        taken.setdefault(allocation.subnet_id, []).append(allocation.ip_address)
    for row in rows:
        network = found.setdefault(
            row.network_id,
            {
                "network_id": row.network_id,
                "network_name": row.network_name,
                "project_id": row.project_id,
                "tenant_id": row.project_id,
                "subnet_ip_availability": [],
                "ip_availability_details": dict.fromkeys(_NUMBERS, 0),
                "used_ips": 0,
                "total_ips": 0,
            },
        )
        if row.subnet_id is None:
            continue
        total = sum(
            addresses.number(pool["end"]) - addresses.number(pool["start"]) + 1
            for pool in row.allocation_pools
        )
        details = _details(row, taken.get(row.subnet_id, ()))
        for name, number in details.items():
            network["ip_availability_details"][name] += number
        network["subnet_ip_availability"].append(
            {
                "subnet_id": row.subnet_id,
                "subnet_name": row.subnet_name,
                "cidr": row.cidr,
                "ip_version": row.ip_version,
                "ip_availability_details": details,
                "used_ips": row.used,
                "total_ips": total,
            }
        )
        network["used_ips"] += row.used
        network["total_ips"] += total
    return list(found.values())


async def list_availabilities(request: Request) -> Reply:
    """All networks, or those that the query names."""
    request.authorise(RULE)
    wanted: dict[str, list[Any]] = {}
    for name, text in request.query:
        if name in _FILTERS:
            try:
                value: Any = IP_VERSION.parse(text) if name == "ip_version" else text
            except BadValue as bad:
                raise NEUTRON.bad_value(name, text, bad) from None
            wanted.setdefault(name, []).append(value)
    statement = _ROWS
    for name, values in wanted.items():
        statement = statement.where(_FILTERS[name].in_(values))
    found = await request.read(availabilities, statement)
    return views_reply(request, "network_ip_availabilities", found, "network_id", answered=_FILTERS)


async def show_availability(request: Request) -> Reply:
    """One network."""
    request.authorise(RULE)
    network_id = request.path["id"]
    found = await request.read(availabilities, _ROWS.where(networks.c.id == network_id))
    if not found:
        raise NetworkNotFound(network_id=network_id)
    return Reply.json({"network_ip_availability": found[0]})


NOUN = Noun(
    name="network_ip_availability",
    routes=(
        Route(
            "GET",
            PATH,
            list_availabilities,
            rule=RULE,
            reply=views_type("network_ip_availabilities", _VIEW),
            summary="List use of addresses",
        ),
        Route(
            "GET",
            f"{PATH}/{{id}}",
            show_availability,
            rule=RULE,
            reply=types.dict_of({"network_ip_availability": _VIEW}),
            summary="Show use of addresses",
        ),
    ),
    rules=rules({RULE: ADMIN_OR_SERVICE}),
    extensions=(
        Extension(
            "network-ip-availability",
            "Network IP Availability",
            "Provides IP availability data for each network and subnet.",
            "2015-09-24T00:00:00-00:00",
        ),
        Extension(
            "network-ip-availability-details",
            "Network IP Availability Details Extension",
            "Add ip_availability_details attribute to network-ip-availabilities resource.",
            "2025-10-31T00:00:00-00:00",
        ),
    ),
)
