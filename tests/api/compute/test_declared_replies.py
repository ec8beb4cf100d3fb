"""Replies are what routes declare: every story of this folder is held to it (``replies.py``)."""

from __future__ import annotations

import pytest
from tests.api.compute import replies

from pileus.resource import types
from pileus.resource.versions import Version
from pileus.services.compute.replies import COUNT, TEXT, always, named
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, ByVersion, Route

V2_1, V2_9 = Version(2, 1), Version(2, 9)


async def _nothing(request: Request) -> Reply:
    return Reply.empty()


THING = ByVersion(
    lambda version: named("thing", always({"id": TEXT} if version < V2_9 else {"id": TEXT, "size": COUNT}))
)


@pytest.mark.parametrize(
    ("reply", "version", "body"),
    [
        (THING, V2_1, {"thing": {"id": "a", "size": 1}}),
        (THING, V2_9, {"thing": {"id": "a"}}),
        (THING, V2_9, {"thing": {"id": "a", "size": None}}),
        (THING, V2_9, {"thing": {"id": "a", "size": 1}, "links": []}),
        (NO_BODY, V2_1, {}),
        (None, V2_1, {"thing": {}}),
    ],
)
def test_another_reply_is_noticed(
    reply: types.Type | ByVersion | None, version: Version, body: object
) -> None:
    route = Route("GET", "/things", _nothing, reply=reply)
    with pytest.raises(AssertionError):
        replies.check(route, version, Reply.json(body))


def test_what_is_declared_passes() -> None:
    replies.check(Route("GET", "/things", _nothing, reply=THING), V2_1, Reply.json({"thing": {"id": "a"}}))
    replies.check(Route("DELETE", "/things", _nothing, reply=NO_BODY), V2_1, Reply.empty())
