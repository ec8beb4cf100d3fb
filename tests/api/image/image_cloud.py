"""An image API in one process: an app over a fresh database and a folder, and people with fixed tokens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import databases
from tests.asgi import Answer, ask, encoded

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.core.errors import Unauthenticated
from pileus.policy import Policies
from pileus.services.image.service import FileStore, ImageConfig, Images
from pileus.store import Store
from pileus.web.app import App, create_app

P1, P2, P3 = "1" * 32, "2" * 32, "3" * 32
_THEN = ManualClock().now()
PEOPLE = {
    "admin": Context(
        now=_THEN, user_id="u0", project_id=P3, roles=("admin", "member", "reader"), is_admin=True
    ),
    "alice": Context(now=_THEN, user_id="u1", project_id=P1, roles=("member", "reader")),
    "bob": Context(now=_THEN, user_id="u2", project_id=P2, roles=("member", "reader")),
    "reader": Context(now=_THEN, user_id="u3", project_id=P1, roles=("reader",)),
}
PATCH = "application/openstack-images-v2.1-json-patch"
BINARY = "application/octet-stream"
HANG_UP = None
"""In place of a part of an upload: the client goes away here."""


class Cloud:
    """Speaks ASGI to the app as one person; ``cloud.as_("admin")`` is another."""

    def __init__(self, app: App, store: Store, images: Images, folder: Path, clock: ManualClock, token: str):
        self.app, self.store, self.images, self.folder = app, store, images, folder
        self.clock, self.token = clock, token

    def as_(self, token: str) -> Cloud:
        return Cloud(self.app, self.store, self.images, self.folder, self.clock, token)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: Iterable[bytes | None] | None = None,
        headers: Mapping[str, str] | None = None,
        leave_after: int | None = None,
    ) -> Answer:
        """One request. ``data`` is an upload in parts; ``leave_after`` that many parts of the reply the
        client is gone."""
        sent = {"host": "cloud", "content-type": "application/json", "accept": "application/json"}
        if self.token:
            sent["x-auth-token"] = self.token
        if data is not None:
            sent["content-type"] = BINARY
        if method == "PATCH":
            sent["content-type"] = PATCH
        parts = [encoded(body)] if data is None else data
        address = "/image" + path
        return await ask(
            self.app, method, address, {**sent, **(headers or {})}, parts, leave_after=leave_after
        )

    async def make(self, data: bytes | None = None, **values: Any) -> dict[str, Any]:
        """Create an image (raw in bare unless said), with data if given; only success is taken."""
        body = {"disk_format": "raw", "container_format": "bare", **values}
        answer = await self("POST", "/v2/images", body)
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json
        if data is not None:
            put = await self.upload(made["id"], [data])
            assert put.status == 204, put
            made = (await self("GET", f"/v2/images/{made['id']}")).json
        return made

    async def upload(self, image_id: str, data: Iterable[bytes | None], **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self("PUT", f"/v2/images/{image_id}/file", data=data, headers=named)

    async def patch(self, image_id: str, *changes: Mapping[str, Any]) -> Answer:
        return await self("PATCH", f"/v2/images/{image_id}", list(changes))

    async def ids(self, query: str = "") -> list[str]:
        """The ids of a list, in its order."""
        answer = await self("GET", f"/v2/images{query}")
        assert answer.status == 200, answer
        return [image["id"] for image in answer.json["images"]]

    def files(self) -> list[str]:
        """What lies in the store, whole or half."""
        return sorted(
            f"{path.parent.name}/{path.name.split('.')[0]}"
            for part in ("data", "incoming")
            for path in (self.folder / part).iterdir()
        )


async def _authenticate(token: str) -> Context:
    if token not in PEOPLE:
        raise Unauthenticated
    return PEOPLE[token]


@contextlib.asynccontextmanager
async def cloud(url: str, folder: Path, config: ImageConfig | None = None) -> AsyncIterator[Cloud]:
    """The app over the database at ``url``, spoken to by alice, a member of P1."""
    clock = ManualClock()
    images = Images(FileStore(folder), b"k" * 32, config or ImageConfig(), clock)
    store = await Store.open(url, clock=clock)
    try:
        await images.start(store)
        app = create_app(
            [images.service],
            store=store,
            authenticator=_authenticate,
            policy=Policies({images.service.type: images.service.rules}, {}),
            clock=clock,
        )
        yield Cloud(app, store, images, folder, clock, "alice")
    finally:
        await store.close()
        await images.close()


Story = Callable[[Cloud], Awaitable[None]]


def tell(story: Story, folder: Path, kind: str = "sqlite", config: ImageConfig | None = None) -> None:
    """Run a story on a fresh database of one kind."""

    async def main(url: str) -> None:
        async with cloud(url, folder / "images", config) as api:
            await asyncio.wait_for(story(api), 120)

    with databases.fresh(kind, folder) as url:
        asyncio.run(main(url))
