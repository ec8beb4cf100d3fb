"""The volumes of a server. Source: Compute API reference, "Servers with volume attachments"."""

from __future__ import annotations

from pileus.resource import types
from pileus.services.compute.policy import ADMIN_OR_READER, rules
from pileus.services.compute.replies import named
from pileus.services.compute.servers.lookup import find_server
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route


async def list_volumes(request: Request) -> Reply:
    """List a server's volumes; there are none in this cloud yet."""
    await request.read(find_server, request)
    return Reply.json({"volumeAttachments": []})


VOLUME_ATTACHMENTS = Noun(
    name="volume_attachment",
    rules=rules({"os-volumes-attachments:index": ADMIN_OR_READER}),
    routes=(
        Route(
            "GET",
            "/v2.1/servers/{id}/os-volume_attachments",
            list_volumes,
            rule="os_compute_api:os-volumes-attachments:index",
            reply=named("volumeAttachments", types.list_of(types.anything, maximum=0)),
            summary="List a server's volumes",
        ),
    ),
)
