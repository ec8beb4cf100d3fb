"""Units of work that begin imports."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.flow.chain import waits_until
from pileus.resource.declaration import Values
from pileus.services.image.data.facts import Facts
from pileus.services.image.data.work import STAGING, import_begin, import_finish
from pileus.services.image.images.access import find_image
from pileus.services.image.images.work import image_create
from pileus.services.image.imports.chain import IMPORT_CHAIN, Parts
from pileus.services.image.imports.methods import DIRECT, Import
from pileus.services.image.tasks.resource import IMPORT, LEGACY_IMPORT, SUCCESS
from pileus.services.image.tasks.work import task_create, task_end
from pileus.store import operations
from pileus.store.tx import Tx
from pileus.web.request import Request


def import_start(
    tx: Tx, request: Request, wanted: Import, body: Any, task_id: str, name: str, parts: Parts
) -> bool:
    """Begin the import of the image that the path names; True where there is something to fetch.

    ``name`` is the object that will be written. What is staged is made the image's data at once.
    Raises Conflict where the image is not as the method needs it, or what ``import_finish`` raises.
    """
    image = find_image(tx, request, lock=True, rule="modify_image")
    _check(image, wanted)
    context, given = request.context, {"image_id": image["id"], "import_req": body, "backend": [None]}
    task_create(tx, context, task_id, IMPORT, image["id"], given)
    if wanted.method == DIRECT:
        import_finish(tx, context, image, msgspec.convert(image["staged"], Facts), parts.config)
        task_end(tx, context, task_id, SUCCESS, "", {"image_id": image["id"]})
        return False
    _begin(tx, context, image, wanted, task_id, name, parts)
    return True


def legacy_import_start(
    tx: Tx, context: Context, image: Values, wanted: Import, given: Any, task_id: str, name: str, parts: Parts
) -> Values:
    """Make an image and begin to fetch its data: what a task of type ``import`` does; the task's values."""
    made = image_create(tx, context, [image], config=parts.config)[0]
    task = task_create(tx, context, task_id, LEGACY_IMPORT, made["id"], given)
    _begin(tx, context, made, wanted, task_id, name, parts)
    return task


def _begin(
    tx: Tx, context: Context, image: Values, wanted: Import, task_id: str, name: str, parts: Parts
) -> None:
    import_begin(tx, context, image, name)
    operations.operation_create(
        tx,
        operation_id=task_id,
        kind=IMPORT_CHAIN.kind,
        resource_id=image["id"],
        step=IMPORT_CHAIN.first.name,
        now=context.now,
        data={
            "image_id": image["id"],
            "task_id": task_id,
            "object": name,
            "import": msgspec.to_builtins(wanted),
            "user_id": context.user_id,
            "taken": {},
        },
        project_id=image["owner"],
        request_id=context.request_id,
        waits_until=waits_until(IMPORT_CHAIN, parts, context.now),
    )


def _check(image: Values, wanted: Import) -> None:
    status = image["status"]
    if status == "active":
        raise Conflict("Image with status active cannot be target for import")
    if wanted.method == DIRECT:
        if status != STAGING or image["staged"] is None:
            raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
    elif status != "queued":
        raise Conflict(f"Image needs to be in 'queued' state to use '{wanted.method}' method")
    for format_name in ("container_format", "disk_format"):
        if not image[format_name]:
            raise Conflict(f"'{format_name}' needs to be set before import")
