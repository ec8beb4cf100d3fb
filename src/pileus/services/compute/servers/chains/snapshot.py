"""An image of a server: its node copies the disk and brings the bytes, then what is over is cleared away.

    node      wait until the node has reported that the image has its bytes, or why not
    settle    an image without bytes goes; of a backup's images those beyond the rotation go
    sweep     the bytes of images that went are deleted from the store

The image's record is written by the request, so that the caller has its id. A server that is deleted
meanwhile ends the wait, and its image goes as one without bytes does.
"""

from __future__ import annotations

from typing import Any

from pileus.core.context import Context
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Values
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import (
    NODE,
    Parts,
    begin,
    disk_timeout_s,
    task_failed,
    task_wait,
)
from pileus.services.compute.uses.image import backups_of, image_drop, images_of
from pileus.store.operations import Operation
from pileus.store.tx import Tx

TASKS = (states.SNAPSHOT, states.BACKUP)
SETTLE = "settle"


def begin_snapshot(
    tx: Tx,
    context: Context,
    server: Values,
    image_id: str,
    parts: Parts,
    *,
    quiesce: bool,
    backup_type: str | None = None,
    rotation: int = 0,
) -> None:
    """Have a server's node fill an image; ``backup_type``: and keep but ``rotation`` of this type."""
    data: dict[str, Any] = {"image_id": image_id, "quiesce": quiesce}
    if backup_type is not None:
        data |= {"backup_type": backup_type, "rotation": rotation}
    begin(tx, context, SNAPSHOT, server, data, parts)


def _settle(tx: Tx, context: Context, operation: Operation, parts: Parts) -> dict[str, Any]:
    data = operation.data
    image = images_of(tx, [data["image_id"]]).get(data["image_id"])
    gone = []
    if image is not None and image["status"] != "active":
        gone = [image]
    elif image is not None and "rotation" in data:
        kept = backups_of(tx, image["owner"], operation.resource_id, data["backup_type"])
        gone = kept[data["rotation"] :]
    objects = [image_drop(tx, context, one) for one in gone]
    return {**data, "objects": [name for name in objects if name]}


async def _sweep(context: Context, operation: Operation, parts: Parts) -> None:
    for name in operation.data["objects"]:
        await parts.images.delete_data(name)


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The server stays what it was; there is no image."""
    image = images_of(tx, [operation.data["image_id"]]).get(operation.data["image_id"])
    if image is not None and image["status"] != "active":
        image_drop(tx, context, image)
    task_failed(tx, context, SNAPSHOT, operation, TASKS, "snapshot")


SNAPSHOT = Chain(
    "server.snapshot",
    (
        Step(NODE, wait=task_wait(*TASKS, timeout_s=disk_timeout_s)),
        Step(SETTLE, _settle),
        Step("sweep", _sweep),
    ),
    on_failed=_failed,
)
