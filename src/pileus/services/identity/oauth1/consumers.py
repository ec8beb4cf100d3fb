"""``/v3/OS-OAUTH1/consumers``: the programs that may ask users to act for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Additional, Attribute, Resource, Update, Values
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import EXTRA, ID
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.common.generation import announce_many, announce_token_changes
from pileus.services.identity.common.judging import judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.oauth1.secrets import new_secret, secret_seal
from pileus.services.identity.tables.oauth1 import consumers
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.parse import parse_create
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show


class ConsumerNotFound(NotFound):
    """There is no such consumer (404)."""

    message = "Consumer not found"


CONSUMER = Resource(
    "consumer",
    table=consumers,
    wording=KEYSTONE,
    not_found=ConsumerNotFound,
    additional=Additional("extra", ignored=frozenset({"id", "links", "secret"})),
    attributes=(
        ID,
        Attribute("description", types.nullable(types.string(None)), create=True, update=True),
        Attribute("sealed", types.string(None), visible=False),
        EXTRA,
    ),
)


def consumer_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write new consumers; ``sealed`` is handed in."""
    CONSUMER.insert(tx, context, specs)
    announce_many(tx, context, "consumer.create", [(spec["id"], {}) for spec in specs])
    return specs


def consumer_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change descriptions and what nobody declared."""
    changed = CONSUMER.change(tx, context, updates)
    announce_many(tx, context, "consumer.update", [(one["id"], {}) for one in changed])
    return changed


def consumer_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete consumers; the database deletes their tokens, and tokens of identity made with them end."""
    CONSUMER.remove(tx, originals)
    announce_token_changes(tx, context, "consumer.delete", [(one["id"], {}) for one in originals])


class ConsumerHandlers:
    """The handler; ``keys`` seal secrets."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    async def create(self, request: Request) -> Reply:
        """POST /v3/OS-OAUTH1/consumers: the secret is in this reply and nowhere else."""
        spec = parse_create(CONSUMER, request)[0]
        request.authorise(CONSUMER.rule("create"))
        secret = new_secret()
        spec["sealed"] = secret_seal(self._keys, request, secret)
        made = (await request.write(consumer_create, request.context, [spec]))[0]
        view = show(request, CONSUMER, [made])[0]
        return Reply.json({CONSUMER.name: {**view, "secret": secret}}, 201)


async def _prepare(request: Request, values: Values) -> None:
    """Raise SchemaValidationError for a change of the secret."""
    if "secret" in request.json()[CONSUMER.name]:
        raise SchemaValidationError("Invalid input for field 'consumer': 'secret' can not be updated")


def _target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {}


CONSUMERS = Crud(
    resource=CONSUMER,
    create=consumer_create,
    update=consumer_update,
    delete=consumer_delete,
    judge=judging(CONSUMER, _target),
    prepare=_prepare,
)


def noun(handlers: ConsumerHandlers) -> Noun:
    """Make the noun."""
    return Noun(
        name="consumer",
        routes=tuple(
            dataclasses.replace(route, handler=handlers.create) if route.action == "create" else route
            for route in crud_routes(CONSUMERS, "/v3/OS-OAUTH1/consumers")
        ),
        rules=rules(
            {
                "get_consumer": READ,
                "list_consumers": READ,
                "create_consumer": ADMIN,
                "update_consumer": ADMIN,
                "delete_consumer": ADMIN,
            },
            NOT_DOMAINS,
        ),
    )
