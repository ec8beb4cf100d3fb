"""The declaration of application credentials.

Source: the Identity API v3 reference, "Application Credentials".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.application_credentials.access_rules import (
    RULE,
    SHOWN_RULE,
    access_rules_load,
    access_rules_save,
)
from pileus.services.identity.common.attributes import ID
from pileus.services.identity.standing.named_roles import NAMED_ROLE
from pileus.services.identity.tables.credentials import application_credential_roles, application_credentials
from pileus.services.identity.tables.roles import roles
from pileus.store.column_in import column_in
from pileus.store.tx import Tx


class ApplicationCredentialNotFound(NotFound):
    """There is no such application credential (404)."""

    message = "Could not find Application Credential: {id}."


_ROLES_OF = (
    select(
        application_credential_roles.c.application_credential_id,
        roles.c.id,
        roles.c.name,
        roles.c.domain_id,
        roles.c.description,
        roles.c.options,
    )
    .join(roles, roles.c.id == application_credential_roles.c.role_id)
    .order_by(roles.c.name, roles.c.id)
)


def roles_load(tx: Tx, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The roles of application credentials as they are shown."""
    found: dict[str, list[dict[str, Any]]] = {}
    owner = application_credential_roles.c.application_credential_id
    for row in tx.rows(_ROLES_OF.where(column_in(tx, owner, ids))):
        found.setdefault(row.application_credential_id, []).append(
            {
                "id": row.id,
                "name": row.name,
                "domain_id": row.domain_id,
                "description": row.description,
                "options": row.options,
            }
        )
    return found


def roles_save(tx: Tx, context: Context, chosen: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the roles of new application credentials."""
    tx.insert(
        application_credential_roles,
        [
            {"application_credential_id": key, "role_id": role["id"]}
            for key, some in chosen.items()
            for role in some
        ],
    )


_SHOWN_ROLE = types.dict_of(
    {
        "id": types.string(None),
        "name": types.string(None),
        "domain_id": types.nullable(types.string(None)),
        "description": types.nullable(types.string(None)),
        "options": types.dict_of({}, additional=types.anything),
    },
    required=("id", "name", "domain_id", "description", "options"),
)
_EXPIRES_AT = types.Type(
    "timestamp",
    types.nullable(types.string(64)).parse,
    types.nullable(types.timestamp_plain).schema,
    accepts_none=True,
    show=types.timestamp_plain.show,
)

APPLICATION_CREDENTIAL = Resource(
    "application_credential",
    table=application_credentials,
    wording=KEYSTONE,
    not_found=ApplicationCredentialNotFound,
    attributes=(
        ID,
        Attribute("name", types.string(255, minimum=1), create=True, required=True, filter=True, sort=True),
        Attribute("description", types.nullable(types.string(None)), create=True),
        Attribute("user_id", types.string(64)),
        Attribute("project_id", types.string(64), filter=True),
        Attribute("expires_at", _EXPIRES_AT, create=True),
        Attribute("unrestricted", types.nullable(types.strict_boolean), create=True, default=False),
        Attribute(
            "roles",
            types.list_of(NAMED_ROLE),
            shown=types.list_of(_SHOWN_ROLE),
            loader=roles_load,
            saver=roles_save,
            empty=[],
            default=[],
            create=True,
        ),
        Attribute("secret", types.nullable(types.string(None)), create=True, visible=False),
        Attribute("secret_hash", types.string(None), visible=False),
        Attribute(
            "access_rules",
            types.list_of(RULE, none_is_empty=True),
            shown=types.list_of(SHOWN_RULE),
            loader=access_rules_load,
            saver=access_rules_save,
            empty=None,
            default=[],
            create=True,
            description="The only requests that it may make; left out where it may make all",
        ),
    ),
)
