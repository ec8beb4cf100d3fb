"""Roles granted on a domain or project for what is below it."""

from __future__ import annotations

from typing import Any

from tests.api.identity.cloud import PASSWORD, Client, Cloud, run

from pileus.services.identity.service import IdentitySettings


class Tree:
    """A domain with a project, one below it, and one below that; a user and a group of another domain."""

    domain: dict[str, Any]
    top: dict[str, Any]
    middle: dict[str, Any]
    leaf: dict[str, Any]
    user: dict[str, Any]
    group: dict[str, Any]

    @classmethod
    async def grow(cls, cloud: Cloud) -> Tree:
        tree, admin = cls(), cloud.admin
        tree.domain = await admin.make("domain", name="d")
        below = {"domain_id": tree.domain["id"]}
        tree.top = await admin.make("project", name="top", **below)
        tree.middle = await admin.make("project", name="middle", parent_id=tree.top["id"], **below)
        tree.leaf = await admin.make("project", name="leaf", parent_id=tree.middle["id"], **below)
        tree.user = await admin.make("user", name="u", password=PASSWORD)
        tree.group = await admin.make("group", name="g")
        member = f"/v3/groups/{tree.group['id']}/users/{tree.user['id']}"
        assert (await admin("PUT", member)).status == 204
        return tree

    def target(self, kind: str, actor: str) -> str:
        target = f"domains/{self.domain['id']}" if kind == "domain" else f"projects/{self.top['id']}"
        actors = f"users/{self.user['id']}" if actor == "user" else f"groups/{self.group['id']}"
        return f"{target}/{actors}/roles"

    async def opened(self, cloud: Cloud) -> set[str]:
        """The scopes that the user can have, by name."""
        found = set()
        for place in (self.top, self.middle, self.leaf):
            if (await cloud.login("u", scope={"project": {"id": place["id"]}})).status == 201:
                found.add(place["name"])
        if (await cloud.login("u", scope={"domain": {"id": self.domain["id"]}})).status == 201:
            found.add("d")
        client = await cloud.as_("u")
        listed = {one["name"] for one in (await client("GET", "/v3/auth/projects")).json["projects"]}
        assert listed == found - {"d"}
        own = (await client("GET", f"/v3/users/{self.user['id']}/projects")).json["projects"]
        assert {one["name"] for one in own} == listed
        return found


def test_a_role_is_inherited_by_what_is_below(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        tree = await Tree.grow(cloud)
        role = await cloud.role("member")
        for kind, opened in (("domain", {"top", "middle", "leaf"}), ("project", {"middle", "leaf"})):
            for actor in ("user", "group"):
                plain = f"/v3/{tree.target(kind, actor)}"
                every = f"/v3/OS-INHERIT/{tree.target(kind, actor)}/inherited_to_projects"
                one = f"/v3/OS-INHERIT/{tree.target(kind, actor)}/{role}/inherited_to_projects"
                for method in ("HEAD", "GET", "DELETE"):
                    assert (await admin(method, one)).status == 404
                assert await tree.opened(cloud) == set()
                assert (await admin("PUT", one)).status == 204
                assert (await admin("PUT", one)).status == 204
                for method in ("HEAD", "GET"):
                    assert (await admin(method, one)).status == 204
                assert [found["id"] for found in (await admin("GET", every)).json["roles"]] == [role]
                assert (await admin("GET", plain)).json["roles"] == [], "it is not granted there itself"
                assert (await admin("HEAD", f"{plain}/{role}")).status == 404
                assert await tree.opened(cloud) == opened
                client = await cloud.as_("u", {"project": {"id": tree.leaf["id"]}})
                assert (await admin("PUT", f"{plain}/{role}")).status == 204, "both ways at once"
                assert (await admin("DELETE", f"{plain}/{role}")).status == 204
                assert (await client("GET", "/v3/auth/projects")).status == 200
                assert (await admin("DELETE", one)).status == 204
                assert (await client("GET", "/v3/auth/projects")).status == 401, "at once"
                missing = one.replace(role, "none")
                assert (await admin("PUT", missing)).status == 404

    tell(story)


def test_a_project_to_come_inherits_too(quick):
    async def story(cloud: Cloud) -> None:
        tree = await Tree.grow(cloud)
        role = await cloud.role("reader")
        granted = f"/v3/OS-INHERIT/{tree.target('domain', 'group')}/{role}/inherited_to_projects"
        assert (await cloud.admin("PUT", granted)).status == 204
        new = await cloud.admin.make("project", name="new", domain_id=tree.domain["id"])
        answer = await cloud.login("u", scope={"project": {"id": new["id"]}})
        assert [one["name"] for one in answer.json["token"]["roles"]] == ["reader"]
        path = f"/v3/projects/{new['id']}"
        assert (await cloud.admin("DELETE", path)).status == 204
        assert (await Client(cloud.app, answer.token)("GET", "/v3/auth/projects")).status == 401

    quick(story)


async def _assigned(client: Client, query: str) -> list[dict[str, Any]]:
    answer = await client("GET", f"/v3/role_assignments?{query}")
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["role_assignments"]
    return found


def test_assignments_tell_what_is_inherited(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        tree = await Tree.grow(cloud)
        user, role = tree.user["id"], await cloud.role("reader")
        own = await admin.make("role", name="own")
        path = f"/v3/OS-INHERIT/{tree.target('domain', 'group')}/{role}/inherited_to_projects"
        assert (await admin("PUT", path)).status == 204
        direct = f"/v3/projects/{tree.middle['id']}/users/{user}/roles/{own['id']}"
        assert (await admin("PUT", direct)).status == 204

        inherited = await _assigned(admin, "scope.OS-INHERIT:inherited_to=projects")
        assert inherited == [
            {
                "links": {"assignment": f"http://cloud:5000/identity{path}"},
                "role": {"id": role},
                "scope": {"domain": {"id": tree.domain["id"]}, "OS-INHERIT:inherited_to": "projects"},
                "group": {"id": tree.group["id"]},
            }
        ]
        assert await _assigned(admin, f"scope.OS-INHERIT:inherited_to=projects&user.id={user}") == []

        found = await _assigned(admin, f"effective&user.id={user}")
        assert {(one["scope"]["project"]["id"], one["role"]["id"]) for one in found} == {
            (tree.top["id"], role),
            (tree.middle["id"], role),
            (tree.middle["id"], own["id"]),
            (tree.leaf["id"], role),
        }
        on_leaf = await _assigned(admin, f"effective&scope.project.id={tree.leaf['id']}")
        assert on_leaf == [
            {
                "links": {
                    "assignment": f"http://cloud:5000/identity{path}",
                    "membership": f"http://cloud:5000/identity/v3/groups/{tree.group['id']}/users/{user}",
                },
                "role": {"id": role},
                "scope": {"project": {"id": tree.leaf["id"]}, "OS-INHERIT:inherited_to": "projects"},
                "user": {"id": user},
            }
        ]
        assert await _assigned(admin, f"scope.project.id={tree.leaf['id']}") == []
        assert await _assigned(admin, f"effective&scope.domain.id={tree.domain['id']}") == []
        only = await _assigned(admin, f"effective&scope.OS-INHERIT:inherited_to=projects&role.id={own['id']}")
        assert only == []

        subtree = f"include_subtree=true&scope.project.id={tree.top['id']}"
        assert [one["scope"]["project"]["id"] for one in await _assigned(admin, subtree)] == [
            tree.middle["id"]
        ]
        assert len(await _assigned(admin, f"{subtree}&effective")) == 4
        for query, message in (
            ("include_subtree=true", "scope.project.id must be specified"),
            (
                "effective&scope.OS-INHERIT:inherited_to=projects&scope.domain.id=x",
                "Combining effective, domain and inherited filters",
            ),
        ):
            refused = await admin("GET", f"/v3/role_assignments?{query}")
            assert refused.status == 400 and message in refused.message
        client = await cloud.person("nobody", "member")
        assert (await client("GET", f"/v3/role_assignments?{subtree}")).status == 403

    tell(story)


def test_the_cost_does_not_grow_with_the_tree(tmp_path):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        tree = await Tree.grow(cloud)
        role = await cloud.role("member")
        path = f"/v3/OS-INHERIT/{tree.target('domain', 'group')}/{role}/inherited_to_projects"
        assert (await admin("PUT", path)).status == 204

        async def statements() -> list[int]:
            counts = []
            for query in ("effective", f"include_subtree=1&effective&scope.project.id={tree.top['id']}"):
                await _assigned(admin, query)
                before = cloud.store.statements
                await _assigned(admin, query)
                counts.append(cloud.store.statements - before)
            before = cloud.store.statements
            assert (await cloud.login("u", scope={"project": {"id": tree.leaf["id"]}})).status == 201
            return [*counts, cloud.store.statements - before]

        await statements()  # the first log-in notes more than later ones
        few = await statements()
        parent = tree.leaf["id"]
        for number in range(5):
            below = {"parent_id": parent, "domain_id": tree.domain["id"]}
            parent = (await admin.make("project", name=f"deep{number}", **below))["id"]
        tree.leaf = {**tree.leaf, "id": parent}
        assert await statements() == few

    settings = IdentitySettings(max_project_tree_depth=20)
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)
