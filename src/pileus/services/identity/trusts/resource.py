"""The declaration of trusts.

Source: the Identity API v3 reference, "OS-TRUST".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Additional, Attribute, Resource
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import EXTRA, ID
from pileus.services.identity.standing.named_roles import NAMED_ROLE
from pileus.services.identity.tables.trusts import trust_roles, trusts
from pileus.store.tx import Tx


class TrustNotFound(NotFound):
    """There is no such trust, or it has ended (404)."""

    message = "Could not find trust: {id}."


_ROLES_OF = select(trust_roles).where(trust_roles.c.trust_id.in_(bindparam("ids", expanding=True)))


def roles_load(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    """The ids of the roles of trusts."""
    found: dict[str, list[str]] = {}
    for row in tx.rows(_ROLES_OF.order_by(trust_roles.c.role_id), {"ids": ids}):
        found.setdefault(row.trust_id, []).append(row.role_id)
    return found


def roles_save(tx: Tx, context: Context, chosen: Mapping[str, Sequence[str]]) -> None:
    """Write the roles of new trusts."""
    rows = [{"trust_id": key, "role_id": role_id} for key, some in chosen.items() for role_id in some]
    tx.insert(trust_roles, rows)


_USER = types.string(64, minimum=1)
_EXPIRES_AT = types.Type(
    "timestamp",
    types.nullable(types.string(64)).parse,
    types.nullable(types.timestamp_micro).schema,
    accepts_none=True,
    show=types.timestamp_micro.show,
)

TRUST = Resource(
    "trust",
    table=trusts,
    wording=KEYSTONE,
    not_found=TrustNotFound,
    # what the service makes itself is taken from nobody
    additional=Additional(
        "extra", ignored=frozenset({"links", "roles_links", "deleted_at", "redelegated_trust_id", "id"})
    ),
    attributes=(
        ID,
        Attribute("trustor_user_id", _USER, create=True, required=True, filter=True),
        Attribute("trustee_user_id", _USER, create=True, required=True, filter=True),
        Attribute("impersonation", types.strict_boolean, create=True, required=True),
        Attribute("project_id", types.nullable(types.string(64)), create=True),
        Attribute("expires_at", _EXPIRES_AT, create=True),
        Attribute("remaining_uses", types.nullable(types.strict_integer(1)), create=True),
        Attribute("redelegation_count", types.nullable(types.strict_integer(0)), create=True),
        Attribute("redelegated_trust_id", types.nullable(types.string(64))),
        Attribute("deleted_at", types.null, compute=lambda values: None),
        Attribute("allow_redelegation", types.nullable(types.strict_boolean), create=True, visible=False),
        Attribute(
            "roles",
            types.list_of(NAMED_ROLE),
            loader=roles_load,
            saver=roles_save,
            empty=[],
            default=[],
            create=True,
            visible=False,
        ),
        EXTRA,
    ),
)


def trust_target(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that policy rules name of a trust."""
    return {
        f"target.trust.{name}": values[name]
        for name in ("trustor_user_id", "trustee_user_id")
        if name in values
    }
