"""Event rows of the volume service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.store.event import Event
from pileus.wire import scopes

READY = "volume_operation.ready"
"""The kind of events that say that an operation can be gone on with."""
CONNECTED = "volume_attachment.connected"
"""The kind of events that say that an agent has told how an attachment's volume is opened."""

MADE = "volume.made"
"""The kind of events that say that a volume for which a server waits was made, or could not be."""
RESIZED = "volume.resize"
"""The kind of events that say to whoever has a volume open that it is larger."""


def volume_event(
    context: Context, kind: str, volume: Mapping[str, Any], *, new: bool = False, **payload: Any
) -> Event:
    """Something about a volume; its node looks again. ``new``: the node may not know it yet."""
    told = []
    if volume["node"]:
        told = [scopes.volume(volume["id"]), *([scopes.volumes(volume["node"])] if new else [])]
    return event(context, kind, volume["id"], volume["project_id"], told, host=volume["node"], **payload)


def told_to(nodes: Sequence[str]) -> list[str]:
    """The scopes by which nodes look at all of their pools."""
    return [scopes.volumes(node) for node in nodes]
