"""Metadata of volumes and of snapshots: the six requests that both have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.replies import TEXT_BY_KEY, named
from pileus.services.volume.api import METADATA, merged
from pileus.services.volume.errors import BadRequest
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

Find = Callable[..., Values]
"""``(tx, request, lock=…)``: the thing that the path names, or a refusal."""
Change = Callable[..., Any]
"""``(tx, context, thing, metadata=…)``: write it."""
Items = Callable[[dict[str, str]], dict[str, str]]

_ALL = types.dict_of({"metadata": METADATA}, required=("metadata",))
_ITEM = types.dict_of({"meta": METADATA}, required=("meta",))
_ITEMS, _ONE_ITEM = named("metadata", TEXT_BY_KEY), named("meta", TEXT_BY_KEY)


class MetadataNotFound(NotFound):
    message = "{id} has no metadata with key {key}."


class MetadataHandlers:
    """Handlers about one kind of thing."""

    def __init__(self, find: Find, change: Change) -> None:
        self._find, self._change = find, change

    def _read(self, tx: Tx, request: Request) -> dict[str, str]:
        return dict(self._find(tx, request)["metadata"])

    def _write(self, tx: Tx, request: Request, made: Items) -> dict[str, str]:
        thing = self._find(tx, request, lock=True)
        wanted = made(dict(thing["metadata"]))
        self._change(tx, request.context, thing, metadata=wanted)
        return wanted

    async def list_items(self, request: Request) -> Reply:
        """List all items."""
        return Reply.json({"metadata": await request.read(self._read, request)})

    async def add_items(self, request: Request) -> Reply:
        """Add these items to the others."""
        wanted = declared_body(request)["metadata"]
        made = await request.write(self._write, request, lambda now: merged(now, wanted))
        return Reply.json({"metadata": {key: made[key] for key in wanted}})

    async def replace_items(self, request: Request) -> Reply:
        """Replace all items by these."""
        wanted = declared_body(request)["metadata"]
        return Reply.json({"metadata": await request.write(self._write, request, lambda _: wanted)})

    async def show_item(self, request: Request) -> Reply:
        """Show one item."""
        items, key = await request.read(self._read, request), request.path["key"]
        if key not in items:
            raise MetadataNotFound(id=request.path["id"], key=key)
        return Reply.json({"meta": {key: items[key]}})

    async def set_item(self, request: Request) -> Reply:
        """Set one item, which the path names and the body holds."""
        wanted = declared_body(request)["meta"]
        if request.path["key"] not in wanted:
            raise BadRequest("Request body and URI mismatch")
        if len(wanted) > 1:
            raise BadRequest("Request body contains too many items")
        await request.write(self._write, request, lambda now: merged(now, wanted))
        return Reply.json({"meta": wanted})

    async def delete_item(self, request: Request) -> Reply:
        """Remove one item."""
        key = request.path["key"]

        def without(now: dict[str, str]) -> dict[str, str]:
            if key not in now:
                raise MetadataNotFound(id=request.path["id"], key=key)
            return {name: text for name, text in now.items() if name != key}

        await request.write(self._write, request, without)
        return Reply.empty(200)


def metadata_routes(
    path: str, find: Find, change: Change, words: str, *, get: str, create: str, update: str, delete: str
) -> tuple[Route, ...]:
    """The routes below ``path`` (``/v3/volumes/{id}``); ``get`` and the others are the policy's rules."""
    handlers = MetadataHandlers(find, change)
    every, one = f"{path}/metadata", f"{path}/metadata/{{key}}"

    def route(method: str, at: str, handler: Any, rule: str, summary: str, **more: Any) -> Route:
        return Route(method, at, handler, rule=rule, summary=f"{summary} of {words}", **more)

    item = "an item of metadata"
    return (
        route("GET", every, handlers.list_items, get, "List metadata", reply=_ITEMS),
        route("POST", every, handlers.add_items, create, "Add to metadata", body=_ALL, reply=_ITEMS),
        route("PUT", every, handlers.replace_items, update, "Replace metadata", body=_ALL, reply=_ITEMS),
        route("GET", one, handlers.show_item, get, f"Show {item}", reply=_ONE_ITEM),
        route("PUT", one, handlers.set_item, update, f"Set {item}", body=_ITEM, reply=_ONE_ITEM),
        route("DELETE", one, handlers.delete_item, delete, f"Remove {item}", reply=NO_BODY),
    )
