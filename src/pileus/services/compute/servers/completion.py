"""When a server has become what it was asked to be: decided from what is written, by whoever looks.

A new server is ACTIVE when its host has reported it in place and running, and all its ports carry packets;
either may come last, so it is looked at when a host reports, when ports rise, and on a slow timer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.events import step
from pileus.services.compute.rules import states
from pileus.services.compute.servers.attached import ports_of_servers
from pileus.services.compute.servers.chains.adopted import CHAINED, adopt
from pileus.services.compute.servers.chains.boot_volumes import volumes_settle
from pileus.services.compute.servers.chains.common import Parts, hosts_up, too_late
from pileus.services.compute.servers.chains.sweep import SWEEP
from pileus.services.compute.servers.cleanup import boot_undo
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.store.column_in import column_in
from pileus.store.operations import UNFINISHED, operations
from pileus.store.tx import Tx


def boots_complete(tx: Tx, context: Context, server_ids: Collection[str]) -> int:
    """Make ACTIVE those of the servers that have become so; how many. At most nine statements, more
    where they have volumes."""
    c = servers.c
    waiting = fetch(
        tx,
        SERVER,
        sorted(server_ids),
        [
            c.vm_state == states.BUILDING,
            c.task_state == states.SPAWNING,
            c.in_place,
            c.power_state == states.RUNNING,
            c.wanted == states.WANT_RUNNING,
        ],
        lock=True,
    )
    if not waiting:
        return 0
    ports = ports_of_servers(tx, [server["id"] for server in waiting])
    ready = [server for server in waiting if not any(map(is_awaited, ports.get(server["id"], ())))]
    changes = {
        "vm_state": states.ACTIVE,
        "task_state": None,
        "task_since": None,
        "launched_at": context.now,
    }
    SERVER.change(tx, context, [Update(server, Values(changes)) for server in ready])
    volumes_settle(tx, context, [server["id"] for server in ready])
    action_finish(tx, context.now, [server["id"] for server in ready], actions=("create",))
    for server in ready:
        tx.emit(
            step(
                context,
                server["id"],
                server["project_id"],
                "active",
                host=server["host"],
                started_at=server["created_at"],
                detail="in place, and its ports carry packets",
            )
        )
        tx.emit(event(context, "server.active", server["id"], server["project_id"], host=server["host"]))
    return len(ready)


def is_awaited(port: Values) -> bool:
    """Whether a port is to carry packets and does not yet."""
    return bool(port["status"] != "ACTIVE" and port["admin_state_up"] and not port["quarantined"])


def overdue(tx: Tx, context: Context, *, parts: Parts) -> list[str]:
    """End what has taken too long, or waits for a host that is gone. Returns the servers concerned.

    A boot ends in ERROR with what was missing; a task that has no chain of its own is given up, and the
    server is what it was before.
    """
    c = servers.c
    tasks = fetch(
        tx, SERVER, None, [c.task_state.is_not(None), c.task_since.is_not(None), c.deleted_at.is_(None)]
    )
    if not tasks:
        return []
    config = parts.config
    late, stuck, chained = [], [], []
    under_way = _in_chains(tx, tasks)
    for server in tasks:
        age = (context.now - server["task_since"]).total_seconds()
        if server["task_state"] in CHAINED:
            chained.append(server)
        elif server["vm_state"] == states.BUILDING:
            # volumes may take long, and their chain has an end of its own
            if age > config.build_timeout_s and server["task_state"] != states.BLOCK_DEVICE_MAPPING:
                late.append(server["id"])
        elif age > config.task_timeout_s and server["id"] not in under_way:
            stuck.append(server["id"])
    if chained:
        adopt(tx, context, chained, parts)
    if late:
        _end_boots(tx, context, _again(tx, late), parts)
    if stuck:
        _give_up(tx, context, _again(tx, stuck), hosts_up(tx, context, config))
    return [*late, *stuck]


def _in_chains(tx: Tx, tasks: Sequence[Values]) -> set[str]:
    """Servers whose task ends with an operation that is under way; no statement without such a task."""
    ids = [server["id"] for server in tasks if server["task_state"] in states.IN_CHAINS]
    if not ids:
        return set()
    c = operations.c
    rows = tx.rows(
        select(c.resource_id).where(
            column_in(tx, c.resource_id, sorted(ids)), c.state.in_(UNFINISHED), c.kind != SWEEP.kind
        )
    )
    return {row.resource_id for row in rows}


def _again(tx: Tx, ids: Sequence[str]) -> list[Values]:
    """The servers, read once more and held: what was seen without a lock may have moved on."""
    c = servers.c
    return fetch(tx, SERVER, ids, [c.deleted_at.is_(None), c.task_state.is_not(None)], lock=True)


def _end_boots(tx: Tx, context: Context, several: Sequence[Values], parts: Parts) -> None:
    ports = ports_of_servers(tx, [server["id"] for server in several])
    together: dict[str, list[Values]] = {}
    for server in several:
        if server["vm_state"] != states.BUILDING:
            continue
        down = [port["id"] for port in ports.get(server["id"], ()) if port["status"] != "ACTIVE"]
        together.setdefault(_missing(server, down), []).append(server)
    for text, group in together.items():
        boot_undo(tx, context, group, text, network=parts.network, volumes=parts.volumes)


def _missing(server: Values, ports_down: Sequence[str]) -> str:
    if not server["in_place"]:
        return f"The host {server['host']} did not report the server in place in time."
    if ports_down:
        return (
            f"Virtual Interface creation failed: port {', '.join(ports_down)} did not become ACTIVE in time."
        )
    return "The server did not start to run in time."


def _give_up(tx: Tx, context: Context, several: Sequence[Values], up: set[str]) -> None:
    """Few at a time, and each with a reason of its own."""
    for server in several:
        changes: dict[str, Any] = {"task_state": None, "task_since": None}
        wanted = states.WANTED_IN.get(server["vm_state"])
        if wanted is not None:
            changes["wanted"] = wanted
        SERVER.change(tx, context, [Update(server, Values(changes))])
        action_finish(tx, context.now, [server["id"]], error=too_late(server, up))
