"""Port forwardings of floating IPs as a part of the API."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension
from pileus.services.network.common.policy import ADMIN, PARENT_OWNER_READER, any_of, rules
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.port_forwardings.resource import PORT_FORWARDING
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.services.network.port_forwardings.work import (
    port_forwarding_create,
    port_forwarding_delete,
    port_forwarding_update,
)
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx
from pileus.web.crud import crud
from pileus.web.noun import Noun

SHOWN = ("id", "protocol", "internal_port_id", "internal_ip_address", "internal_port", "external_port")
OWNER = any_of(ADMIN, "role:member and rule:ext_parent_owner")


_FORWARDINGS = narrowed(
    select(port_forwardings).order_by(port_forwardings.c.protocol, port_forwardings.c.id),
    port_forwardings.c.floatingip_id,
)


def _of_floating_ips(tx: Tx, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The forwardings of floating IPs, by floating IP; a range has no single port to show."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _FORWARDINGS.rows(tx, {}, ids):
        shown = {name: value for name in SHOWN if (value := getattr(row, name)) is not None}
        found.setdefault(row.floatingip_id, []).append(shown)
    return found


FLOATING_IP.extend(
    Attribute("port_forwardings", types.list_of(types.anything), loader=_of_floating_ips, empty=())
)

NOUN = Noun(
    name="port_forwarding",
    routes=crud(
        PORT_FORWARDING,
        "/v2.0/floatingips/{floatingip_id}/port_forwardings",
        create=port_forwarding_create,
        update=port_forwarding_update,
        delete=port_forwarding_delete,
    ),
    rules=rules(
        {
            "create_floatingip_port_forwarding": OWNER,
            "get_floatingip_port_forwarding": any_of(ADMIN, PARENT_OWNER_READER),
            "update_floatingip_port_forwarding": OWNER,
            "delete_floatingip_port_forwarding": OWNER,
        }
    ),
    extensions=(
        Extension(
            "floating-ip-port-forwarding",
            "Floating IP Port Forwarding",
            "Allow port forwarding from floating IP port to an internal port",
            "2018-01-19T10:00:00-00:00",
        ),
        Extension(
            "floating-ip-port-forwarding-description",
            "Floating IP Port Forwarding new attribute description",
            "Add a description field to Port Forwarding rules",
            "2019-11-01T10:00:00-00:00",
        ),
        Extension(
            "floating-ip-port-forwarding-detail",
            "Floating IP port forwarding detail",
            "Allow list floating ip return more port forwarding data, include 'id' and 'internal_port_id'",
            "2022-05-06T10:00:00-00:00",
        ),
        Extension(
            "floating-ip-port-forwarding-port-ranges",
            "Floating IP Port Forwarding support port ranges",
            "Add support to port ranges",
            "2020-07-01T10:00:00-00:00",
        ),
        Extension(
            "expose-port-forwarding-in-fip",
            "Expose Floating IP port forwardings",
            "Expose port forwarding fields in floating IP response",
            "2018-06-28T16:00:00-00:00",
        ),
    ),
)
