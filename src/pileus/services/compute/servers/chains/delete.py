"""The deletion of a server: its host takes the machine away, then nothing is left of it but a row.

    terminate   wait until the host has taken the machine away; not for a host that is down, and not for long
    close       ports, room and tags go, the row says DELETED

A host's report closes all servers that it speaks of at once (``nodes/report.py``). A host that was not waited
for finds, when it comes back, that the server is not its any more, and takes away what is left. A deletion
that fails leaves the server in ERROR with the reason; it can be deleted again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pileus.core.context import Context
from pileus.core.errors import Fault
from pileus.flow.chain import Chain, Step, Wait
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts, begin, hosts_up, server_of, told
from pileus.services.compute.servers.chains.migrations import moves_void
from pileus.services.compute.servers.chains.snapshot import SNAPSHOT
from pileus.services.compute.servers.chains.sweep import SWEEP, images_away
from pileus.services.compute.servers.cleanup import close, put_error, whom_to_tell
from pileus.services.compute.servers.resource import SERVER
from pileus.store.operations import (
    DONE,
    FAILED,
    Operation,
    operation_end,
    operation_go_on,
    operation_list_all,
    operation_list_of,
)
from pileus.store.tx import Tx

DELETED_MEANWHILE = "The server was deleted."
CLEARING_UP = (SNAPSHOT.kind, SWEEP.kind)
"""Kinds that see by themselves that their server is gone, and still have something to take away."""


def begin_deletion(tx: Tx, context: Context, server: Values, parts: Parts, *, at_once: bool) -> None:
    """Delete a server; ``at_once`` where no host has to take it away first."""
    moves_void(tx, context, server, parts)
    if at_once:
        _close_all(tx, context, [server], parts)
        _end_operations(tx, context, [server["id"]])
        return
    changes = {
        "task_state": states.DELETING,
        "task_since": context.now,
        "wanted": states.WANT_GONE,
        "kept_host": None,
    }
    SERVER.change(tx, context, [Update(server, Values(changes))])
    begin(tx, context, DELETE, server, {"host": server["host"]}, parts)
    tx.emit(
        event(
            context,
            "server.delete_wanted",
            server["id"],
            server["project_id"],
            whom_to_tell(server),
            host=server["host"],
            **_progress(TERMINATE),
        )
    )


def close_gone(tx: Tx, context: Context, several: Sequence[Values], parts: Parts) -> None:
    """Servers were taken away by their host: end their deletions, all at once.

    Where one of them can't be closed, each is left to its own operation.
    """
    ids = [server["id"] for server in several]
    if not ids:
        return
    try:
        with tx.savepoint():
            _close_all(tx, context, several, parts, **_progress(CLOSE))
            _end_operations(tx, context, ids)
    except Fault:
        found = [one.id for one in operation_list_all(tx, ids, [DELETE.kind], limit=len(ids) * 2)]
        if operation_go_on(tx, found, from_step=TERMINATE, to_step=CLOSE, now=context.now):
            tx.emit(event(context, "operation.ready", ids[0], None))


def _close_all(tx: Tx, context: Context, several: Sequence[Values], parts: Parts, **progress: int) -> None:
    """The end of servers, and of the images that they were shelved into."""
    images_away(tx, context, [(server, server["shelved_image_id"]) for server in several], parts)
    close(tx, context, several, network=parts.network, volumes=parts.volumes, **progress)


def _progress(name: str) -> dict[str, int]:
    _, position, of = DELETE.progress(name)
    return {"position": position, "of": of}


def _end_operations(tx: Tx, context: Context, server_ids: Sequence[str]) -> None:
    """Deletions are done, and whatever else was under way with the servers is void."""
    operation_end(tx, DONE, context.now, resource_ids=server_ids, kinds=[DELETE.kind])
    operation_end(tx, FAILED, context.now, resource_ids=server_ids, but=CLEARING_UP, error=DELETED_MEANWHILE)


def _host_is_down(tx: Tx, context: Context, several: list[Operation], parts: Parts) -> Collection[str]:
    up = hosts_up(tx, context, parts.config)
    return [operation.id for operation in several if operation.data["host"] not in up]


def _wait_no_longer(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """A host that says nothing for so long is taken to have nothing of the server."""


def _close(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None:
        _close_all(tx, context, [server], parts, **_progress(CLOSE))
    others = [
        one.id
        for one in operation_list_of(tx, operation.resource_id)
        if one.id != operation.id and one.kind not in CLEARING_UP
    ]
    operation_end(tx, FAILED, context.now, ids=others, error=DELETED_MEANWHILE)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is not None:
        put_error(tx, context, [server], operation.error or "")
        tx.emit(told(context, DELETE, operation, server, "delete", error=operation.error))


TERMINATE, CLOSE = "terminate", "close"
DELETE = Chain(
    "server.delete",
    (
        Step(
            TERMINATE,
            wait=Wait(lambda parts: parts.config.delete_timeout_s, over=_host_is_down, late=_wait_no_longer),
        ),
        Step(CLOSE, _close),
    ),
    on_failed=_failed,
)
