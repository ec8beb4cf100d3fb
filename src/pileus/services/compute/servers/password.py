"""The password that a guest may have sent, and the list of volumes: both are empty here.

Source: Compute API reference, "Servers password" and "Servers with volume attachments".
"""

from __future__ import annotations

from pileus.services.compute.servers.finding import find_server
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


async def show_password(request: Request) -> Reply:
    """What the guest sent encrypted for its key pair; nothing takes it in here, so it is empty."""
    await request.read(find_server, request, rule="os_compute_api:os-server-password:show")
    return Reply.json({"password": ""})


async def clear_password(request: Request) -> Reply:
    """Forget it."""
    await request.read(find_server, request, rule="os_compute_api:os-server-password:clear")
    return Reply.empty()


async def list_volumes(request: Request) -> Reply:
    """A server's volumes."""
    await request.read(find_server, request, rule="os_compute_api:os-volumes-attachments:index")
    return Reply.json({"volumeAttachments": []})


ROUTES = (
    Route("GET", "/v2.1/servers/{id}/os-server-password", show_password, summary="Show a guest's password"),
    Route(
        "DELETE",
        "/v2.1/servers/{id}/os-server-password",
        clear_password,
        status=204,
        summary="Forget a guest's password",
    ),
    Route("GET", "/v2.1/servers/{id}/os-volume_attachments", list_volumes, summary="List a server's volumes"),
)
