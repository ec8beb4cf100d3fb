"""Units of work of an upload: begin, finish, undo; and the same for staging and imports.

``begin`` makes the image ``saving`` (or ``uploading``) with the name of the object that is being written;
only who knows that name finishes or undoes. An image that is deleted meanwhile is not there to be finished.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from pileus.core.context import Context
from pileus.core.formats import judge
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.image.config import ImageConfig
from pileus.services.image.data.facts import HASH_ALGORITHM, Facts
from pileus.services.image.errors import ImageGone, ImageNotFound, MissingFormats, WrongStatus
from pileus.services.image.events import image_event
from pileus.services.image.images.access import find_image
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.images.tables import images
from pileus.services.image.quotas import spend_bytes
from pileus.store.tx import Tx
from pileus.web.request import Request

SAVING, STAGING, IMPORTING = "saving", "uploading", "importing"


def upload_begin(
    tx: Tx,
    request: Request,
    config: ImageConfig,
    *,
    status: str,
    rule: str | None,
    name: str,
    worker: str,
    size: int,
) -> Values:
    """Begin an upload into the image that the path names; ``rule`` None: a ticket has allowed it.

    ``size`` is what the client announces, 0 where it does not. Raises WrongStatus, MissingFormats,
    LimitExceeded or what ``find_image`` raises.
    """
    if rule is None:
        found = fetch(tx, IMAGE, [request.path["image_id"]], lock=True)
        if not found:
            raise ImageNotFound(id=request.path["image_id"])
        image = found[0]
    else:
        image = find_image(tx, request, lock=True, rule=rule)
    if image["status"] != "queued":
        raise WrongStatus(now=image["status"], wanted=status)
    if status == SAVING:
        _check_formats(image)
    spend_bytes(tx, image["owner"], size, config)
    return _change(
        tx, request.context, image, status, status=status, object=name, worker=worker, reserved=size
    )


def upload_reserve(tx: Tx, image_id: str, name: str, size: int, config: ImageConfig) -> None:
    """Reserve so many bytes altogether for an upload. Raises ImageGone or LimitExceeded."""
    image = _find_upload(tx, image_id, name)
    _spend_beyond_reserved(tx, image, size, config)
    tx.execute(_RESERVE, {"image": image_id, "bytes": size})


def _spend_beyond_reserved(tx: Tx, image: Values, size: int, config: ImageConfig) -> None:
    """Count the bytes beyond those that the upload has reserved already."""
    more = size - (image["reserved"] or 0)
    if more > 0:
        spend_bytes(tx, image["owner"], more, config)


_RESERVE = update(images).where(images.c.id == bindparam("image")).values(reserved=bindparam("bytes"))


def upload_finish(
    tx: Tx, context: Context, image_id: str, name: str, facts: Facts, virtual_size: int, config: ImageConfig
) -> None:
    """Make the image active: its data is whole and durable. Raises ImageGone or LimitExceeded."""
    image = _find_upload(tx, image_id, name)
    _spend_beyond_reserved(tx, image, facts.size, config)
    _activate(tx, context, image, facts, virtual_size)


def stage_finish(
    tx: Tx, context: Context, image_id: str, name: str, facts: Facts, config: ImageConfig
) -> None:
    """Note that the data is staged: an import may follow. Raises ImageGone or LimitExceeded."""
    image = _find_upload(tx, image_id, name)
    _spend_beyond_reserved(tx, image, facts.size, config)
    staged = msgspec.to_builtins(facts)
    _change(tx, context, image, "stage", worker=None, size=facts.size, reserved=None, staged=staged)


def upload_undo(tx: Tx, context: Context, image_id: str, name: str) -> None:
    """Queue the image again, if the image is still there and waits for this object."""
    found = fetch(tx, IMAGE, [image_id], [images.c.object == name], lock=True)
    if found and found[0]["status"] in (SAVING, STAGING, IMPORTING):
        _requeue(tx, context, found[0])


def import_begin(tx: Tx, context: Context, image: Values, name: str | None) -> Values:
    """Make an image ``importing``; ``name`` is the object that will be written, None for what is staged."""
    changes: dict[str, Any] = {} if name is None else {"object": name, "reserved": 0}
    return _change(tx, context, image, IMPORTING, status=IMPORTING, **changes)


def import_finish(tx: Tx, context: Context, image: Values, facts: Facts, config: ImageConfig) -> None:
    """Make an image active whose data is there. Raises LimitExceeded, or ImageDataRefused for content that is
    not what the image says."""
    _spend_beyond_reserved(tx, image, facts.size, config)
    virtual_size = judge(
        image["disk_format"],
        image["container_format"],
        facts.finding,
        require_match=config.require_format_match,
    )
    _activate(tx, context, image, facts, virtual_size)


def uploads_recover(tx: Tx, context: Context, worker: str) -> int:
    """Queue again the images that this worker was writing when it died; returns how many."""
    found = fetch(tx, IMAGE, None, [images.c.worker == worker], lock=True)
    for image in found:
        _requeue(tx, context, image)
    return len(found)


def download_find(tx: Tx, request: Request, *, ticket: bool) -> Values:
    """The image whose data is asked for. Raises what ``find_image`` raises."""
    if not ticket:
        return find_image(tx, request, lock=False, rule="download_image")
    found = fetch(tx, IMAGE, [request.path["image_id"]])
    if not found:
        raise ImageNotFound(id=request.path["image_id"])
    return found[0]


def object_names(tx: Tx) -> set[str]:
    """The objects of the store that images name."""
    return {row[0] for row in tx.rows(select(images.c.object).where(images.c.object.is_not(None)))}


def _find_upload(tx: Tx, image_id: str, name: str) -> Values:
    found = fetch(tx, IMAGE, [image_id], [images.c.object == name], lock=True)
    if not found or found[0]["status"] not in (SAVING, STAGING, IMPORTING):
        raise ImageGone(id=image_id)
    return found[0]


def _check_formats(image: Values) -> None:
    missing = [name for name in ("disk_format", "container_format") if not image[name]]
    if missing:
        raise MissingFormats(names=", ".join(missing))


def _activate(tx: Tx, context: Context, image: Values, facts: Facts, virtual_size: int) -> None:
    _change(
        tx,
        context,
        image,
        "upload",
        status="active",
        worker=None,
        staged=None,
        reserved=None,
        size=facts.size,
        virtual_size=virtual_size,
        checksum=facts.checksum,
        os_hash_algo=HASH_ALGORITHM,
        os_hash_value=facts.os_hash_value,
    )


def _requeue(tx: Tx, context: Context, image: Values) -> None:
    _change(
        tx,
        context,
        image,
        "upload.undo",
        status="queued",
        object=None,
        worker=None,
        staged=None,
        reserved=None,
        size=None,
        virtual_size=None,
    )


def _change(tx: Tx, context: Context, image: Values, event: str, **changes: Any) -> Values:
    changed = IMAGE.change(tx, context, [Update(image, Values(changes))])[0]
    tx.emit(image_event(context, event, changed))
    return changed
