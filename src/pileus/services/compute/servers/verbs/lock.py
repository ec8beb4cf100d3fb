"""The actions ``lock`` and ``unlock``."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, rules
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.lookup import change, find_server
from pileus.services.compute.servers.verbs.common import wake
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion


def _lock(tx: Tx, request: Request, reason: str | None) -> None:
    server = find_server(tx, request, lock=True)
    context = request.context
    owner = server["project_id"] == context.project_id
    if server["locked_by"] and owner:
        return  # or he would make an administrator's lock his own, which he may undo
    change(tx, context, server, locked_by="owner" if owner else "admin", locked_reason=reason)
    action_begin(tx, context, [server["id"]], "lock", done=True)
    wake(tx, request, {**server, "host": None}, locked=True)  # type: ignore[arg-type]


async def lock(request: Request, argument: Any) -> Reply:
    """Lock a server: nobody but administrators changes it until it is unlocked."""
    reason = argument["locked_reason"] if since(request, "2.73") and argument else None
    await request.write(_lock, request, reason)
    return Reply.empty(202)


def _lock_argument(version: Version) -> Type:
    if not at_least(version, "2.73"):
        return types.anything
    return types.nullable(types.dict_of({"locked_reason": types.string(255, minimum=1)}))


def _unlock(tx: Tx, request: Request) -> None:
    server = find_server(tx, request, lock=True)
    if server["locked_by"] == "admin":
        request.authorise(
            "os_compute_api:os-lock-server:unlock:unlock_override", {"project_id": server["project_id"]}
        )
    change(tx, request.context, server, locked_by=None, locked_reason=None)
    action_begin(tx, request.context, [server["id"]], "unlock", done=True)


async def unlock(request: Request, argument: Any) -> Reply:
    """Unlock. An administrator's lock needs an administrator."""
    await request.write(_unlock, request)
    return Reply.empty(202)


LOCK_ACTIONS = {
    "lock": Action(
        ByVersion(_lock_argument),
        lock,
        rule="os_compute_api:os-lock-server:lock",
        summary="Lock a server",
    ),
    "unlock": Action(
        types.anything, unlock, rule="os_compute_api:os-lock-server:unlock", summary="Unlock a server"
    ),
}

LOCK = Noun(
    name="server_lock",
    rules=rules(
        {
            "os-lock-server:lock": ADMIN_OR_MEMBER,
            "os-lock-server:unlock": ADMIN_OR_MEMBER,
            "os-lock-server:unlock:unlock_override": ADMIN,
        }
    ),
)
