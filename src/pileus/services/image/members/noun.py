"""Members of images: handlers, routes and rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.image.config import ImageConfig
from pileus.services.image.members import work
from pileus.services.image.members.resource import MEMBER
from pileus.services.image.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER_OR_SHARED, rules
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.view import show

_TEXT = types.string(None)
_OWN = {name: one.type for name, one in MEMBER.attributes.items()}
_REPLY = types.dict_of({**_OWN, "schema": _TEXT}, required=(*_OWN, "schema"))
_LIST_REPLY = types.dict_of(
    {"members": types.list_of(_REPLY), "schema": _TEXT}, required=("members", "schema")
)
_NEW = types.dict_of({"member": _OWN["member_id"]}, required=("member",), additional=types.anything)
_ANSWER = types.dict_of({"status": _OWN["status"]}, required=("status",), additional=types.anything)


class MemberHandlers:
    """The handlers."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    async def list(self, request: Request) -> Reply:
        """GET /v2/images/{image_id}/members"""
        members = _views(request, await request.read(work.member_list, request))
        return Reply.json({"members": members, "schema": "/v2/schemas/members"})

    async def show(self, request: Request) -> Reply:
        """GET /v2/images/{image_id}/members/{member_id}"""
        return _one(request, await request.read(work.member_get, request))

    async def create(self, request: Request) -> Reply:
        """POST /v2/images/{image_id}/members: share the image with a project."""
        body = _object_with(request, "member", "Member to be added not specified")
        try:
            member_id: str = _NEW.parse(body)["member"]
        except types.BadValue as bad:
            raise Invalid(f"Member can't be used: {bad.schema}") from None
        return _one(request, await request.write(work.member_create, request, member_id, self._config))

    async def update(self, request: Request) -> Reply:
        """PUT /v2/images/{image_id}/members/{member_id}: accept or reject."""
        body = _object_with(request, "status", "Status not specified")
        try:
            status: str = _ANSWER.parse(body)["status"]
        except types.BadValue:
            raise Invalid(
                f'Incorrect request: Status must be "pending", "accepted" or "rejected", not {body["status"]}'
            ) from None
        return _one(request, await request.write(work.member_update, request, status))

    async def delete(self, request: Request) -> Reply:
        """DELETE /v2/images/{image_id}/members/{member_id}"""
        await request.write(work.member_delete, request)
        return Reply.empty()


def _object_with(request: Request, name: str, missing: str) -> dict[str, Any]:
    """The body, if it is an object that has the member ``name``; else Invalid with Glance's words."""
    body = request.json()
    if not isinstance(body, dict) or name not in body:
        raise Invalid(missing)
    return body


def _views(request: Request, members: Sequence[Values]) -> list[dict[str, Any]]:
    return [{**view, "schema": "/v2/schemas/member"} for view in show(request, MEMBER, members)]


def _one(request: Request, member: Values) -> Reply:
    return Reply.json(_views(request, [member])[0])


def noun(config: ImageConfig) -> Noun:
    """Make the noun."""
    handlers = MemberHandlers(config)
    every, one = "/v2/images/{image_id}/members", "/v2/images/{image_id}/members/{member_id}"
    return Noun(
        name="member",
        routes=(
            Route("GET", every, handlers.list, rule="get_members", reply=_LIST_REPLY, summary="List members"),
            Route(
                "POST",
                every,
                handlers.create,
                rule="add_member",
                body=_NEW,
                reply=_REPLY,
                summary="Share an image with a project",
            ),
            Route("GET", one, handlers.show, rule="get_member", reply=_REPLY, summary="Show a member"),
            Route(
                "PUT",
                one,
                handlers.update,
                rule="modify_member",
                body=_ANSWER,
                reply=_REPLY,
                summary="Accept or reject a shared image",
            ),
            Route(
                "DELETE",
                one,
                handlers.delete,
                status=204,
                rule="delete_member",
                summary="Share an image no longer",
            ),
        ),
        rules=rules(
            {
                "add_member": ADMIN_OR_MEMBER,
                "delete_member": ADMIN_OR_MEMBER,
                "get_member": ADMIN_OR_READER_OR_SHARED,
                "get_members": ADMIN_OR_READER_OR_SHARED,
                "modify_member": f"{ADMIN} or (role:member and project_id:%(member_id)s)",
            }
        ),
    )
