"""Roles granted on projects, domains and the system, implied roles, and who may do what."""

from __future__ import annotations

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud


def test_each_kind_of_grant(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        user, group = await admin.make("user", name="u"), await admin.make("group", name="g")
        project, domain = await admin.make("project", name="p"), await admin.make("domain", name="d")
        role = await admin.make("role", name="r")
        for target in (f"projects/{project['id']}", f"domains/{domain['id']}", "system"):
            for actor in (f"users/{user['id']}", f"groups/{group['id']}"):
                roles = f"/v3/{target}/{actor}/roles"
                path = f"{roles}/{role['id']}"
                for method in ("HEAD", "DELETE"):
                    assert (await admin(method, path)).status == 404
                assert (await admin("PUT", path)).status == 204
                assert (await admin("PUT", path)).status == 204
                assert (await admin("HEAD", path)).status == 204
                assert (await admin("GET", roles)).json["roles"] == [role]
                assert (await admin("DELETE", path)).status == 204
                gone = await admin("DELETE", path)
                assert gone.status == 404 and "Could not find role assignment" in gone.message
                assert (await admin("GET", roles)).json["roles"] == []
                assert (await admin("PUT", f"{roles}/none")).status == 404
        for path in (
            f"projects/none/users/{user['id']}",
            f"projects/{project['id']}/users/none",
            f"projects/{project['id']}/groups/none",
            f"domains/{project['id']}/users/{user['id']}",
            "system/users/none",
        ):
            assert (await admin("PUT", f"/v3/{path}/roles/{role['id']}")).status == 404

    tell(story)


def test_roles_come_by_groups_and_by_implication(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        user = await admin.make("user", name="u", password=PASSWORD)
        group, project = await admin.make("group", name="g"), await admin.make("project", name="p")
        one, two, three = [await admin.make("role", name=name) for name in ("one", "two", "three")]
        assert (await admin("PUT", f"/v3/groups/{group['id']}/users/{user['id']}")).status == 204
        grant = f"/v3/projects/{project['id']}/groups/{group['id']}/roles/{one['id']}"
        assert (await admin("PUT", grant)).status == 204
        for prior, implied in ((one, two), (two, three), (three, one)):
            made = await admin("PUT", f"/v3/roles/{prior['id']}/implies/{implied['id']}")
            assert made.status == 201
            assert made.json["role_inference"]["prior_role"]["name"] == prior["name"]
        answer = await cloud.login("u", scope={"project": {"id": project["id"]}})
        assert [role["name"] for role in answer.json["token"]["roles"]] == ["one", "three", "two"]
        client = Client(cloud.app, answer.token)
        assert [x["id"] for x in (await client("GET", "/v3/auth/projects")).json["projects"]] == [
            project["id"]
        ]
        assert [
            x["id"] for x in (await client("GET", f"/v3/users/{user['id']}/projects")).json["projects"]
        ] == [project["id"]]

        listed = await admin("GET", f"/v3/role_assignments?scope.project.id={project['id']}")
        assert listed.json["role_assignments"] == [
            {
                "links": {"assignment": f"http://cloud:5000/identity{grant}"},
                "role": {"id": one["id"]},
                "scope": {"project": {"id": project["id"]}},
                "group": {"id": group["id"]},
            }
        ]
        effective = await admin(
            "GET", f"/v3/role_assignments?effective&include_names=true&user.id={user['id']}"
        )
        found = effective.json["role_assignments"]
        assert {x["role"]["name"] for x in found} == {"one", "two", "three"}
        assert all(x["user"]["name"] == "u" and x["user"]["domain"]["name"] == "Default" for x in found)
        assert all(x["scope"]["project"]["name"] == "p" for x in found)
        assert all("membership" in x["links"] for x in found)
        only = await admin("GET", f"/v3/role_assignments?effective&role.id={two['id']}")
        assert len(only.json["role_assignments"]) == 1
        assert (await admin("GET", f"/v3/role_assignments?group.id={group['id']}&effective")).status == 400
        assert (await admin("GET", "/v3/role_assignments?group.id=a&user.id=b")).status == 400
        assert (await admin("GET", "/v3/role_assignments?scope.project.id=a&scope.system=all")).status == 400

        assert (await admin("DELETE", f"/v3/groups/{group['id']}/users/{user['id']}")).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401

    tell(story)


def test_implied_roles(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        one, two = await admin.make("role", name="one"), await admin.make("role", name="two")
        path = f"/v3/roles/{one['id']}/implies/{two['id']}"
        for method in ("GET", "HEAD", "DELETE"):
            assert (await admin(method, path)).status == 404
        assert (await admin("PUT", path)).status == 201
        assert (await admin("HEAD", path)).status == 204
        shown = (await admin("GET", path)).json["role_inference"]
        assert shown["implies"] == {key: two[key] for key in ("id", "name", "links")}
        listed = (await admin("GET", f"/v3/roles/{one['id']}/implies")).json["role_inference"]
        assert [role["id"] for role in listed["implies"]] == [two["id"]]
        every = (await admin("GET", "/v3/role_inferences")).json["role_inferences"]
        assert {rule["prior_role"]["name"] for rule in every} >= {"one", "admin", "manager", "member"}
        refused = await admin("PUT", f"/v3/roles/{one['id']}/implies/{await cloud.role('admin')}")
        assert refused.status == 403 and "cannot be an implied role" in refused.message
        shouting = await admin.make("role", name="ADMIN")
        refused = await admin("PUT", f"/v3/roles/{one['id']}/implies/{shouting['id']}")
        assert refused.status == 403, "to the rules it is the same role"
        assert (await admin("PUT", f"/v3/roles/{one['id']}/implies/none")).status == 404
        assert (await admin("GET", "/v3/roles/none/implies")).status == 404
        assert (await admin("DELETE", path)).status == 204

    tell(story)


def test_roles_of_a_domain(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        acme, other = await admin.make("domain", name="acme"), await admin.make("domain", name="other")
        own = await admin.make("role", name="r", domain_id=acme["id"])
        plain = await admin.make("role", name="plain")
        user = await admin.make("user", name="u", password=PASSWORD, domain_id=acme["id"])
        project = await admin.make("project", name="p", domain_id=acme["id"])
        foreign = await admin.make("project", name="p", domain_id=other["id"])
        assert (await admin("GET", f"/v3/roles?domain_id={acme['id']}")).json["roles"] == [own]
        assert own not in (await admin("GET", "/v3/roles")).json["roles"]
        grant = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{own['id']}"
        assert (await admin("PUT", grant)).status == 204
        refused = await admin("PUT", f"/v3/projects/{foreign['id']}/users/{user['id']}/roles/{own['id']}")
        assert refused.status == 403 and "must be in the same domain" in refused.message
        refused = await admin("PUT", f"/v3/system/users/{user['id']}/roles/{own['id']}")
        assert refused.status == 400 and "domain-specific role" in refused.message
        refused = await admin("PUT", f"/v3/roles/{plain['id']}/implies/{own['id']}")
        assert refused.status == 403 and "Global role cannot imply" in refused.message
        scope = {"project": {"id": project["id"]}}
        assert (await cloud.login(id=user["id"], scope=scope)).status == 401  # it opens nothing by itself
        assert (await admin("PUT", f"/v3/roles/{own['id']}/implies/{plain['id']}")).status == 201
        token = (await cloud.login(id=user["id"], scope=scope)).json["token"]
        assert [role["name"] for role in token["roles"]] == ["plain"]
        path = f"/v3/roles/{own['id']}"
        assert (await admin("PATCH", path, {"role": {"domain_id": other["id"]}})).status == 400

    tell(story)


def test_a_deleted_role_is_taken_from_everybody(tell):
    async def story(cloud: Cloud) -> None:
        role = await cloud.admin.make("role", name="temp")
        client = await cloud.person("u", "temp")
        assert (await client("GET", "/v3/auth/projects")).status == 200
        assert (await cloud.admin("DELETE", f"/v3/roles/{role['id']}")).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401

    tell(story)


async def _in_domain(cloud: Cloud, role: str) -> tuple[Client, str]:
    """Somebody with a role on a domain of his own, and the domain's id."""
    domain = await cloud.admin.make("domain", name=f"of {role}")
    user = await cloud.admin.make("user", name=role, password=PASSWORD, domain_id=domain["id"])
    path = f"/v3/domains/{domain['id']}/users/{user['id']}/roles/{await cloud.role(role)}"
    assert (await cloud.admin("PUT", path)).status == 204
    return await cloud.as_(scope={"domain": {"id": domain["id"]}}, id=user["id"]), domain["id"]


@pytest.mark.parametrize("role", ["reader", "member", "manager", "netadmin", "itsec"])
def test_a_role_in_a_project_opens_nothing_of_identity(quick, role):
    async def story(cloud: Cloud) -> None:
        client = await cloud.person("p", role)
        other = await cloud.admin.make("user", name="other")
        for kind in ("domain", "project", "user", "group", "role", "service", "endpoint"):
            refused = await client("GET", f"/v3/{kind}s")
            assert refused.status == 403, kind
            assert refused.message == (
                f"You are not authorized to perform the requested action: identity:list_{kind}s."
            )
            if kind != "endpoint":
                body = {kind: {"name": "x", **({"type": "x"} if kind == "service" else {})}}
                assert (await client("POST", f"/v3/{kind}s", body)).status == 403, kind
        for path in (
            f"/v3/users/{other['id']}",
            "/v3/users/none",
            "/v3/role_assignments",
            "/v3/role_inferences",
        ):
            assert (await client("GET", path)).status == 403, path
        for method in ("PATCH", "DELETE"):
            rename = {"user": {"name": "y"}} if method == "PATCH" else None
            assert (await client(method, f"/v3/users/{other['id']}", rename)).status == 403
        assert (await client("GET", "/v3/regions")).status == 200
        assert (await client("POST", "/v3/regions", {"region": {}})).status == 403
        me = (await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")).json["token"]
        assert (await client("GET", f"/v3/users/{me['user']['id']}")).status == 200
        assert (await client("GET", f"/v3/users/{me['user']['id']}/projects")).status == 200
        assert (await client("GET", f"/v3/projects/{me['project']['id']}")).status == 200
        assert (await client("GET", "/v3/domains/default")).status == 200

    quick(story)


def test_a_reader_of_a_domain_sees_his_domain_and_no_other(tell):
    async def story(cloud: Cloud) -> None:
        client, domain_id = await _in_domain(cloud, "reader")
        project = await cloud.admin.make("project", name="p", domain_id=domain_id)
        group = await cloud.admin.make("group", name="g", domain_id=domain_id)
        await cloud.admin.make("group", name="elsewhere")
        for kind, expected in (("domain", domain_id), ("project", project["id"]), ("group", group["id"])):
            assert [one["id"] for one in (await client("GET", f"/v3/{kind}s")).json[f"{kind}s"]] == [expected]
        users = (await client("GET", "/v3/users")).json["users"]
        assert {one["domain_id"] for one in users} == {domain_id}
        assert (await client("GET", f"/v3/users?domain_id={DEFAULT}")).json["users"] == []
        assert (await client("GET", f"/v3/projects/{project['id']}")).status == 200
        assert (await client("GET", f"/v3/groups/{group['id']}")).status == 200
        assigned = (await client("GET", "/v3/role_assignments")).json["role_assignments"]
        assert {one["scope"]["domain"]["id"] for one in assigned} == {domain_id}
        assert (await client("POST", "/v3/users", {"user": {"name": "x"}})).status == 403
        assert (await client("GET", "/v3/services")).status == 403
        assert (await client("GET", "/v3/domains/default")).status == 403

    tell(story)


def test_a_manager_of_a_domain_manages_it_and_no_other(tell):
    async def story(cloud: Cloud) -> None:
        client, domain_id = await _in_domain(cloud, "manager")
        for kind in ("user", "project", "group"):
            assert (await client("POST", f"/v3/{kind}s", {kind: {"name": "x"}})).status == 403, "no domain"
        user = await client.make("user", name="x", domain_id=domain_id)
        project = await client.make("project", name="x", domain_id=domain_id)
        group = await client.make("group", name="x", domain_id=domain_id)
        assert (await client("PUT", f"/v3/groups/{group['id']}/users/{user['id']}")).status == 204
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles"
        for role, status in (
            ("member", 204),
            ("reader", 204),
            ("manager", 204),
            ("admin", 403),
            ("itsec", 403),
        ):
            assert (await client("PUT", f"{path}/{await cloud.role(role)}")).status == status, role
        assert (await client("DELETE", f"{path}/{await cloud.role('member')}")).status == 204
        member = await cloud.role("member")
        elsewhere = await cloud.admin.make("project", name="elsewhere")
        stranger = await cloud.admin.make("user", name="stranger")
        for wrong in (
            f"/v3/projects/{elsewhere['id']}/users/{user['id']}/roles/{member}",
            f"/v3/projects/{project['id']}/users/{stranger['id']}/roles/{member}",
            f"/v3/domains/{DEFAULT}/users/{user['id']}/roles/{member}",
            f"/v3/system/users/{user['id']}/roles/{member}",
        ):
            assert (await client("PUT", wrong)).status == 403, wrong
        for kind in ("user", "project", "group"):
            body = {kind: {"name": "y", "domain_id": DEFAULT}}
            assert (await client("POST", f"/v3/{kind}s", body)).status == 403
        assert (await client("DELETE", f"/v3/users/{stranger['id']}")).status == 403
        assert (await client("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": False}})).status == 200
        assert (await client("DELETE", f"/v3/users/{user['id']}")).status == 204
        assert (await client("PATCH", f"/v3/domains/{domain_id}", {"domain": {"name": "y"}})).status == 403
        listed = (await client("GET", "/v3/roles")).json["roles"]
        assert {"member", "reader", "manager"} <= {one["name"] for one in listed}
        assert (await client("GET", f"/v3/roles/{member}")).status == 200
        assert (await client("GET", f"/v3/roles/{await cloud.role('admin')}")).status == 403

    tell(story)


def test_the_administrator_of_a_domain_makes_no_domains(quick):
    async def story(cloud: Cloud) -> None:
        client, _ = await _in_domain(cloud, "admin")
        for path, body in (
            ("domains", {"domain": {"name": "x"}}),
            ("roles", {"role": {"name": "x"}}),
            ("services", {"service": {"type": "x"}}),
        ):
            assert (await client("POST", f"/v3/{path}", body)).status == 403
        assert (await client("GET", "/v3/services")).status == 403
        assert (await client("POST", "/v3/users", {"user": {"name": "x"}})).status == 201

    quick(story)


def test_a_reader_of_the_system_sees_all_and_changes_nothing(quick):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="auditor", password=PASSWORD)
        path = f"/v3/system/users/{user['id']}/roles/{await cloud.role('reader')}"
        assert (await cloud.admin("PUT", path)).status == 204
        client = await cloud.as_("auditor", {"system": {"all": True}})
        for kind in ("domain", "project", "user", "group", "role", "service", "endpoint", "region"):
            assert (await client("GET", f"/v3/{kind}s")).status == 200, kind
        for path in (
            "role_assignments",
            "role_inferences",
            f"users/{user['id']}",
            f"system/users/{user['id']}/roles",
        ):
            assert (await client("GET", f"/v3/{path}")).status == 200, path
        assert (await client("GET", "/v3/users/none")).status == 404
        for kind in ("domain", "project", "user", "group", "role"):
            assert (await client("POST", f"/v3/{kind}s", {kind: {"name": "x"}})).status == 403
        assert (await client("DELETE", f"/v3/users/{user['id']}")).status == 403

    quick(story)


def test_a_project_manager_adds_users_to_his_project(quick):
    async def story(cloud: Cloud) -> None:
        project = await cloud.admin.make("project", name="mine")
        other = await cloud.admin.make("project", name="other")
        client = await cloud.person("boss", "projectmanager", project=project)
        user = await cloud.admin.make("user", name="new")
        foreign = await cloud.admin.make("domain", name="foreign")
        stranger = await cloud.admin.make("user", name="stranger", domain_id=foreign["id"])
        group = await cloud.admin.make("group", name="team")
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles"
        for role, status in (
            ("developer", 204),
            ("netadmin", 204),
            ("member", 204),
            ("projectmanager", 403),
            ("admin", 403),
            ("itsec", 403),
        ):
            assert (await client("PUT", f"{path}/{await cloud.role(role)}")).status == status, role
        member = await cloud.role("member")
        assert (await client("DELETE", f"{path}/{member}")).status == 204
        groups = f"/v3/projects/{project['id']}/groups/{group['id']}/roles/{member}"
        assert (await client("PUT", groups)).status == 204
        for wrong in (
            f"/v3/projects/{other['id']}/users/{user['id']}/roles/{member}",
            f"/v3/projects/{project['id']}/users/{stranger['id']}/roles/{member}",
            f"/v3/domains/{DEFAULT}/users/{user['id']}/roles/{member}",
            *(
                f"/v3/OS-INHERIT/projects/{project['id']}/{actor}/roles/{member}/inherited_to_projects"
                for actor in (f"users/{user['id']}", f"groups/{group['id']}")
            ),
        ):
            assert (await client("PUT", wrong)).status == 403, wrong
            if "OS-INHERIT" in wrong:
                assert (await cloud.admin("PUT", wrong)).status == 204
                assert (await client("DELETE", wrong)).status == 403

    quick(story)
