"""Questions to the hosts of servers: a console's log, a machine's counters. A question changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pileus.core.errors import Conflict
from pileus.core.ids import new_id
from pileus.core.streams import ByteStream
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.lookup import find_server
from pileus.store.tx import Tx
from pileus.web.request import Request
from pileus.wire import scopes
from pileus.wire.questions import Answer, Question

Ask = Callable[[str, Question, float], Awaitable[Answer]]
"""``(scope, question, seconds) -> answer``; raises Unavailable where nobody answers."""


class OpenStream(Protocol):
    """Asks a host for a stream; raises Unavailable where nobody answers, or with the host's reason."""

    async def __call__(self, host: str, scope: str, kind: str, **arguments: Any) -> ByteStream: ...


TIMEOUT_S = 10.0


class InstanceNotReady(Conflict):
    message = "Instance {id} is not ready"


class NoAnswer(Conflict):
    message = "The host of instance {id} could not answer: {reason}"


def placed_server(tx: Tx, request: Request) -> Values:
    """Find the server of the path. Raises InstanceNotReady where it has no machine on a host yet."""
    server = find_server(tx, request)
    if server["host"] is None or server["vm_state"] == states.BUILDING:
        raise InstanceNotReady(id=server["id"])
    return server


class HostQuestions:
    """Asks the hosts of servers."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def ask(self, server: Values, kind: str, **arguments: Any) -> dict[str, Any]:
        """Ask the server's host. Raises NoAnswer where it could not answer, Unavailable where it does not."""
        question = Question(new_id(), kind, {"server_id": server["id"], **arguments})
        answer = await self._ask(scopes.hypervisor(server["host"]), question, TIMEOUT_S)
        if answer.error is not None:
            raise NoAnswer(id=server["id"], reason=answer.error)
        return answer.result
