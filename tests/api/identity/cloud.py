"""A seeded identity service in the test cloud, and clients that speak to it as somebody."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.api import cloud as one
from tests.asgi import Answer

from pileus.core.clock import ManualClock
from pileus.core.context import system_context
from pileus.services.identity.service import EndpointSeed, Identity, IdentitySettings, Seed
from pileus.store import Store

__all__ = ["DEFAULT", "PASSWORD", "Answer", "Client", "Cloud", "cloud", "run"]

PASSWORD = "correct horse"
DEFAULT = "default"


class Client(one.Client):
    """Speaks to the identity API, with a token or without."""

    prefix = "/identity"
    usual: ClassVar = {"host": "cloud:5000"}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request(method, path, body, named)

    async def make(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create one, by its name in the singular."""
        made = await self("POST", f"/v3/{kind}s", {kind: values})
        assert made.status == 201, made
        found: dict[str, Any] = made.json[kind]
        return found


class Cloud(one.Cloud):
    """The service, its parts, and people."""

    anyone: Client
    admin: Client

    @property
    def identity(self) -> Identity:
        return self.faces["identity"]  # type: ignore[no-any-return]

    async def begin(self) -> None:
        """Seed, and log ``admin`` in to his project."""
        self.anyone = Client(self.app)
        seed = Seed(
            endpoints=(
                EndpointSeed("identity", "keystone", "http://cloud:5000/identity"),
                EndpointSeed("network", "neutron", "http://cloud:5000/networking"),
                EndpointSeed("volumev3", "cinder", "http://cloud:5000/volume/v3/$(project_id)s"),
            ),
            password_hash=await self.identity.passwords.hash(PASSWORD),
        )
        await self.identity.seed(system_context(self.clock.now()), seed)
        self.admin = await self.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})

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

    async def as_(  # type: ignore[override]
        self, user: str = "admin", scope: Any = None, **more: Any
    ) -> Client:
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


def cloud(
    url: str,
    folder: Path,
    settings: IdentitySettings | None = None,
    rules: Mapping[str, str] | None = None,
) -> contextlib.AbstractAsyncContextManager[Cloud]:
    """A cloud on that database, seeded, with ``admin`` logged in to his project.

    ``rules`` are those that an operator has overridden.
    """

    def faces(store: Store, clock: ManualClock) -> list[Identity]:
        return [Identity(store, folder / "token-keys", clock=clock, settings=settings)]

    return one.served(Cloud, url, faces, rules={"identity": rules or {}}, poll_s=0.2)


def run(
    url: str,
    folder: Path,
    story: Callable[[Cloud], Awaitable[None]],
    settings: IdentitySettings | None = None,
    rules: Mapping[str, str] | None = None,
) -> None:
    """Tell a story in a fresh loop."""
    one.play(cloud(url, folder, settings, rules), story)
