"""The metadata of a server. Source: Compute API reference, "Servers metadata"."""

from __future__ import annotations

from collections.abc import Callable

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.services.compute.declared import body_of
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.events import event
from pileus.services.compute.quotas import limits_of
from pileus.services.compute.servers.finding import change, find_server, must_be_unlocked, must_permit
from pileus.services.compute.servers.ordering import check_metadata
from pileus.services.compute.servers.requests import METADATA
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_ALL = types.dict_of({"metadata": METADATA}, required=("metadata",))
_ITEM = types.dict_of({"meta": METADATA}, required=("meta",))

Change = Callable[[dict[str, str]], dict[str, str]]


class MetadataItemNotFound(NotFound):
    message = "Metadata item was not found"


def _read(tx: Tx, request: Request, rule: str) -> dict[str, str]:
    return dict(find_server(tx, request, rule=f"os_compute_api:server-metadata:{rule}")["properties"])


def _write(tx: Tx, request: Request, rule: str, made: Change, action: str) -> dict[str, str]:
    server = find_server(tx, request, rule=f"os_compute_api:server-metadata:{rule}", lock=True)
    must_be_unlocked(request, server)
    must_permit("update_metadata", server, action)
    wanted = made(dict(server["properties"]))
    check_metadata(limits_of(tx, server["project_id"]), wanted)
    change(tx, request.context, server, properties=wanted)
    tx.emit(
        event(
            request.context,
            "server.update",
            server["id"],
            server["project_id"],
            host=server["host"],
            changed=["metadata"],
        )
    )
    return wanted


async def list_items(request: Request) -> Reply:
    """All items."""
    return Reply.json({"metadata": await request.read(_read, request, "index")})


async def replace_items(request: Request) -> Reply:
    """These and no others."""
    wanted = body_of(request, _ALL)["metadata"]
    made = await request.write(_write, request, "update_all", lambda _: wanted, "update metadata")
    return Reply.json({"metadata": made})


async def add_items(request: Request) -> Reply:
    """These beside the others."""
    wanted = body_of(request, _ALL)["metadata"]
    made = await request.write(_write, request, "create", lambda now: now | wanted, "create metadata")
    return Reply.json({"metadata": made})


async def show_item(request: Request) -> Reply:
    """One item."""
    items = await request.read(_read, request, "show")
    key = request.path["key"]
    if key not in items:
        raise MetadataItemNotFound
    return Reply.json({"meta": {key: items[key]}})


async def set_item(request: Request) -> Reply:
    """One item, which the path names and the body holds."""
    wanted = body_of(request, _ITEM)["meta"]
    key = request.path["key"]
    if key not in wanted:
        raise BadRequest("Request body and URI mismatch")
    if len(wanted) != 1:
        raise BadRequest("Request body contains too many items")
    await request.write(_write, request, "update", lambda now: now | wanted, "update metadata")
    return Reply.json({"meta": wanted})


async def delete_item(request: Request) -> Reply:
    """Take one away."""
    key = request.path["key"]

    def without(now: dict[str, str]) -> dict[str, str]:
        if key not in now:
            raise MetadataItemNotFound
        return {name: text for name, text in now.items() if name != key}

    await request.write(_write, request, "delete", without, "delete metadata")
    return Reply.empty()


_PATH = "/v2.1/servers/{id}/metadata"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, list_items, summary="List a server's metadata"),
    Route("POST", _PATH, add_items, body=_ALL, summary="Add to a server's metadata"),
    Route("PUT", _PATH, replace_items, body=_ALL, summary="Replace a server's metadata"),
    Route("GET", f"{_PATH}/{{key}}", show_item, summary="Show an item of metadata"),
    Route("PUT", f"{_PATH}/{{key}}", set_item, body=_ITEM, summary="Set an item of metadata"),
    Route("DELETE", f"{_PATH}/{{key}}", delete_item, status=204, summary="Remove an item of metadata"),
)
