"""Units of work of tasks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.image.images.access import find_image
from pileus.services.image.tasks.resource import PENDING, PROCESSING, TASK
from pileus.services.image.tasks.tables import image_tasks
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.web.request import Request

KEPT = dt.timedelta(hours=48)
"""For so long a task that has ended is shown."""
_AT_ONCE = 500


def task_create(
    tx: Tx, context: Context, task_id: str, kind: str, image_id: str, given: Mapping[str, Any]
) -> Values:
    """Insert a task that is yet to begin; ``given`` is what the request asked for."""
    values = Values(
        {
            "id": task_id,
            "type": kind,
            "status": PENDING,
            "owner": context.project_id or "",
            "image_id": image_id,
            "user_id": context.user_id,
            "request_id": context.request_id,
            "input": given,
            "result": None,
            "message": "",
            "created_at": context.now,
            "updated_at": context.now,
            "expires_at": None,
        }
    )
    tx.insert(image_tasks, [values])
    return values


def task_begin(tx: Tx, context: Context, task_id: str) -> None:
    """Say that a task is being worked on."""
    changes = {"status": PROCESSING, "updated_at": context.now}
    tx.execute(update(image_tasks).where(image_tasks.c.id == task_id).values(changes))


def task_end(
    tx: Tx, context: Context, task_id: str, status: str, message: str, result: Mapping[str, Any] | None
) -> None:
    """Say how a task ended."""
    changes = {
        "status": status,
        "message": message,
        "result": result,
        "updated_at": context.now,
        "expires_at": context.now + KEPT,
    }
    tx.execute(update(image_tasks).where(image_tasks.c.id == task_id).values(changes))


def tasks_of_image(tx: Tx, request: Request) -> list[Values]:
    """The tasks of the image that the path names, oldest first."""
    image = find_image(tx, request, lock=False)
    found = fetch(tx, TASK, None, [image_tasks.c.image_id == image["id"]])
    return sorted(found, key=lambda task: (task["created_at"], task["id"]))


def tasks_trim(tx: Tx, now: dt.datetime) -> int:
    """Delete tasks whose time is over; returns how many."""
    expired = select(image_tasks.c.id).where(image_tasks.c.expires_at <= now).limit(_AT_ONCE)
    rows: Any = tx.rows(expired)
    ids = [id_ for (id_,) in rows]
    if ids:
        tx.execute(delete(image_tasks).where(column_in(tx, image_tasks.c.id, ids)))
    return len(ids)
