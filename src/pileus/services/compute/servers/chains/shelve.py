"""Shelving: a server becomes an image, leaves its host, and is built from the image again, anywhere.

shelve    node      wait until the node, which has switched the machine off, has brought its disk
          settle    the server is shelved; at once or later it leaves its host
          (of one that began from a volume: ``node`` switches it off, and it leaves its host at once)
offload   leave     wait until the host has taken the machine away, as for a deletion
          release   ports are bound to no host, the room is given back
unshelve  place     a host is chosen and claimed, ports are bound there   undone: as ``release``
          spawn     wait until the node has reported that it runs
          settle    the image goes
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.flow.chain import Chain, Step, Wait
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.compute.rules import states
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
from pileus.services.compute.servers.chains.moved_volumes import volumes_move
from pileus.services.compute.servers.chains.placing import claim_of, host_choose, ports_move
from pileus.services.compute.servers.chains.sweep import images_away
from pileus.services.compute.servers.cleanup import allocations_release, whom_to_tell
from pileus.services.compute.servers.instance_actions import action_finish
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import allocations
from pileus.services.compute.uses.image import images_of
from pileus.store.operations import Operation
from pileus.store.tx import Tx

SETTLE, LEAVE, RELEASE, SPAWN = "settle", "leave", "release", "spawn"


class ShelvedImageLost(Conflict):
    message = "The image {image_id} of the shelved server {server_id} is not there, or has no bytes."


# -- shelve


def begin_shelve(tx: Tx, context: Context, server: Values, image_id: str | None, parts: Parts) -> None:
    """Have a server's node switch it off and fill an image with its disk; None: it began from a volume, which
    is as good as an image."""
    if image_id is None:
        begin(tx, context, SHELVE_VOLUMES, server, {"disks": {}}, parts)
    else:
        begin(tx, context, SHELVE, server, {"image_id": image_id, "quiesce": False}, parts)


def _settle_shelved(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.SHELVING,)):
        return
    _must_have_bytes(tx, server, operation.data["image_id"])
    changes = {
        "vm_state": states.SHELVED,
        "task_state": None,
        "task_since": None,
        "rested_at": context.now,
        "fault": None,
    }
    (server,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    action_finish(tx, context.now, [server["id"]], actions=("shelve",), host=server["host"])
    tx.emit(told(context, SHELVE, operation, server, "shelved"))
    if parts.config.shelved_offload_time_s == 0:
        begin_offload(tx, context, server, parts)


def _must_have_bytes(tx: Tx, server: Values, image_id: str | None) -> None:
    image = images_of(tx, [image_id] if image_id else []).get(image_id or "")
    if image is None or image["status"] != "active":
        raise ShelvedImageLost(image_id=image_id, server_id=server["id"])


def _shelve_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The server is what it was; there is no image."""
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.SHELVING,)):
        return
    images_away(tx, context, [(server, operation.data.get("image_id"))], parts)
    task_failed(
        tx, context, SHELVE, operation, (states.SHELVING,), "shelve", shelved_image_id=None, rested_at=None
    )


SHELVE = Chain(
    "server.shelve",
    (
        Step(NODE, wait=task_wait(states.SHELVING, timeout_s=disk_timeout_s)),
        Step(SETTLE, _settle_shelved),
    ),
    on_failed=_shelve_failed,
)


def _settle_off(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """It is off: there is nothing to be kept on its host."""
    server = server_of(tx, operation)
    if server is not None and is_for(operation, server, (states.SHELVING,)):
        begin_offload(tx, context, server, parts)


SHELVE_VOLUMES = Chain(
    "server.shelve_volumes",
    (
        Step(NODE, wait=task_wait(states.SHELVING)),
        Step(SETTLE, _settle_off),
    ),
    on_failed=_shelve_failed,
)


# -- offload


def begin_offload(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Have a shelved server leave its host."""
    changes = {"task_state": states.SHELVING_OFFLOADING, "task_since": context.now}
    SERVER.change(tx, context, [Update(server, Values(changes))])
    begin(tx, context, OFFLOAD, server, {"host": server["host"]}, parts)
    tx.emit(update_told(context, server, task_state=states.SHELVING_OFFLOADING))


def _has_left(tx: Tx, context: Context, several: list[Operation], parts: Parts) -> Collection[str]:
    up = hosts_up(tx, context, parts.config)
    return [operation.id for operation in several if operation.data["host"] not in up]


def _wait_no_longer(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """A host that says nothing for so long is taken to have nothing of the server."""


def _release(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.SHELVING_OFFLOADING,)):
        return
    _let_go(tx, context, server, parts)
    action_finish(tx, context.now, [server["id"]], actions=("shelve", "shelveOffload"), host=server["host"])
    tx.emit(told(context, OFFLOAD, operation, server, "offloaded"))


def _let_go(tx: Tx, context: Context, server: Values, parts: Parts, **others: Any) -> None:
    """A shelved server is on no host: no port of it is bound, no host keeps room for it."""
    ports_move(tx, context, server, None, server["availability_zone"], parts)
    volumes_move(tx, context, server, None)
    allocations_release(tx, [server])
    changes = {
        "host": None,
        "node": None,
        "availability_zone": None,
        "in_place": False,
        "vm_state": states.SHELVED_OFFLOADED,
        "power_state": states.SHUTDOWN,
        "wanted": states.WANT_STOPPED,
        "task_state": None,
        "task_since": None,
        "rested_at": None,
    }
    SERVER.change(tx, context, [Update(server, Values(changes | others))])
    tx.emit(
        event(
            context,
            "server.update",
            server["id"],
            server["project_id"],
            whom_to_tell(server),
            host=server["host"],
            vm_state=states.SHELVED_OFFLOADED,
        )
    )


def _offload_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    task_failed(tx, context, OFFLOAD, operation, (states.SHELVING_OFFLOADING,), "shelveOffload")


OFFLOAD = Chain(
    "server.shelve_offload",
    (
        Step(
            LEAVE,
            wait=Wait(lambda parts: parts.config.delete_timeout_s, over=_has_left, late=_wait_no_longer),
        ),
        Step(RELEASE, _release),
    ),
    on_failed=_offload_failed,
)


# -- unshelve


def begin_unshelve(tx: Tx, context: Context, server: Values, host: str | None, parts: Parts) -> None:
    """Have a shelved server run again, on ``host`` where one was asked for."""
    begin(tx, context, UNSHELVE, server, {"host": host, "image_id": server["shelved_image_id"]}, parts)


def _place(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.UNSHELVING,)) or server["host"] is not None:
        return  # it has not left its host: that only has to start it
    if root_volume_of(tx, server["id"]) is None:
        _must_have_bytes(tx, server, operation.data["image_id"])
    zone = server["pinned_availability_zone"]
    chosen = host_choose(tx, context, server, parts, zone=zone, host=operation.data["host"])
    changes = {
        "host": chosen.host,
        "node": chosen.node,
        "availability_zone": chosen.zone,
        "generation": server["generation"] + 1,
        "wanted": states.WANT_RUNNING,
        "in_place": False,
        "carried": None,
    }
    (server,) = SERVER.change(tx, context, [Update(server, Values(changes))])
    tx.insert(allocations, [claim_of(server, chosen.host, chosen.given)])
    ports_move(tx, context, server, chosen.host, chosen.zone, parts)
    volumes_move(tx, context, server, chosen.host)
    tx.emit(told(context, UNSHELVE, operation, server, "schedule", detail=chosen.host))
    tx.emit(update_told(context, server, task_state=states.UNSHELVING))


def _unplace(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None or not is_for(operation, server, (states.UNSHELVING,)):
        return
    if server["vm_state"] == states.SHELVED_OFFLOADED and server["host"] is not None:
        # the task ends when all is undone
        task = {"task_state": server["task_state"], "task_since": server["task_since"]}
        _let_go(tx, context, server, parts, **task)


def _settle_unshelved(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    server = server_of(tx, operation)
    if server is None:
        return
    image_id = operation.data["image_id"]
    images_away(tx, context, [(server, image_id)], parts)
    if server["shelved_image_id"] == image_id:
        SERVER.change(tx, context, [Update(server, Values({"shelved_image_id": None, "rested_at": None}))])
    tx.emit(told(context, UNSHELVE, operation, server, "unshelved"))


def _unshelve_failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    task_failed(tx, context, UNSHELVE, operation, (states.UNSHELVING,), "unshelve")


UNSHELVE = Chain(
    "server.unshelve",
    (
        Step("place", _place, undo=_unplace),
        Step(SPAWN, wait=task_wait(states.UNSHELVING, timeout_s=lambda parts: parts.config.build_timeout_s)),
        Step(SETTLE, _settle_unshelved),
    ),
    on_failed=_unshelve_failed,
    timeout_s=lambda parts: parts.config.build_timeout_s,
)
