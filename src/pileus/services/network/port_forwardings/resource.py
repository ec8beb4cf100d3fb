"""The declaration of port forwardings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, TEXT, number
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.port_forwardings.tables import port_forwardings
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

GREATEST_PORT = 65535


class PortForwardingNotFound(NotFound):
    message = "Port Forwarding {id} could not be found."


def _parse_range(value: Any) -> str:
    """``80`` as ``80:80``: numbers of ports, the first not greater than the last."""
    parts = str(value).split(":")
    if len(parts) > 2 or not all(parts):
        raise BadValue("Port range must be two integers separated by a colon", value=value)
    for part in parts:
        if not (part.isdecimal() and part.isascii() and len(part) <= 5 and int(part) <= GREATEST_PORT):
            raise BadValue(f"Invalid port: {part}", value=value)
        if int(part) < 1:
            raise BadValue(
                f"Invalid port: {part}, the port must be in the range [1, {GREATEST_PORT}]", value=value
            )
    first, last = int(parts[0]), int(parts[-1])
    if first > last:
        raise BadValue("First port in a port range must be lower than the second port", value=value)
    return f"{first}:{last}"


PORT = types.nullable(number(1, GREATEST_PORT))
PORT_RANGE = types.nullable(Type("port range", _parse_range, {"type": "string", "maxLength": 11}))


def _targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """The values with the floating IP's owner beside them, None for one that is not there: nobody's."""
    wanted = sorted({one["floatingip_id"] for one in several})
    statement = select(floating_ips.c.id, floating_ips.c.project_id)
    owners = dict(map(tuple, tx.rows(statement.where(column_in(tx, floating_ips.c.id, wanted)))))
    return [{**one, "ext_parent:project_id": owners.get(one["floatingip_id"])} for one in several]


PORT_FORWARDING = Resource(
    "port_forwarding",
    table=port_forwardings,
    source=port_forwardings.join(floating_ips, floating_ips.c.id == port_forwardings.c.floatingip_id),
    wording=NEUTRON,
    not_found=PortForwardingNotFound,
    rules={
        "create": "create_floatingip_port_forwarding",
        "get": "get_floatingip_port_forwarding",
        "list": "get_floatingip_port_forwarding",
        "update": "update_floatingip_port_forwarding",
        "delete": "delete_floatingip_port_forwarding",
    },
    parents={"floatingip_id": FLOATING_IP},
    targets=_targets,
    policy_columns={"ext_parent:project_id": floating_ips.c.project_id},
    attributes=(
        ID,
        Attribute("floatingip_id", types.uuid, visible=False),
        Attribute(
            "internal_port_id", types.uuid, create=True, update=True, required=True, filter=True, sort=True
        ),
        Attribute("internal_ip_address", types.ip_address, create=True, update=True, filter=True),
        Attribute(
            "protocol",
            types.enum("tcp", "udp"),
            create=True,
            update=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute("internal_port", PORT, create=True, update=True, filter=True, sort=True),
        Attribute("internal_port_range", PORT_RANGE, create=True, update=True, filter=True),
        Attribute("external_port", PORT, create=True, update=True, filter=True, sort=True),
        Attribute("external_port_range", PORT_RANGE, create=True, update=True, filter=True, sort=True),
        Attribute("description", TEXT, default="", create=True, update=True, filter=True),
    ),
)
