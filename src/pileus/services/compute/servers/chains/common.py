"""Shared by the chains of servers: settings for their steps, beginning, telling, being late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.flow.chain import Chain, TimedOut, Wait, waits_until
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.events import step
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, services_read
from pileus.services.compute.rules import states
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import servers
from pileus.services.compute.uses.image import ImageFiles
from pileus.services.compute.uses.network import NetworkConfig
from pileus.services.compute.uses.volume import VolumeConfig
from pileus.store.column_in import column_in
from pileus.store.event import Event
from pileus.store.operations import Operation, operation_create
from pileus.store.tx import Tx
from pileus.wire import scopes

NODE = "node"
"""The step in which a server's node carries an operation out."""


class Parts(NamedTuple):
    """Settings that each step is given beside the transaction and the operation, and the bytes of images."""

    config: ComputeConfig
    network: NetworkConfig
    images: ImageFiles
    volumes: VolumeConfig


def begin(
    tx: Tx, context: Context, chain: Chain, server: Values, data: dict[str, Any], parts: Parts
) -> Operation:
    """Write down that a chain is to be gone through for a server."""
    return operation_create(
        tx,
        operation_id=new_id(),
        kind=chain.kind,
        resource_id=server["id"],
        step=chain.first.name,
        now=context.now,
        data=data,
        project_id=server["project_id"],
        request_id=context.request_id,
        waits_until=waits_until(chain, parts, context.now),
    )


def told(
    context: Context, chain: Chain, operation: Operation, server: Values, name: str = "", **more: Any
) -> Event:
    """A step of a chain, for a server's timeline: how far it is, since when, and what ``more`` says."""
    progress = chain.progress(operation.step)
    return step(
        context,
        server["id"],
        server["project_id"],
        name or progress.step,
        **{
            "host": server["host"],
            "started_at": operation.updated_at,
            "position": progress.position,
            "of": progress.of,
            **more,
        },
    )


def update_told(context: Context, server: Values, **changed: Any) -> Event:
    """A server is to be looked at again by its host."""
    told = [scopes.hypervisor(server["host"]), scopes.server(server["id"])] if server["host"] else []
    return event(
        context, "server.update", server["id"], server["project_id"], told, host=server["host"], **changed
    )


def server_of(tx: Tx, operation: Operation) -> Values | None:
    """The server of an operation, held until the unit ends; None where it is deleted."""
    found = fetch(tx, SERVER, [operation.resource_id], [servers.c.deleted_at.is_(None)], lock=True)
    return found[0] if found else None


def is_for(operation: Operation, server: Values, tasks: tuple[str, ...]) -> bool:
    """Whether a server is still in the task that an operation was begun for, and not in a later one."""
    return server["task_state"] in tasks and server["task_since"] == operation.created_at


def hosts_up(tx: Tx, context: Context, config: ComputeConfig) -> set[str]:
    """Hosts whose hypervisor agents report."""
    services = services_read(tx, config, context.now)
    return {one.host for one in services if one.binary == COMPUTE_BINARY and one.up}


def too_late(server: Values, up: set[str]) -> str:
    """The reason for giving up what a server was doing."""
    why = "took too long" if server["host"] in up else f"the host {server['host']} is down"
    return f"{server['task_state']}: {why}"


def task_timeout_s(parts: Parts) -> float:
    """Until when a server's host has done what it was asked."""
    return parts.config.task_timeout_s


def disk_timeout_s(parts: Parts) -> float:
    """The same, of what carries a disk."""
    return parts.config.disk_timeout_s


def task_wait(*tasks: str, timeout_s: Callable[[Parts], float] = task_timeout_s) -> Wait:
    """A wait until a server is no longer in the task that its operation was begun for."""

    def over(tx: Tx, context: Context, several: list[Operation], parts: Parts) -> list[str]:
        c = servers.c
        ids = sorted({operation.resource_id for operation in several})
        rows = tx.rows(
            select(c.id, c.task_state, c.task_since).where(column_in(tx, c.id, ids), c.deleted_at.is_(None))
        )
        now = {row.id: Values(row._asdict()) for row in rows}
        return [
            operation.id
            for operation in several
            if operation.resource_id not in now or not is_for(operation, now[operation.resource_id], tasks)
        ]

    def late(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
        server = server_of(tx, operation)
        if server is not None and is_for(operation, server, tasks):
            raise TimedOut(too_late(server, hosts_up(tx, context, parts.config)))

    return Wait(timeout_s, over=over, late=late)


def task_failed(
    tx: Tx,
    context: Context,
    chain: Chain,
    operation: Operation,
    tasks: tuple[str, ...],
    action: str,
    **changes: Any,
) -> None:
    """End a task that failed: the server stays what it was (but for ``changes``), its ``action`` and its
    timeline say why. Nothing where it is in a later task."""
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, tasks):
        return
    changes |= {"task_state": None, "task_since": None}
    if server["vm_state"] in states.WANTED_IN:
        changes["wanted"] = states.WANTED_IN[server["vm_state"]]
    SERVER.change(tx, context, [Update(server, Values(changes))])
    if changes.get("wanted", server["wanted"]) != server["wanted"]:
        tx.emit(update_told(context, server, wanted=changes["wanted"]))
    action_finish(tx, context.now, [server["id"]], error=operation.error)
    tx.emit(told(context, chain, operation, server, action, error=operation.error))
