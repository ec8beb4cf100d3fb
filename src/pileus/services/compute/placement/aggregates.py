"""Aggregates of providers. Source: Placement API reference, "Resource provider aggregates"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.replies import COUNT, TEXTS, always
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    GENERATION,
    answering,
    enforce,
    landscape_now,
    provider_of,
    shown,
    since,
)
from pileus.services.compute.placement.policy import PREFIX, rules
from pileus.services.compute.placement.work import aggregates_set
from pileus.services.compute.rules.providers import Provider
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

PATH = "/resource_providers/{uuid}/aggregates"
_GENERATION = "resource_provider_generation"
_WITH_GENERATION = Version(1, 19)
_IDS = types.list_of(types.uuid, unique=True)


def _body(version: Version) -> Type:
    if version < _WITH_GENERATION:
        return _IDS
    return types.dict_of({"aggregates": _IDS, _GENERATION: GENERATION}, required=("aggregates", _GENERATION))


def _reply(version: Version) -> Type:
    return always({"aggregates": TEXTS, **({_GENERATION: COUNT} if version >= _WITH_GENERATION else {})})


class AggregateHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _read(self, tx: Tx, request: Request) -> Provider:
        return provider_of(landscape_now(tx, self._config, request.context.now), request.path["uuid"])

    def _shown(self, request: Request, one: Provider) -> Reply:
        told: dict[str, Any] = {"aggregates": sorted(one.aggregates)}
        if since(request, "1.19"):
            told[_GENERATION] = one.generation
        return shown(request, told, changed=one.updated_at)

    async def list(self, request: Request) -> Reply:
        """List the aggregates that a provider is in."""
        enforce(request)
        return self._shown(request, await request.read(self._read, request))

    async def set(self, request: Request) -> Reply:
        """Put a provider into other aggregates."""
        enforce(request)
        await request.read(self._read, request)
        body = declared_body(request)
        ids, generation = (body, None) if isinstance(body, list) else (body["aggregates"], body[_GENERATION])
        one = await request.write(
            aggregates_set, request.context, self._config, request.path["uuid"], ids, generation
        )
        return self._shown(request, one)


def aggregates_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = AggregateHandlers(config)
    rule = f"{PREFIX}resource_providers:aggregates:"
    return Noun(
        name="provider_aggregate",
        rules=rules("resource_providers:aggregates:list", "resource_providers:aggregates:update"),
        routes=(
            Route(
                "GET",
                PATH,
                answering(handlers.list),
                rule=rule + "list",
                reply=ByVersion(_reply),
                versions=("1.1", ""),
                summary="List a provider's aggregates",
            ),
            Route(
                "PUT",
                PATH,
                answering(handlers.set),
                rule=rule + "update",
                body=ByVersion(_body),
                reply=ByVersion(_reply),
                versions=("1.1", ""),
                summary="Set a provider's aggregates",
            ),
        ),
    )
