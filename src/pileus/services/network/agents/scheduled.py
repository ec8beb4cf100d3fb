"""Agent schedulers of the API (seed 003): which agents of a kind serve which networks or routers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Table, select

from pileus.core.context import Context
from pileus.policy import Rule
from pileus.resource import types
from pileus.resource.declaration import Resource
from pileus.services.network.agents.resource import AgentNotFound
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.bodies import body_of, text_named
from pileus.services.network.common.policy import ADMIN, rules
from pileus.store.tx import Tx
from pileus.web.crud import find, list_page
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

Unit = Callable[[Tx, Context, str, str], None]
"""``(tx, context, agent id, id of what it serves)``."""


About = Callable[[Tx, Context, str], Callable[[dict[str, Any]], dict[str, Any]]]


class Scheduler(NamedTuple):
    """The scheduler of agents of a ``kind`` (``dhcp``, ``l3``): they serve something by rows of ``bindings``.

    ``parameter`` is the id's name in the path of what is served.
    """

    kind: str
    served: Resource
    parameter: str
    bindings: Table
    bind: Unit
    unbind: Unit
    about: About | None = None
    """``(tx, context, id of what is served) -> agent's view -> the same with what its list says besides``."""

    @property
    def key(self) -> str:
        return f"{self.served.name}_id"

    @property
    def word(self) -> str:
        return f"{self.kind}-{self.served.name}"

    def rules(self) -> tuple[Rule, ...]:
        """The rules of the four requests."""
        names = (f"create_{self.word}", f"get_{self.word}s", f"delete_{self.word}", f"get_{self.kind}-agents")
        return rules(dict.fromkeys(names, ADMIN))

    def routes(self, agent: Resource) -> tuple[Route, ...]:
        """The four requests; ``agent`` is the declaration of agents."""
        of_agent = f"/v2.0/agents/{{agent_id}}/{self.word}s"
        of_served = f"/v2.0/{self.served.collection}/{{{self.parameter}}}/{self.kind}-agents"
        name = f"{self.kind.upper()} agent"
        noun = self.served.name
        return (
            Route(
                "POST",
                of_agent,
                self._add(),
                rule=f"create_{self.word}",
                body=text_named(self.key, types.uuid),
                reply=types.null,
                status=201,
                summary=f"Add a {noun} to an agent ({name})",
            ),
            self._list(of_agent, self.served, f"get_{self.word}s", f"List {noun}s of an agent ({name})"),
            Route(
                "DELETE",
                f"{of_agent}/{{{self.key}}}",
                self._remove(),
                rule=f"delete_{self.word}",
                status=204,
                summary=f"Remove a {noun} from an agent ({name})",
            ),
            self._list(of_served, agent, f"get_{self.kind}-agents", f"List agents of a {noun} ({name})"),
        )

    def _add(self) -> Handler:
        def unit(tx: Tx, request: Request, served_id: str) -> None:
            find(tx, request, self.served, served_id)
            self.bind(tx, request.context, request.path["agent_id"], served_id)

        async def add(request: Request) -> Reply:
            request.authorise(f"create_{self.word}")
            await request.write(unit, request, body_of(request)[self.key])
            return Reply.json(None, 201)

        return add

    def _remove(self) -> Handler:
        async def remove(request: Request) -> Reply:
            request.authorise(f"delete_{self.word}")
            at = request.path
            await request.write(self.unbind, request.context, at["agent_id"], at[self.key])
            return Reply.empty()

        return remove

    def _list(self, path: str, listed: Resource, rule: str, summary: str) -> Route:
        """A list of what an agent serves, or of the agents that serve something."""
        of, other = self.bindings.c.agent_id, self.bindings.c[self.key]
        if listed is not self.served:
            of, other = other, of

        async def handler(request: Request) -> Reply:
            request.authorise(rule)
            agent_id = request.path.get("agent_id")
            named = agent_id or request.path[self.parameter]
            bound = select(other).where(of == named)
            about = self.about if agent_id is None else None
            return await _list_where(request, listed, listed.columns["id"].in_(bound), agent_id, about)

        return Route("GET", path, handler, resource=listed, action="list", rule=rule, summary=summary)


async def _list_where(
    request: Request,
    resource: Resource,
    where: ColumnElement[Any],
    agent_id: str | None,
    about: About | None,
) -> Reply:
    """A list as usual, narrowed by ``where``; AgentNotFound where an agent is named that is not there."""
    listing = request.dialect.listing(request, resource)
    listing.where.append(where)

    def page(tx: Tx) -> list[bytes]:
        if agent_id is not None and tx.first(select(agents.c.id).where(agents.c.id == agent_id)) is None:
            raise AgentNotFound(id=agent_id)
        if about is None:
            return list_page(tx, request, resource, listing)
        tell = about(tx, request.context, next(iter(request.path.values())))
        return list_page(tx, request, resource, listing, lambda _, __, view: tell(view))

    return Reply.chunks(await request.read(page))
