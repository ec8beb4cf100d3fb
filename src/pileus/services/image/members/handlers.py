"""Handlers of members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.core.errors import Invalid
from pileus.resource.declaration import Values
from pileus.resource.types import BadValue
from pileus.services.image.config import ImageConfig
from pileus.services.image.members import work
from pileus.services.image.members.resource import MEMBER, STATUSES
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show


class MemberHandlers:
    """The handlers, with what they are told."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    async def list(self, request: Request) -> Reply:
        members = _views(request, await request.read(work.member_list, request))
        return Reply.json({"members": members, "schema": "/v2/schemas/members"})

    async def show(self, request: Request) -> Reply:
        return _one(request, await request.read(work.member_get, request))

    async def create(self, request: Request) -> Reply:
        member_id = _read(request, "member", "Member to be added not specified")
        try:
            member_id = MEMBER.attributes["member_id"].type.parse(member_id)
        except BadValue as bad:
            raise Invalid(f"Member can't be used: {bad.schema}") from None
        return _one(request, await request.write(work.member_create, request, member_id, self._config))

    async def update(self, request: Request) -> Reply:
        status = _read(request, "status", "Status not specified")
        if status not in STATUSES:
            raise Invalid(
                f'Incorrect request: Status must be "pending", "accepted" or "rejected", not {status}'
            )
        return _one(request, await request.write(work.member_update, request, status))

    async def delete(self, request: Request) -> Reply:
        await request.write(work.member_delete, request)
        return Reply.empty()


def _read(request: Request, name: str, missing: str) -> Any:
    body = request.json()
    if not isinstance(body, dict) or name not in body:
        raise Invalid(missing)
    return body[name]


def _views(request: Request, members: Sequence[Values]) -> list[dict[str, Any]]:
    return [{**view, "schema": "/v2/schemas/member"} for view in show(request, MEMBER, members)]


def _one(request: Request, member: Values) -> Reply:
    return Reply.json(_views(request, [member])[0])
