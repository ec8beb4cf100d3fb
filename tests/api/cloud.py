"""The test cloud: an app in this process over a fresh database, spoken to as somebody.

``served`` puts it together of the faces of those services that a test wants, as the server's process does.
Each room of tests adds to ``Cloud`` its service's address and the steps that its stories share.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from tests import databases
from tests.asgi import Answer, ask, encoded

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.core.errors import Unauthenticated
from pileus.policy import Policies
from pileus.store import Store
from pileus.web.app import App, create_app
from pileus.web.face import ServiceFace, all_answers

CLOSE_S = 30
STORY_S = 300

P1, P2, P3 = "1" * 32, "2" * 32, "3" * 32
_THEN = ManualClock().now()
PEOPLE = {
    "admin": Context(
        now=_THEN, user_id="u0", project_id=P2, roles=("admin", "member", "reader"), is_admin=True
    ),
    "alice": Context(now=_THEN, user_id="u1", project_id=P1, roles=("member", "reader")),
    "bob": Context(now=_THEN, user_id="u2", project_id=P2, roles=("member", "reader")),
    "reader": Context(now=_THEN, user_id="u3", project_id=P1, roles=("reader",)),
    "manager": Context(now=_THEN, user_id="u4", project_id=P1, roles=("manager", "member", "reader")),
    "netadmin": Context(now=_THEN, user_id="u5", project_id=P1, roles=("netadmin", "reader")),
    "service": Context(now=_THEN, user_id="u7", project_id=P2, roles=("service", "reader"), is_service=True),
    "itsec": Context(now=_THEN, user_id="u6", project_id=P2, roles=("itsec",)),
}
"""Who speaks, by the token: where no identity service is among those that are served."""

MakeFaces = Callable[[Store, ManualClock], Sequence[ServiceFace]]


class Node(NamedTuple):
    """A node that has shown its token."""

    host: str


class Client:
    """Speaks ASGI to the app with a token, or without."""

    prefix: ClassVar[str] = ""
    usual: ClassVar[Mapping[str, str]] = {"host": "cloud", "content-type": "application/json"}

    def __init__(self, app: App, token: str | None = None) -> None:
        self.app, self.token = app, token

    def usual_headers(self, method: str) -> dict[str, str]:
        """The headers of each request, to which a test may add."""
        return {**self.usual, **({"x-auth-token": self.token} if self.token else {})}

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        data: Iterable[bytes | None] | None = None,
        leave_after: int | None = None,
    ) -> Answer:
        """One request. ``data`` is an upload in parts; ``leave_after`` that many parts of the reply the
        client is gone."""
        sent = {**self.usual_headers(method), **(headers or {})}
        parts = [encoded(body)] if data is None else data
        return await ask(self.app, method, self.prefix + path, sent, parts, leave_after=leave_after)


class Cloud(Client):
    """The app, what it is made of, and the person who speaks; ``cloud.as_("admin")`` is another.

    ``wire`` answers agents' calls by their names.
    """

    def __init__(self, app: App, store: Store, clock: ManualClock, faces: Sequence[ServiceFace]) -> None:
        super().__init__(app, "alice")
        self.store, self.clock = store, clock
        self.faces: dict[str, Any] = {face.service.type: face for face in faces}
        self.wire = all_answers(faces, store)

    async def begin(self) -> None:
        """Make what stories find there."""

    def as_(self, token: str) -> Self:
        other = copy.copy(self)
        other.token = token
        return other

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Answer:
        return await self.request(method, path, body, headers, **more)


C = TypeVar("C", bound=Cloud)


@contextlib.asynccontextmanager
async def served(
    kind: type[C],
    url: str,
    make_faces: MakeFaces,
    *,
    people: Mapping[str, Context] = PEOPLE,
    rules: Mapping[str, Mapping[str, str]] | None = None,
    poll_s: float = 1.0,
) -> AsyncIterator[C]:
    """A cloud of these services over the database at ``url``.

    Tokens are those of identity where it is one of them, else names of ``people``. ``rules`` are those that
    an operator has overridden, by service.
    """

    async def by_name(token: str) -> Context:
        if token not in people:
            raise Unauthenticated
        return people[token]

    clock = ManualClock()
    faces: Sequence[ServiceFace] = ()
    store = await Store.open(url, clock=clock, poll_s=poll_s)
    try:
        faces = make_faces(store, clock)
        services = [face.service for face in faces]
        identity: Any = next((face for face in faces if face.service.type == "identity"), None)
        app = create_app(
            services,
            store=store,
            authenticator=by_name if identity is None else identity.authenticator,
            policy=Policies({service.type: service.rules for service in services}, rules or {}),
            clock=clock,
        )
        cloud = kind(app, store, clock, faces)
        await cloud.begin()
        yield cloud
    finally:
        for face in reversed(faces):
            await face.close()
        # A close that hangs may swallow the cancellation of its timeout: ask the timeout itself.
        async with asyncio.timeout(CLOSE_S) as limit:
            await store.close()
        assert not limit.expired(), f"closing the store hung for {CLOSE_S} s"


def play(opened: contextlib.AbstractAsyncContextManager[C], story: Callable[[C], Awaitable[None]]) -> None:
    """Tell a story in a fresh loop."""

    async def main() -> None:
        async with asyncio.timeout(STORY_S) as limit, opened as cloud:
            await story(cloud)
        assert not limit.expired(), f"the story hung for {STORY_S} s"

    asyncio.run(main())


def tell_on(
    kind: str,
    folder: Path,
    opened: Callable[[str], contextlib.AbstractAsyncContextManager[C]],
    story: Callable[[C], Awaitable[None]],
) -> None:
    """Tell a story on a fresh database of one kind."""
    with databases.fresh(kind, folder) as url:
        play(opened(url), story)
