"""Services (``os-services``): a row a pool. Source: Block Storage API reference, "Services"."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.replies import FLAG, MOMENT, TEXT, TEXT_OR_NULL, always, named_list
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.volume.api import at_least, enforce, since
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.pools.reading import VOLUME_BINARY, ServiceFacts, pools_read, services_read
from pileus.services.volume.pools.work import service_change
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route

_HOST = types.string(255, minimum=1)
_PAIR = types.dict_of(
    {"host": _HOST, "binary": types.string(255, minimum=1), "service": types.string(255, minimum=1)},
    required=("host",),
)
_REASON = types.dict_of(
    {
        "host": _HOST,
        "binary": types.string(255, minimum=1),
        "service": types.string(255, minimum=1),
        "disabled_reason": types.string(255, minimum=1),
    },
    required=("host", "disabled_reason"),
)
_ONE_HOST = types.dict_of({"host": _HOST}, required=("host",))


def stamp(moment: Any) -> str:
    """Times of services, as Cinder writes them."""
    return str(moment.isoformat(timespec="microseconds"))


class ServiceHandlers:
    """Handlers that know how long a silent pool counts as alive."""

    def __init__(self, config: VolumeConfig) -> None:
        self._config = config

    def _read(self, tx: Tx, request: Request) -> tuple[list[ServiceFacts], dict[str, str]]:
        now = request.context.now
        states = {
            one.host.partition("#")[0]: "up" if one.error is None else "down"
            for one in pools_read(tx, self._config, now)
        }
        return services_read(tx, self._config, now), states

    async def list_services(self, request: Request) -> Reply:
        """List all, or those of a ``host`` (with its pools) or ``binary``."""
        enforce(request)
        host = request.parameter("host")
        binary = request.parameter("binary") or request.parameter("service")
        found, states = await request.read(self._read, request)
        return Reply.json(
            {
                "services": [
                    self._view(request, one, states)
                    for one in found
                    if (not host or host in (one.host, one.host.partition("@")[0]))
                    and (not binary or one.binary == binary)
                ]
            }
        )

    def _view(self, request: Request, one: ServiceFacts, states: dict[str, str]) -> dict[str, Any]:
        view: dict[str, Any] = {
            "binary": one.binary,
            "host": one.host,
            "zone": one.zone,
            "status": "disabled" if one.disabled else "enabled",
            "state": "up" if one.up else "down",
            "updated_at": stamp(one.seen_at),
            "disabled_reason": one.disabled_reason,
        }
        if one.binary == VOLUME_BINARY:
            view |= {"replication_status": "disabled", "active_backend_id": None, "frozen": one.frozen}
            if since(request, "3.49"):
                view["backend_state"] = states.get(one.host, "down")
        if since(request, "3.7"):
            view["cluster"] = None
        return view

    async def _switch(self, request: Request, disabled: bool) -> Reply:
        enforce(request)
        asked = declared_body(request)
        binary = asked.get("binary") or asked.get("service")
        if not binary:
            raise BadRequest("Missing required element 'binary' in request body.")
        await request.write(
            service_change,
            request.context,
            asked["host"],
            binary,
            {"disabled": disabled, "disabled_reason": asked.get("disabled_reason")},
        )
        status = "disabled" if disabled else "enabled"
        view: dict[str, Any] = {"host": asked["host"], "service": binary, "binary": binary}
        view |= {"disabled": disabled, "status": status}
        if not disabled or "disabled_reason" in asked:
            view["disabled_reason"] = asked.get("disabled_reason")
        return Reply.json(view)

    async def enable(self, request: Request) -> Reply:
        """Have a pool take new volumes again."""
        return await self._switch(request, disabled=False)

    async def disable(self, request: Request) -> Reply:
        """Have a pool take no new volumes."""
        return await self._switch(request, disabled=True)

    async def _freeze(self, request: Request, frozen: bool) -> Reply:
        enforce(request)
        host = declared_body(request)["host"]
        await request.write(service_change, request.context, host, None, {"frozen": frozen})
        return Reply.empty(200)

    async def freeze(self, request: Request) -> Reply:
        """Have nothing be made, changed or deleted in a pool."""
        return await self._freeze(request, frozen=True)

    async def thaw(self, request: Request) -> Reply:
        """End that."""
        return await self._freeze(request, frozen=False)

    async def refuse_failover(self, request: Request) -> Reply:
        """Refuse a failover: no pool has a replica."""
        enforce(request)
        raise BadRequest("Invalid input received: There is no replica to fail over to.")


def _shown(version: Version) -> Type:
    fields = {
        "binary": TEXT,
        "host": TEXT,
        "zone": TEXT,
        "status": types.enum("enabled", "disabled"),
        "state": types.enum("up", "down"),
        "updated_at": MOMENT,
        "disabled_reason": TEXT_OR_NULL,
    }
    of_pools: dict[str, Type] = {
        "replication_status": TEXT,
        "active_backend_id": TEXT_OR_NULL,
        "frozen": FLAG,
    }
    if at_least(version, "3.49"):
        of_pools["backend_state"] = TEXT
    if at_least(version, "3.7"):
        fields["cluster"] = TEXT_OR_NULL
    return always(fields, of_pools)


_SWITCHED = always(
    {"host": TEXT, "service": TEXT, "binary": TEXT, "disabled": FLAG, "status": TEXT},
    {"disabled_reason": TEXT_OR_NULL},
)
_UPDATE = "volume_extension:services:update"


def services_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = ServiceHandlers(config)

    def put(name: str, handler: Any, rule: str, body: Type, summary: str, **more: Any) -> Route:
        return Route(
            "PUT",
            f"/v3/os-services/{name}",
            handler,
            rule=rule,
            body=body,
            summary=summary,
            **{"reply": NO_BODY, **more},
        )

    return Noun(
        name="service",
        rules=rules(
            {
                "volume_extension:services:index": ADMIN,
                _UPDATE: ADMIN,
                "volume:freeze_host": ADMIN,
                "volume:thaw_host": ADMIN,
                "volume:failover_host": ADMIN,
            }
        ),
        extensions=(Extension("os-services", "Services", "Services support."),),
        routes=(
            Route(
                "GET",
                "/v3/os-services",
                handlers.list_services,
                rule="volume_extension:services:index",
                reply=ByVersion(lambda version: named_list("services", _shown(version))),
                summary="List services",
            ),
            put("enable", handlers.enable, _UPDATE, _PAIR, "Enable a service", reply=_SWITCHED),
            put("disable", handlers.disable, _UPDATE, _PAIR, "Disable a service", reply=_SWITCHED),
            put(
                "disable-log-reason",
                handlers.disable,
                _UPDATE,
                _REASON,
                "Disable a service, and say why",
                reply=_SWITCHED,
            ),
            put("freeze", handlers.freeze, "volume:freeze_host", _ONE_HOST, "Freeze a pool"),
            put("thaw", handlers.thaw, "volume:thaw_host", _ONE_HOST, "Thaw a pool"),
            put(
                "failover_host",
                handlers.refuse_failover,
                "volume:failover_host",
                types.dict_of({}, additional=types.anything),
                "Refused: no pool has a replica",
                status=202,
            ),
        ),
    )
