"""The rows of migrations: what a server was and is to be, and the room that another host keeps for it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from pileus.core.context import Context
from pileus.core.ids import new_id
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.compute.rules import states
from pileus.services.compute.rules.asks import room_of
from pileus.services.compute.rules.providers import Given
from pileus.services.compute.servers.attached import ports_of
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.chains.sweep import images_away
from pileus.services.compute.tables.servers import server_migrations
from pileus.services.compute.uses.network import (
    PortBindingNotFound,
    binding_activate,
    binding_create,
    binding_delete,
    is_networks_own,
)
from pileus.store.tx import Tx
from pileus.wire import scopes

RESIZE, MIGRATION, EVACUATION, LIVE_MIGRATION = "resize", "migration", "evacuation", "live-migration"
SIZED = ("flavor_id", "flavor", "vcpus", "memory_mib", "disk_gib", "hardware", "disk_config")
"""Values of a server that a resize changes."""

ENDED = ("confirmed", "reverted", "done", "failed", "error", "completed", "cancelled")
"""Statuses of migrations of which nothing is left to do."""

_NOTHING_HELD = {
    "held_host": None,
    "held_vcpus": 0,
    "held_memory_mib": 0,
    "held_disk_gib": 0,
    "held_resources": None,
}


def migration_begin(
    tx: Tx, context: Context, server: Values, kind: str, new_values: Mapping[str, Any], status: str
) -> str:
    """Write that a server is about to move; the id."""
    old = {name: server[name] for name in (*SIZED, "vm_state", "availability_zone")}
    row = {
        "id": new_id(),
        "server_id": server["id"],
        "kind": kind,
        "status": status,
        "source_host": server["host"],
        "source_node": server["node"],
        "dest_host": None,
        "dest_node": None,
        "old_values": old,
        "new_values": {name: server[name] for name in SIZED} | dict(new_values),
        "user_id": context.user_id,
        "project_id": context.project_id,
        "created_at": context.now,
        "updated_at": context.now,
        **_NOTHING_HELD,
    }
    tx.insert(server_migrations, [row])
    return str(row["id"])


def migration_read(tx: Tx, migration_id: str) -> Any:
    """The row of a migration; None where its server's row is gone."""
    return tx.first(select(server_migrations).where(server_migrations.c.id == migration_id))


def migration_set(tx: Tx, context: Context, migration_id: str, **values: Any) -> None:
    """Change the row of a migration."""
    c = server_migrations.c
    tx.execute(update(server_migrations).where(c.id == migration_id).values(**values, updated_at=context.now))


def held(host: str, sized: Mapping[str, Any], given: Given | None = None) -> dict[str, Any]:
    """Values by which a host keeps room for a server of a size that is not on it, and providers of resources
    what they have given it."""
    room = room_of(sized, sized["flavor"]["extra_specs"])
    return {
        "held_host": host,
        **{f"held_{name}": amount for name, amount in room.items()},
        "held_resources": given or None,
    }


def migration_over(tx: Tx, context: Context, migration_id: str, status: str) -> None:
    """A migration has come to an end: no host keeps room for it any more."""
    migration_set(tx, context, migration_id, status=status, **_NOTHING_HELD)


def migration_open(tx: Tx, server_id: str) -> Any:
    """The newest migration of a server that has come to no end, or None."""
    c = server_migrations.c
    return tx.first(
        select(server_migrations)
        .where(c.server_id == server_id, c.status.not_in(ENDED))
        .order_by(c.number.desc())
    )


def moves_void(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """A server is to be deleted: its move is over, and nothing of it is left."""
    if server["task_state"] not in states.MOVING and server["vm_state"] != states.RESIZED:
        return
    row = migration_open(tx, server["id"])
    if row is None:
        return
    other = row.source_host if server["host"] != row.source_host else row.dest_host
    bindings_drop(tx, context, server, other, parts)
    images = (row.new_values.get("images") or {}).values()
    images_away(tx, context, [(server, image_id) for image_id in images], parts)
    if server["kept_host"]:
        told = [scopes.hypervisor(server["kept_host"])]
        tx.emit(event(context, "server.update", server["id"], server["project_id"], told))
    confirmed = server["task_state"] not in states.MOVING  # it was resized already
    migration_over(tx, context, row.id, "confirmed" if confirmed else "error")


def tell_both(tx: Tx, context: Context, server: Values, other: str) -> None:
    """The host that a server is on, and another one, look again."""
    both = [scopes.hypervisor(host) for host in sorted({server["host"], other})]
    told_to = [*both, scopes.server(server["id"])]
    tx.emit(
        event(
            context,
            "server.update",
            server["id"],
            server["project_id"],
            told_to,
            host=server["host"],
            vm_state=server["vm_state"],
            task_state=server["task_state"],
        )
    )


# -- bindings of a server's ports to the host that it goes to


def _ports(tx: Tx, server: Values) -> Sequence[Values]:
    return [
        port
        for port in ports_of(tx, server["id"])
        if port["binding:host_id"] and not is_networks_own(port) and port["device_id"] == server["id"]
    ]


def bindings_make(tx: Tx, context: Context, server: Values, host: str, parts: Parts) -> None:
    """Bind a server's ports to one host more. Raises what the network service refuses."""
    wish = {"host": host, "vnic_type": "normal", "profile": {}}
    for port in _ports(tx, server):
        wish["vnic_type"] = port["binding:vnic_type"]
        binding_create(tx, context, port, wish, parts.network)


def bindings_switch(tx: Tx, context: Context, server: Values, host: str, parts: Parts) -> None:
    """Make the bindings to a host those that count, where there are such."""
    for port in _ports(tx, server):
        if port["binding:host_id"] != host:
            with contextlib.suppress(PortBindingNotFound):
                binding_activate(tx, context, port, host, parts.network)


def bindings_drop(tx: Tx, context: Context, server: Values, host: str | None, parts: Parts) -> None:
    """Forget bindings to a host that the server is not on."""
    for port in _ports(tx, server) if host else ():
        if port["binding:host_id"] != host:
            with contextlib.suppress(PortBindingNotFound):
                binding_delete(tx, context, port, str(host), parts.network)
