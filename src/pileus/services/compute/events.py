"""Event rows of the compute nouns; a server's timeline is read from its own."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pileus.core.context import Context
from pileus.core.times import parse_time
from pileus.resource.event import event
from pileus.store.event import Event

STEP = "server.step"
"""The kind of events that say that a step of a server's life has happened."""


def step(
    context: Context,
    server_id: str,
    project_id: str | None,
    name: str,
    *,
    host: str | None = None,
    started_at: dt.datetime | None = None,
    detail: str = "",
    error: str = "",
    **more: Any,
) -> Event:
    """A step that happened to a server, from ``started_at`` (now, where it took no time) until now."""
    payload: dict[str, Any] = {
        "step": name,
        "started_at": (started_at or context.now).isoformat(timespec="microseconds"),
        "finished_at": context.now.isoformat(timespec="microseconds"),
        **more,
    }
    if detail:
        payload["detail"] = detail
    if error:
        payload["error"] = error
    return event(context, STEP, server_id, project_id, host=host, **payload)


def moment(text: str) -> dt.datetime | None:
    """A node's time as naive UTC; None for what is none."""
    try:
        return parse_time(text)
    except ValueError:
        return None
