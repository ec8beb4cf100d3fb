"""Endpoint groups: the endpoints that have all the values of ``filters``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.types import BadValue
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ID, NAME
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.common.generation import announce_token_changes, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.tables.catalog import endpoint_groups
from pileus.store.tx import Tx
from pileus.web.crud import Crud

FILTERS = types.dict_of(
    {
        "interface": types.enum("admin", "internal", "public"),
        "service_id": types.string(64),
        "region_id": types.nullable(types.string(255)),
    }
)


def _filters(value: Any) -> Any:
    """Parse filters; what an endpoint can't be filtered by is refused in Keystone's words."""
    try:
        return FILTERS.parse(value)
    except BadValue as bad:
        if bad.unknown_key is not None:
            raise ValidationError(
                "Expecting to find service_id or region_id or interface in endpoint_group. The server could "
                "not comply with the request since it is either malformed or otherwise incorrect. The client "
                "is assumed to be in error."
            ) from None
        raise


class EndpointGroupNotFound(NotFound):
    """There is no such endpoint group (404)."""

    message = "Could not find Endpoint Group: {id}."


ENDPOINT_GROUP = Resource(
    "endpoint_group",
    table=endpoint_groups,
    wording=KEYSTONE,
    not_found=EndpointGroupNotFound,
    attributes=(
        ID,
        NAME,
        Attribute("description", types.nullable(types.string(None)), create=True, update=True),
        Attribute(
            "filters",
            types.Type("filters", _filters, FILTERS.schema),
            create=True,
            update=True,
            required=True,
        ),
    ),
)


def group_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of an endpoint group."""
    return {} if values is None else {"target.endpoint_group.id": values.get("id")}


def endpoint_group_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make endpoint groups. Raises ValidationError for one without filters."""
    if not all(spec["filters"] for spec in specs):
        raise ValidationError("filters field is required and cannot be empty")
    ENDPOINT_GROUP.insert(tx, context, specs)
    made = [(spec["id"], {"name": spec["name"]}) for spec in specs]
    announce_token_changes(tx, context, "endpoint_group.create", made)
    return specs


def endpoint_group_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change endpoint groups, and with them the catalogs of their projects."""
    changed = ENDPOINT_GROUP.change(tx, context, updates)
    announce_token_changes(tx, context, "endpoint_group.update", changed_names(updates))
    return changed


def endpoint_group_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete endpoint groups; no project has them any more."""
    ENDPOINT_GROUP.remove(tx, originals)
    announce_token_changes(tx, context, "endpoint_group.delete", [(one["id"], {}) for one in originals])


ENDPOINT_GROUPS = Crud(
    resource=ENDPOINT_GROUP,
    create=endpoint_group_create,
    update=endpoint_group_update,
    delete=endpoint_group_delete,
    judge=judging(ENDPOINT_GROUP, group_target),
)
