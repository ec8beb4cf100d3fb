"""Finding the server that a request is about, and refusing what its state forbids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.compute.api import enforce
from pileus.services.compute.errors import InQuarantine, InvalidState, ServerIsLocked, ServerNotFound
from pileus.services.compute.policy import is_admin
from pileus.services.compute.rules import states
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.store.tx import Tx
from pileus.web.request import Request

_ALIVE = servers.c.deleted_at.is_(None)
QUARANTINE = "os_compute_api:os-pileus-quarantine"


def find_server(tx: Tx, request: Request, *, lock: bool = False, deleted: bool = False) -> Values:
    """The server that the path names, if the caller may see it and the route's rule allows him this.

    ``deleted``: one that is deleted is found too. A server of another project is not there for those who
    may not see it.
    """
    key = request.path["id"]
    found = fetch(tx, SERVER, [key], lock=lock, visible=None if deleted else _ALIVE)
    if not found:
        raise ServerNotFound(id=key)
    server = found[0]
    target = target_of(server)
    if not request.access.allows("os_compute_api:servers:show", target):
        raise ServerNotFound(id=key)
    enforce(request, target)
    return server


def target_of(server: Mapping[str, Any]) -> dict[str, Any]:
    """The target that policy rules look at."""
    return {"project_id": server["project_id"], "user_id": server["user_id"]}


def must_be_unlocked(request: Request, server: Mapping[str, Any]) -> None:
    """Raise ServerIsLocked where a server is locked, unless the caller administers compute."""
    if server["locked_by"] and not is_admin(request.access):
        raise ServerIsLocked(id=server["id"])


def must_be_free(request: Request, server: Mapping[str, Any]) -> None:
    """InQuarantine (409) where the server is cut off, unless the caller may cut servers off.

    For whatever would give it a way out: its owner is not to undo what was done to protect others.
    """
    if server["quarantined"] is not None and not request.access.allows(QUARANTINE, target_of(server)):
        raise InQuarantine(id=server["id"])


def must_permit(action: str, server: Mapping[str, Any], said: str | None = None) -> None:
    """InvalidState (409) where the server's state forbids an action; ``said`` is its name in the sentence."""
    refusal = states.forbidden(action, server["vm_state"], server["task_state"])
    if refusal is not None:
        attribute, state = refusal
        raise InvalidState(action=said or action, id=server["id"], attribute=attribute, state=state)


def change(tx: Tx, request_context: Any, server: Values, **changes: Any) -> Values:
    """Write changes of one server; returns its new values."""
    return SERVER.change(tx, request_context, [Update(server, Values(changes))])[0]
