"""Live migrations: a server goes to another host while its guest runs.

    schedule  a host is chosen and keeps room, ports are bound to it too   undone: all of that
    queue     wait for its turn: few leave a host at the same time
    prepare   wait until the other host lets the one of now in
    start
    node      wait until the machine is there: its host brings it, or the other one says that it has come
    switch    the server is on the other host; its host of before takes away what is left

What the guest is stopped for is short: as soon as it is, its host says so, and the ports follow
(``live_progress``). Until the machine runs on the other host it is undone by forgetting what is there; from
then on there is no way back but another migration.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.flow.chain import Chain, Step, Wait, give_up
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.compute.nodes.reading import nodes_read
from pileus.services.compute.rules import states
from pileus.services.compute.rules.live_migration import Refused, may_migrate
from pileus.services.compute.rules.scheduler import HostFacts
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    disk_timeout_s,
    hosts_up,
    is_for,
    server_of,
    task_failed,
    task_timeout_s,
    told,
    too_late,
    update_told,
)
from pileus.services.compute.servers.chains.migrations import (
    LIVE_MIGRATION,
    bindings_drop,
    bindings_make,
    bindings_switch,
    held,
    migration_begin,
    migration_over,
    migration_read,
    migration_set,
    tell_both,
)
from pileus.services.compute.servers.chains.placing import NoValidHost, claim_move, host_choose
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import server_migrations
from pileus.store import operations as operation_rows
from pileus.store.operations import (
    FAILED,
    WAITING,
    Operation,
    operation_go_on,
    operation_list_waiting,
    operation_move,
)
from pileus.store.tx import Tx
from pileus.wire.hypervisor import Door, MigrationProgress, OperationReport

TASKS = (states.MIGRATING,)
ACTION = "live-migration"
QUEUE, PREPARE, START, SWITCH = "queue", "prepare", "start", "switch"
CANCELLED = "The live migration was cancelled."
ABORT, FORCE = "abort", "force"

QUEUED, PREPARING, RUNNING, POST_MIGRATING = "queued", "preparing", "running", "post-migrating"
UNDER_WAY = ("accepted", QUEUED, PREPARING, RUNNING, POST_MIGRATING)
_LEAVING = (PREPARING, RUNNING, POST_MIGRATING)
_c = server_migrations.c


class Cancelled(Conflict):
    message = CANCELLED


class NotOnSharedStorage(Conflict):
    message = (
        "{host} is not on shared storage: Live migration can not be used without shared storage except a "
        "booted from volume VM which does not have a local disk."
    )


class HostIsDown(Conflict):
    message = "Compute service of {host} is unavailable at this time."


def begin_live_migration(
    tx: Tx, context: Context, server: Values, host: str | None, copies: bool, parts: Parts
) -> None:
    """Have a server go to another host (``host``, where one was asked for); ``copies``: with its disks."""
    migration_id = migration_begin(tx, context, server, LIVE_MIGRATION, {}, "accepted")
    data = {"migration": migration_id, "host": host, "copies": copies}
    begin(tx, context, LIVE, server, data, parts)


def target_choose(tx: Tx, context: Context, server: Values, host: str | None, parts: Parts) -> HostFacts:
    """Choose the host that a server may go to; memory and disk must be free there, without over-commit.
    Raises NoValidHost with the reasons."""
    nodes = {node.row.host: node.row for node in nodes_read(tx, parts.config, context.now)}
    source = nodes.get(server["host"])
    unfit: dict[str, str] = {}
    for name, row in nodes.items():
        if source is None or name == server["host"]:
            continue
        try:
            may_migrate(source, row)
        except Refused as refused:
            unfit[name] = refused.text
    if host is not None and host in unfit:
        raise NoValidHost(f"Migration pre-check error: {unfit[host]}")
    try:
        return host_choose(
            tx,
            context,
            server,
            parts,
            zone=None if host is not None else server["pinned_availability_zone"],
            host=host,
            excluded=(server["host"], *unfit),
            over_commit=False,
            named=True,
        )
    except NoValidHost as none:
        if not unfit:
            raise
        more = "; ".join(f"{name}: {reason}" for name, reason in sorted(unfit.items())[:3])
        raise NoValidHost(f"{none.text} {more}") from None


def _schedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> dict[str, Any] | None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return None
    data = operation.data
    if server["host"] not in hosts_up(tx, context, parts.config):
        raise HostIsDown(host=server["host"])
    if not data["copies"]:
        raise NotOnSharedStorage(host=server["host"])
    chosen = target_choose(tx, context, server, data["host"], parts)
    bindings_make(tx, context, server, chosen.host, parts)
    row = migration_read(tx, data["migration"])
    migration_set(
        tx,
        context,
        row.id,
        status=QUEUED,
        dest_host=chosen.host,
        dest_node=chosen.node,
        new_values={**row.new_values, "availability_zone": chosen.zone},
        **held(chosen.host, server, chosen.given),
    )
    tx.emit(told(context, LIVE, operation, server, detail=chosen.host))
    return {**data, "dest": chosen.host}


def _unschedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    row = migration_read(tx, operation.data["migration"])
    if server is None or row is None or not is_for(operation, server, TASKS) or row.dest_host is None:
        return
    if server["host"] == row.source_host:
        bindings_switch(tx, context, server, row.source_host, parts)
        bindings_drop(tx, context, server, row.dest_host, parts)


def _turns(tx: Tx, context: Context, several: Sequence[Operation], parts: Parts) -> list[str]:
    """Those whose turn it is: the oldest of each host, while fewer leave it than may."""
    at_once = parts.config.max_concurrent_live_migrations
    rows = {
        row.id: row
        for row in tx.rows(
            select(_c.id, _c.source_host, _c.number).where(
                _c.id.in_(sorted(one.data["migration"] for one in several))
            )
        )
    }
    leaving = {
        row.source_host: int(row.several)
        for row in tx.rows(
            select(_c.source_host, func.count().label("several"))
            .where(_c.kind == LIVE_MIGRATION, _c.status.in_(_LEAVING))
            .group_by(_c.source_host)
        )
    }
    found = []
    for one in sorted(several, key=lambda one: rows[one.data["migration"]].number):
        host = rows[one.data["migration"]].source_host
        if not at_once or leaving.get(host, 0) < at_once:
            leaving[host] = leaving.get(host, 0) + 1
            found.append(one.id)
    return found


def _next_turn(tx: Tx, context: Context, but: Operation, parts: Parts) -> None:
    """One has left a host, or will not: those that wait are looked at."""
    waiting = [
        one for one in operation_list_waiting(tx, [LIVE.kind]) if one.step == QUEUE and one.id != but.id
    ]
    ids = _turns(tx, context, waiting, parts) if waiting else []
    if operation_go_on(tx, ids, from_step=QUEUE, to_step=PREPARE, now=context.now):
        tx.emit(event(context, "operation.ready", ids[0], None))


def _prepare(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return
    _must_go_on(operation)
    dest = operation.data["dest"]
    migration_set(tx, context, operation.data["migration"], status=PREPARING)
    (after,) = SERVER.change(tx, context, [Update(server, Values({"kept_host": dest}))])
    tx.emit(told(context, LIVE, operation, server, detail=dest))
    tell_both(tx, context, after, dest)


def _unprepare(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The other host is told to take away what has come."""
    server = server_of(tx, operation)
    if server is None or server["kept_host"] != operation.data.get("dest"):
        return
    if is_for(operation, server, TASKS):
        (after,) = SERVER.change(tx, context, [Update(server, Values({"kept_host": None}))])
        tell_both(tx, context, after, operation.data["dest"])


def _must_go_on(operation: Operation) -> None:
    if operation.data.get("order") == ABORT:
        raise Cancelled


def _start(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return
    _must_go_on(operation)
    migration_set(tx, context, operation.data["migration"], status=RUNNING)
    tx.emit(told(context, LIVE, operation, server))
    tell_both(tx, context, server, operation.data["dest"])


def _late(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None and is_for(operation, server, TASKS):
        up = hosts_up(tx, context, parts.config)
        dest = operation.data.get("dest")
        if operation.step == PREPARE and dest not in up:
            raise HostIsDown(host=dest)
        raise Conflict(too_late(server, up))


def _switch(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return
    row = migration_read(tx, operation.data["migration"])
    bindings_switch(tx, context, server, row.dest_host, parts)
    changes = {
        "host": row.dest_host,
        "node": row.dest_node,
        "availability_zone": row.new_values["availability_zone"],
        "kept_host": None,
        "in_place": False,
        "task_state": None,
        "task_since": None,
    }
    (after,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    claim_move(tx, after, row.held_resources)
    bindings_drop(tx, context, after, row.source_host, parts)
    migration_over(tx, context, row.id, "completed")
    action_finish(tx, context.now, [server["id"]], actions=(ACTION,), host=row.dest_host)
    tx.emit(told(context, LIVE, operation, after, ACTION, detail=f"{row.source_host} to {row.dest_host}"))
    tell_both(tx, context, after, row.source_host)
    _next_turn(tx, context, operation, parts)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    row = migration_read(tx, operation.data["migration"])
    if row is not None and row.status in UNDER_WAY:
        cancelled = operation.data.get("order") == ABORT or operation.error == CANCELLED
        migration_over(tx, context, row.id, "cancelled" if cancelled else "error")
    task_failed(tx, context, LIVE, operation, TASKS, ACTION)
    _next_turn(tx, context, operation, parts)


LIVE = Chain(
    "server.live_migrate",
    (
        Step("schedule", _schedule, undo=_unschedule),
        Step(QUEUE, wait=Wait(disk_timeout_s, over=_turns, late=_late, at_once=True)),
        Step(PREPARE, _prepare, undo=_unprepare, wait=Wait(task_timeout_s, late=_late)),
        Step(START, _start),
        Step(NODE, wait=Wait(disk_timeout_s, late=_late)),
        Step(SWITCH, _switch),
    ),
    on_failed=_failed,
)


# -- what is said meanwhile


def live_order(
    tx: Tx, context: Context, server: Values, operation: Operation, order: str, parts: Parts
) -> None:
    """Abort a live migration, or have it come to its end (``ABORT``, ``FORCE``)."""
    data = {**operation.data, "order": order}
    now = context.now
    if order == ABORT and operation.state == WAITING and operation.step in (QUEUE, PREPARE):
        # the node has not begun: nobody has to be asked
        after = give_up(operation_rows, tx, context, LIVE, operation, CANCELLED, parts)
        if after.state != FAILED:
            tx.emit(event(context, "operation.ready", operation.id, None))
        return
    operation_move(tx, operation, _with(operation, data, now))
    tx.emit(update_told(context, server, order=order))


def _with(operation: Operation, data: dict[str, Any], now: dt.datetime) -> Operation:
    return msgspec.structs.replace(operation, data=data, updated_at=now)


def live_progress(
    tx: Tx, context: Context, server: Values, operation: Operation, said: MigrationProgress, parts: Parts
) -> None:
    """Take the word of the server's host on how far it is; ports follow when its guest is stopped."""
    row = migration_read(tx, operation.data["migration"])
    if row is None or row.status not in (RUNNING, POST_MIGRATING):
        return
    before = _percent(row.progress or {})
    progress = {name: getattr(said, name) for name in PROGRESS}
    values: dict[str, Any] = {"progress": progress}
    if said.switching and row.status == RUNNING:
        values["status"] = POST_MIGRATING
        bindings_switch(tx, context, server, row.dest_host, parts)
        tx.emit(told(context, LIVE, operation, server, "switching", detail=row.dest_host))
    migration_set(tx, context, row.id, **values)
    now = _percent(progress)
    if now // 10 > before // 10 and not said.switching:
        tx.emit(told(context, LIVE, operation, server, "migrating", detail=f"{now} %"))


PROGRESS = (
    "memory_total",
    "memory_processed",
    "memory_remaining",
    "disk_total",
    "disk_processed",
    "disk_remaining",
)


def _percent(progress: dict[str, int]) -> int:
    total = progress.get("memory_total", 0) + progress.get("disk_total", 0)
    left = progress.get("memory_remaining", 0) + progress.get("disk_remaining", 0)
    return max(0, min(100, 100 * (total - left) // total)) if total else 0


def live_arrival(
    tx: Tx, context: Context, server: Values, operation: Operation, said: OperationReport, parts: Parts
) -> None:
    """Take the word of the host that a server goes to: it lets the other one in, the machine has come, or it
    can't be taken."""
    if said.error is not None:
        if operation.state == WAITING and operation.step in (PREPARE, NODE):
            give_up(operation_rows, tx, context, LIVE, operation, said.error, parts)
            tx.emit(event(context, "operation.ready", operation.id, None))
        return
    if said.result.get("arrived"):
        if operation_go_on(tx, [operation.id], from_step=NODE, to_step=SWITCH, now=context.now):
            tx.emit(event(context, "operation.ready", operation.id, None))
        return
    try:
        door = msgspec.convert(said.result, Door)
    except msgspec.ValidationError:
        return  # it says nothing that could be gone on with
    target = msgspec.to_builtins(door)
    if operation.data.get("target") != target:
        operation_move(tx, operation, _with(operation, {**operation.data, "target": target}, context.now))
    if operation_go_on(tx, [operation.id], from_step=PREPARE, to_step=START, now=context.now):
        tx.emit(event(context, "operation.ready", operation.id, None))
    elif operation.data.get("target") != target:
        tell_both(tx, context, server, operation.data["dest"])


def live_abandoned(tx: Tx, context: Context, *, parts: Parts) -> None:
    """Give up the live migrations of servers whose host is down; that can't be heard from it."""
    waiting = [one for one in operation_list_waiting(tx, [LIVE.kind]) if one.step == NODE]
    if not waiting:
        return
    up = hosts_up(tx, context, parts.config)
    for operation in waiting:
        server = server_of(tx, operation)
        if server is not None and is_for(operation, server, TASKS) and server["host"] not in up:
            reason = HostIsDown(host=server["host"]).text
            give_up(operation_rows, tx, context, LIVE, operation, reason, parts)
            tx.emit(event(context, "operation.ready", operation.id, None))
