"""Compute services (``os-services``). Source: Compute API reference, "Compute services"."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.resource.versions import Version, within
from pileus.services.compute.api import IS_UUID, at_least, enforce, since
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import ServiceFacts, services_read
from pileus.services.compute.nodes.work import ServiceNotFound, service_change, service_delete
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import (
    FLAG,
    INTEGER,
    MOMENT,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    always,
    named,
    named_list,
)
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route

_HOST = types.string(255, minimum=1, pattern=r"[a-zA-Z0-9\-._]+")
_BINARY = types.string(255, minimum=1)
_PAIR = types.dict_of({"host": _HOST, "binary": _BINARY}, required=("host", "binary"))
_REASON = types.string(255, minimum=1)
_WITH_REASON = types.dict_of(
    {"host": _HOST, "binary": _BINARY, "disabled_reason": _REASON},
    required=("host", "binary", "disabled_reason"),
)
_FORCE = types.dict_of(
    {"host": _HOST, "binary": _BINARY, "forced_down": types.boolean},
    required=("host", "binary", "forced_down"),
)
_CHANGE = types.dict_of(
    {
        "status": types.enum("enabled", "disabled"),
        "disabled_reason": _REASON,
        "forced_down": types.boolean,
    }
)


Changes = dict[str, Any]


class _Action(NamedTuple):
    """An action of the old form: its body, what it changes and shows, the microversion that brought it."""

    body: Type
    change: Callable[[Changes], tuple[Changes, Changes]]
    since: str = ""


def _switch(disabled: bool) -> Callable[[Changes], tuple[Changes, Changes]]:
    shown = {"status": "disabled" if disabled else "enabled"}
    return lambda asked: ({"disabled": disabled, "disabled_reason": None}, shown)


def _disable_with_reason(asked: Changes) -> tuple[Changes, Changes]:
    reason = {"disabled_reason": asked["disabled_reason"]}
    return {"disabled": True, **reason}, {"status": "disabled", **reason}


def _force_down(asked: Changes) -> tuple[Changes, Changes]:
    forced = {"forced_down": asked["forced_down"]}
    return forced, forced


_ACTIONS = {
    "enable": _Action(_PAIR, _switch(disabled=False)),
    "disable": _Action(_PAIR, _switch(disabled=True)),
    "disable-log-reason": _Action(_WITH_REASON, _disable_with_reason),
    "force-down": _Action(_FORCE, _force_down, since="2.11"),
}
_ACTED = named(
    "service",
    always(
        {"host": TEXT, "binary": TEXT},
        {"status": types.enum("enabled", "disabled"), "disabled_reason": TEXT, "forced_down": FLAG},
    ),
)


def stamp(moment: dt.datetime) -> str:
    """Times of services, as Nova writes them: microseconds and no zone."""
    return moment.isoformat(timespec="microseconds")


def service_view(request: Request, service: ServiceFacts) -> dict[str, Any]:
    """A service as lists show it."""
    view = {
        "id": service.id if since(request, "2.53") else service.number,
        "binary": service.binary,
        "host": service.host,
        "zone": service.zone,
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if service.up else "down",
        "updated_at": stamp(service.seen_at),
        "disabled_reason": service.disabled_reason,
    }
    if since(request, "2.11"):
        view["forced_down"] = service.forced_down
    return view


class ServiceHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def _all(self, request: Request) -> list[ServiceFacts]:
        return await request.read(services_read, self._config, request.context.now)

    async def list_services(self, request: Request) -> Reply:
        """List all, or those of a ``host`` or ``binary``."""
        enforce(request)
        host, binary = request.parameter("host"), request.parameter("binary")
        found = [
            service_view(request, one)
            for one in await self._all(request)
            if (not host or one.host == host) and (not binary or one.binary == binary)
        ]
        return Reply.json({"services": found})

    async def act(self, request: Request) -> Reply:
        """Enable, disable or force down the service of a host, as the path says; until 2.52."""
        enforce(request)
        name = request.path["id"]
        action = _ACTIONS.get(name)
        if action is None or not within((action.since, ""), request.version):
            raise ServiceNotFound(f"Unknown action: {name}")
        asked = declared_body(request, action.body)
        where = {"host": asked["host"], "binary": asked["binary"]}
        changes, shown = action.change(asked)
        await request.write(service_change, request.context, where, changes)
        return Reply.json({"service": {**where, **shown}})

    async def update(self, request: Request) -> Reply:
        """Change one, by uuid; since 2.53."""
        enforce(request)
        service_id = request.path["id"]
        if not IS_UUID.fullmatch(service_id):
            raise BadRequest(f"Invalid uuid {service_id}")
        asked = declared_body(request)
        if not asked:
            raise BadRequest("Missing required parameter: 'status', 'disabled_reason' or 'forced_down'")
        if "disabled_reason" in asked and asked.get("status") != "disabled":
            raise BadRequest('Specifying disabled_reason requires that status is "disabled".')
        changes: dict[str, Any] = {}
        if "status" in asked:
            changes |= {
                "disabled": asked["status"] == "disabled",
                "disabled_reason": asked.get("disabled_reason"),
            }
        if "forced_down" in asked:
            changes["forced_down"] = asked["forced_down"]
        await request.write(service_change, request.context, {"id": service_id}, changes)
        one = next(one for one in await self._all(request) if one.id == service_id)
        return Reply.json({"service": service_view(request, one)})

    async def delete(self, request: Request) -> Reply:
        """Forget a service whose host has no servers."""
        enforce(request)
        service_id = request.path["id"]
        modern = since(request, "2.53")
        if modern and not IS_UUID.fullmatch(service_id):
            raise BadRequest(f"Invalid uuid {service_id}")
        if not modern and not (service_id.isascii() and service_id.isdigit() and len(service_id) < 10):
            raise BadRequest(f"Service id {service_id} is not a number")
        await request.write(service_delete, request.context, service_id, not modern)
        return Reply.empty()


def _shown(version: Version) -> Type:
    fields = {
        "id": UUID if at_least(version, "2.53") else INTEGER,
        "binary": TEXT,
        "host": TEXT,
        "zone": TEXT,
        "status": types.enum("enabled", "disabled"),
        "state": types.enum("up", "down"),
        "updated_at": MOMENT,
        "disabled_reason": TEXT_OR_NULL,
    }
    return always({**fields, "forced_down": FLAG} if at_least(version, "2.11") else fields)


_RULE = "os_compute_api:os-services:"
_ALL, _ONE = "/v2.1/os-services", "/v2.1/os-services/{id}"
_SERVICE = ByVersion(lambda version: named("service", _shown(version)))
_SERVICES = ByVersion(lambda version: named_list("services", _shown(version)))


def services_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = ServiceHandlers(config)
    return Noun(
        name="service",
        rules=rules({f"os-services:{name}": ADMIN for name in ("list", "update", "delete")}),
        extensions=(
            Extension("os-services", "Services", "Services support."),
            Extension("os-extended-services", "ExtendedServices", "Extended services support."),
        ),
        routes=(
            Route(
                "GET",
                _ALL,
                handlers.list_services,
                rule=_RULE + "list",
                reply=_SERVICES,
                summary="List compute services",
            ),
            Route(
                "PUT",
                _ONE,
                handlers.act,
                rule=_RULE + "update",
                versions=("", "2.52"),
                body=types.one_of(_WITH_REASON, _FORCE, _PAIR),
                reply=_ACTED,
                summary="Enable, disable or force down a service",
            ),
            Route(
                "PUT",
                _ONE,
                handlers.update,
                rule=_RULE + "update",
                versions=("2.53", ""),
                body=_CHANGE,
                reply=_SERVICE,
                summary="Change a service",
            ),
            Route(
                "DELETE",
                _ONE,
                handlers.delete,
                rule=_RULE + "delete",
                status=204,
                summary="Forget a service",
            ),
        ),
    )
