"""Event rows of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.store.event import Event


def image_event(context: Context, kind: str, image: Mapping[str, Any], **payload: Any) -> Event:
    """``image.KIND``, with the image's status in the payload. No agent follows images, so no scope."""
    return Event(
        kind=f"image.{kind}",
        resource_id=image["id"],
        project_id=image["owner"],
        request_id=context.request_id,
        user_id=context.user_id,
        at=context.now,
        payload={"status": image["status"], **payload},
    )
