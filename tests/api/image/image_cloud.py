"""The image API in the test cloud, over a folder of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from tests.api import cloud as one
from tests.api.cloud import P1, P2, P3
from tests.asgi import Answer

from pileus.core.clock import ManualClock
from pileus.services.image.service import FileStore, ImageConfig, Images
from pileus.store import Store

__all__ = ["BINARY", "HANG_UP", "P1", "P2", "P3", "PATCH", "PEOPLE", "Cloud", "cloud", "tell"]

PEOPLE = {**one.PEOPLE, "admin": msgspec.structs.replace(one.PEOPLE["admin"], project_id=P3)}
"""The administrator is of a project in which nobody else is."""
PATCH = "application/openstack-images-v2.1-json-patch"
BINARY = "application/octet-stream"
HANG_UP = None
"""In place of a part of an upload: the client goes away here."""


class Cloud(one.Cloud):
    """Speaks to the image API."""

    prefix = "/image"
    folder: Path

    @property
    def images(self) -> Images:
        return self.faces["image"]  # type: ignore[no-any-return]

    async def begin(self) -> None:
        await self.images.start(self.store)

    def usual_headers(self, method: str) -> dict[str, str]:
        sent = {**super().usual_headers(method), "accept": "application/json"}
        return {**sent, "content-type": PATCH} if method == "PATCH" else sent

    async def __call__(  # type: ignore[override] # a test speaks to one service, and has its words
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        data: Iterable[bytes | None] | None = None,
        leave_after: int | None = None,
    ) -> Answer:
        """One request; an upload is of bytes unless the headers say otherwise."""
        said = headers or {}
        if data is not None and method != "PATCH":
            said = {"content-type": BINARY, **said}
        return await self.request(method, path, body, said, data=data, leave_after=leave_after)

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


@contextlib.asynccontextmanager
async def cloud(url: str, folder: Path, config: ImageConfig | None = None) -> AsyncIterator[Cloud]:
    """Images over the database at ``url``, spoken to by alice, a member of P1."""

    def faces(store: Store, clock: ManualClock) -> list[Images]:
        return [Images(FileStore(folder), b"k" * 32, config or ImageConfig(), clock)]

    async with one.served(Cloud, url, faces, people=PEOPLE) as made:
        made.folder = folder
        yield made


Story = Callable[[Cloud], Awaitable[None]]


def tell(story: Story, folder: Path, kind: str = "sqlite", config: ImageConfig | None = None) -> None:
    """Run a story on a fresh database of one kind."""
    one.tell_on(kind, folder, lambda url: cloud(url, folder / "images", config), story)
