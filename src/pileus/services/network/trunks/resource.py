"""The declaration of trunks, and what a port tells of the trunk that it carries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ADMIN_STATE_UP, ID, MOST, NAME, PROJECT
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules, tag_rules
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.trunks.tables import subports, trunks
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx

INHERIT, VLAN = "inherit", "vlan"
_UUID = re.compile(r"[a-f0-9]{8}-?(?:[a-f0-9]{4}-?){3}[a-f0-9]{12}", re.IGNORECASE)
_SHOWN = ("port_id", "segmentation_type", "segmentation_id")


class TrunkNotFound(NotFound):
    message = "Trunk {trunk_id} could not be found."


def parse_subports(value: Any) -> list[dict[str, Any]]:
    """Subports as a request names them: each port once, each number once; BadValue otherwise."""
    if not isinstance(value, list):
        raise BadValue(f"Invalid data format for subports: '{value}' is not a list", value=value)
    if len(value) > MOST:
        raise BadValue(f"'{len(value)}' subports exceed the maximum {MOST}", value=value)
    seen: set[str] = set()
    numbers: set[tuple[str, Any]] = set()
    for one in value:
        if not isinstance(one, dict):
            raise BadValue(f"Invalid data format for subport: '{one}' is not a dict", value=value)
        if "port_id" not in one:
            raise BadValue("A valid port UUID must be specified", value=value)
        port_id = one["port_id"]
        if not isinstance(port_id, str) or not _UUID.fullmatch(port_id):
            raise BadValue(f"Invalid UUID for subport: '{port_id}'", value=value)
        if port_id in seen:
            raise BadValue(f"Non unique UUID for subport: '{port_id}'", value=value)
        seen.add(port_id)
        _check_segmentation(one, numbers)
    return [{name: one[name] for name in _SHOWN if name in one} for one in value]


def _check_segmentation(one: Mapping[str, Any], numbers: set[tuple[str, Any]]) -> None:
    kind, number = one.get("segmentation_type"), one.get("segmentation_id")
    if kind == INHERIT:
        return
    if (not kind or number is None) and len(one) > 1:
        raise BadValue(
            f"Invalid subport details '{dict(one)}': missing segmentation information. "
            "Must specify both segmentation_id and segmentation_type",
            value=one,
        )
    key = (str(kind), str(number))
    if number is not None and key in numbers:
        raise BadValue(f"Segmentation ID '{number}' for '{one['port_id']}' is not unique", value=one)
    numbers.add(key)


SUBPORTS = Type(
    "subports",
    parse_subports,
    {
        "type": "array",
        "maxItems": MOST,
        "items": {
            "type": "object",
            "required": ["port_id"],
            "properties": {
                "port_id": {"type": "string", "format": "uuid"},
                "segmentation_type": {"type": "string", "enum": [VLAN, INHERIT]},
                "segmentation_id": {"type": "integer", "minimum": 1, "maximum": 4094},
            },
        },
    },
)


_SUBPORTS = narrowed(
    select(subports).order_by(subports.c.trunk_id, subports.c.segmentation_id), subports.c.trunk_id
)


def subports_load(tx: Tx, trunk_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The subports of trunks, in the order of their numbers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _SUBPORTS.rows(tx, {}, trunk_ids):
        found.setdefault(row.trunk_id, []).append({name: getattr(row, name) for name in _SHOWN})
    return found


def subports_save(tx: Tx, context: Context, several: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write subports of trunks that have none of these yet."""
    rows = [{**one, "trunk_id": trunk_id} for trunk_id, wanted in several.items() for one in wanted]
    if rows:
        tx.insert(subports, rows)


TRUNK = Resource(
    "trunk",
    table=trunks,
    wording=NEUTRON,
    not_found=TrunkNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("port_id", types.uuid, create=True, required=True, filter=True, sort=True),
        ADMIN_STATE_UP,
        Attribute("status", types.string(16), default="DOWN", filter=True, sort=True),
        Attribute(
            "sub_ports",
            SUBPORTS,
            default=[],
            empty=(),
            create=True,
            loader=subports_load,
            saver=subports_save,
            description="Ports whose frames the guest sees as VLANs of the parent port.",
        ),
        *STANDARD,
    ),
)

RULES = (
    *rules(
        {
            "create_trunk": ADMIN_OR_MEMBER,
            "get_trunk": ADMIN_OR_READER,
            "update_trunk": ADMIN_OR_MEMBER,
            "delete_trunk": ADMIN_OR_MEMBER,
            "get_subports": ADMIN_OR_READER,
            "add_subports": ADMIN_OR_MEMBER,
            "remove_subports": ADMIN_OR_MEMBER,
        }
    ),
    *tag_rules("trunk"),
)


_OF_PARENTS = narrowed(
    select(trunks.c.port_id.label("parent_id"), trunks.c.id, subports, ports.c.mac_address)
    .select_from(
        trunks.outerjoin(subports, subports.c.trunk_id == trunks.c.id).outerjoin(
            ports, ports.c.id == subports.c.port_id
        )
    )
    .order_by(trunks.c.id, subports.c.segmentation_id),
    trunks.c.port_id,
)


def trunk_details(tx: Tx, port_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each port that is a trunk's parent: the trunk and its subports with their hardware addresses."""
    found: dict[str, dict[str, Any]] = {}
    for row in _OF_PARENTS.rows(tx, {}, port_ids):
        details = found.setdefault(row.parent_id, {"trunk_id": row.id, "sub_ports": []})
        if row.port_id is not None:
            shown = {name: getattr(row, name) for name in _SHOWN}
            details["sub_ports"].append(shown | {"mac_address": row.mac_address})
    return found


PORT.extend(Attribute("trunk_details", types.anything, loader=trunk_details, view_only=True))
