"""Operations that a pool's node carries out once: how one begins.

Each is a row of ``operations`` that waits in its one step until the node has reported it, or until its
time is over. What becomes of the volume then is said by the noun that began it: a *finisher*, a unit of
work that is given all that ended (``Ended``), well or not. ``agents/`` calls them by the kind.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.store.operations import Operation, operations_create
from pileus.store.tx import Tx

NODE = "node"
"""The step in which a node carries an operation out."""


class Ended(NamedTuple):
    """An operation that has ended; ``error`` None: well."""

    operation: Operation
    error: str | None
    result: dict[str, Any]


def begin(
    tx: Tx,
    context: Context,
    kind: str,
    resource_id: str,
    project_id: str,
    timeout_s: float,
    **data: Any,
) -> Operation:
    """Write down that a node is to do something with a volume (or with a backup). ``data``: what it has
    to know."""
    return begin_several(tx, context, kind, [resource_id], project_id, timeout_s, **data)[0]


def begin_several(
    tx: Tx,
    context: Context,
    kind: str,
    resource_ids: Sequence[str],
    project_id: str,
    timeout_s: float,
    **data: Any,
) -> list[Operation]:
    """The same of several volumes of a project."""
    return operations_create(
        tx,
        {new_id(): key for key in resource_ids},
        kind=kind,
        step=NODE,
        now=context.now,
        data={**data, "user_id": context.user_id},
        project_id=project_id,
        request_id=context.request_id,
        waits_until=context.now + dt.timedelta(seconds=timeout_s),
    )
