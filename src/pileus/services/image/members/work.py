"""Units of work of members. The owner sees all members of an image, a member sees himself."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, func, select, update

from pileus.core.errors import Conflict, Forbidden
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.image.config import ImageConfig
from pileus.services.image.errors import LimitExceeded
from pileus.services.image.events import image_event
from pileus.services.image.images.access import find_image, is_admin, target_of
from pileus.services.image.members.resource import MEMBER, MemberNotFound
from pileus.services.image.members.tables import image_members
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx
from pileus.web.request import Request


class DuplicateMember(Conflict):
    message = "Member {member_id} is duplicated for image {image_id}"


def member_list(tx: Tx, request: Request) -> list[Values]:
    """The members that the caller may see."""
    image = _shared_image(tx, request, lock=False)
    request.authorise("get_members", target_of(request, image))
    members = fetch(tx, MEMBER, None, _seen(request, image))
    return sorted(members, key=lambda member: (member["created_at"], member["member_id"]))


def member_get(tx: Tx, request: Request) -> Values:
    """The member of the path; one that the caller may not see is not found."""
    image = find_image(tx, request, lock=False)
    try:
        _check_shared(image)
        member = _find(tx, request, image, lock=False)
        request.authorise("get_member", _target(request, image, member))
    except Forbidden:
        raise _missing(request) from None
    return member


def member_create(tx: Tx, request: Request, member_id: str, config: ImageConfig) -> Values:
    """Share the image. Raises DuplicateMember or LimitExceeded."""
    image = _shared_image(tx, request, lock=True)
    request.authorise("add_member", target_of(request, image))
    count = tx.scalar(select(func.count()).where(image_members.c.image_id == image["id"]))
    if count >= config.members:
        raise LimitExceeded(
            f"The limit has been exceeded on the number of allowed image members for this image. "
            f"Attempted: {count + 1}, Maximum: {config.members}"
        )
    now = request.context.now
    member = Values(
        {
            "member_id": member_id,
            "image_id": image["id"],
            "status": "pending",
            "created_at": now,
            "updated_at": now,
        }
    )
    try:
        with tx.savepoint():
            tx.insert(image_members, [member])
    except Duplicate:
        raise DuplicateMember(member_id=member_id, image_id=image["id"]) from None
    tx.emit(image_event(request.context, "member.create", image, member_id=member_id))
    return member


def member_update(tx: Tx, request: Request, status: str) -> Values:
    """Set the status that the member answers: pending, accepted or rejected."""
    image = _shared_image(tx, request, lock=False)
    member = _find(tx, request, image, lock=True)
    request.authorise("modify_member", _target(request, image, member))
    changes = {"status": status, "updated_at": request.context.now}
    tx.execute(update(image_members).where(*_row(member)).values(changes))
    tx.emit(image_event(request.context, "member.update", image, member_id=member["member_id"]))
    return Values({**member, **changes})


def member_delete(tx: Tx, request: Request) -> None:
    """End the sharing of the image with the member."""
    image = _shared_image(tx, request, lock=False)
    member = _find(tx, request, image, lock=True)
    request.authorise("delete_member", target_of(request, image))
    tx.execute(delete(image_members).where(*_row(member)))
    tx.emit(image_event(request.context, "member.delete", image, member_id=member["member_id"]))


def _shared_image(tx: Tx, request: Request, *, lock: bool) -> Values:
    image = find_image(tx, request, lock=lock)
    _check_shared(image)
    return image


def _check_shared(image: Values) -> None:
    if image["visibility"] != "shared":
        raise Forbidden("Only shared images have members.")


def _seen(request: Request, image: Values) -> list[ColumnElement[bool]]:
    where = [image_members.c.image_id == image["id"]]
    if not is_admin(request) and image["owner"] != request.context.project_id:
        where.append(image_members.c.member_id == request.context.project_id)
    return where


def _find(tx: Tx, request: Request, image: Values, *, lock: bool) -> Values:
    found = fetch(tx, MEMBER, [request.path["member_id"]], _seen(request, image), lock=lock)
    if not found:
        raise _missing(request)
    return found[0]


def _missing(request: Request) -> MemberNotFound:
    return MemberNotFound(member_id=request.path["member_id"], image_id=request.path["image_id"])


def _target(request: Request, image: Values, member: Values) -> dict[str, object]:
    return {**target_of(request, image), "member_id": member["member_id"]}


def _row(member: Values) -> tuple[ColumnElement[bool], ...]:
    return (
        image_members.c.image_id == member["image_id"],
        image_members.c.member_id == member["member_id"],
    )
