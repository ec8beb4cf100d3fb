"""Consoles of servers."""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.consoles.pages import ASSETS_PATH, asset_file, serial_page, vnc_page
from pileus.services.compute.consoles.requests import (
    PATHS,
    REMOTE,
    REMOTE_BODY,
    RULE,
    SERIAL_PATH,
    TOKEN,
    TOKEN_RULE,
    VNC_PATH,
    ConsoleHandlers,
)
from pileus.services.compute.consoles.sockets import console_socket
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, PREFIX, rules
from pileus.services.compute.servers.host_questions import OpenStream
from pileus.web.noun import Noun
from pileus.web.routes import NO_BODY, Route
from pileus.web.sockets import Socket


def consoles_noun(handlers: ConsoleHandlers, open_stream: OpenStream) -> Noun:
    """The noun; ``open_stream`` asks a host for a console."""
    return Noun(
        name="console",
        rules=rules(
            {RULE.removeprefix(PREFIX): ADMIN_OR_MEMBER, TOKEN_RULE.removeprefix(PREFIX): ADMIN},
        ),
        extensions=(
            Extension("os-consoles", "Consoles", "Interactive consoles of servers."),
            Extension("os-remote-consoles", "Consoles", "Interactive consoles of servers."),
            Extension("os-console-auth-tokens", "ConsoleAuthTokens", "Console token authentication support."),
        ),
        routes=(
            Route(
                "POST",
                "/v2.1/servers/{id}/remote-consoles",
                handlers.create,
                body=REMOTE_BODY,
                reply=REMOTE,
                rule=RULE,
                versions=("2.6", ""),
                summary="Give an address of a console",
            ),
            Route(
                "GET",
                "/v2.1/os-console-auth-tokens/{id}",
                handlers.show_token,
                reply=TOKEN,
                rule=TOKEN_RULE,
                summary="Show what a console token is for",
            ),
            *(
                Route(
                    "GET", path, page, authenticated=False, body=NO_BODY, reply=types.binary, summary=summary
                )
                for path, page, summary in (
                    (VNC_PATH, vnc_page, "The page of a display"),
                    (SERIAL_PATH, serial_page, "The page of a serial line"),
                    (f"{ASSETS_PATH}/{{+file}}", asset_file, "A file that the pages of consoles need"),
                )
            ),
        ),
        sockets=tuple(Socket(path, console_socket(kind, open_stream)) for kind, path in PATHS.items()),
    )
