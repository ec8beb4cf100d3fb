"""Images as JSON: added properties beside the image's own, and the paths that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.services.image.images.resource import IMAGE
from pileus.web.request import Request
from pileus.web.view import show


def flatten(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view with the properties at the top level; an image's own attributes win."""
    own = dict(view)
    added = own.pop("properties", None) or {}
    path = f"/v2/images/{own['id']}"
    return {**added, **own, "self": path, "file": f"{path}/file", "schema": "/v2/schemas/image"}


def image_views(request: Request, several: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The views of images that are in memory."""
    return [flatten(view) for view in show(request, IMAGE, several)]
