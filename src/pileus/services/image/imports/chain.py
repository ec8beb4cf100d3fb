"""An import as a chain: fetch the data into the store, then make the image active.

What is staged lies in the store already, so its import has nothing to fetch. An import that fails leaves the
image as it was before, and its task says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from pileus.core.context import Context
from pileus.core.errors import Fault, Kind
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.image.config import ImageConfig
from pileus.services.image.data.facts import Facts
from pileus.services.image.data.handlers import ImageData
from pileus.services.image.data.work import IMPORTING, import_finish, upload_undo
from pileus.services.image.errors import ImageGone
from pileus.services.image.images.resource import BASE, IMAGE
from pileus.services.image.images.tables import images
from pileus.services.image.imports.fetching import Fetcher, FetchFailed, document
from pileus.services.image.imports.methods import GLANCE, Import
from pileus.services.image.tasks.resource import FAILURE, SUCCESS
from pileus.services.image.tasks.work import task_begin, task_end
from pileus.store import Store
from pileus.store.tx import Tx

_TAKEN_PREFIXES = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
"""Properties that come along with an image of another cloud, as Glance's setting has them."""


class DownloadTooSlow(Fault):
    """The data did not come in the time that a setting gives it."""

    kind = Kind.INVALID
    message = "The data did not come within {seconds:g} s."


FindEndpoint = Callable[[str, str], Awaitable[str | None]]
"""``(region, interface)``: the address of the image service there, None where the catalog has none."""


class Parts(NamedTuple):
    """The tools of the steps. ``tokens`` are those of the callers of imports that need one, by operation;
    they are in no row, so an import that outlives its process can't go on with one."""

    store: Store
    data: ImageData
    config: ImageConfig
    fetcher: Fetcher
    find_endpoint: FindEndpoint
    tokens: dict[str, str]


async def _fetch(context: Context, operation: Any, parts: Parts) -> dict[str, Any]:
    """Fetch the data. It may be done twice: what was written before is written anew."""
    data = operation.data
    await parts.store.write(task_begin, context, data["task_id"])
    wanted = msgspec.convert(data["import"], Import)
    try:
        async with asyncio.timeout(parts.config.import_within_s):
            taken, pieces = await _source(operation.id, wanted, parts)
            facts = await parts.data.take(parts.store, data["image_id"], data["object"], pieces)
    except TimeoutError:
        raise DownloadTooSlow(seconds=parts.config.import_within_s) from None
    return {**data, "facts": msgspec.to_builtins(facts), "taken": taken}


async def _source(
    operation_id: str, wanted: Import, parts: Parts
) -> tuple[dict[str, str], AsyncGenerator[bytes, None]]:
    """The attributes and properties that come along with the data, and the data."""
    if wanted.method != GLANCE:
        return {}, parts.fetcher.pieces(wanted.uri)
    endpoint = await parts.find_endpoint(wanted.region, wanted.interface)
    if endpoint is None:
        raise FetchFailed(f"There is no image service in region {wanted.region} ({wanted.interface}).")
    token = parts.tokens.get(operation_id)
    if token is None:
        raise FetchFailed("The server was restarted, and the token of the import is gone. Begin it again.")
    url = f"{endpoint.rstrip('/').removesuffix('/v2')}/v2/images/{wanted.image_id}"
    image = await document(parts.fetcher.trusted(url, token))
    if image.get("status") != "active":
        raise FetchFailed(f"Image {wanted.image_id} of region {wanted.region} is not active.")
    taken = {
        name: value
        for name, value in image.items()
        if isinstance(value, str)
        and (name in ("disk_format", "container_format") or name.startswith(_TAKEN_PREFIXES))
    }
    return taken, parts.fetcher.trusted(f"{url}/file", token)


async def _discard(context: Context, operation: Any, parts: Parts) -> None:
    await parts.data.delete(operation.data["object"])


def _finish(tx: Tx, context: Context, operation: Any, parts: Parts) -> None:
    """Make the image active, and end the task. Raises ImageGone or what ``import_finish`` raises."""
    data = operation.data
    found = fetch(tx, IMAGE, [data["image_id"]], [images.c.object == data["object"]], lock=True)
    if not found or found[0]["status"] != IMPORTING:
        raise ImageGone(id=data["image_id"])
    image = found[0]
    if data["taken"]:
        own = {name: value for name, value in data["taken"].items() if name in BASE}
        added = {name: value for name, value in data["taken"].items() if name not in BASE}
        changes = Values({**own, "properties": {**image["properties"], **added}})
        image = IMAGE.change(tx, context, [Update(image, changes)])[0]
    import_finish(tx, context, image, msgspec.convert(data["facts"], Facts), parts.config)
    task_end(tx, context, data["task_id"], SUCCESS, "", {"image_id": data["image_id"]})
    parts.tokens.pop(operation.id, None)


def _failed(tx: Tx, context: Context, operation: Any, parts: Parts) -> None:
    data = operation.data
    upload_undo(tx, context, data["image_id"], data["object"])
    task_end(tx, context, data["task_id"], FAILURE, operation.error or "", None)
    parts.tokens.pop(operation.id, None)


IMPORT_CHAIN = Chain(
    "image.import",
    (Step("fetch", _fetch, undo=_discard), Step("finish", _finish)),
    on_failed=_failed,
    timeout_s=lambda parts: 2 * parts.config.import_within_s,
)
