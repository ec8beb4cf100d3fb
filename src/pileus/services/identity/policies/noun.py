"""Policies: texts that are kept for other services. Keystone itself obeys none of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ADDITIONAL, EXTRA, ID
from pileus.services.identity.common.generation import announce_many, changed_names
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.tables.catalog import policies
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun


class PolicyNotFound(NotFound):
    """There is no such policy (404)."""

    message = "Could not find policy: {id}."


POLICY = Resource(
    "policy",
    plural="policies",
    table=policies,
    wording=KEYSTONE,
    not_found=PolicyNotFound,
    additional=ADDITIONAL,
    attributes=(
        ID,
        Attribute("type", types.string(255), create=True, update=True, required=True, filter=True, sort=True),
        Attribute("blob", types.string(None), create=True, update=True, required=True),
        EXTRA,
    ),
)


def policy_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parts that policy rules name of a policy."""
    return {} if values is None else {"target.policy.id": values.get("id")}


def policy_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Keep policies."""
    POLICY.insert(tx, context, specs)
    announce_many(tx, context, "policy.create", [(spec["id"], {"type": spec["type"]}) for spec in specs])
    return specs


def policy_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change policies."""
    changed = POLICY.change(tx, context, updates)
    announce_many(tx, context, "policy.update", changed_names(updates))
    return changed


def policy_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete policies with their associations."""
    POLICY.remove(tx, originals)
    announce_many(tx, context, "policy.delete", [(one["id"], {}) for one in originals])


POLICIES = Crud(
    resource=POLICY,
    create=policy_create,
    update=policy_update,
    delete=policy_delete,
    judge=judging(POLICY, policy_target),
)

NOUN = Noun(
    name="policy",
    routes=crud_routes(POLICIES, "/v3/policies"),
    rules=rules(
        {
            "get_policy": READ,
            "list_policies": READ,
            "create_policy": ADMIN,
            "update_policy": ADMIN,
            "delete_policy": ADMIN,
        },
        NOT_DOMAINS,
    ),
)
