"""Nobody changes one who holds a role above his own, gives such a role, or makes a domain unasked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import PASSWORD, Cloud, run
from tests.api.identity.test_personas import Stage

ABOVE = "holds a role above those of the caller"


async def _user(cloud: Cloud, stage: Stage, *grants: tuple[str, str], by_group: bool = False) -> str:
    """A user of the personas' domain with roles at places of the API's paths."""
    admin, home = cloud.admin, {"domain_id": stage.known["own"]}
    user = await admin.make("user", name=stage.new(), password=PASSWORD, **home)
    actor = f"users/{user['id']}"
    if by_group:
        group = await admin.make("group", name=stage.new(), **home)
        actor = f"groups/{group['id']}"
        assert (await admin("PUT", f"/v3/{actor}/users/{user['id']}")).status == 204
    for place, role in grants:
        place, _, tail = place.partition("*")
        path = f"/v3/{place}/{actor}/roles/{await cloud.role(role)}{tail}"
        assert (await admin("PUT", path)).status == 204, path
    return str(user["id"])


def _changes(stage: Stage, user_id: str, group_id: str, member: str) -> list[tuple[str, str, Any]]:
    one = f"/v3/users/{user_id}"
    grant = f"/v3/projects/{stage.known['home']}/users/{user_id}/roles/{member}"
    return [
        ("PATCH", one, {"user": {"password": "other"}}),
        ("PATCH", one, {"user": {"enabled": False}}),
        ("PATCH", one, {"user": {"email": "me@example.org"}}),
        ("PATCH", one, {"user": {"name": "x"}}),
        ("PUT", f"/v3/groups/{group_id}/users/{user_id}", None),
        ("DELETE", f"/v3/groups/{group_id}/users/{user_id}", None),
        ("PUT", grant, None),
        ("DELETE", grant, None),
        ("DELETE", one, None),
    ]


def test_the_policy_says_who_administers_the_cloud(tmp_path):
    """No role is compared in the service: nobody is above whom an operator's rule names."""

    async def story(cloud: Cloud) -> None:
        await cloud.admin.make("role", name="chief")
        chief, reader = await cloud.person("ann", "chief"), await cloud.person("bob", "reader")
        users = (await cloud.admin("GET", "/v3/users?name=admin")).json["users"]
        path, body = f"/v3/users/{users[0]['id']}", {"user": {"email": "me@example.org"}}
        assert (await reader("PATCH", path, body)).status == 403
        assert (await chief("PATCH", path, body)).status == 200

    rules = {"admin_required": "role:admin or role:chief"}
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, rules=rules)


def test_a_manager_changes_nobody_above_him(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        own, home = f"domains/{stage.known['own']}", f"projects/{stage.known['home']}"
        elsewhere = f"projects/{await stage.find('other.project', '')}"
        chief = await cloud.admin.make("role", name="chief")
        implies = f"/v3/roles/{chief['id']}/implies/{stage.known['manager']}"
        assert (await cloud.admin("PUT", implies)).status == 201
        manager, group = stage.clients["DG"], await stage.find("own.group", "")
        heirs = "*/inherited_to_projects"
        for grants, by_group in (
            ([(own, "admin")], False),
            ([(home, "admin")], False),
            ([(elsewhere, "admin")], False),
            ([(home, "reader"), (home, "admin")], True),
            ([(f"OS-INHERIT/{own}{heirs}", "admin")], False),
            ([("system", "reader")], False),
            ([("system", "reader")], True),
            ([(home, "service")], False),
            ([(home, "itsec")], False),
            ([(home, "chief")], False),
        ):
            user_id = await _user(cloud, stage, *grants, by_group=by_group)
            assert (await cloud.admin("GET", f"/v3/users/{user_id}")).status == 200
            for method, path, body in _changes(stage, user_id, group, stage.known["member"]):
                answer = await manager(method, path, body)
                assert answer.status == 403 and ABOVE in answer.message, (grants, method, path, answer)
            shown = (await cloud.admin("GET", f"/v3/users/{user_id}")).json["user"]
            assert shown["enabled"] and (await cloud.login(id=user_id)).status == 201
        clerk = await cloud.admin.make("role", name="clerk")
        odd = await _user(cloud, stage, ("system", "clerk"))
        path = f"/v3/{home}/users/{odd}/roles"
        assert (await manager("PUT", f"{path}/{stage.known['member']}")).status == 204, (
            "a place in his domain"
        )
        assert (await manager("PUT", f"{path}/{clerk['id']}")).status == 403
        assert (await manager("PATCH", f"/v3/users/{odd}", {"user": {"password": "x"}})).status == 403
        equal = await _user(cloud, stage, (own, "manager"), (home, "developer"), by_group=True)
        for method, path, body in _changes(stage, equal, group, stage.known["member"]):
            assert (await manager(method, path, body)).status < 300, (method, path)

    quick(story)


def test_a_manager_gets_no_role_by_a_group(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        manager, me = stage.clients["DG"], stage.ids["DG"]
        group = await stage.find("own.group", "")
        path = f"/v3/domains/{stage.known['own']}/groups/{group}/roles/{stage.known['admin']}"
        assert (await cloud.admin("PUT", path)).status == 204
        member = f"/v3/projects/{stage.known['home']}/groups/{group}/roles/{stage.known['member']}"
        for method, wrong, body in (
            ("PUT", f"/v3/groups/{group}/users/{me}", None),
            ("PATCH", f"/v3/groups/{group}", {"group": {"name": "x"}}),
            ("PUT", member, None),
            ("DELETE", f"/v3/groups/{group}", None),
        ):
            answer = await manager(method, wrong, body)
            assert answer.status == 403 and ABOVE in answer.message, (method, wrong)
        assert (await cloud.admin("DELETE", path)).status == 204
        assert (await manager("PUT", f"/v3/groups/{group}/users/{me}")).status == 204

    quick(story)


def test_an_administrator_of_a_domain_does_not_rise_above_it(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        client, me = stage.clients["DA"], stage.ids["DA"]
        root = (await cloud.admin("GET", "/v3/users?name=admin")).json["users"][0]["id"]
        admin = stage.known["admin"]
        for method, path, body in (
            ("PATCH", f"/v3/users/{root}", {"user": {"password": "mine"}}),
            ("DELETE", f"/v3/users/{root}", None),
            ("PATCH", f"/v3/users/{stage.ids['SR']}", {"user": {"password": "mine"}}),
            ("PUT", f"/v3/domains/default/users/{me}/roles/{admin}", None),
            ("PUT", f"/v3/domains/{stage.known['other']}/users/{me}/roles/{admin}", None),
            ("PUT", f"/v3/system/users/{me}/roles/{admin}", None),
            (
                "POST",
                "/v3/credentials",
                {"credential": {"type": "totp", "blob": "x", "user_id": root}},
            ),
        ):
            assert (await client(method, path, body)).status == 403, (method, path)
        own = await _user(cloud, stage, (f"projects/{stage.known['home']}", "admin"))
        assert (await client("PATCH", f"/v3/users/{own}", {"user": {"password": "x"}})).status == 200

    quick(story)


def test_the_domain_of_a_user_decides_who_sets_his_password(quick):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        client, other = stage.clients["DA"], stage.known["other"]
        body = {"name": "his", "password": PASSWORD, "domain_id": other}
        user = (await cloud.admin.make("user", **body))["id"]
        for changes in ({"password": "mine"}, {"enabled": False}, {"options": {"lock_password": True}}):
            refused = await client("PATCH", f"/v3/users/{user}", {"user": changes})
            assert refused.status == 403 and "identity:update_user" in refused.message, changes
        hashed = {"password_hash": "$2b$12$" + "a" * 53}
        assert (await client("PUT", f"/v3/users/{user}/password_hash", hashed)).status == 403
        assert (await cloud.login(id=user)).status == 201
        assert (await client("PATCH", f"/v3/users/{user}", {"user": {"email": "x"}})).status == 200
        assert (await cloud.admin("PATCH", f"/v3/users/{user}", {"user": {"password": "x"}})).status == 200
        own = await client.make("user", name="hers", password=PASSWORD, domain_id=stage.known["own"])
        assert (await client("PATCH", f"/v3/users/{own['id']}", {"user": {"password": "x"}})).status == 200

    quick(story)


@pytest.mark.parametrize("persona", ["DA", "DG"])
def test_no_domain_by_way_of_projects(quick, persona):
    async def story(cloud: Cloud) -> None:
        stage = Stage(cloud)
        await stage.build()
        client, own = stage.clients[persona], stage.known["own"]
        for body in (
            {"is_domain": True},
            {"is_domain": True, "domain_id": own},
            {"is_domain": True, "domain_id": own, "parent_id": own},
            {"is_domain": True, "domain_id": None, "parent_id": None},
        ):
            made = await client("POST", "/v3/projects", {"project": {"name": "mine", **body}})
            assert made.status == 403, body
        for domain in (own, stage.known["other"]):
            for changes in ({"name": "mine"}, {"enabled": False}, {"tags": ["x"]}):
                path = f"/v3/projects/{domain}"
                assert (await client("PATCH", path, {"project": changes})).status == 403, changes
            assert (await client("DELETE", f"/v3/projects/{domain}")).status == 403
        project = await client.make("project", name="p", domain_id=own)
        turned = await client("PATCH", f"/v3/projects/{project['id']}", {"project": {"is_domain": True}})
        assert turned.status == 400
        names = {one["name"] for one in (await cloud.admin("GET", "/v3/domains")).json["domains"]}
        assert names == {"Default", "own", "other"}

    quick(story)


def test_a_restricted_application_credential_sets_not_its_owners_password(quick):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        shown = await admin("GET", "/v3/auth/tokens", x_subject_token=admin.token or "")
        me = shown.json["token"]["user"]["id"]
        path = f"/v3/users/{me}/application_credentials"
        for restricted, status in ((True, 403), (False, 200)):
            body = {"name": f"app {restricted}", "secret": "s", "unrestricted": not restricted}
            made = (await admin("POST", path, {"application_credential": body})).json
            key = made["application_credential"]["id"]
            proof = {
                "methods": ["application_credential"],
                "application_credential": {"id": key, "secret": "s"},
            }
            answer = await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": proof}})
            client = type(admin)(cloud.app, answer.token)
            change = {"user": {"password": PASSWORD}}
            assert (await client("PATCH", f"/v3/users/{me}", change)).status == status
            if restricted:
                other = await client.make("user", name="other", password="x")
                assert (await client("PATCH", f"/v3/users/{other['id']}", change)).status == 200

    quick(story)
