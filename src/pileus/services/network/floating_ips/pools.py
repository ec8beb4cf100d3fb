"""Pools of floating IPs: the IPv4 subnets of external networks (extension ``floatingip-pools``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import ADMIN_OR_READER, rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.visible import visible_networks
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

RULE = "get_floatingip_pool"
FIELDS = ("subnet_id", "subnet_name", "network_id", "cidr", "project_id")
_ROWS = (
    select(
        subnets.c.id.label("subnet_id"),
        subnets.c.name.label("subnet_name"),
        subnets.c.network_id,
        subnets.c.cidr,
    )
    .select_from(subnets.join(networks, networks.c.id == subnets.c.network_id))
    .where(networks.c.external, subnets.c.ip_version == 4)
    .order_by(subnets.c.id)
)


def pools(tx: Tx, context: Context) -> list[dict[str, Any]]:
    """The pools that the caller may take addresses from, which are shown as his; two statements."""
    rows = tx.rows(_ROWS)
    visible = visible_networks(tx, context, {row.network_id for row in rows})
    return [
        {
            "subnet_id": row.subnet_id,
            "subnet_name": row.subnet_name,
            "network_id": row.network_id,
            "cidr": row.cidr,
            "project_id": context.project_id,
            "tenant_id": context.project_id,
        }
        for row in rows
        if row.network_id in visible
    ]


async def list_pools(request: Request) -> Reply:
    """List them."""
    request.authorise(RULE, {"project_id": request.context.project_id})
    found = await request.read(pools, request.context)
    return views_reply(request, "floatingip_pools", found, "subnet_id", (*FIELDS, "tenant_id"))


NOUN = Noun(
    name="floatingip_pool",
    routes=(
        Route(
            "GET",
            "/v2.0/floatingip-pools",
            list_pools,
            rule=RULE,
            reply=views_type(
                "floatingip_pools",
                types.dict_of({name: types.string() for name in (*FIELDS, "tenant_id")}),
            ),
            summary="List pools of floating IPs",
        ),
    ),
    rules=rules({RULE: ADMIN_OR_READER}),
    extensions=(
        Extension(
            "floatingip-pools",
            "Floating IP Pools Extension",
            "Provides a floating IP pools API.",
            "2018-03-21T10:00:00-00:00",
        ),
    ),
)
