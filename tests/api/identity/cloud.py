"""A seeded identity service in process, and clients that speak to it as somebody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from tests.asgi import Answer, ask, encoded

from pileus.core.clock import ManualClock
from pileus.core.context import system_context
from pileus.policy import Policies
from pileus.services.identity.service import EndpointSeed, Identity, IdentitySettings, Seed
from pileus.store import Store
from pileus.web.app import App, create_app

PASSWORD = "correct horse"
DEFAULT = "default"
CLOSE_S = 10
STORY_S = 60


class Client:
    """Speaks ASGI to the app, with a token or without."""

    def __init__(self, app: App, token: str | None = None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {"host": "cloud:5000", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.token is not None:
            sent["x-auth-token"] = self.token
        return await ask(self.app, method, "/identity" + path, sent, [encoded(body)])

    async def make(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create one, by its name in the singular."""
        made = await self("POST", f"/v3/{kind}s", {kind: values})
        assert made.status == 201, made
        found: dict[str, Any] = made.json[kind]
        return found


class Cloud:
    """The service, its parts, and people."""

    def __init__(self, app: App, identity: Identity, store: Store, clock: ManualClock) -> None:
        self.app = app
        self.identity = identity
        self.store = store
        self.clock = clock
        self.anyone = Client(app)
        self.admin = self.anyone

    async def login(
        self, user: str = "admin", password: str = PASSWORD, scope: Any = None, **more: Any
    ) -> Answer:
        """POST /v3/auth/tokens; ``user`` is a name in the default domain unless ``more`` says an id."""
        self.clock.advance(0.001)
        who = more or {"name": user, "domain": {"id": DEFAULT}}
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": {**who, "password": password}}}
        }
        if scope is not None:
            auth["scope"] = scope
        return await self.anyone("POST", "/v3/auth/tokens", {"auth": auth})

    async def as_(self, user: str = "admin", scope: Any = None, **more: Any) -> Client:
        """A client with that person's token."""
        answer = await self.login(user, scope=scope, **more)
        assert answer.status == 201, answer
        return Client(self.app, answer.token)

    async def rescope(self, token: str, scope: Any) -> Answer:
        self.clock.advance(0.001)
        auth = {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}
        return await self.anyone("POST", "/v3/auth/tokens", {"auth": auth})

    async def role(self, name: str) -> str:
        """A seeded role's id."""
        found = (await self.admin("GET", f"/v3/roles?name={name}")).json["roles"]
        return str(found[0]["id"])

    async def person(self, name: str, *roles: str, project: dict[str, Any] | None = None) -> Client:
        """Somebody new in the default domain, with roles in a project (his own unless given)."""
        project = project or await self.admin.make("project", name=f"{name}'s")
        user = await self.admin.make("user", name=name, password=PASSWORD)
        for role in roles:
            path = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{await self.role(role)}"
            assert (await self.admin("PUT", path)).status == 204
        scope = {"project": {"id": project["id"]}} if roles else None
        return await self.as_(name, scope=scope)


@contextlib.asynccontextmanager
async def cloud(
    url: str,
    folder: Path,
    settings: IdentitySettings | None = None,
    rules: Mapping[str, str] | None = None,
) -> AsyncIterator[Cloud]:
    """A cloud on that database, seeded, with ``admin`` logged in to his project.

    ``rules`` are those that an operator has overridden.
    """
    clock = ManualClock()
    store = await Store.open(url, poll_s=0.2)
    try:
        identity = Identity(store, folder / "token-keys", clock=clock, settings=settings)
    except BaseException:
        await store.close()
        raise
    try:
        seed = Seed(
            endpoints=(
                EndpointSeed("identity", "keystone", "http://cloud:5000/identity"),
                EndpointSeed("network", "neutron", "http://cloud:5000/networking"),
                EndpointSeed("volumev3", "cinder", "http://cloud:5000/volume/v3/$(project_id)s"),
            ),
            password_hash=await identity.passwords.hash(PASSWORD),
        )
        await identity.seed(system_context(clock.now()), seed)
        app = create_app(
            [identity.service],
            store=store,
            authenticator=identity.authenticator,
            policy=Policies({"identity": identity.service.rules}, {"identity": dict(rules or {})}),
            clock=clock,
        )
        made = Cloud(app, identity, store, clock)
        made.admin = await made.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})
        yield made
    finally:
        await identity.close()
        # A close that hangs may swallow the cancellation of its timeout: ask the timeout itself.
        async with asyncio.timeout(CLOSE_S) as limit:
            await store.close()
        assert not limit.expired(), f"closing the store hung for {CLOSE_S} s"


def run(
    url: str,
    folder: Path,
    story: Callable[[Cloud], Awaitable[None]],
    settings: IdentitySettings | None = None,
    rules: Mapping[str, str] | None = None,
) -> None:
    """Tell a story in a fresh loop."""

    async def tell() -> None:
        async with asyncio.timeout(STORY_S) as limit, cloud(url, folder, settings, rules) as one:
            await story(one)
        assert not limit.expired(), f"the story hung for {STORY_S} s"

    asyncio.run(tell())
