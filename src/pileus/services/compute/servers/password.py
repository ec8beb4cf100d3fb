"""The password that a guest may have sent. Source: Compute API reference, "Servers password"."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.compute.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.replies import TEXT, named
from pileus.services.compute.servers.lookup import find_server
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


async def show_password(request: Request) -> Reply:
    """Show what the guest sent encrypted for its key pair; nothing takes it in here, so it is empty."""
    await request.read(find_server, request)
    return Reply.json({"password": ""})


async def clear_password(request: Request) -> Reply:
    """Forget the password."""
    await request.read(find_server, request)
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
