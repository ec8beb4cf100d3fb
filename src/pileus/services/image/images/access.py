"""The images that a caller may see, as SQL conditions, and the target of policy rules.

Two questions that Glance asks apart: whose the image is or with whom it is shared (not a matter of policy),
and what the rule ``get_image`` says. For a listing, community images and memberships count only as asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, literal, or_, select

from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.image.errors import ImageNotFound
from pileus.services.image.images.resource import IMAGE
from pileus.services.image.images.tables import images
from pileus.services.image.members.tables import image_members
from pileus.store.tx import Tx
from pileus.web.request import Request

ALL = "all"


def is_admin(request: Request) -> bool:
    """Whether the caller administers the cloud, by the policy."""
    return request.access.allows("context_is_admin")


def target_of(request: Request, image: Mapping[str, Any]) -> dict[str, Any]:
    """The target of policy rules for an image that this caller sees."""
    project_id = request.context.project_id
    through_membership = image["visibility"] == "shared" and image["owner"] != project_id
    return {
        **image,
        "project_id": image["owner"],
        "member_id": project_id if through_membership and not is_admin(request) else None,
    }


def find_image(tx: Tx, request: Request, *, lock: bool, rule: str | None = None) -> Values:
    """The image that the path names, if the caller sees it and ``rule`` allows it to him.

    Raises ImageNotFound, or the refusal of ``rule``.
    """
    image_id = request.path["image_id"]
    found = fetch(tx, IMAGE, [image_id], visible(request), lock=lock)
    if not found:
        raise ImageNotFound(id=image_id)
    if rule is not None:
        request.authorise(rule, target_of(request, found[0]))
    return found[0]


def image_usable(tx: Tx, image_id: str, project_id: str | None, *, administers: bool) -> Values | None:
    """An image that a project may make servers and volumes of, or None where there is none that it may see.
    For siblings, whose policy says whether the caller ``administers``."""
    found = fetch(tx, IMAGE, [image_id])
    image = found[0] if found else None
    if image is None or image["status"] in ("deleted", "pending_delete"):
        return None
    if image["owner"] == project_id or administers or image["visibility"] in ("public", "community"):
        return image
    c = image_members.c
    shared = select(c.image_id).where(c.image_id == image_id, c.member_id == (project_id or ""))
    return image if image["visibility"] == "shared" and tx.first(shared) else None


def visible(request: Request) -> list[ColumnElement[bool]]:
    """The images that this caller may see when they are named."""
    return [*_shared_with(request), *_by_policy(request)]


def listed(request: Request, visibility: str | None, member_status: str) -> list[ColumnElement[bool]]:
    """The images that a list may show, with this visibility asked for (``all``, or None for the usual)."""
    project_id = request.context.project_id
    where = [*_by_policy(request)]
    if not is_admin(request):
        sees: list[ColumnElement[bool]] = [images.c.visibility.in_(("public", "community"))]
        if project_id is not None:
            sees += [images.c.owner == project_id, _member(project_id, member_status)]
        where.append(or_(*sees))
    if visibility is None:
        usual = images.c.visibility != "community"
        where.append(usual if project_id is None else or_(usual, images.c.owner == project_id))
    elif visibility != ALL:
        where.append(images.c.visibility == visibility)
    return where


def _member(project_id: str, status: str) -> ColumnElement[bool]:
    """Shared with this project, whose answer was ``status``."""
    theirs = select(image_members.c.image_id).where(image_members.c.member_id == project_id)
    if status != ALL:
        theirs = theirs.where(image_members.c.status == status)
    return and_(images.c.visibility == "shared", images.c.id.in_(theirs))


def _shared_with(request: Request) -> list[ColumnElement[bool]]:
    """The condition that an image is owned by, shared with or open to the caller."""
    if is_admin(request):
        return []
    sees: list[ColumnElement[bool]] = [
        images.c.visibility.in_(("public", "community")),
        images.c.owner.is_(None),
    ]
    project_id = request.context.project_id
    if project_id is not None:
        sees += [images.c.owner == project_id, _member(project_id, ALL)]
    return [or_(*sees)]


def _by_policy(request: Request) -> list[ColumnElement[bool]]:
    """The condition that the rule ``get_image`` makes."""
    project_id = request.context.project_id
    columns: dict[str, ColumnElement[Any]] = {
        **IMAGE.policy_columns(request.context),
        "project_id": images.c.owner,
    }
    if project_id is not None:
        columns["member_id"] = case((_member(project_id, ALL), literal(project_id)), else_=None)
    condition = request.parts.policy.of("image").condition("get_image", request.context, columns)
    if condition is True:
        return []
    return [false() if condition is False else condition]
