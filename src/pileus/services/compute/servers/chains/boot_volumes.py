"""The part of a boot that is about volumes: made for servers whose host is chosen, opened for it.

    volumes    make those that are to be made        waits until they are there, or could not be made
    connect    have them opened for the hosts        waits until they are, or were refused
    hand       the hosts are told

A server whose volume can't be made, or opened, ends in ERROR by itself, with the reason; the other servers of
the request go on. Whatever was made for it goes with it, unless it was to stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.events import step
from pileus.services.compute.rules import states
from pileus.services.compute.servers.attached_volumes import (
    ATTACHED,
    ATTACHING,
    CONNECTING,
    connector_of,
    volumes_of_servers,
)
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.cleanup import boot_undo
from pileus.services.compute.servers.devices import to_be_made, volume_row
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import server_volumes, servers
from pileus.services.compute.uses.volume import (
    ForServer,
    Recipe,
    attachments_complete,
    attachments_connect,
    attachments_read,
    failures_of,
    volumes_for_servers,
    volumes_held,
    volumes_of,
)
from pileus.store.column_in import column_in
from pileus.store.operations import WAITING, Operation, operation_go_on, operations
from pileus.store.tx import Tx

KIND = "server.boot_volumes"
VOLUMES, CONNECT, HAND = "volumes", "connect", "hand"
_THEN = {VOLUMES: CONNECT, CONNECT: HAND}
_c = server_volumes.c


def servers_building(tx: Tx, operation: Operation) -> list[Values]:
    """A boot's servers that are still wanted, held until the unit ends, in the request's order."""
    ids = list(operation.data["servers"])
    found = fetch(
        tx,
        SERVER,
        ids,
        [servers.c.vm_state == states.BUILDING, servers.c.wanted != states.WANT_GONE],
        lock=True,
    )
    order = {key: position for position, key in enumerate(ids)}
    return sorted(found, key=lambda one: order[one["id"]])


def make(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Have the volumes made that are to be made: each of a request's for all of its servers. Raises what the
    volume service refuses."""
    several = servers_building(tx, operation)
    for device in to_be_made(operation.data["devices"]) if several else ():
        recipe = Recipe(
            device["size"],
            device["key"] if device["source"] == "image" else None,
            device["key"] if device["source"] == "snapshot" else None,
            device["type_id"],
        )
        wanted = [
            ForServer(
                *(server["id"], server["project_id"], server["user_id"]),
                f"{server['id']}-blank-vol" if device["source"] == "blank" else "",
            )
            for server in several
        ]
        made = volumes_for_servers(tx, context, recipe, wanted, parts.volumes)
        tx.insert(
            server_volumes,
            [
                volume_row(context, server["id"], device, one)
                for server, one in zip(several, made, strict=True)
            ],
        )


def made_over(tx: Tx, context: Context, several: Sequence[Operation], parts: Parts) -> Collection[str]:
    """The boots whose volumes are all there, or could not be made."""
    rows = _rows(tx, several)
    found = volumes_of(tx, sorted({row.volume_id for each in rows.values() for row in each}))
    return [
        one.id
        for one in several
        if all(
            row.volume_id not in found or found[row.volume_id]["status"] not in _BEING_MADE
            for row in _of(one, rows)
        )
    ]


_BEING_MADE = ("creating", "downloading")


def connect(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Have the volumes opened for the servers' hosts; servers whose volumes are not there fail."""
    several = servers_building(tx, operation)
    rows = volumes_of_servers(tx, [server["id"] for server in several])
    ids = sorted({row.volume_id for each in rows.values() for row in each})
    held = volumes_held(tx, ids)
    reasons = failures_of(tx, [key for key, one in held.items() if one["status"] == "error"])
    wrong = {
        server["id"]: f"Volume {row.volume_id} {_missing(held.get(row.volume_id), reasons)}"
        for server in several
        for row in rows.get(server["id"], ())
        if row.state == CONNECTING and not _is_ready(held.get(row.volume_id))
    }
    several = _fail(tx, context, operation, several, wrong, VOLUMES, parts)
    attachments_connect(
        tx,
        context,
        [
            (held[row.volume_id], row.attachment_id, connector_of(server["host"], row.target))
            for server in several
            for row in rows.get(server["id"], ())
        ],
    )
    tx.emit_many(
        [
            _told(context, operation, server, VOLUMES, detail=f"{len(rows.get(server['id'], ()))} volumes")
            for server in several
        ]
    )


def _is_ready(volume: Values | None) -> bool:
    return volume is not None and volume["status"] in ("reserved", "attaching", "in-use")


def _missing(volume: Values | None, reasons: Mapping[str, str]) -> str:
    if volume is None:
        return "is gone."
    if reason := reasons.get(volume["id"]):
        return f"could not be made: {reason}"
    return f"did not finish being created in time. And its status is {volume['status']}."


def opened_over(tx: Tx, context: Context, several: Sequence[Operation], parts: Parts) -> Collection[str]:
    """The boots whose volumes are all open, or were refused."""
    rows = _rows(tx, several)
    found = attachments_read(tx, [row.attachment_id for each in rows.values() for row in each])
    return [one.id for one in several if all(_is_settled(found, row) for row in _of(one, rows))]


def _is_settled(found: Mapping[str, Any], row: Any) -> bool:
    attachment = found.get(row.attachment_id)
    return attachment is None or bool(attachment.connection or attachment.error)


def volumes_hand(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The hosts are to have the volumes that are open; servers whose volumes are not fail."""
    several = servers_building(tx, operation)
    rows = volumes_of_servers(tx, [server["id"] for server in several])
    found = attachments_read(tx, [row.attachment_id for each in rows.values() for row in each])
    wrong = {}
    for server in several:
        for row in rows.get(server["id"], ()):
            one = found.get(row.attachment_id)
            if one is None or not one.connection:
                reason = "it is gone." if one is None else one.error or "its host has not opened it in time."
                wrong[server["id"]] = f"Volume {row.volume_id} can't be opened on {server['host']}: {reason}"
    several = _fail(tx, context, operation, several, wrong, CONNECT, parts)
    if not several:
        return
    chosen = column_in(tx, _c.server_id, [server["id"] for server in several])
    tx.execute(update(server_volumes).where(chosen, _c.state == CONNECTING).values(state=ATTACHING))
    changes = Values({"task_state": states.SPAWNING, "task_since": context.now})
    SERVER.change(tx, context, [Update(server, changes) for server in several])
    tx.emit_many([_told(context, operation, server, "connect") for server in several])


def wait_no_longer(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The next step says which of the servers have waited in vain."""


def volume_boots_go_on(tx: Tx, context: Context, parts: Parts) -> None:
    """Volumes were made, or opened: boots that wait for nothing else go on. Few wait at a time."""
    c = operations.c
    rows = tx.rows(select(operations).where(c.kind == KIND, c.state == WAITING))
    waiting = [Operation(**row._mapping) for row in rows]
    for at, over in ((VOLUMES, made_over), (CONNECT, opened_over)):
        here = [one for one in waiting if one.step == at]
        ready = list(over(tx, context, here, parts)) if here else []
        if ready and operation_go_on(tx, ready, from_step=at, to_step=_THEN[at], now=context.now):
            tx.emit(event(context, "operation.ready", ready[0], None))


def volumes_settle(tx: Tx, context: Context, server_ids: Sequence[str]) -> None:
    """Machines of servers were made with their volumes: these are in use. One statement where there are
    none."""
    where = [column_in(tx, _c.server_id, list(server_ids)), _c.state == ATTACHING]
    ids = [row.attachment_id for row in tx.rows(select(_c.attachment_id).where(*where))]
    if ids:
        attachments_complete(tx, context, ids)
        chosen = column_in(tx, _c.attachment_id, ids)
        tx.execute(update(server_volumes).where(chosen).values(state=ATTACHED))


def _rows(tx: Tx, several: Sequence[Operation]) -> dict[str, list[Any]]:
    return volumes_of_servers(tx, [key for one in several for key in one.data["servers"]])


def _of(operation: Operation, rows: Mapping[str, list[Any]]) -> Iterable[Any]:
    return (row for key in operation.data["servers"] for row in rows.get(key, ()))


def _fail(
    tx: Tx,
    context: Context,
    operation: Operation,
    several: list[Values],
    wrong: Mapping[str, str],
    at: str,
    parts: Parts,
) -> list[Values]:
    """Servers end in ERROR, each with its reason; the others. Few fail."""
    for server in several:
        if reason := wrong.get(server["id"]):
            tx.emit(_told(context, operation, server, at, error=reason))
            boot_undo(tx, context, [server], reason, network=parts.network, volumes=parts.volumes)
    return [server for server in several if server["id"] not in wrong]


def _told(context: Context, operation: Operation, server: Values, name: str, **more: Any) -> Any:
    return step(
        *(context, server["id"], server["project_id"], name),
        **{"host": server["host"], "started_at": operation.updated_at, **more},
    )
