"""``/v3/domains/{id}/config``: routes and rules."""

from __future__ import annotations

from calendar import timegm
from typing import Any

from pileus.resource import types
from pileus.services.identity.common.naming import authorised
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.domain_config.work import (
    config_delete,
    config_replace,
    config_show,
    config_update,
)
from pileus.services.identity.rules.domain_config import DEFAULTS, part, require_known
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

BODY = types.dict_of({"config": types.anything}, additional=types.anything)
REPLY = types.dict_of({"config": types.anything}, required=("config",))


class DomainConfigHandlers:
    """The handlers; ``keys`` seal what is sensitive."""

    def __init__(self, keys: TokenKeys) -> None:
        self._keys = keys

    async def show(self, request: Request) -> Reply:
        """GET …/config, …/config/{group}, …/config/{group}/{option}"""
        authorised(request)
        return _reply(await request.read(config_show, *_named(request)))

    async def replace(self, request: Request) -> Reply:
        """PUT …/config"""
        authorised(request)
        config = _config(request)
        shown, new = await request.write(
            config_replace, request.context, request.path["id"], config, self._keys, _seconds(request)
        )
        return _reply(shown, 201 if new else 200)

    async def update(self, request: Request) -> Reply:
        """PATCH …/config, …/config/{group}, …/config/{group}/{option}"""
        authorised(request)
        config = _config(request)
        domain_id, group, option = _named(request)
        shown = await request.write(
            config_update, request.context, domain_id, config, group, option, self._keys, _seconds(request)
        )
        return _reply(shown)

    async def delete(self, request: Request) -> Reply:
        """DELETE …/config, …/config/{group}, …/config/{group}/{option}"""
        authorised(request)
        await request.write(config_delete, request.context, *_named(request))
        return Reply.empty()


async def show_default(request: Request) -> Reply:
    """GET /v3/domains/config/default, …/config/{group}/default, …/config/{group}/{option}/default"""
    authorised(request)
    group, option = request.path.get("group"), request.path.get("option")
    require_known(group, option)
    return _reply(part(DEFAULTS, group, option))


def _named(request: Request) -> tuple[str, str | None, str | None]:
    path = request.path
    return path["id"], path.get("group"), path.get("option")


def _config(request: Request) -> Any:
    return declared_body(request).get("config")


def _seconds(request: Request) -> int:
    return timegm(request.context.now.timetuple())


def _reply(config: dict[str, Any], status: int = 200) -> Reply:
    return Reply.json({"config": config}, status)


_PARTS = ("", "/{group}", "/{group}/{option}")


def noun(handlers: DomainConfigHandlers) -> Noun:
    """Make the noun."""
    base = "/v3/domains/{id}/config"

    def route(method: str, path: str, handler: Any, verb: str) -> Route:
        return Route(
            method,
            path,
            handler,
            status=204 if method == "DELETE" else 200,
            body=BODY if method in ("PUT", "PATCH") else None,
            reply=None if method == "DELETE" else REPLY,
            rule=f"identity:{verb}",
            summary=verb.replace("_", " ").capitalize(),
        )

    return Noun(
        name="domain_config",
        routes=(
            route("PUT", base, handlers.replace, "create_domain_config"),
            *(route("GET", base + one, handlers.show, "get_domain_config") for one in _PARTS),
            *(route("PATCH", base + one, handlers.update, "update_domain_config") for one in _PARTS),
            *(route("DELETE", base + one, handlers.delete, "delete_domain_config") for one in _PARTS),
            *(
                route("GET", f"/v3/domains/config{one}/default", show_default, "get_domain_config_default")
                for one in _PARTS
            ),
        ),
        rules=rules(
            {
                "create_domain_config": ADMIN,
                "get_domain_config": READ,
                "update_domain_config": ADMIN,
                "delete_domain_config": ADMIN,
                "get_domain_config_default": READ,
            },
            NOT_DOMAINS,
        ),
    )
