"""Units of work of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import delete

from pileus.core.context import Context
from pileus.core.errors import Forbidden
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.image.config import ImageConfig
from pileus.services.image.errors import DuplicateImage, LimitExceeded, ProtectedImage
from pileus.services.image.events import image_event
from pileus.services.image.images.access import find_image, is_admin, target_of
from pileus.services.image.images.patch import Change, apply
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.images.tables import image_properties
from pileus.services.image.members.tables import image_members
from pileus.services.image.quotas import spend_image
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request

_VISIBILITY_RULES = {"public": "publicize_image", "community": "communitize_image"}


def image_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: ImageConfig) -> list[Values]:
    """Write new images, queued until their data comes. Raises DuplicateImage or LimitExceeded."""
    for spec in specs:
        _check_limits(spec, config)
        spend_image(tx, spec["owner"], config)
    try:
        with tx.savepoint():
            IMAGE.insert(tx, context, specs)
    except Duplicate:
        raise DuplicateImage(id=specs[0]["id"]) from None
    tx.emit_many([image_event(context, "create", spec, name=spec["name"]) for spec in specs])
    return list(specs)


def image_get(tx: Tx, image_id: str) -> Values | None:
    """An image's values without asking the policy, for siblings that have asked it themselves."""
    found = fetch(tx, IMAGE, [image_id])
    return found[0] if found else None


def judge(request: Request, action: str, values: Values | None) -> None:
    """Raise a refusal unless the policy allows the action.

    Whoever sees an image may show it, and what a patch may do it asks itself (``image_patched``).
    """
    assert values is not None  # an image that the caller does not see is not found, whatever he may do
    if action == "create":
        _may_create(request, values)
    elif action == "delete":
        request.authorise("delete_image", target_of(request, values))


def _may_create(request: Request, spec: Values) -> None:
    target = {**spec, "project_id": spec["owner"], "member_id": None}
    if not request.access.allows("add_image", target):
        if spec["owner"] != request.context.project_id:
            raise Forbidden(f"You are not permitted to create images owned by '{spec['owner']}'.")
        raise request.access.refusal(["add_image"], target)
    rule = _VISIBILITY_RULES.get(spec["visibility"])
    if rule is not None:
        request.authorise(rule, target)


def image_patched(request: Request, image: Values, changes: list[Change]) -> Values | None:
    """The new values that a patch makes; None for a patch of nothing. Raises a refusal."""
    target = target_of(request, image)
    if not changes:
        request.authorise("modify_image", target)
        return None
    for change in changes:
        rule = _VISIBILITY_RULES.get(change.value) if change.name == "visibility" else None
        if rule is not None:
            request.authorise(rule, target)
        request.authorise("modify_image", target)
        if change.name == "owner" and not is_admin(request):
            raise Forbidden("Owner can't be updated by non admin.")
    return Values(apply(image, changes))


def image_update(tx: Tx, context: Context, updates: Sequence[Update], *, config: ImageConfig) -> list[Values]:
    """Write changes. Raises LimitExceeded."""
    for one in updates:
        _check_limits({**one.original, **one.changes}, config)
    changed = IMAGE.change(tx, context, updates)
    tx.emit_many(
        [
            image_event(context, "update", image, changed=sorted(one.changes))
            for image, one in zip(changed, updates, strict=True)
        ]
    )
    return changed


def image_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete images that are not protected; their data goes after the commit."""
    for image in originals:
        if image["protected"]:
            raise ProtectedImage(id=image["id"])
    ids = [image["id"] for image in originals]
    tx.execute(delete(image_properties).where(column_in(tx, image_properties.c.image_id, ids)))
    tx.execute(delete(image_members).where(column_in(tx, image_members.c.image_id, ids)))
    IMAGE.remove(tx, originals)
    tx.emit_many([image_event(context, "delete", image, name=image["name"]) for image in originals])


def image_set_status(tx: Tx, request: Request, rule: str, status: str, other: str) -> None:
    """Deactivate or reactivate: from ``other`` to ``status``; what is there already stays."""
    image = find_image(tx, request, lock=True, rule=rule)
    if image["status"] == status:
        return
    if image["status"] != other:
        raise Forbidden(f"Not allowed to {rule} image in status '{image['status']}'")
    changed = IMAGE.change(tx, request.context, [Update(image, Values({"status": status}))])[0]
    tx.emit(image_event(request.context, rule, changed))


def image_tag(
    tx: Tx, request: Request, change: Callable[[list[str]], list[str]], config: ImageConfig
) -> None:
    """Change the tags of the image that the path names."""
    image = find_image(tx, request, lock=True, rule="modify_image")
    tags = change(list(image["tags"]))
    if tags == list(image["tags"]):
        return
    _check_limits({**image, "tags": tags}, config)
    changed = IMAGE.change(tx, request.context, [Update(image, Values({"tags": tags}))])[0]
    tx.emit(image_event(request.context, "update", changed, changed=["tags"]))


def _check_limits(image: dict[str, object], config: ImageConfig) -> None:
    for name, most in (("tags", config.tags), ("properties", config.properties)):
        several = image.get(name)
        count = len(several) if isinstance(several, list | dict | tuple) else 0
        if count > most:
            raise LimitExceeded(
                f"The limit has been exceeded on the number of allowed image {name}. "
                f"Attempted: {count}, Maximum: {most}"
            )
    properties = image.get("properties")
    if isinstance(properties, dict):
        size = sum(len(name.encode()) + len(value.encode()) for name, value in properties.items())
        if size > config.properties_bytes:
            raise LimitExceeded(
                f"The limit has been exceeded on the size of image properties. "
                f"Attempted: {size} bytes, Maximum: {config.properties_bytes}"
            )
