"""Resizes and cold migrations: a server becomes another machine, here or on another host, and can go back.

    resize    schedule  a host is chosen and keeps room, ports are bound to it too   undone: all of that
              node      wait until the node has switched the machine off and, where it goes to another host,
                        brought its disks to the server
              switch    the server is on the other host, its machine is made of the disks there; the one
                        before is kept                                              undone: it is taken back
              spawn     wait until the host has reported it
              settle    it waits for being confirmed, or for being taken back
    revert    back      the server is on its host of before, its machine the one that was kept
              spawn     wait until the host has reported it
              settle

To confirm is one unit: what was kept is no longer wanted, so its host removes it.
"""

from __future__ import annotations

from typing import Any

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Update, Values
from pileus.services.compute.rules import states
from pileus.services.compute.rules.providers import Given
from pileus.services.compute.servers.attached_volumes import root_volume_of
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    disk_timeout_s,
    hosts_up,
    is_for,
    server_of,
    task_failed,
    task_wait,
    told,
    update_told,
)
from pileus.services.compute.servers.chains.migrations import (
    MIGRATION,
    SIZED,
    bindings_drop,
    bindings_make,
    bindings_switch,
    held,
    migration_begin,
    migration_open,
    migration_over,
    migration_read,
    migration_set,
    tell_both,
)
from pileus.services.compute.servers.chains.moved_volumes import volumes_move
from pileus.services.compute.servers.chains.placing import claim_move, host_choose
from pileus.services.compute.servers.chains.sweep import images_away
from pileus.services.compute.servers.cleanup import put_error
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.uses.image import image_begin, images_of
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.RESIZE_PREP, states.RESIZE_MIGRATING, states.RESIZE_FINISH)
SWITCH, SPAWN, SETTLE = "switch", "spawn", "settle"


class DisksLost(Conflict):
    message = "The disks of server {id} did not come to where they were brought."


class SourceDown(Conflict):
    message = "The host {host} is down: what it keeps of server {id} can't be taken back."


def begin_resize(
    tx: Tx,
    context: Context,
    server: Values,
    kind: str,
    new_values: dict[str, Any],
    host: str | None,
    parts: Parts,
) -> None:
    """Have a server become a machine of ``new_values`` (none: stay the same) on another host or its own;
    ``host``: on that one."""
    migration_id = migration_begin(tx, context, server, kind, new_values, "pre-migrating")
    begin(tx, context, RESIZE, server, {"migration": migration_id, "host": host}, parts)


def _schedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> dict[str, Any] | None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return None
    data = operation.data
    row = migration_read(tx, data["migration"])
    source = server["host"]
    stays = row.kind != MIGRATION and parts.config.allow_resize_to_same_host
    wanted = {**server, **{name: row.new_values[name] for name in SIZED}}
    chosen = host_choose(
        tx,
        context,
        wanted,
        parts,
        zone=server["pinned_availability_zone"],
        host=data["host"],
        excluded=() if stays else (source,),
        named=row.kind == MIGRATION,
    )
    images = {}
    if chosen.host != source:
        bindings_make(tx, context, server, chosen.host, parts)
        images = _parcels(tx, context, server, parts)
    migration_set(
        tx,
        context,
        row.id,
        status="migrating",
        dest_host=chosen.host,
        dest_node=chosen.node,
        new_values={**row.new_values, "availability_zone": chosen.zone, "images": images},
        **held(chosen.host, wanted, chosen.given),
    )
    changes = {"task_state": states.RESIZE_MIGRATING, "wanted": states.WANT_STOPPED}
    SERVER.change(tx, context, [Update(server, Values(changes))])
    tx.emit(told(context, RESIZE, operation, server, detail=chosen.host))
    tx.emit(update_told(context, server, task_state=states.RESIZE_MIGRATING))
    return {**data, "disks": images}


def _parcels(tx: Tx, context: Context, server: Values, parts: Parts) -> dict[str, str]:
    """Images that are nobody's, by the disk that they carry from one host to the other."""
    names = [
        *([] if root_volume_of(tx, server["id"]) is not None else ["root"]),
        *(["ephemeral"] if server["flavor"]["ephemeral"] else []),
    ]
    return {
        name: image_begin(
            tx,
            context,
            parts.images,
            {"image_type": "carried", "instance_uuid": server["id"]},
            name=f"{server['id']}-{name}",
            owner=None,
            os_hidden=True,
            visibility="private",
            disk_format="qcow2",
            container_format="bare",
        )
        for name in names
    }


def _unschedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    row = migration_read(tx, operation.data["migration"])
    if server is None or row is None or not is_for(operation, server, TASKS):
        return
    if row.dest_host not in (None, row.source_host):
        bindings_drop(tx, context, server, row.dest_host, parts)
    _away(tx, context, server, row, parts)
    migration_over(tx, context, row.id, "error")


def _away(tx: Tx, context: Context, server: Values, row: Any, parts: Parts) -> None:
    images = (row.new_values.get("images") or {}).values()
    images_away(tx, context, [(server, image_id) for image_id in images], parts)


def _switch(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS):
        return
    row = migration_read(tx, operation.data["migration"])
    images = row.new_values["images"]
    found = images_of(tx, images.values())
    if any(key not in found or found[key]["status"] != "active" for key in images.values()):
        raise DisksLost(id=server["id"])
    sized = {name: row.new_values[name] for name in SIZED}
    moved = row.dest_host != row.source_host
    changes = sized | {
        "host": row.dest_host,
        "node": row.dest_node,
        "availability_zone": row.new_values["availability_zone"],
        "generation": server["generation"] + 1,
        "in_place": False,
        "task_state": states.RESIZE_FINISH,
        "wanted": states.WANTED_IN[row.old_values["vm_state"]],
        "kept_host": row.source_host,
        "carried": {"kind": "brought", **images} if moved else {"kind": "grown"},
    }
    if moved:
        bindings_switch(tx, context, server, row.dest_host, parts)
    (after,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    if moved:
        volumes_move(tx, context, after, row.dest_host)
    given = claim_move(tx, after, row.held_resources)
    kept = held(row.source_host, row.old_values, given)
    migration_set(tx, context, row.id, status="post-migrating", **kept)
    tx.emit(told(context, RESIZE, operation, after))
    tell_both(tx, context, after, row.source_host)


def _switch_back(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, TASKS) or server["kept_host"] is None:
        return
    row = migration_read(tx, operation.data["migration"])
    given = _take_back(tx, context, server, row, parts)
    migration_set(tx, context, row.id, **held(row.dest_host, row.new_values, given))


def _take_back(tx: Tx, context: Context, server: Values, row: Any, parts: Parts) -> Given | None:
    """The server is what it was, where it was, and its machine is the one that was kept there; returns what
    providers of resources gave to the other."""
    changes = {name: row.old_values[name] for name in SIZED} | {
        "host": row.source_host,
        "node": row.source_node,
        "availability_zone": row.old_values["availability_zone"],
        "generation": server["generation"] + 1,
        "in_place": False,
        "wanted": states.WANTED_IN[row.old_values["vm_state"]],
        "kept_host": None,
        "carried": {"kind": "back"},
    }
    if row.dest_host != row.source_host:
        bindings_switch(tx, context, server, row.source_host, parts)
    (after,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    if row.dest_host != row.source_host:
        volumes_move(tx, context, after, row.source_host)
    given = claim_move(tx, after, row.held_resources)
    tell_both(tx, context, after, row.dest_host)
    return given


def _settle(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    row = migration_read(tx, operation.data["migration"])
    if server is None or row is None or row.status != "post-migrating":
        return
    changes: dict[str, Any] = {"rested_at": context.now}
    if row.dest_host != row.source_host:
        changes["carried"] = None
    SERVER.change(tx, context, [Update(server, Values(changes))])
    _away(tx, context, server, row, parts)
    migration_set(tx, context, row.id, status="finished")
    tx.emit(told(context, RESIZE, operation, server, "resized"))


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    row = migration_read(tx, operation.data["migration"])
    if row is not None and row.status not in ("finished", "confirmed", "reverted"):
        migration_over(tx, context, row.id, "error")
    task_failed(tx, context, RESIZE, operation, TASKS, "resize")


RESIZE = Chain(
    "server.resize",
    (
        Step("schedule", _schedule, undo=_unschedule),
        Step(NODE, wait=task_wait(*TASKS, timeout_s=disk_timeout_s)),
        Step(SWITCH, _switch, undo=_switch_back),
        Step(SPAWN, wait=task_wait(states.RESIZE_FINISH, timeout_s=disk_timeout_s)),
        Step(SETTLE, _settle),
    ),
    on_failed=_failed,
)


# -- its two ends


def confirm(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """A resized server is what it is: nothing is kept of what it was."""
    row = migration_open(tx, server["id"])
    runs = server["power_state"] != states.SHUTDOWN
    changes = {
        "vm_state": states.ACTIVE if runs else states.STOPPED,
        "wanted": states.WANT_RUNNING if runs else states.WANT_STOPPED,
        "kept_host": None,
        "carried": None,
        "rested_at": None,
    }
    (after,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    if row is not None:
        bindings_drop(tx, context, server, row.source_host, parts)
        migration_over(tx, context, row.id, "confirmed")
        tell_both(tx, context, after, row.source_host)


def begin_revert(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a resized server be again what it was."""
    row = migration_open(tx, server["id"])
    if row is None:
        raise Conflict(f"Instance {server['id']} has no migration that could be reverted.")
    migration_set(tx, context, row.id, status="reverting")
    begin(tx, context, REVERT, server, {"migration": row.id}, parts)


_REVERTING = (states.RESIZE_REVERTING,)


def _back(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, _REVERTING):
        return
    row = migration_read(tx, operation.data["migration"])
    if row.source_host not in hosts_up(tx, context, parts.config):
        raise SourceDown(host=row.source_host, id=server["id"])
    _take_back(tx, context, server, row, parts)
    bindings_drop(tx, context, server, row.dest_host, parts)
    migration_over(tx, context, row.id, "reverting")
    tx.emit(told(context, REVERT, operation, server, detail=row.source_host))


def _settle_reverted(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    migration_set(tx, context, operation.data["migration"], status="reverted")
    if server is not None:
        SERVER.change(tx, context, [Update(server, Values({"carried": None, "rested_at": None}))])
        tx.emit(told(context, REVERT, operation, server, "reverted"))


def _revert_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Still resized where nothing was done yet; else its host could not take it back, and it is in ERROR."""
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, _REVERTING):
        return
    if server["kept_host"] is not None:
        migration_set(tx, context, operation.data["migration"], status="finished")
        task_failed(tx, context, REVERT, operation, _REVERTING, "revertResize")
        return
    migration_over(tx, context, operation.data["migration"], "error")
    put_error(tx, context, [server], operation.error or "")
    tx.emit(told(context, REVERT, operation, server, "revertResize", error=operation.error))


REVERT = Chain(
    "server.revert_resize",
    (
        Step("back", _back),
        Step(SPAWN, wait=task_wait(*_REVERTING, timeout_s=lambda parts: parts.config.build_timeout_s)),
        Step(SETTLE, _settle_reverted),
    ),
    on_failed=_revert_failed,
)
