"""Reports of hosts: servers as they are, steps that happened, operations that ended, what they have.

One report is one unit of work, with a constant number of statements and writes only where something differs.
A host speaks of its own servers only; what it says of others, or of an older generation, is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import or_, select

from pileus.core.context import Context
from pileus.flow.chain import Chain, give_up
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.agents.live_migrations import live_arrivals_take, live_progress_take
from pileus.services.compute.agents.volumes import volumes_take
from pileus.services.compute.events import STEP
from pileus.services.compute.nodes.work import inventory_take
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.delete import close_gone
from pileus.services.compute.servers.chains.evacuate import EVACUATE
from pileus.services.compute.servers.chains.on_node import NODE, ON_NODE
from pileus.services.compute.servers.chains.rebuild import REBUILD
from pileus.services.compute.servers.chains.resize import RESIZE, REVERT
from pileus.services.compute.servers.chains.shelve import (
    LEAVE,
    OFFLOAD,
    RELEASE,
    SETTLE,
    SPAWN,
    UNSHELVE,
)
from pileus.services.compute.servers.cleanup import boot_undo, put_error
from pileus.services.compute.servers.completion import boots_complete
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.store import operations as operation_rows
from pileus.store.column_in import column_in
from pileus.store.event import TRIMMED, scope_positions
from pileus.store.events import newest_position
from pileus.store.operations import (
    DONE,
    FAILED,
    PENDING,
    RUNNING,
    WAITING,
    operation_end,
    operation_get,
    operation_go_on,
    operation_list_all,
    operations,
)
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.hypervisor import HypervisorReport, OperationReport, ServerReport, Step
from pileus.wire.switch import Acknowledged

_TASKS = {
    states.POWERING_OFF: "stop",
    states.POWERING_ON: "start",
    states.PAUSING: "pause",
    states.UNPAUSING: "unpause",
    states.SUSPENDING: "suspend",
    states.RESUMING: "resume",
    states.REBUILDING: "rebuild",
    states.REBOOTING: "reboot",
    states.REBOOTING_HARD: "reboot",
    states.UNSHELVING: "unshelve",
    states.RESTORING: "restore",
    states.RESIZE_FINISH: "resize",
    states.RESIZE_REVERTING: "revertResize",
    states.EVACUATING: "evacuate",
}


class _Awaited(NamedTuple):
    """A chain that waits at ``step`` until a task is over, and goes on with ``then``."""

    chain: Chain
    step: str
    then: str


_AWAITED = {
    states.UNSHELVING: _Awaited(UNSHELVE, SPAWN, SETTLE),
    states.RESIZE_FINISH: _Awaited(RESIZE, SPAWN, SETTLE),
    states.RESIZE_REVERTING: _Awaited(REVERT, SPAWN, SETTLE),
    states.EVACUATING: _Awaited(EVACUATE, SPAWN, SETTLE),
}
"""By the task."""


def hypervisor_report(tx: Tx, context: Context, report: HypervisorReport, *, parts: Parts) -> Acknowledged:
    """Take a report; the answer's position is the newest of what concerns the host."""
    if report.inventory is not None:
        inventory_take(tx, context, report.host, report.inventory)
    said = {one.server_id: one for one in report.servers}
    ids = sorted({*said, *report.gone})
    mine: dict[str, Values] = {}
    if ids:
        found = fetch(
            tx, SERVER, ids, [servers.c.host == report.host, servers.c.deleted_at.is_(None)], lock=True
        )
        mine = {server["id"]: server for server in found}
    if said:
        pairs = [(mine[key], one) for key, one in said.items() if key in mine]
        _servers(tx, context, report.host, pairs, parts)
        current = [one for server, one in pairs if one.generation == server["generation"]]
        volumes_take(tx, context, current, parts)
    if report.progress:
        live_progress_take(tx, context, report.host, report.progress, parts)
    if report.operations:
        _operations(tx, context, report.host, report.operations, parts)
    _gone(tx, context, report, mine, parts)
    return Acknowledged(position=newest_position(tx, {scopes.hypervisor(report.host)}))


def _servers(
    tx: Tx,
    context: Context,
    host: str,
    pairs: Sequence[tuple[Values, ServerReport]],
    parts: Parts,
) -> None:
    tx.emit_many([_step(context, server, host, one) for server, said in pairs for one in said.steps])
    updates: list[Update] = []
    finished: dict[str, list[str]] = {}
    awaited: dict[str, list[str]] = {}
    failed: dict[str, list[Values]] = {}
    broken: dict[str, list[Values]] = {}
    building = []
    for server, said in pairs:
        if server["wanted"] == states.WANT_GONE or said.generation > server["generation"]:
            continue
        current = said.generation == server["generation"]
        if said.error is not None and current:
            (failed if server["vm_state"] == states.BUILDING else broken).setdefault(said.error, []).append(
                server
            )
            continue
        changes = _changes(server, said, current)
        if changes:
            updates.append(Update(server, Values(changes)))
            if "vm_state" in changes or "task_state" in changes:
                tx.emit(_changed(context, server, changes))
            if changes.get("task_state", "") is None and server["task_state"] in _TASKS:
                finished.setdefault(_TASKS[server["task_state"]], []).append(server["id"])
                if server["task_state"] in _AWAITED:
                    awaited.setdefault(server["task_state"], []).append(server["id"])
        if server["vm_state"] == states.BUILDING and said.in_place and current:
            building.append(server["id"])
    if updates:
        SERVER.change(tx, context, updates)
    for action, ids in finished.items():
        action_finish(tx, context.now, ids, actions=(action,), host=host)
    operation_end(tx, DONE, context.now, resource_ids=finished.get("rebuild"), kinds=[REBUILD.kind])
    for task, ids in awaited.items():
        one = _AWAITED[task]
        _go_on(tx, context, ids, one.chain, one.step, one.then)
    for text, several in failed.items():
        boot_undo(
            tx,
            context,
            several,
            f"Build of instance failed: {text}",
            network=parts.network,
            volumes=parts.volumes,
        )
    for text, several in broken.items():
        _failed_task(tx, context, several, text, parts)
    if building:
        boots_complete(tx, context, building)


def _changes(server: Values, said: ServerReport, current: bool) -> dict[str, Any]:
    """Compute the changes of a server's row that follow from a report; pure."""
    changes: dict[str, Any] = {}
    if said.power_state != server["power_state"]:
        changes["power_state"] = said.power_state
    in_place = said.in_place and current
    if in_place != server["in_place"]:
        changes["in_place"] = in_place
    if not in_place or server["vm_state"] == states.BUILDING:
        return changes
    power, state = states.REACHED[server["wanted"]]
    task = server["task_state"]
    if task == states.RESIZE_REVERTING and server["kept_host"] is not None:
        return changes  # it is still the machine that is to go
    if task == states.RESIZE_FINISH:
        state = states.RESIZED
    if said.power_state == power:
        if task in states.ON_THE_WAY:
            changes |= {"task_state": None, "task_since": None, "vm_state": state}
            if state == states.ACTIVE:
                changes["fault"] = None
        elif task is None and server["vm_state"] not in (state, *states.KEPT):
            changes["vm_state"] = state
    elif task is None or task in (states.REBUILDING, states.POWERING_ON):
        drifted = states.drifted(server["wanted"], said.power_state)
        if drifted is not None and server["vm_state"] not in states.KEPT:
            # its guest went off by itself: it stays off until somebody starts it
            changes |= {
                "vm_state": drifted,
                "wanted": states.WANT_STOPPED,
                "task_state": None,
                "task_since": None,
            }
    return changes


def _go_on(tx: Tx, context: Context, server_ids: Sequence[str], chain: Chain, step: str, then: str) -> None:
    """Have chains of servers go on: they have what they waited for."""
    found = operation_list_all(tx, server_ids, [chain.kind], limit=len(server_ids) * 2)
    ids = [one.id for one in found]
    if operation_go_on(tx, ids, from_step=step, to_step=then, now=context.now):
        tx.emit(event(context, "operation.ready", ids[0], None))


def _turn_round(
    tx: Tx, context: Context, chain: Chain, operation_ids: Sequence[str], reason: str, parts: Parts
) -> None:
    """Turn chains round: they will not get what they waited for. Few at a time."""
    for operation_id in operation_ids:
        operation = operation_get(tx, operation_id)
        if operation is not None and operation.state == WAITING:
            give_up(operation_rows, tx, context, chain, operation, reason, parts)
            tx.emit(event(context, "operation.ready", operation_id, None))


def _failed_task(tx: Tx, context: Context, several: Sequence[Values], text: str, parts: Parts) -> None:
    """A server that could not be brought to where it should be: what was asked has failed.

    One that was to be rebuilt has no machine any more and is in ERROR; one whose task is a chain's is
    what the chain's end says; others stay what they were.
    """
    for task, one in _AWAITED.items():
        ids = [server["id"] for server in several if server["task_state"] == task]
        found = operation_list_all(tx, ids, [one.chain.kind], limit=len(ids) * 2) if ids else []
        here = [operation.id for operation in found if operation.step == one.step]
        _turn_round(tx, context, one.chain, here, text, parts)
    rebuilt = [server for server in several if server["task_state"] == states.REBUILDING]
    put_error(tx, context, rebuilt, text)
    operation_end(
        tx,
        FAILED,
        context.now,
        resource_ids=[server["id"] for server in rebuilt],
        kinds=[REBUILD.kind],
        error=text,
    )
    others = [
        server
        for server in several
        if server["task_state"] not in (None, states.REBUILDING, *states.IN_CHAINS)
    ]
    updates = []
    for server in others:
        changes: dict[str, Any] = {"task_state": None, "task_since": None}
        if server["vm_state"] in states.WANTED_IN:
            changes["wanted"] = states.WANTED_IN[server["vm_state"]]
        updates.append(Update(server, Values(changes)))
    if updates:
        SERVER.change(tx, context, updates)
        action_finish(tx, context.now, [server["id"] for server in others], error=text)
        tx.emit_many([_changed(context, one.original, one.changes) for one in updates])


def _changed(context: Context, server: Values, changes: dict[str, Any]) -> Any:
    told = [scopes.hypervisor(server["host"]), scopes.server(server["id"])] if "wanted" in changes else []
    return event(
        context,
        "server.update",
        server["id"],
        server["project_id"],
        told,
        host=server["host"],
        **{name: changes[name] for name in ("vm_state", "task_state", "power_state") if name in changes},
    )


def _step(context: Context, server: Values, host: str, happened: Step) -> Any:
    payload: dict[str, Any] = {
        "step": happened.name,
        "started_at": happened.started_at,
        "finished_at": happened.finished_at,
    }
    if happened.detail:
        payload["detail"] = happened.detail
    if happened.error:
        payload["error"] = happened.error
    return event(context, STEP, server["id"], server["project_id"], host=host, **payload)


def _operations(
    tx: Tx, context: Context, host: str, reports: Iterable[OperationReport], parts: Parts
) -> None:
    """End the operations that a node carried out on its servers, and the tasks that these had for them."""
    said = {one.operation_id: one for one in reports}
    rows = _on_host(tx, host, said)
    if len(rows) < len(said):
        others = said.keys() - {row.id for row in rows}
        live_arrivals_take(tx, context, host, [said[key] for key in sorted(others)], parts)
    if not rows:
        return
    ending: dict[str | None, list[str]] = {}
    following: dict[str, list[str]] = {}
    for row in rows:
        then, chain, error = ON_NODE[row.kind].then, ON_NODE[row.kind].chain, said[row.id].error
        if chain is not None and error is not None:
            _turn_round(tx, context, chain, [row.id], error, parts)
        elif then is None:
            ending.setdefault(said[row.id].error, []).append(row.id)
        else:
            following.setdefault(then, []).append(row.id)
    for error, ids in ending.items():
        operation_end(tx, DONE if error is None else FAILED, context.now, ids=ids, error=error)
    for then, ids in following.items():
        if operation_go_on(tx, ids, from_step=NODE, to_step=then, now=context.now):
            tx.emit(event(context, "operation.ready", ids[0], None))
    found = fetch(
        tx, SERVER, sorted({row.resource_id for row in rows}), [servers.c.deleted_at.is_(None)], lock=True
    )
    by_id = {server["id"]: server for server in found}
    updates = []
    for row in rows:
        server = by_id.get(row.resource_id)
        error = said[row.id].error
        kind = ON_NODE[row.kind]
        if server is None or kind.chain is not None:
            continue
        if server["task_state"] in kind.tasks:
            changes: dict[str, Any] = {"task_state": None, "task_since": None}
            if error is None:
                changes |= kind.succeeded
            else:
                changes |= kind.failed
                if server["vm_state"] in states.WANTED_IN:
                    changes["wanted"] = states.WANTED_IN[server["vm_state"]]
            updates.append(Update(server, Values(changes)))
            tx.emit(_changed(context, server, changes))
        ended = [server["id"]]
        action_finish(tx, context.now, ended, actions=kind.actions, host=server["host"], error=error)
    SERVER.change(tx, context, updates)


def _on_host(tx: Tx, host: str, operation_ids: Collection[str]) -> Sequence[Any]:
    """Those of some operations that a host carries out on its servers, held."""
    c = operations.c
    mine = select(servers.c.id).where(servers.c.host == host)
    return tx.rows(
        select(c.id, c.kind, c.resource_id)
        .where(
            column_in(tx, c.id, sorted(operation_ids)),
            c.kind.in_(sorted(ON_NODE)),
            c.state.in_((PENDING, RUNNING, WAITING)),
            c.step == NODE,
            c.resource_id.in_(mine),
        )
        .with_for_update()
    )


def _gone(
    tx: Tx,
    context: Context,
    report: HypervisorReport,
    mine: dict[str, Values],
    parts: Parts,
) -> None:
    """Close the deletions of servers of which nothing is left on the host; what left it goes on elsewhere."""
    left = [mine[key] for key in report.gone if key in mine and _is_to_leave(mine[key])]
    if report.present is not None:
        known = {server["id"] for server in left}
        left += [
            server
            for server in _absent(tx, report.host, report.present, report.position)
            if server["id"] not in known
        ]
    closing = [server for server in left if server["wanted"] == states.WANT_GONE]
    close_gone(tx, context, closing, parts)
    offloading = [server["id"] for server in left if server["task_state"] == states.SHELVING_OFFLOADING]
    if offloading:
        _go_on(tx, context, offloading, OFFLOAD, LEAVE, RELEASE)


def _is_to_leave(server: Values) -> bool:
    return server["wanted"] == states.WANT_GONE or server["task_state"] in states.LEAVING


def _absent(tx: Tx, host: str, present: Collection[str], position: int) -> list[Values]:
    """Servers that were to leave the host before ``position`` and of which the host has nothing."""
    deleting = fetch(
        tx,
        SERVER,
        None,
        [
            servers.c.host == host,
            or_(servers.c.wanted == states.WANT_GONE, servers.c.task_state.in_(states.LEAVING)),
            servers.c.deleted_at.is_(None),
        ],
        lock=True,
    )
    deleting = [server for server in deleting if server["id"] not in set(present)]
    if not deleting:
        return []
    wanted = {scopes.server(server["id"]): server for server in deleting}
    columns = scope_positions.c
    names = [*sorted(wanted), TRIMMED]
    rows = tx.rows(select(columns.scope, columns.position).where(column_in(tx, columns.scope, names)))
    known = {row.scope: row.position for row in rows}
    trimmed = known.get(TRIMMED, 0)
    return [server for scope, server in wanted.items() if known.get(scope, trimmed) <= position]
