"""Asking for a console: ``remote-consoles``, the old actions, and what a token stands for.

Source: Compute API reference, "Server Consoles" and the actions ``os-getVNCConsole`` and so on; nova's
``api/openstack/compute/{remote_consoles,console_auth_tokens}.py`` for what is refused how.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

from pileus.core.errors import NotFound, Unauthenticated
from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, enforce, since, wrapped
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.consoles.tokens import token_create, token_find
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.replies import COUNT, TEXT, TEXT_OR_NULL, UUID, always, named
from pileus.services.compute.servers.host_questions import placed_server
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion

VNC_PATH, SERIAL_PATH = "/consoles/vnc", "/consoles/serial"
RULE = "os_compute_api:os-remote-consoles"
TOKEN_RULE = "os_compute_api:os-console-auth-tokens"  # noqa: S105 - a rule's name
_OLD = ("", "2.5")

PATHS = {"novnc": VNC_PATH, "serial": SERIAL_PATH}
"""Where the page of each type of console is that there is."""
CONSOLES = {"novnc": "vnc", "serial": "serial"}
"""The console of a machine behind each type."""
_TYPES = {
    "vnc": ("novnc", "xvpvnc"),
    "spice": ("spice-html5",),
    "rdp": ("rdp-html5",),
    "serial": ("serial",),
    "mks": ("webmks",),
}


class TypeUnavailable(BadRequest):
    message = "Unavailable console type {kind}."


class TypeInvalid(BadRequest):
    message = "Invalid console type {kind}"


class NoSuchToken(NotFound):
    message = "Token not found"


class TypeNotTold(Unauthenticated):
    message = "The requested console type details are not accessible"


class OldAction(NamedTuple):
    """An action of one protocol: its name, the protocol, a line of what it does."""

    name: str
    protocol: str
    summary: str


OLD_ACTIONS = (
    OldAction("os-getVNCConsole", "vnc", "Give an address of the display"),
    OldAction("os-getSPICEConsole", "spice", "Refuse SPICE, which is not here"),
    OldAction("os-getRDPConsole", "rdp", "Refuse RDP, which is not here"),
    OldAction("os-getSerialConsole", "serial", "Give an address of the serial line"),
)


def remote_body(version: Version) -> Type:
    """The body of POST remote-consoles."""
    protocols = [name for name in _TYPES if name != "mks" or at_least(version, "2.8")]
    kinds = [kind for name in protocols for kind in _TYPES[name]]
    fields = {"protocol": types.enum(*protocols), "type": types.enum(*kinds)}
    return wrapped("remote_console", fields, ("protocol", "type"))


REMOTE_BODY = ByVersion(remote_body)
REMOTE = named("remote_console", always({"protocol": TEXT, "type": TEXT, "url": TEXT}))
_CONSOLE = named("console", always({"type": TEXT, "url": TEXT}))
TOKEN = named(
    "console",
    always(
        {"instance_uuid": UUID, "host": TEXT_OR_NULL, "port": COUNT, "internal_access_path": TEXT_OR_NULL}
    ),
)


class ConsoleHandlers:
    """Handlers that give addresses of consoles."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def create(self, request: Request) -> Reply:
        """``POST /servers/{id}/remote-consoles``."""
        asked = declared_body(request)["remote_console"]
        protocol, kind = asked["protocol"], asked["type"]
        url = await self._address(request, protocol, kind)
        return Reply.json({"remote_console": {"protocol": protocol, "type": kind, "url": url}})

    def old(self, protocol: str) -> Any:
        """Make the handler of an old action."""

        async def handler(request: Request, argument: Any) -> Reply:
            url = await self._address(request, protocol, argument["type"])
            return Reply.json({"console": {"type": argument["type"], "url": url}})

        return handler

    async def _address(self, request: Request, protocol: str, kind: str) -> str:
        token = await request.write(_token, request, protocol, kind, self._config.console_token_lifetime_s)
        path = PATHS[kind]
        # As noVNC's own pages are called: some clients read where the socket is from this.
        inner = f"{request.prefix.lstrip('/')}{path}?token={token}"
        return f"{request.service_url}{path}?path={quote(inner, safe='')}"

    async def show_token(self, request: Request) -> Reply:
        """``GET /os-console-auth-tokens/{id}``, for administrators: whose console a token is for."""
        enforce(request)
        found = await request.read(token_find, request.path["id"], request.context.now)
        if found is None:
            raise NoSuchToken
        if not since(request, "2.31"):  # until then it told of RDP's consoles alone
            raise TypeNotTold
        # Consoles listen at no port: the way to them is through the server.
        shown = {"instance_uuid": found.id, "host": found.host, "port": 0, "internal_access_path": None}
        return Reply.json({"console": shown})


def _token(tx: Tx, request: Request, protocol: str, kind: str, lifetime_s: float) -> str:
    server = placed_server(tx, request)
    if kind not in _TYPES[protocol]:
        raise TypeInvalid(kind=kind)
    if kind not in PATHS:
        raise TypeUnavailable(kind=kind)
    return token_create(tx, request.context, server, kind, lifetime_s)


def console_actions(handlers: ConsoleHandlers) -> dict[str, Action]:
    """The actions by name; 2.6 has remote-consoles instead."""
    return {
        one.name: Action(
            types.dict_of({"type": types.enum(*_TYPES[one.protocol])}, required=("type",)),
            handlers.old(one.protocol),
            rule=RULE,
            versions=_OLD,
            reply=_CONSOLE,
            status=200,
            summary=one.summary,
        )
        for one in OLD_ACTIONS
    }
