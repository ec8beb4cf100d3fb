"""Actions for administrators, and the administrator's password of a guest."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, rules
from pileus.services.compute.servers.lookup import change, find_server
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


class PasswordSetFailed(Conflict):
    message = "Failed to set admin password on {id}: nothing in the guest takes passwords from outside."


def _password(tx: Tx, request: Request) -> None:
    server = permitted(tx, request, "changePassword")
    raise PasswordSetFailed(id=server["id"])


async def change_password(request: Request, argument: Any) -> Reply:
    """Refuse: there is no agent in guests that would set a password."""
    await request.write(_password, request)
    return Reply.empty(202)


def _reset_state(tx: Tx, request: Request, state: str) -> None:
    server = find_server(tx, request, lock=True)
    change(tx, request.context, server, vm_state=state, task_state=None, task_since=None)
    wake(tx, request, server, vm_state=state)


async def reset_state(request: Request, argument: Any) -> Reply:
    """Set the state that a server is in."""
    await request.write(_reset_state, request, argument["state"])
    return Reply.empty(202)


_RESET = types.dict_of({"state": types.enum("active", "error")}, required=("state",))


def _wake(tx: Tx, request: Request) -> None:
    server = find_server(tx, request)
    wake(tx, request, server)


async def inject_network_info(request: Request, argument: Any) -> Reply:
    """Have the host look at the server's network again."""
    await request.write(_wake, request)
    return Reply.empty(202)


_NEW_PASSWORD = types.dict_of({"adminPass": types.string(255)}, required=("adminPass",))

ADMIN_ACTIONS = {
    "changePassword": Action(
        _NEW_PASSWORD,
        change_password,
        rule="os_compute_api:os-admin-password",
        summary="Change the administrator's password of a guest",
    ),
    "os-resetState": Action(
        _RESET,
        reset_state,
        rule="os_compute_api:os-admin-actions:reset_state",
        summary="Set the state of a server",
    ),
    "injectNetworkInfo": Action(
        types.anything,
        inject_network_info,
        rule="os_compute_api:os-admin-actions:inject_network_info",
        summary="Have the host look at a server's network again",
    ),
}

SERVER_ADMIN = Noun(
    name="server_admin",
    rules=rules(
        {
            "os-admin-password": ADMIN_OR_MEMBER,
            "os-admin-actions:reset_state": ADMIN,
            "os-admin-actions:inject_network_info": ADMIN,
        }
    ),
    extensions=(
        Extension("os-admin-actions", "AdminActions", "Enable admin-only server actions."),
        Extension("os-admin-password", "AdminPassword", "Admin password management support."),
    ),
)
