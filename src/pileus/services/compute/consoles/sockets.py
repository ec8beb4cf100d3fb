"""The WebSocket of a console: from the browser through this server to the server's host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pileus.core import log
from pileus.core.errors import Fault
from pileus.core.streams import relay
from pileus.services.compute.consoles.requests import CONSOLES
from pileus.services.compute.consoles.tokens import token_find
from pileus.services.compute.servers.host_questions import OpenStream
from pileus.web.sockets import Opening
from pileus.wire import scopes

_log = log.get("compute.consoles")


def console_socket(kind: str, open_stream: OpenStream) -> Callable[[Opening], Awaitable[None]]:
    """Make what serves sockets of one type of console: it looks at the token, asks the host, passes on."""

    async def serve(opening: Opening) -> None:
        token = opening.parameter("token") or ""
        found = await opening.read(token_find, token, opening.clock.now())
        if found is None or found.type != kind:
            return
        facts = {"server": found.id, "host": found.host, "type": kind, "user": found.user_id}
        try:
            console = await open_stream(
                found.host,
                scopes.hypervisor(found.host),
                "console",
                server_id=found.id,
                console=CONSOLES[kind],
            )
        except Fault as fault:
            _log.warning("a console could not be opened", reason=fault.text, **facts)
            return
        try:
            browser = await opening.accept()
        except BaseException:
            await console.close()
            raise
        _log.info("a console is open", **facts)
        await relay(browser, console)
        _log.info("a console is closed", **facts)

    return serve
