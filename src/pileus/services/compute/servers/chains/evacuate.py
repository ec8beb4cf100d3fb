"""Evacuation: a server whose host is down is built anew from its image on another one.

    place    a host is chosen and claimed, ports are bound there   undone: it is its host's of before again
    spawn    wait until the host has reported it
    settle   the migration is done

The host that was down finds, when it comes back, that the server is not its any more, and takes away what
it has.
"""

from __future__ import annotations

from typing import Any

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Update, Values
from pileus.services.compute.rules import states
from pileus.services.compute.rules.providers import Given
from pileus.services.compute.servers.chains.common import (
    Parts,
    begin,
    is_for,
    server_of,
    task_failed,
    task_wait,
    told,
    update_told,
)
from pileus.services.compute.servers.chains.migrations import (
    EVACUATION,
    migration_begin,
    migration_read,
    migration_set,
)
from pileus.services.compute.servers.chains.moved_volumes import volumes_move
from pileus.services.compute.servers.chains.placing import claim_move, host_choose, ports_move
from pileus.services.compute.servers.resource import SERVER
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.EVACUATING,)
SPAWN, SETTLE = "spawn", "settle"


def begin_evacuation(
    tx: Tx, context: Context, server: Values, host: str | None, wanted: str, parts: Parts
) -> None:
    """Have a server built anew on another host (``host``, where one was asked for) and be ``wanted``."""
    migration_id = migration_begin(tx, context, server, EVACUATION, {}, "accepted")
    begin(
        tx,
        context,
        EVACUATE,
        server,
        {"migration": migration_id, "host": host, "wanted": wanted, "was_wanted": server["wanted"]},
        parts,
    )


def _place(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return
    data = operation.data
    row = migration_read(tx, data["migration"])
    chosen = host_choose(
        tx,
        context,
        server,
        parts,
        zone=server["pinned_availability_zone"],
        host=data["host"],
        excluded=(row.source_host,),
        named=True,
    )
    after, before = _put_on(
        tx,
        context,
        server,
        {"host": chosen.host, "node": chosen.node, "availability_zone": chosen.zone},
        {"wanted": data["wanted"], "carried": None},
        parts,
        chosen.given,
    )
    place = {"dest_host": chosen.host, "dest_node": chosen.node}
    # No host is named beside these resources, so nobody keeps them: if the server stays, it has them again.
    migration_set(tx, context, row.id, status="pre-migrating", held_resources=before, **place)
    tx.emit(told(context, EVACUATE, operation, after, "schedule", detail=chosen.host))


def _put_on(
    tx: Tx,
    context: Context,
    server: Values,
    place: dict[str, Any],
    others: dict[str, Any],
    parts: Parts,
    given: Given | None,
) -> tuple[Values, Given | None]:
    changes = {**place, **others, "generation": server["generation"] + 1, "in_place": False}
    (after,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    before = claim_move(tx, after, given)
    ports_move(tx, context, after, place["host"], place["availability_zone"], parts)
    volumes_move(tx, context, after, place["host"])
    tx.emit(update_told(context, after, task_state=after["task_state"]))
    return after, before


def _unplace(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Its host of before has its machine still, if it ever comes back."""
    server = server_of(tx, operation)
    row = migration_read(tx, operation.data["migration"])
    if server is None or row is None or not is_for(operation, server, TASKS):
        return
    if server["host"] == row.source_host:
        return
    place = {
        "host": row.source_host,
        "node": row.source_node,
        "availability_zone": row.old_values["availability_zone"],
    }
    others = {"wanted": operation.data["was_wanted"], "carried": {"kind": "back"}}
    _put_on(tx, context, server, place, others, parts, row.held_resources)


def _settle(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    migration_set(tx, context, operation.data["migration"], status="done", held_resources=None)
    if server is not None:
        tx.emit(told(context, EVACUATE, operation, server, "evacuated"))


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    if migration_read(tx, operation.data["migration"]) is not None:
        migration_set(tx, context, operation.data["migration"], status="failed")
    task_failed(tx, context, EVACUATE, operation, TASKS, "evacuate")


EVACUATE = Chain(
    "server.evacuate",
    (
        Step("place", _place, undo=_unplace),
        Step(SPAWN, wait=task_wait(*TASKS, timeout_s=lambda parts: parts.config.build_timeout_s)),
        Step(SETTLE, _settle),
    ),
    on_failed=_failed,
    timeout_s=lambda parts: parts.config.build_timeout_s,
)
