"""The output of a server's serial console (Compute API reference, "Show Console Output")."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.resource.types import Type
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.replies import TEXT, named
from pileus.services.compute.servers.host_questions import HostQuestions, placed_server
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


def _parse_length(value: Any) -> int:
    if value is None:
        return -1
    return int(types.integer(-1).parse(value))


_LENGTH = Type("length", _parse_length, {"type": ["integer", "string", "null"]}, accepts_none=True)
_CONSOLE = types.dict_of({"length": _LENGTH})


class ConsoleOutputHandlers:
    """Handlers that ask the server's host."""

    def __init__(self, questions: HostQuestions) -> None:
        self._questions = questions

    async def show(self, request: Request, argument: Any) -> Reply:
        """The action ``os-getConsoleOutput``: the last lines of the serial console, or all that is kept."""
        server = await request.read(placed_server, request)
        length = argument.get("length", -1)
        result = await self._questions.ask(server, "console_log", length=length)
        return Reply.json({"output": result.get("output", "")})


def console_output_actions(questions: HostQuestions) -> dict[str, Action]:
    """The action by its name."""
    return {
        "os-getConsoleOutput": Action(
            _CONSOLE,
            ConsoleOutputHandlers(questions).show,
            rule="os_compute_api:os-console-output",
            reply=named("output", TEXT),
            status=200,
            summary="Show the last lines of the console",
        )
    }


CONSOLE_OUTPUT = Noun(
    name="server_console_output",
    rules=rules({"os-console-output": ADMIN_OR_MEMBER}),
    extensions=(Extension("os-console-output", "Console_output", "Console log output support."),),
)
