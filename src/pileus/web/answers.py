"""Calls of agents that a service answers: a row for each, made into what the bus takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.errors import Forbidden
from pileus.store import Store
from pileus.wire.calls import Call


class Node(Protocol):
    """Who asks: a node that has shown its token."""

    @property
    def host(self) -> str:
        """The host that the token is for."""
        ...


class NotYourHost(Forbidden):
    """A node speaks for another host than its own."""

    message = "A node may speak for its own host only, not for {host}."


Handler = Callable[[Any, Any], Awaitable[msgspec.Struct]]
"""``async (request, node) -> reply``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call is answered: with a unit of work that gets the request.

    A unit that writes is ``(tx, context, request)``, one that reads ``(tx, request)``. The request
    names its ``host``, which must be that of the node that asks. With ``then`` the unit returns the reply
    and something more, which ``then`` is given once it is committed.
    """

    call: Call[Any, Any]
    unit: Callable[..., Any]
    writes: bool = False
    then: Callable[[Any], None] | None = None


def handlers(answers: Iterable[Answer], store: Store, clock: Clock) -> dict[str, Handler]:
    """The handlers by the names of their calls. Raises ValueError where two answer one call."""
    made: dict[str, Handler] = {}
    for answer in answers:
        if answer.call.name in made:
            raise ValueError(f"{answer.call.name} is answered twice")
        made[answer.call.name] = _handler(answer, store, clock)
    return made


def _handler(answer: Answer, store: Store, clock: Clock) -> Handler:
    unit = answer.unit

    async def handler(request: Any, node: Node) -> msgspec.Struct:
        if request.host != node.host:
            raise NotYourHost(host=request.host)
        if answer.then is not None:
            reply, outcome = await store.write(unit, system_context(clock.now()), request)
            answer.then(outcome)
            return cast("msgspec.Struct", reply)
        if answer.writes:
            return cast("msgspec.Struct", await store.write(unit, system_context(clock.now()), request))
        return cast("msgspec.Struct", await store.read(unit, request))

    return handler
