"""The option ``immutable`` of roles, projects and domains."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import PASSWORD, Cloud


@pytest.mark.parametrize("kind", ["role", "project", "domain"])
def test_what_is_immutable_stays_as_it_is(tell, kind):
    async def story(cloud: Cloud) -> None:
        made = await cloud.admin.make(kind, name="fixed", options={"immutable": True})
        assert made["options"] == {"immutable": True}
        one = f"/v3/{kind}s/{made['id']}"
        listed = (await cloud.admin("GET", f"/v3/{kind}s?name=fixed")).json[f"{kind}s"]
        assert [row["options"] for row in listed] == [{"immutable": True}]
        for changes in (
            {"description": "other"},
            {"name": "fixed"},
            {"options": {}},
            {"options": {"immutable": True}},
            {"options": {"immutable": False}, "description": "other"},
        ):
            refused = await cloud.admin("PATCH", one, {kind: changes})
            assert (refused.status, refused.message) == (
                403,
                f"Unable to update immutable {kind} resource: `{made['id']}. "
                'Set resource option "immutable" to false first.',
            )
        refused = await cloud.admin("DELETE", one)
        assert refused.status == 403 and refused.message.startswith(f"Unable to delete immutable {kind}")
        for value, left in ((False, {"immutable": False}), (None, {})):
            changed = await cloud.admin("PATCH", one, {kind: {"options": {"immutable": value}}})
            assert changed.json[kind]["options"] == left
        await cloud.admin("PATCH", one, {kind: {"description": "other", "options": {}}})
        shown = (await cloud.admin("GET", one)).json[kind]
        assert (shown["description"], shown["options"]) == ("other", {})
        if kind == "domain":
            await cloud.admin("PATCH", one, {kind: {"enabled": False}})
        assert (await cloud.admin("DELETE", one)).status == 204

    tell(story)


def test_tags_of_an_immutable_project_stay(quick):
    async def story(cloud: Cloud) -> None:
        made = await cloud.admin.make("project", name="fixed", options={"immutable": True}, tags=["a"])
        tags = f"/v3/projects/{made['id']}/tags"
        for method, path, verb, body in (
            ("PUT", tags, "update", {"tags": ["b"]}),
            ("PUT", f"{tags}/b", "create", None),
            ("DELETE", f"{tags}/a", "delete", None),
        ):
            refused = await cloud.admin(method, path, body)
            assert refused.status == 403
            assert refused.message.startswith(
                f"Cannot {verb} project tags for {made['id']}, project is immutable."
            )
        assert (await cloud.admin("GET", tags)).json["tags"] == ["a"]

    quick(story)


@pytest.mark.parametrize("options", [{"colour": True}, {"immutable": "yes"}, [], None])
def test_no_other_options_are_known(quick, options):
    async def story(cloud: Cloud) -> None:
        for kind in ("role", "project", "domain"):
            body = {kind: {"name": "x", "options": options}}
            assert (await cloud.admin("POST", f"/v3/{kind}s", body)).status == 400

    quick(story)


def test_a_role_shows_its_options_wherever_it_is_shown(quick):
    async def story(cloud: Cloud) -> None:
        role = await cloud.admin.make("role", name="fixed", options={"immutable": True})
        project = await cloud.admin.make("project", name="p")
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles"
        assert (await cloud.admin("PUT", f"{path}/{role['id']}")).status == 204
        ann = await cloud.as_("ann", scope={"project": {"id": project["id"]}})
        body = {"application_credential": {"name": "app"}}
        made = await ann("POST", f"/v3/users/{user['id']}/application_credentials", body)
        granted: Any = (await cloud.admin("GET", path)).json["roles"]
        for shown in (granted[0], made.json["application_credential"]["roles"][0]):
            assert shown["options"] == {"immutable": True}

    quick(story)
