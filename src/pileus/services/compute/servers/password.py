"""The password that a guest may have posted at the metadata service, encrypted for its key pair.

Source: Compute API reference, "Servers password"; nova/api/metadata/password.py. It can be posted once, until
it is cleared; what the guest's password is doesn't change by that.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.resource.declaration import Extension, Values
from pileus.services.compute.events import step
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import TEXT, named
from pileus.services.compute.servers.lookup import find_server
from pileus.services.compute.tables.servers import guest_passwords
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


def password_read(tx: Tx, server_id: str) -> str:
    """Read what the guest posted; empty where it did not."""
    c = guest_passwords.c
    return tx.scalar(select(c.password).where(c.server_id == server_id)) or ""


def password_set(tx: Tx, context: Context, server: Values, password: str) -> bool:
    """Keep what the guest of a server, which the caller holds, has posted: not where it is empty, and not
    (which it returns) where there is one already."""
    if password_read(tx, server["id"]):
        return False
    if password:
        tx.insert(guest_passwords, [{"server_id": server["id"], "password": password}])
        tx.emit(step(context, server["id"], server["project_id"], "password posted", host=server["host"]))
    return True


def passwords_forget(tx: Tx, server_ids: Sequence[str]) -> None:
    """Delete what the guests of servers posted."""
    tx.execute(delete(guest_passwords).where(column_in(tx, guest_passwords.c.server_id, server_ids)))


def _read(tx: Tx, request: Request) -> str:
    return password_read(tx, find_server(tx, request)["id"])


def _clear(tx: Tx, request: Request) -> None:
    server = find_server(tx, request, lock=True)
    if password_read(tx, server["id"]):
        passwords_forget(tx, [server["id"]])
        tx.emit(step(request.context, server["id"], server["project_id"], "password cleared"))


async def show_password(request: Request) -> Reply:
    """Show what the guest posted; empty where it did not."""
    return Reply.json({"password": await request.read(_read, request)})


async def clear_password(request: Request) -> Reply:
    """Forget the password, so that the guest may post another."""
    await request.write(_clear, request)
    return Reply.empty()


_PATH = "/v2.1/servers/{id}/os-server-password"
SERVER_PASSWORD = Noun(
    name="server_password",
    rules=rules({"os-server-password:show": ADMIN_OR_READER, "os-server-password:clear": ADMIN_OR_MEMBER}),
    extensions=(Extension("os-server-password", "ServerPassword", "Server password support."),),
    routes=(
        Route(
            "GET",
            _PATH,
            show_password,
            rule="os_compute_api:os-server-password:show",
            reply=named("password", TEXT),
            summary="Show a guest's password",
        ),
        Route(
            "DELETE",
            _PATH,
            clear_password,
            rule="os_compute_api:os-server-password:clear",
            status=204,
            summary="Forget a guest's password",
        ),
    ),
)
