"""The metadata of a server. Source: Compute API reference, "Servers metadata"."""

from __future__ import annotations

from collections.abc import Callable

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.event import event
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.quotas.counting import limits_of
from pileus.services.compute.replies import TEXT_BY_KEY, named
from pileus.services.compute.servers.checks import check_metadata
from pileus.services.compute.servers.lookup import change, find_server, must_be_unlocked, must_permit
from pileus.services.compute.servers.requests import METADATA
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_ALL = types.dict_of({"metadata": METADATA}, required=("metadata",))
_ITEM = types.dict_of({"meta": METADATA}, required=("meta",))

Change = Callable[[dict[str, str]], dict[str, str]]


class MetadataItemNotFound(NotFound):
    message = "Metadata item was not found"


def _read(tx: Tx, request: Request) -> dict[str, str]:
    return dict(find_server(tx, request)["properties"])


def _write(tx: Tx, request: Request, made: Change, action: str) -> dict[str, str]:
    server = find_server(tx, request, lock=True)
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
    """List all items."""
    return Reply.json({"metadata": await request.read(_read, request)})


async def replace_items(request: Request) -> Reply:
    """Replace all items by these."""
    wanted = declared_body(request)["metadata"]
    made = await request.write(_write, request, lambda _: wanted, "update metadata")
    return Reply.json({"metadata": made})


async def add_items(request: Request) -> Reply:
    """Add these items to the others."""
    wanted = declared_body(request)["metadata"]
    made = await request.write(_write, request, lambda now: now | wanted, "create metadata")
    return Reply.json({"metadata": made})


async def show_item(request: Request) -> Reply:
    """Show one item."""
    items = await request.read(_read, request)
    key = request.path["key"]
    if key not in items:
        raise MetadataItemNotFound
    return Reply.json({"meta": {key: items[key]}})


async def set_item(request: Request) -> Reply:
    """Set one item, which the path names and the body holds."""
    wanted = declared_body(request)["meta"]
    key = request.path["key"]
    if key not in wanted:
        raise BadRequest("Request body and URI mismatch")
    if len(wanted) != 1:
        raise BadRequest("Request body contains too many items")
    await request.write(_write, request, lambda now: now | wanted, "update metadata")
    return Reply.json({"meta": wanted})


async def delete_item(request: Request) -> Reply:
    """Remove one item."""
    key = request.path["key"]

    def without(now: dict[str, str]) -> dict[str, str]:
        if key not in now:
            raise MetadataItemNotFound
        return {name: text for name, text in now.items() if name != key}

    await request.write(_write, request, without, "delete metadata")
    return Reply.empty()


_PATH = "/v2.1/servers/{id}/metadata"
_RULE = "os_compute_api:server-metadata:"
_ITEMS, _ONE_ITEM = named("metadata", TEXT_BY_KEY), named("meta", TEXT_BY_KEY)

SERVER_METADATA = Noun(
    name="server_metadata",
    rules=rules(
        {
            "server-metadata:index": ADMIN_OR_READER,
            "server-metadata:show": ADMIN_OR_READER,
            "server-metadata:create": ADMIN_OR_MEMBER,
            "server-metadata:update": ADMIN_OR_MEMBER,
            "server-metadata:update_all": ADMIN_OR_MEMBER,
            "server-metadata:delete": ADMIN_OR_MEMBER,
        }
    ),
    routes=(
        Route(
            "GET", _PATH, list_items, rule=_RULE + "index", reply=_ITEMS, summary="List a server's metadata"
        ),
        Route(
            "POST",
            _PATH,
            add_items,
            rule=_RULE + "create",
            body=_ALL,
            reply=_ITEMS,
            summary="Add to a server's metadata",
        ),
        Route(
            "PUT",
            _PATH,
            replace_items,
            rule=_RULE + "update_all",
            body=_ALL,
            reply=_ITEMS,
            summary="Replace a server's metadata",
        ),
        Route(
            "GET",
            f"{_PATH}/{{key}}",
            show_item,
            rule=_RULE + "show",
            reply=_ONE_ITEM,
            summary="Show an item of metadata",
        ),
        Route(
            "PUT",
            f"{_PATH}/{{key}}",
            set_item,
            rule=_RULE + "update",
            body=_ITEM,
            reply=_ONE_ITEM,
            summary="Set an item of metadata",
        ),
        Route(
            "DELETE",
            f"{_PATH}/{{key}}",
            delete_item,
            rule=_RULE + "delete",
            status=204,
            summary="Remove an item of metadata",
        ),
    ),
)
