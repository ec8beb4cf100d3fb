"""The declaration of conntrack helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, number
from pileus.services.network.conntrack_helpers.tables import conntrack_helpers
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.routers.tables import routers
from pileus.store.column_in import column_in
from pileus.store.tx import Tx


class ConntrackHelperNotFound(NotFound):
    message = "Conntrack Helper {id} could not be found."


def _targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """The values with the router's owner beside them, None for one that is not there: nobody's."""
    wanted = sorted({one["router_id"] for one in several})
    statement = select(routers.c.id, routers.c.project_id).where(column_in(tx, routers.c.id, wanted))
    owners = dict(map(tuple, tx.rows(statement)))
    return [{**one, "ext_parent:project_id": owners.get(one["router_id"])} for one in several]


CONNTRACK_HELPER = Resource(
    "conntrack_helper",
    table=conntrack_helpers,
    source=conntrack_helpers.join(routers, routers.c.id == conntrack_helpers.c.router_id),
    wording=NEUTRON,
    not_found=ConntrackHelperNotFound,
    rules={
        "create": "create_router_conntrack_helper",
        "get": "get_router_conntrack_helper",
        "list": "get_router_conntrack_helper",
        "update": "update_router_conntrack_helper",
        "delete": "delete_router_conntrack_helper",
    },
    parents={"router_id": ROUTER},
    targets=_targets,
    policy_columns={"ext_parent:project_id": routers.c.project_id},
    attributes=(
        ID,
        Attribute("router_id", types.uuid, visible=False),
        Attribute(
            "protocol",
            types.enum("dccp", "ipv6-icmp", "sctp", "tcp", "udp"),
            create=True,
            update=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute("port", number(1, 65535), create=True, update=True, required=True, filter=True, sort=True),
        Attribute("helper", types.line(64), create=True, update=True, required=True, filter=True, sort=True),
    ),
)
