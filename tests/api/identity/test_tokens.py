"""Logging in, scopes, and what a token means when things change."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud

from pileus.services.identity.tokens.payload import LONGEST_CHAIN

ADMIN_PROJECT = {"project": {"name": "admin", "domain": {"name": "Default"}}}


def test_a_password_buys_a_token_for_a_project(tell):
    async def story(cloud: Cloud) -> None:
        answer = await cloud.login(scope=ADMIN_PROJECT)
        assert answer.status == 201
        token = answer.json["token"]
        assert token["methods"] == ["password"]
        assert token["user"]["name"] == "admin"
        assert token["user"]["domain"] == {"id": DEFAULT, "name": "Default"}
        assert token["project"]["name"] == "admin"
        assert token["project"]["domain"] == {"id": DEFAULT, "name": "Default"}
        assert token["is_domain"] is False
        assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
        assert token["issued_at"].endswith("Z") and token["expires_at"].endswith(".000000Z")
        assert len(token["audit_ids"]) == 1 and len(token["audit_ids"][0]) == 22
        catalog = {service["type"]: service for service in token["catalog"]}
        assert set(catalog) == {"identity", "network", "volumev3"}
        assert {one["interface"] for one in catalog["network"]["endpoints"]} == {
            "admin",
            "internal",
            "public",
        }
        public = next(one for one in catalog["volumev3"]["endpoints"] if one["interface"] == "public")
        assert public["url"] == f"http://cloud:5000/volume/v3/{token['project']['id']}"
        assert public["region"] == public["region_id"] == "RegionOne"

        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=answer.token)
        assert shown.status == 200 and shown.token == answer.token
        assert shown.json == answer.json
        assert (await cloud.admin("HEAD", "/v3/auth/tokens", x_subject_token=answer.token)).status == 200

    tell(story)


def test_every_scope(tell):
    async def story(cloud: Cloud) -> None:
        role = await cloud.role("reader")
        domain = await cloud.admin.make("domain", name="acme")
        user = await cloud.admin.make("user", name="carol", password=PASSWORD, domain_id=domain["id"])
        assert (
            await cloud.admin("PUT", f"/v3/domains/{domain['id']}/users/{user['id']}/roles/{role}")
        ).status == 204
        assert (await cloud.admin("PUT", f"/v3/system/users/{user['id']}/roles/{role}")).status == 204
        carol: dict[str, Any] = {"name": "carol", "domain": {"name": "acme"}}

        unscoped = await cloud.login(**carol)
        assert unscoped.status == 201
        assert not {"project", "domain", "system", "roles", "catalog"} & unscoped.json["token"].keys()

        for scope in ({"domain": {"id": domain["id"]}}, {"domain": {"name": "acme"}}):
            token = (await cloud.login(scope=scope, **carol)).json["token"]
            assert token["domain"] == {"id": domain["id"], "name": "acme"}
            assert [one["name"] for one in token["roles"]] == ["reader"]
            assert "volumev3" not in {service["type"] for service in token["catalog"]}  # it wants a project

        token = (await cloud.login(scope={"system": {"all": True}}, **carol)).json["token"]
        assert token["system"] == {"all": True} and token["catalog"]

        client = Client(cloud.app, unscoped.token)
        assert [one["id"] for one in (await client("GET", "/v3/auth/domains")).json["domains"]] == [
            domain["id"]
        ]
        assert (await client("GET", "/v3/auth/projects")).json["projects"] == []
        assert (await client("GET", "/v3/auth/system")).json["system"] == [{"all": True}]
        assert (await client("GET", "/v3/auth/catalog")).json["catalog"] == []
        assert (await cloud.login(scope=ADMIN_PROJECT, **carol)).status == 401

    tell(story)


def test_a_default_project_is_the_scope_unless_another_is_asked_for(quick):
    async def story(cloud: Cloud) -> None:
        project = await cloud.admin.make("project", name="home")
        user = await cloud.admin.make(
            "user", name="dora", password=PASSWORD, default_project_id=project["id"]
        )
        without_role = await cloud.login("dora")
        assert without_role.status == 201 and "project" not in without_role.json["token"]
        path = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{await cloud.role('member')}"
        await cloud.admin("PUT", path)
        assert (await cloud.login("dora")).json["token"]["project"]["id"] == project["id"]
        assert "project" not in (await cloud.login("dora", scope="unscoped")).json["token"]
        assert "project" not in (await cloud.login("dora", scope={"unscoped": {}})).json["token"]

    quick(story)


def test_a_token_buys_another(tell):
    async def story(cloud: Cloud) -> None:
        first = await cloud.login()
        cloud.clock.advance(60)
        second = await cloud.rescope(first.token, {"system": {"all": True}})
        assert second.status == 201
        one, two = first.json["token"], second.json["token"]
        assert two["methods"] == ["password", "token"]
        assert two["expires_at"] == one["expires_at"] and two["issued_at"] > one["issued_at"]
        assert two["audit_ids"][1:] == one["audit_ids"]
        assert (await cloud.admin("DELETE", "/v3/auth/tokens", x_subject_token=second.token)).status == 204
        assert (await cloud.rescope(second.token, {"system": {"all": True}})).status == 404
        assert (await cloud.rescope(first.token, {"system": {"all": True}})).status == 201

    tell(story)


def test_a_revoked_token_is_refused_at_once_and_by_every_server(url, tmp_path):
    import asyncio

    from tests.api.identity.cloud import cloud

    from pileus.services.identity.service import Identity
    from pileus.store import Store

    async def main() -> None:
        async with asyncio.timeout(60) as limit, cloud(url, tmp_path) as one:
            answer = await one.login(scope=ADMIN_PROJECT)
            client = Client(one.app, answer.token)
            assert (await client("GET", "/v3/auth/projects")).status == 200
            other = None
            if one.store.dialect != "sqlite":  # two servers share no SQLite file
                store = await Store.open(url, poll_s=3600)
                other = Identity(store, tmp_path / "token-keys", clock=one.clock)
                assert (await other.authenticator(answer.token)).user_name == "admin"
            try:
                assert (await client("DELETE", "/v3/auth/tokens", x_subject_token=answer.token)).status == 204
                assert (await client("GET", "/v3/auth/projects")).status == 401
                gone = await one.admin("GET", "/v3/auth/tokens", x_subject_token=answer.token)
                assert gone.status == 404
                assert (
                    await one.admin("HEAD", "/v3/auth/tokens", x_subject_token=answer.token)
                ).status == 404
                if other is not None:
                    with pytest.raises(Exception, match="requires authentication"):
                        await other.authenticator(answer.token)
            finally:
                if other is not None:
                    await other.close()
                    await store.close()
        assert not limit.expired()

    asyncio.run(main())


def test_tokens_follow_what_becomes_of_user_role_project_and_domain(tell):
    async def story(cloud: Cloud) -> None:
        member = await cloud.role("member")
        domain = await cloud.admin.make("domain", name="acme")
        project = await cloud.admin.make("project", name="p", domain_id=domain["id"])
        user = await cloud.admin.make("user", name="eve", password=PASSWORD, domain_id=domain["id"])
        grant = f"/v3/projects/{project['id']}/users/{user['id']}/roles/{member}"
        scope = {"project": {"id": project["id"]}}

        async def fresh() -> Client:
            cloud.clock.advance(1)
            assert (await cloud.admin("PUT", grant)).status == 204
            client = await cloud.as_(scope=scope, id=user["id"])
            assert (await client("GET", "/v3/auth/projects")).status == 200
            return client

        async def change(path: str, body: object) -> None:
            cloud.clock.advance(1)
            assert (await cloud.admin("PATCH", path, body)).status == 200

        client = await fresh()
        assert (await cloud.admin("DELETE", grant)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await cloud.login(scope=scope, id=user["id"])).status == 401

        for path, kind in (
            (f"/v3/projects/{project['id']}", "project"),
            (f"/v3/domains/{domain['id']}", "domain"),
            (f"/v3/users/{user['id']}", "user"),
        ):
            client = await fresh()
            await change(path, {kind: {"enabled": False}})
            assert (await client("GET", "/v3/auth/projects")).status == 401, kind
            assert (await cloud.login(scope=scope, id=user["id"])).status == 401
            await change(path, {kind: {"enabled": True}})
        assert (await client("GET", "/v3/auth/projects")).status == 401  # a disabled user's tokens stay dead

        client = await fresh()
        await change(f"/v3/users/{user['id']}", {"user": {"password": "another one"}})
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await cloud.login(scope=scope, id=user["id"])).status == 401
        await change(f"/v3/users/{user['id']}", {"user": {"password": PASSWORD}})

        client = await fresh()
        reader = await cloud.role("reader")
        before = (await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")).json["token"]
        assert {role["name"] for role in before["roles"]} == {"member", "reader"}
        assert (await cloud.admin("DELETE", f"/v3/roles/{member}/implies/{reader}")).status == 204
        after = (await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")).json["token"]
        assert {role["name"] for role in after["roles"]} == {"member"}

        assert (await cloud.admin("DELETE", f"/v3/users/{user['id']}")).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401

    tell(story)


def test_a_token_expires(quick):
    async def story(cloud: Cloud) -> None:
        client = await cloud.as_(scope=ADMIN_PROJECT)
        cloud.clock.advance(3590)
        assert (await client("GET", "/v3/auth/projects")).status == 200
        cloud.clock.advance(20)
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await cloud.rescope(client.token or "", ADMIN_PROJECT)).status == 404

    quick(story)


def test_changing_ones_own_password_ends_ones_tokens(tell):
    async def story(cloud: Cloud) -> None:
        client = await cloud.person("frank", "member")
        frank = (await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")).json["token"][
            "user"
        ]
        path = f"/v3/users/{frank['id']}/password"
        body = {"user": {"original_password": PASSWORD, "password": "new one"}}
        wrong = {"user": {"original_password": "wrong", "password": "new one"}}
        cloud.clock.advance(1)
        assert (await client("POST", path, wrong)).status == 401
        assert (await client("POST", path, {"user": {"password": "x"}})).status == 400
        assert (await client("POST", path, {"password": "x"})).status == 400
        assert (await cloud.anyone("POST", "/v3/users/nobody/password", body)).status == 401
        assert (await client("POST", path, body)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await cloud.login("frank")).status == 401
        assert (await cloud.login("frank", "new one")).status == 201

    tell(story)


def test_what_was_made_from_a_revoked_token_ends_with_it(tell):
    async def story(cloud: Cloud) -> None:
        scope = {"project": {"name": "admin", "domain": {"id": DEFAULT}}}

        async def alive(tokens: dict[str, str]) -> str:
            found = [
                name
                for name, token in tokens.items()
                if (await Client(cloud.app, token)("GET", "/v3/auth/projects")).status == 200
            ]
            return " ".join(found)

        async def from_(token: str, scope: Any) -> str:
            made = await cloud.rescope(token, scope)
            assert made.status == 201, made
            return made.token

        root = (await cloud.login(scope="unscoped")).token
        tokens = {"root": root, "left": await from_(root, scope), "right": await from_(root, scope)}
        tokens["left.a"] = await from_(tokens["left"], "unscoped")
        tokens["left.a.b"] = await from_(tokens["left.a"], scope)
        tokens["left.a.b.c"] = await from_(tokens["left.a.b"], scope)
        tokens["left.d"] = await from_(tokens["left"], scope)
        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=tokens["left.a.b.c"])
        assert len(shown.json["token"]["audit_ids"]) == 2, "its own and the first of the chain"
        for name, left in (
            ("left.a", "root left right left.d"),
            ("left", "root right"),
            ("root", ""),
        ):
            subject = {"x_subject_token": tokens[name]}
            assert (await cloud.admin("DELETE", "/v3/auth/tokens", **subject)).status == 204
            assert await alive(tokens) == left, name
            assert (await cloud.rescope(tokens["left.a.b.c"], scope)).status == 404
            assert (
                await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=tokens["left.a.b"])
            ).status == 404

    tell(story)


def test_a_token_has_one_spelling_and_a_chain_an_end(quick):
    async def story(cloud: Cloud) -> None:
        token = cloud.admin.token or ""
        for other in (token + "=", token + "==", f" {token}", token[:9] + "\t" + token[9:], token + "-"):
            assert (await Client(cloud.app, other)("GET", "/v3/auth/projects")).status == 401, other
            assert (await cloud.rescope(other, "unscoped")).status == 404
            assert (await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=other)).status == 404
        assert len(cloud.identity.authenticator._known) == 1, "that of the administrator"
        scope = {"project": {"name": "admin", "domain": {"id": DEFAULT}}}
        for _ in range(LONGEST_CHAIN - 1):
            made = await cloud.rescope(token, scope)
            token = made.token
        assert (await cloud.rescope(token, scope)).status == 401
        assert (await Client(cloud.app, token)("GET", "/v3/auth/projects")).status == 200
        assert len(token) < 2000

    quick(story)


def test_who_may_look_at_and_revoke_a_token(quick):
    async def story(cloud: Cloud) -> None:
        gina = await cloud.person("gina", "member")
        hugo = await cloud.person("hugo", "member")
        subject = {"x_subject_token": gina.token or ""}
        for method, rule in (("GET", "validate_token"), ("HEAD", "check_token"), ("DELETE", "revoke_token")):
            refused = await hugo(method, "/v3/auth/tokens", **subject)
            assert refused.status == 403
            if method != "HEAD":
                assert refused.message.endswith(f"the requested action: identity:{rule}.")
        assert (await gina("GET", "/v3/auth/tokens", **subject)).status == 200
        assert (await gina("GET", "/v3/auth/tokens")).status == 404
        assert (await gina("GET", "/v3/auth/tokens", x_subject_token="nonsense")).status == 404
        assert (await gina("DELETE", "/v3/auth/tokens", **subject)).status == 204

    quick(story)


def test_a_token_that_is_none_is_not_found(quick):
    """As Keystone answers a log-in with it, and as tempest's tests of compliance want."""

    async def story(cloud: Cloud) -> None:
        answer = await cloud.rescope("nonsense", ADMIN_PROJECT)
        assert answer.status == 404 and answer.message == "Failed to validate token"

    quick(story)


def test_refused_logins_say_nothing_more_than_401(quick):
    async def story(cloud: Cloud) -> None:
        await cloud.admin.make("user", name="off", password=PASSWORD, enabled=False)
        await cloud.admin.make("user", name="passwordless")
        domain = {"domain": {"id": DEFAULT}}
        for answer in (
            await cloud.login("admin", "wrong"),
            await cloud.login("nobody"),
            await cloud.login("off"),
            await cloud.login("passwordless"),
            await cloud.login("passwordless", ""),
            await cloud.login(name="admin", domain={"name": "nowhere"}),
            await cloud.login(id="nobody"),
            await cloud.login(scope={"project": {"name": "nowhere", **domain}}),
            await cloud.login(scope={"project": {"id": "nowhere"}}),
            await cloud.login(scope={"domain": {"name": "nowhere"}}),
            await cloud.login(scope={"domain": {"id": DEFAULT}}),
            await cloud.anyone("GET", "/v3/users"),
            await Client(cloud.app, "nonsense")("GET", "/v3/users"),
            await Client(cloud.app, "gAAAAAé")("GET", "/v3/users"),
        ):
            assert answer.status == 401
            assert answer.json == {
                "error": {
                    "code": 401,
                    "message": "The request you have made requires authentication.",
                    "title": "Unauthorized",
                }
            }

    quick(story)


def _auth(identity: object, scope: object = None) -> object:
    return {"auth": {"identity": identity, "scope": scope}}


_ME = {"user": {"name": "admin", "domain": {"id": DEFAULT}, "password": PASSWORD}}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (None, 400, "the request has no body"),
        (b"{", 400, "malformed"),
        ([], 400, "Expecting to find auth in request body"),
        ({}, 400, "Expecting to find auth in request body"),
        ({"auth": {}}, 400, "Object missing required field `identity`"),
        (_auth({"methods": []}), 400, "Expecting to find methods in identity"),
        (_auth({"methods": "password"}), 400, "Invalid input for field 'identity/methods'"),
        (_auth({"methods": ["password"]}), 400, "Expecting to find password in identity"),
        (_auth({"methods": ["token"]}), 400, "Expecting to find token in identity"),
        (_auth({"methods": ["token"], "token": {}}), 400, "Invalid input for field 'identity/token'"),
        (_auth({"methods": ["saml2"]}), 401, "unsupported method"),
        (_auth({"methods": ["password"], "password": {"user": {"id": "x"}}}), 400, "find password in user"),
        (_auth({"methods": ["password"], "password": {"user": {"password": "x"}}}), 400, "id or name must"),
        (
            _auth({"methods": ["password"], "password": {"user": {"name": "x", "password": "x"}}}),
            400,
            "Expecting to find domain in user",
        ),
        (
            _auth(
                {"methods": ["password"], "password": {"user": {"name": "x", "password": "x", "domain": {}}}}
            ),
            400,
            "identity/password/user/domain: id or name must be present",
        ),
        (
            _auth({"methods": ["password"], "password": {"user": {"name": 1, "password": "x"}}}),
            400,
            "Invalid input for field 'identity/password/user/name': Expected `str | null`, got `int`",
        ),
        (
            _auth({"methods": ["password"], "password": {"user": {"id": "a\x00", "password": "x"}}}),
            400,
            "Invalid input for field 'identity/password/user/id': a text with a NUL",
        ),
        (_auth({"methods": ["password"], "password": _ME}, "project"), 400, "is not 'unscoped'"),
        (_auth({"methods": ["password"], "password": _ME}, {}), 400, "in scope"),
        (
            _auth({"methods": ["password"], "password": _ME}, {"project": {}}),
            400,
            "scope/project: id or name",
        ),
        (_auth({"methods": ["password"], "password": _ME}, {"domain": {}}), 400, "scope/domain: id or name"),
        (_auth({"methods": ["password"], "password": _ME}, {"system": {}}), 400, "find all in system"),
        (
            _auth({"methods": ["password"], "password": _ME}, {"project": {"name": "admin"}}),
            400,
            "Expecting to find domain in project",
        ),
        (
            _auth(
                {"methods": ["password"], "password": _ME}, {"system": {"all": True}, "domain": {"id": "x"}}
            ),
            400,
            "in scope",
        ),
    ],
)
def test_a_malformed_login_is_told_what_is_wrong(quick, body, status, message):
    async def story(cloud: Cloud) -> None:
        answer = await cloud.anyone("POST", "/v3/auth/tokens", body)
        assert answer.status == status
        assert message in answer.message

    quick(story)


def test_keys_rotate_without_logging_anybody_out(quick):
    async def story(cloud: Cloud) -> None:
        keys = cloud.identity.keys
        assert keys._path is not None
        assert keys._path.stat().st_mode & 0o777 == 0o600
        client = await cloud.as_(scope=ADMIN_PROJECT)
        for _ in range(2):
            keys.rotate()
            cloud.identity.authenticator._known.clear()
            assert (await client("GET", "/v3/auth/projects")).status == 200
            assert keys._path.stat().st_mode & 0o777 == 0o600
        keys.rotate()
        cloud.identity.authenticator._known.clear()
        assert (await client("GET", "/v3/auth/projects")).status == 401

    quick(story)


def test_an_unchanged_token_is_checked_without_the_database(quick):
    async def story(cloud: Cloud) -> None:
        client = await cloud.as_(scope=ADMIN_PROJECT)
        authenticator = cloud.identity.authenticator
        await authenticator(client.token or "")
        before = cloud.store.statements
        for _ in range(10):
            await authenticator(client.token or "")
        assert cloud.store.statements == before
        await cloud.admin.make("service", type="dns", name="designate")
        assert (await authenticator(client.token or "")).now > dt.datetime(2025, 1, 1)
        assert cloud.store.statements > before

    quick(story)
