"""How servers end: in ERROR with a reason, or deleted with nothing left of them.

Ports that were made for a server go, given ones are free again, the room is given back; the row of a deleted
one is kept as DELETED. How a deletion comes to its end is in ``chains/delete.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from pileus.core.context import Context
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.tag_table import tags_remove
from pileus.services.compute.events import step
from pileus.services.compute.rules import states
from pileus.services.compute.servers.attached import interfaces_of
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.password import passwords_forget
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.consoles import console_tokens
from pileus.services.compute.tables.servers import (
    allocations,
    server_interfaces,
    server_volumes,
    servers,
)
from pileus.services.compute.uses.network import (
    NetworkConfig,
    as_update,
    is_networks_own,
    port_delete,
    port_update,
    ports_by_id,
)
from pileus.services.compute.uses.volume import VolumeConfig, attachments_end, volumes_delete
from pileus.store.column_in import column_in
from pileus.store.operations import DONE, FAILED, operations
from pileus.store.tx import Tx
from pileus.wire import scopes


def resources_release(
    tx: Tx, context: Context, several: Sequence[Values], *, network: NetworkConfig, volumes: VolumeConfig
) -> None:
    """Ports, volumes and room of servers."""
    ports_release(tx, context, several, network=network)
    volumes_release(tx, context, several, volumes)
    allocations_release(tx, several)


def ports_release(tx: Tx, context: Context, several: Sequence[Values], *, network: NetworkConfig) -> None:
    """Ports of servers: what was made for them goes, what was given is free again.

    A port that its owner has meanwhile given to something else (a router) stays with that.
    """
    ids = [server["id"] for server in several]
    if not ids:
        return
    rows = interfaces_of(tx, ids)
    ports = ports_by_id(tx, [row.port_id for row in rows])
    held = [(row, ports[row.port_id]) for row in rows if row.port_id in ports]
    made = [port for row, port in held if row.made and not is_networks_own(port)]
    given = [port for row, port in held if not row.made and port["device_id"] in ("", row.server_id)]
    if made:
        port_delete(tx, context, made, config=network)
    if given:
        freed = [
            as_update(
                port,
                device_id="",
                device_owner="",
                binding__host_id="",
                dns_name="",
                quarantined=False,
            )
            for port in given
        ]
        port_update(tx, context, freed, config=network)
    tx.execute(delete(server_interfaces).where(column_in(tx, server_interfaces.c.server_id, ids)))


def volumes_release(tx: Tx, context: Context, several: Sequence[Values], config: VolumeConfig) -> None:
    """Volumes of servers are left; those that go with their server go."""
    ids = [server["id"] for server in several]
    c = server_volumes.c
    rows = tx.rows(select(server_volumes).where(column_in(tx, c.server_id, ids))) if ids else []
    if not rows:
        return
    tx.execute(delete(server_volumes).where(column_in(tx, c.server_id, ids)))
    left = attachments_end(tx, context, [row.attachment_id for row in rows])
    going = {row.volume_id for row in rows if row.delete_on_termination}
    volumes_delete(tx, context, [volume for volume in left if volume["id"] in going], config)


def allocations_release(tx: Tx, several: Sequence[Values]) -> None:
    """Give back what hosts have promised to servers."""
    ids = [server["id"] for server in several]
    if ids:
        tx.execute(delete(allocations).where(column_in(tx, allocations.c.server_id, ids)))


def put_error(
    tx: Tx, context: Context, several: Sequence[Values], text: str, *, code: int = 500, details: str = ""
) -> None:
    """Servers end in ERROR with a fault that says why."""
    if not several:
        return
    message = text[:2000]
    fault = {
        "code": code,
        "message": message,
        "details": details,
        "created": context.now.isoformat(timespec="seconds") + "Z",
    }
    changes = {"vm_state": states.ERROR, "task_state": None, "task_since": None, "fault": fault}
    SERVER.change(tx, context, [Update(server, Values(changes)) for server in several])
    action_finish(tx, context.now, [server["id"] for server in several], error=message)
    tx.emit_many(
        [
            event(
                context,
                "server.error",
                server["id"],
                server["project_id"],
                whom_to_tell(server),
                host=server["host"],
                message=message,
            )
            for server in several
        ]
    )


def boot_undo(
    tx: Tx,
    context: Context,
    several: Sequence[Values],
    text: str,
    *,
    network: NetworkConfig,
    volumes: VolumeConfig,
) -> None:
    """A boot that failed on its host or took too long: ERROR, and nothing of it is left anywhere else."""
    if not several:
        return
    resources_release(tx, context, several, network=network, volumes=volumes)
    put_error(tx, context, several, text)
    # only now, so that the host was told: it finds that the server is not its any more
    SERVER.change(
        tx,
        context,
        [Update(server, Values({"host": None, "node": None, "in_place": False})) for server in several],
    )


def close(
    tx: Tx,
    context: Context,
    several: Sequence[Values],
    *,
    network: NetworkConfig,
    volumes: VolumeConfig,
    **progress: Any,
) -> None:
    """The end of servers: nothing of them is left but the row that says so."""
    if not several:
        return
    resources_release(tx, context, several, network=network, volumes=volumes)
    ids = [server["id"] for server in several]
    tags_remove(tx, ids)
    passwords_forget(tx, ids)
    tx.execute(delete(console_tokens).where(column_in(tx, console_tokens.c.server_id, ids)))
    changes = {
        "vm_state": states.DELETED,
        "task_state": None,
        "task_since": None,
        "wanted": states.WANT_GONE,
        "power_state": states.NOSTATE,
        "deleted_at": context.now,
        "terminated_at": context.now,
        "user_data": None,
        "password": None,
        "random_seed": None,
    }
    SERVER.change(tx, context, [Update(server, Values(changes)) for server in several])
    action_finish(tx, context.now, ids)
    for server in several:
        asked = server["task_since"] if server["task_state"] == states.DELETING else None
        tx.emit(
            step(
                context,
                server["id"],
                server["project_id"],
                "delete",
                host=server["host"],
                started_at=asked,
                **progress,
            )
        )
        tx.emit(
            event(
                context,
                "server.delete",
                server["id"],
                server["project_id"],
                whom_to_tell(server),
                host=server["host"],
                name=server["name"],
            )
        )


def forget(tx: Tx, before: dt.datetime, limit: int = 500) -> int:
    """Take away the rows of servers that were deleted long ago, and of work on them, also if it never ended.

    Their actions go with them. Returns how many servers; at most ``limit`` at a time.
    """
    c = servers.c
    old = [row.id for row in tx.rows(select(c.id).where(c.deleted_at < before).limit(limit))]
    o = operations.c
    if old:
        tx.execute(delete(operations).where(column_in(tx, o.resource_id, old)))
        tx.execute(delete(servers).where(column_in(tx, c.id, old)))
    ended = o.kind.like("server.%") & o.state.in_((DONE, FAILED)) & (o.updated_at < before)
    tx.execute(delete(operations).where(ended))
    return len(old)


def whom_to_tell(server: Values) -> list[str]:
    """Who must look again when something about a server changes: its host."""
    if not server["host"]:
        return []
    return [scopes.hypervisor(server["host"]), scopes.server(server["id"])]
