"""Events of requests: what changed, for whom, and which scopes are to look again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pileus.core.context import Context
from pileus.store.event import Event


def event(
    context: Context,
    kind: str,
    resource_id: str,
    project_id: str | None,
    scopes: Iterable[str] = (),
    host: str | None = None,
    **payload: Any,
) -> Event:
    """Make an event of this request; scopes are put in one order and once each."""
    return Event(
        kind=kind,
        resource_id=resource_id,
        project_id=project_id,
        request_id=context.request_id,
        user_id=context.user_id,
        at=context.now,
        host=host or None,
        scopes=tuple(sorted(set(scopes))),
        payload=payload,
    )
