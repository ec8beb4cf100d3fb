"""Subnets that are taken into a pool (extension ``subnet_onboard``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select, update

from pileus.core.context import Context
from pileus.core.errors import Forbidden, Invalid
from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.event import event
from pileus.resource.types import BadValue, Type
from pileus.services.network.common.bodies import body_of
from pileus.services.network.common.errors import InvalidInput, NetworkNotFound
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, rules
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.services.network.rules import prefixes
from pileus.services.network.subnetpools.prefix_routes import PATH, pool_named
from pileus.services.network.subnetpools.prefix_work import prefixes_add
from pileus.services.network.subnetpools.work import IllegalSubnetPoolUpdate
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx
from pileus.web.crud import find
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.wire import scopes

RULE = "onboard_network_subnets"
RULES = rules({RULE: ADMIN_OR_MEMBER})
EXTENSIONS = (
    Extension(
        "subnet_onboard",
        "Subnet Onboard",
        "Provides support for onboarding subnets into subnet pools",
        "2018-12-18T09:00:00-00:00",
    ),
)

_TAKEN = select(subnets.c.cidr).where(subnets.c.subnetpool_id == bindparam("pool"))
_NETWORK = select(networks.c.id, networks.c.project_id).where(networks.c.id == bindparam("network"))
_OF_NETWORK = (
    select(subnets.c.id, subnets.c.cidr)
    .where(subnets.c.network_id == bindparam("network"), subnets.c.ip_version == bindparam("version"))
    .order_by(subnets.c.created_at, subnets.c.id)
)
_ONBOARD = (
    update(subnets)
    .where(subnets.c.id.in_(bindparam("ids", expanding=True)))
    .values(subnetpool_id=bindparam("pool"), **next_revision(subnets, bindparam("now")))
)


def subnets_onboard(tx: Tx, context: Context, pool: Values, network_id: str) -> list[dict[str, Any]]:
    """Have the subnets of a network come from a pool from now on, which has their prefixes then.

    Addresses stay as they are. Whoever does so must own the network: a pool's scope decides about routes.
    """
    network = tx.first(_NETWORK, {"network": network_id})
    if network is None:
        raise NetworkNotFound(network_id=network_id)
    if not (context.is_admin or network.project_id == context.project_id):
        raise Forbidden()
    tx.lock(f"subnetpool:{pool['id']}", f"subnets:{network_id}")
    found = tx.rows(_OF_NETWORK, {"network": network_id, "version": pool["ip_version"]})
    if not found:
        return []
    taken = [row.cidr for row in tx.rows(_TAKEN, {"pool": pool["id"]})]
    for row in found:
        if prefixes.share(taken, [row.cidr]):
            raise IllegalSubnetPoolUpdate(
                reason=f"Onboarding subnet {row.id}: {row.cidr} conflicts with allocated prefixes in subnet "
                f"pool {pool['id']}"
            )
    prefixes_add(tx, context, pool, [row.cidr for row in found])
    ids = [row.id for row in found]
    tx.execute(_ONBOARD, {"ids": ids, "pool": pool["id"], "now": context.now})
    tx.emit_many(
        [
            event(
                context,
                "subnet.update",
                row.id,
                network.project_id,
                [scopes.network(network_id)],
                network_id=network_id,
                changed=["subnetpool_id"],
            )
            for row in found
        ]
    )
    return [{"id": row.id, "cidr": row.cidr} for row in found]


def _parse_network(body: Any) -> str:
    if not isinstance(body, dict) or body.get("network_id") is None:
        raise BadValue("network_id must be specified.", value=body)
    return str(types.uuid.parse(body["network_id"]))


_NETWORK_BODY = Type(
    "network", _parse_network, types.dict_of({"network_id": types.uuid}, required=("network_id",)).schema
)
_ONBOARDED = types.list_of(types.dict_of({"id": types.uuid, "cidr": types.cidr}))


def _onboard(tx: Tx, request: Request, network_id: str) -> list[dict[str, Any]]:
    pool = pool_named(tx, request, RULE)
    network = find(tx, request, NETWORK, network_id)
    return subnets_onboard(tx, request.context, pool, network["id"])


def _bad_network(text: str) -> Invalid:
    return InvalidInput(text)


async def onboard(request: Request) -> Reply:
    """Have the subnets of a network come from the pool."""
    return Reply.json(await request.write(_onboard, request, body_of(request, _bad_network)))


ROUTES = (
    Route(
        "PUT",
        f"{PATH}/onboard_network_subnets",
        onboard,
        rule=RULE,
        body=_NETWORK_BODY,
        reply=_ONBOARDED,
        summary="Onboard the subnets of a network",
    ),
)
