"""Services: a type, such as ``network``, and a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, DESCRIPTION, ENABLED, EXTRA, ID
from pileus.services.identity.common.errors import ServiceNotFound
from pileus.services.identity.common.generation import announce_token_changes, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.tables.catalog import services
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun

SERVICE = Resource(
    "service",
    table=services,
    wording=KEYSTONE,
    not_found=ServiceNotFound,
    additional=ADDITIONAL,
    attributes=(
        ID,
        Attribute("type", types.string(255, minimum=1), create=True, update=True, required=True, filter=True),
        Attribute("name", types.string(255), default="", create=True, update=True, filter=True, sort=True),
        DESCRIPTION,
        ENABLED,
        EXTRA,
    ),
)


def service_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a service."""
    return {} if values is None else {"target.service.id": values["id"]}


def service_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make services."""
    SERVICE.insert(tx, context, specs)
    announce_token_changes(
        tx, context, "service.create", [(spec["id"], {"type": spec["type"]}) for spec in specs]
    )
    return specs


def service_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change services."""
    changed = SERVICE.change(tx, context, updates)
    announce_token_changes(tx, context, "service.update", changed_names(updates))
    return changed


def service_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete services with their endpoints."""
    SERVICE.remove(tx, originals)
    announce_token_changes(tx, context, "service.delete", [(one["id"], {}) for one in originals])


SERVICES = Crud(
    resource=SERVICE,
    create=service_create,
    update=service_update,
    delete=service_delete,
    judge=judging(SERVICE, service_target),
)

NOUN = Noun(
    name="service",
    routes=crud_routes(SERVICES, "/v3/services"),
    rules=rules(
        {
            "get_service": READ,
            "list_services": READ,
            "create_service": ADMIN,
            "update_service": ADMIN,
            "delete_service": ADMIN,
        },
        NOT_DOMAINS,
    ),
)
