"""Conntrack helpers of routers as a part of the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension
from pileus.services.network.common.policy import ADMIN, PARENT_OWNER_READER, any_of, rules
from pileus.services.network.conntrack_helpers.resource import CONNTRACK_HELPER
from pileus.services.network.conntrack_helpers.tables import conntrack_helpers
from pileus.services.network.conntrack_helpers.work import (
    conntrack_helper_create,
    conntrack_helper_delete,
    conntrack_helper_update,
)
from pileus.services.network.routers.resource import ROUTER
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx
from pileus.web.crud import crud
from pileus.web.noun import Noun

SHOWN = ("protocol", "port", "helper")
OWNER = any_of(ADMIN, "role:member and rule:ext_parent_owner")


_HELPERS = narrowed(select(conntrack_helpers).order_by(conntrack_helpers.c.id), conntrack_helpers.c.router_id)


def _of_routers(tx: Tx, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _HELPERS.rows(tx, {}, ids):
        found.setdefault(row.router_id, []).append({name: getattr(row, name) for name in SHOWN})
    return found


ROUTER.extend(Attribute("conntrack_helpers", types.list_of(types.anything), loader=_of_routers, empty=()))

NOUN = Noun(
    name="conntrack_helper",
    routes=crud(
        CONNTRACK_HELPER,
        "/v2.0/routers/{router_id}/conntrack_helpers",
        create=conntrack_helper_create,
        update=conntrack_helper_update,
        delete=conntrack_helper_delete,
    ),
    rules=rules(
        {
            "create_router_conntrack_helper": OWNER,
            "get_router_conntrack_helper": any_of(ADMIN, PARENT_OWNER_READER),
            "update_router_conntrack_helper": OWNER,
            "delete_router_conntrack_helper": OWNER,
        }
    ),
    extensions=(
        Extension(
            "l3-conntrack-helper",
            "L3 Conntrack helper",
            "Allow adding CT target rules for conntrack helper",
            "2019-04-04T10:00:00-00:00",
        ),
        Extension(
            "expose-l3-conntrack-helper",
            "Expose CT target rules for conntrack helper",
            "Expose allow adding CT target rules for conntrack helper",
            "2019-04-04T10:00:00-00:00",
        ),
    ),
)
