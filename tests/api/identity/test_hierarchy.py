"""Projects below projects: how deep, switched and deleted together, and their tags."""

from __future__ import annotations

import asyncio

from tests.api.identity.cloud import Answer, Cloud, run

from pileus.services.identity.service import IdentitySettings


async def tower(cloud: Cloud, *names: str) -> list[str]:
    """Projects below each other, by name; their ids."""
    ids: list[str] = []
    for name in names:
        more = {"parent_id": ids[-1]} if ids else {}
        ids.append((await cloud.admin.make("project", name=name, **more))["id"])
    return ids


async def switch(cloud: Cloud, key: str, *, enabled: bool, tail: str = "", **more: str) -> Answer:
    return await cloud.admin("PATCH", f"/v3/projects/{key}{tail}", {"project": {"enabled": enabled, **more}})


def test_a_tower_is_as_high_as_the_setting_says(url, tmp_path):
    async def story(cloud: Cloud) -> None:
        ids = await tower(cloud, "a", "b", "c")
        refused = await cloud.admin("POST", "/v3/projects", {"project": {"name": "d", "parent_id": ids[-1]}})
        assert (refused.status, refused.message) == (
            403,
            f"Max hierarchy depth reached for {ids[-1]} branch.",
        )

    run(url, tmp_path, story, IdentitySettings(max_project_tree_depth=3))


def test_five_are_the_most_where_nothing_else_is_said(quick):
    async def story(cloud: Cloud) -> None:
        ids = await tower(cloud, "a", "b", "c", "d", "e")
        refused = await cloud.admin("POST", "/v3/projects", {"project": {"name": "f", "parent_id": ids[-1]}})
        assert refused.status == 403

    quick(story)


def test_a_branch_is_switched_at_once(tell):
    async def story(cloud: Cloud) -> None:
        top, middle, low = await tower(cloud, "a", "b", "c")
        other = (await cloud.admin.make("project", name="other"))["id"]
        role, admin = (
            await cloud.role("member"),
            (await cloud.admin("GET", "/v3/users?name=admin")).json["users"][0],
        )
        assert (
            await cloud.admin("PUT", f"/v3/projects/{low}/users/{admin['id']}/roles/{role}")
        ).status == 204
        inside = await cloud.as_(scope={"project": {"id": low}})
        assert (await switch(cloud, top, enabled=False)).status == 403
        refused = await switch(cloud, top, enabled=False, tail="/cascade", description="x")
        assert (refused.status, refused.message) == (
            400,
            "Cascade update is only allowed for enabled attribute.",
        )
        done = await switch(cloud, top, enabled=False, tail="/cascade")
        assert done.status == 200 and done.json["project"]["enabled"] is False
        assert (await inside("GET", "/v3/auth/projects")).status == 401, "tokens for what is below end"

        async def enabled() -> list[bool]:
            shown = [await cloud.admin("GET", f"/v3/projects/{key}") for key in (top, middle, low, other)]
            return [one.json["project"]["enabled"] for one in shown]

        assert await enabled() == [False, False, False, True]
        assert (await switch(cloud, middle, enabled=True, tail="/cascade")).status == 403, "above it is none"
        assert (await switch(cloud, top, enabled=True, tail="/cascade")).status == 200
        assert await enabled() == [True, True, True, True]

    tell(story)


def test_a_branch_is_deleted_at_once_when_it_is_disabled(tell):
    async def story(cloud: Cloud) -> None:
        top, middle, low = await tower(cloud, "a", "b", "c")
        assert (
            "use the cascade option" in (await cloud.admin("DELETE", f"/v3/projects/{top}")).message.lower()
        )
        path = f"/v3/projects/{top}/cascade"
        refused = await cloud.admin("DELETE", path)
        assert (refused.status, refused.message) == (
            403,
            f"Cannot delete project {top} since its subtree contains enabled projects.",
        )
        fixed = {"project": {"options": {"immutable": True}}}
        assert (await cloud.admin("PATCH", f"/v3/projects/{middle}", fixed)).status == 200
        assert (await switch(cloud, low, enabled=False)).status == 200
        assert (await switch(cloud, middle, enabled=False)).status == 403
        loose = {"project": {"options": {"immutable": None}}}
        assert (await cloud.admin("PATCH", f"/v3/projects/{middle}", loose)).status == 200
        assert (await switch(cloud, middle, enabled=False)).status == 200
        assert (await cloud.admin("DELETE", path)).status == 204
        for key in (top, middle, low):
            assert (await cloud.admin("GET", f"/v3/projects/{key}")).status == 404
        assert (await cloud.admin("DELETE", path)).status == 404

    tell(story)


def test_a_member_switches_and_deletes_no_branch(quick):
    async def story(cloud: Cloud) -> None:
        top, _ = await tower(cloud, "a", "b")
        ann = await cloud.person("ann", "member")
        body = {"project": {"enabled": False}}
        assert (await ann("PATCH", f"/v3/projects/{top}/cascade", body)).status == 403
        assert (await ann("DELETE", f"/v3/projects/{top}/cascade")).status == 403

    quick(story)


def test_tags_that_are_put_at_the_same_time_all_stay(tell):
    async def story(cloud: Cloud) -> None:
        key = (await cloud.admin.make("project", name="tagged"))["id"]
        tags = [f"tag{number}" for number in range(12)]
        answers = await asyncio.gather(
            *(cloud.admin("PUT", f"/v3/projects/{key}/tags/{tag}") for tag in tags)
        )
        assert {answer.status for answer in answers} == {201}
        assert (await cloud.admin("GET", f"/v3/projects/{key}/tags")).json["tags"] == sorted(tags)

    tell(story)
