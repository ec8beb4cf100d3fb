"""How much is taken: of a provider, by a project. Source: Placement API reference, "Usages"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pileus.resource import types
from pileus.resource.replies import COUNT, always
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.placement.api import (
    answering,
    check_query,
    enforce,
    landscape_now,
    provider_of,
    refuse_query,
    shown,
    since,
)
from pileus.services.compute.placement.consumers import UNKNOWN, Consumer, consumers_in
from pileus.services.compute.placement.policy import OWN_OR_ADMIN, PREFIX, rules
from pileus.services.compute.rules.providers import Provider
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_AMOUNTS = types.dict_of({}, additional=COUNT)
_OF_PROVIDER = always({"resource_provider_generation": COUNT, "usages": _AMOUNTS})
_KIND = re.compile("[A-Z0-9_]+|all|unknown")
ALL = "all"


def _reply(version: Version) -> Type:
    by_kind = types.dict_of({}, additional=_AMOUNTS)
    return always({"usages": by_kind if version >= Version(1, 38) else _AMOUNTS})


def _sums(several: Iterable[Consumer]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in several:
        for amounts in one.amounts.values():
            for name, amount in amounts.items():
                found[name] = found.get(name, 0) + amount
    return found


class UsageHandlers:
    """Handlers that know the settings by which hosts count."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    def _provider(self, tx: Tx, request: Request) -> Provider:
        return provider_of(landscape_now(tx, self._config, request.context.now), request.path["uuid"])

    async def show(self, request: Request) -> Reply:
        """Show how much is taken of a provider."""
        enforce(request)
        one = await request.read(self._provider, request)
        usages = {name: one.used.get(name, 0) for name in one.inventories}
        return shown(request, {"resource_provider_generation": one.generation, "usages": usages})

    def _consumers(self, tx: Tx, request: Request, project_id: str) -> list[Consumer]:
        landscape = landscape_now(tx, self._config, request.context.now)
        return list(consumers_in(tx, landscape, project_id, request.parameter("user_id")).values())

    async def total(self, request: Request) -> Reply:
        """Show how much a project takes, or one of its users."""
        enforce(request, {"project_id": request.parameter("project_id")})
        typed = since(request, "1.38")
        check_query(request, "project_id", "user_id", *(["consumer_type"] if typed else []))
        project_id, kind = request.parameter("project_id"), request.parameter("consumer_type")
        if project_id is None:
            refuse_query(request, "'project_id' is a required property")
        for name in ("project_id", "user_id", "consumer_type"):
            text = request.parameter(name)
            if text is not None and not 1 <= len(text) <= 255:
                refuse_query(request, f"{text!r} is too {'long' if text else 'short'}")
        if kind is not None and not _KIND.fullmatch(kind):
            refuse_query(request, f"{kind!r} does not match '^[A-Z0-9_]+$|^all|^unknown$'")
        found = await request.read(self._consumers, request, project_id)
        if not typed:
            return shown(request, {"usages": _sums(found)})
        by_kind: dict[str, list[Consumer]] = {}
        for one in found:
            name = ALL if kind == ALL else one.kind or UNKNOWN
            if kind in (None, ALL, name):
                by_kind.setdefault(name, []).append(one)
        told: dict[str, Any] = {
            name: {**_sums(several), "consumer_count": len(several)} for name, several in by_kind.items()
        }
        return shown(request, {"usages": told})


def usages_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = UsageHandlers(config)
    text = types.string(None)
    return Noun(
        name="usage",
        rules=(*rules("resource_providers:usages"), *rules("usages", check=OWN_OR_ADMIN)),
        routes=(
            Route(
                "GET",
                "/resource_providers/{uuid}/usages",
                answering(handlers.show),
                rule=f"{PREFIX}resource_providers:usages",
                reply=_OF_PROVIDER,
                summary="Show how much is taken of a provider",
            ),
            Route(
                "GET",
                "/usages",
                answering(handlers.total),
                rule=f"{PREFIX}usages",
                reply=ByVersion(_reply),
                versions=("1.9", ""),
                query={"project_id": text, "user_id": text, "consumer_type": text},
                summary="Show how much a project takes",
            ),
        ),
    )
