"""How many addresses networks have, and how many are taken (extension ``network-ip-availability``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, select

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
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/network-ip-availabilities"
RULE = "get_network_ip_availability"

_TEXT = types.string()
_COUNTED = {"used_ips": types.integer(0), "total_ips": types.integer(0)}
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
                    **_COUNTED,
                }
            )
        ),
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


def availabilities(tx: Tx, statement: Select[Any]) -> list[dict[str, Any]]:
    """A summary for each network, with one for each of its subnets; one statement."""
    found: dict[str, dict[str, Any]] = {}
    for row in tx.rows(statement):
        network = found.setdefault(
            row.network_id,
            {
                "network_id": row.network_id,
                "network_name": row.network_name,
                "project_id": row.project_id,
                "tenant_id": row.project_id,
                "subnet_ip_availability": [],
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
        network["subnet_ip_availability"].append(
            {
                "subnet_id": row.subnet_id,
                "subnet_name": row.subnet_name,
                "cidr": row.cidr,
                "ip_version": row.ip_version,
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
    ),
)
