"""Members: an image shared with a project, and what that project answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.image.image_cloud import P1, P2, P3, Cloud, tell

from pileus.services.image.service import ImageConfig


@pytest.mark.parametrize("kind", databases.KINDS)
def test_sharing_and_accepting(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        image = (await api.make(b"data"))["id"]
        path = f"/v2/images/{image}/members"
        made = await api("POST", path, {"member": P2})
        assert made.status == 200
        assert made.json == {
            "image_id": image,
            "member_id": P2,
            "status": "pending",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "schema": "/v2/schemas/member",
        }
        assert (await api("POST", path, {"member": P2})).status == 409
        assert (await api("POST", path, {"member": P3})).status == 200
        # the owner sees all members, a member sees himself
        assert [one["member_id"] for one in (await api("GET", path)).json["members"]] == [P2, P3]
        listed = (await bob("GET", path)).json
        assert listed["schema"] == "/v2/schemas/members"
        assert [one["member_id"] for one in listed["members"]] == [P2]
        assert (await bob("GET", f"{path}/{P2}")).json["status"] == "pending"
        assert (await bob("GET", f"{path}/{P3}")).status == 404
        assert image not in await bob.ids()

        api.clock.advance(5)
        # only the member answers
        assert (await api("PUT", f"{path}/{P2}", {"status": "accepted"})).status == 403
        assert (await bob("PUT", f"{path}/{P3}", {"status": "accepted"})).status == 404
        answer = await bob("PUT", f"{path}/{P2}", {"status": "accepted"})
        assert (answer.status, answer.json["status"]) == (200, "accepted")
        assert answer.json["updated_at"] == "2026-01-01T00:00:05Z"
        assert image in await bob.ids()
        assert (await bob("GET", f"/v2/images/{image}/file")).content == b"data"
        await bob("PUT", f"{path}/{P2}", {"status": "rejected"})
        assert image not in await bob.ids()
        assert image in await bob.ids("?member_status=rejected")

        assert (await bob("POST", path, {"member": P1})).status == 403
        assert (await bob("DELETE", f"{path}/{P2}")).status == 403
        assert (await api("DELETE", f"{path}/{P2}")).status == 204
        assert (await api("DELETE", f"{path}/{P2}")).status == 404
        assert (await bob("GET", f"/v2/images/{image}")).status == 404
        assert (await bob("GET", path)).status == 404
        # what is deleted takes its members with it
        assert (await api("DELETE", f"/v2/images/{image}")).status == 204
        assert (await api("GET", path)).status == 404

    tell(story, tmp_path, kind)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        image = (await api.make())["id"]
        path = f"/v2/images/{image}/members"
        body: Any
        for body in ({}, {"member": ""}, {"member": 5}, {"member": "x" * 256}, [], "x"):
            assert (await api("POST", path, body)).status == 400, body
        await api("POST", path, {"member": P2})
        for body in ({}, {"status": "maybe"}, {"status": None}, []):
            assert (await api.as_("bob")("PUT", f"{path}/{P2}", body)).status == 400, body
        assert (await api("POST", path, {"member": P3})).status == 200
        assert (await api("POST", path, {"member": P1})).status == 413
        assert (await api.as_("reader")("GET", path)).status == 200
        assert (await api.as_("reader")("DELETE", f"{path}/{P2}")).status == 403

        private = (await api.make(visibility="private"))["id"]
        path = f"/v2/images/{private}/members"
        assert (await api("POST", path, {"member": P2})).status == 403
        assert (await api("GET", path)).status == 403
        assert (await api("GET", f"{path}/{P2}")).status == 404

    tell(story, tmp_path, config=ImageConfig(members=2))


def test_members_see_nothing_once_it_is_private(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        bob = api.as_("bob")
        image = (await api.make(b"data"))["id"]
        await api("POST", f"/v2/images/{image}/members", {"member": P2})
        assert (await bob("GET", f"/v2/images/{image}")).status == 200
        await api.patch(image, {"op": "replace", "path": "/visibility", "value": "private"})
        assert (await bob("GET", f"/v2/images/{image}")).status == 404
        assert (await bob("GET", f"/v2/images/{image}/file")).status == 404

    tell(story, tmp_path)
