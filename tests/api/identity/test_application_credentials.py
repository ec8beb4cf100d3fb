"""Application credentials: made, used, bounded, and worth nothing as soon as their ground is gone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Answer, Client, Cloud

NEVER = "2199-01-01T00:00:00"


class Owner:
    """Somebody with a project, and what he does with application credentials."""

    def __init__(self, cloud: Cloud, client: Client, token: dict[str, Any]) -> None:
        self.cloud = cloud
        self.client = client
        self.id: str = token["user"]["id"]
        self.project: str = token["project"]["id"]
        self.path = f"/v3/users/{self.id}/application_credentials"

    async def try_make(self, name: str = "app", **values: Any) -> Answer:
        return await self.client("POST", self.path, {"application_credential": {"name": name, **values}})

    async def make(self, name: str = "app", **values: Any) -> dict[str, Any]:
        made = await self.try_make(name, **values)
        assert made.status == 201, made
        found: dict[str, Any] = made.json["application_credential"]
        return found

    async def login(self, made: dict[str, Any], **more: Any) -> Answer:
        return await login(self.cloud, {"id": made["id"], "secret": made["secret"]}, **more)

    async def enter(self, made: dict[str, Any]) -> Client:
        answer = await self.login(made)
        assert answer.status == 201, answer
        return Client(self.cloud.app, answer.token)


async def login(cloud: Cloud, credential: Any, **more: Any) -> Answer:
    cloud.clock.advance(0.001)
    identity = {"methods": ["application_credential"], "application_credential": credential}
    return await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": identity, **more}})


async def owner(cloud: Cloud, name: str = "ann", *roles: str) -> Owner:
    client = await cloud.person(name, *(roles or ("member",)))
    shown = await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")
    return Owner(cloud, client, shown.json["token"])


def test_one_is_made_shown_used_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        made = await ann.make(description="for backups", expires_at=f"{NEVER}Z")
        assert len(made["secret"]) == 86 and made["expires_at"] == f"{NEVER}.000000"
        assert (made["project_id"], made["user_id"]) == (ann.project, ann.id)
        assert made["unrestricted"] is False and made["description"] == "for backups"
        assert {role["name"] for role in made["roles"]} == {"member", "reader"}
        assert made["links"]["self"] == f"http://cloud:5000/identity{ann.path}/{made['id']}"

        plain = {key: value for key, value in made.items() if key != "secret"}
        one = f"{ann.path}/{made['id']}"
        assert (await ann.client("GET", one)).json == {"application_credential": plain}
        listed = (await ann.client("GET", ann.path)).json
        assert listed["application_credentials"] == [plain]
        assert listed["links"]["self"] == f"http://cloud:5000/identity{ann.path}"
        assert (await ann.client("GET", f"{ann.path}?name=no")).json["application_credentials"] == []
        assert len((await ann.client("GET", f"{ann.path}?name=app")).json["application_credentials"]) == 1

        twin = await ann.try_make()
        assert twin.status == 409 and "attempting to store application_credential" in twin.message

        answer = await ann.login(made)
        token = answer.json["token"]
        assert answer.status == 201 and token["methods"] == ["application_credential"]
        assert token["application_credential"] == {"id": made["id"], "name": "app", "restricted": True}
        assert token["project"]["id"] == ann.project and token["user"]["id"] == ann.id
        assert {role["name"] for role in token["roles"]} == {"member", "reader"} and token["catalog"]
        again = Client(cloud.app, answer.token)
        shown = (await again("GET", "/v3/auth/tokens", x_subject_token=answer.token)).json["token"]
        assert shown["application_credential"] == token["application_credential"]

        for user in ({"id": ann.id}, {"name": "ann", "domain": {"id": DEFAULT}}):
            by_name = {"name": "app", "secret": made["secret"], "user": user}
            assert (await login(cloud, by_name)).status == 201

        assert (await ann.client("DELETE", one)).status == 204
        assert (await again("GET", "/v3/auth/projects")).status == 401
        assert (await ann.login(made)).status == 401
        for method in ("GET", "DELETE"):
            gone = await ann.client(method, one)
            assert gone.status == 404
            assert gone.message == f"Could not find Application Credential: {made['id']}."

    tell(story)


def test_it_has_the_roles_that_were_chosen_with_what_they_imply(tell):
    async def story(cloud: Cloud) -> None:
        boss = await owner(cloud, "boss", "manager")
        reader, member = await cloud.role("reader"), await cloud.role("member")
        for number, (wanted, names) in enumerate(
            (
                ([{"name": "reader"}], {"reader"}),
                ([{"id": member}], {"member", "reader"}),
                ([{"id": reader}, {"name": "reader"}], {"reader"}),
                ([], {"manager", "member", "reader"}),
            )
        ):
            made = await boss.make(f"app{number}", roles=wanted)
            assert {role["name"] for role in made["roles"]} == names
            roles = (await boss.login(made)).json["token"]["roles"]
            assert {role["name"] for role in roles} == names
        listed = (await boss.client("GET", boss.path)).json["application_credentials"]
        assert [len(one["roles"]) for one in sorted(listed, key=lambda one: one["name"])] == [1, 2, 1, 3]
        refused = await boss.try_make("more", roles=[{"name": "admin"}])
        assert refused.status == 400
        assert refused.message == (
            "Invalid application credential: Cannot create an application credential with unassigned role"
        )
        for role in ({"name": "none"}, {"id": "none"}):
            assert (await boss.try_make("more", roles=[role])).status == 404

    tell(story)


def test_it_ends_with_what_it_stands_on(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        ann = await owner(cloud)
        grant = f"/v3/projects/{ann.project}/users/{ann.id}/roles/{await cloud.role('member')}"
        user, project = f"/v3/users/{ann.id}", f"/v3/projects/{ann.project}"

        made = await ann.make()
        client = await ann.enter(made)
        assert (await admin("PATCH", project, {"project": {"enabled": False}})).status == 200
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await ann.login(made)).status == 401
        assert (await admin("PATCH", project, {"project": {"enabled": True}})).status == 200
        assert (await client("GET", "/v3/auth/projects")).status == 200

        assert (await admin("DELETE", grant)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await admin("PUT", grant)).status == 204
        assert (await ann.login(made)).status == 401, "it was deleted, and does not come back"
        assert (await ann.client("GET", ann.path)).json["application_credentials"] == []

        made = await ann.make()
        client = await ann.enter(made)
        assert (await admin("PATCH", user, {"user": {"enabled": False}})).status == 200
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await admin("PATCH", user, {"user": {"enabled": True}})).status == 200
        assert (await ann.login(made)).status == 401

        cloud.clock.advance(1)
        ann.client = await cloud.as_("ann", {"project": {"id": ann.project}})
        made = await ann.make()
        cloud.clock.advance(1)
        assert (await admin("PATCH", user, {"user": {"password": "another"}})).status == 200
        cloud.clock.advance(1)
        client = await ann.enter(made)  # the password is not what it stands on
        assert (await admin("DELETE", user)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await ann.login(made)).status == 401

    tell(story)


def test_roles_of_a_group_are_looked_at_each_time(quick):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        ann = await owner(cloud, "ann", "reader")
        group = await admin.make("group", name="g")
        member = f"/v3/groups/{group['id']}/users/{ann.id}"
        role = await cloud.role("netadmin")
        assert (
            await admin("PUT", f"/v3/projects/{ann.project}/groups/{group['id']}/roles/{role}")
        ).status == 204
        assert (await admin("PUT", member)).status == 204
        made = await ann.make()
        client = await ann.enter(made)
        subject = {"x_subject_token": client.token or ""}
        assert (await admin("DELETE", member)).status == 204
        roles = (await client("GET", "/v3/auth/tokens", **subject)).json["token"]["roles"]
        assert [one["name"] for one in roles] == ["reader"]
        temporary = await admin.make("role", name="temp")
        grant = f"/v3/projects/{ann.project}/users/{ann.id}/roles/{temporary['id']}"
        assert (await admin("PUT", grant)).status == 204
        other = await ann.make("other", roles=[{"name": "temp"}])
        assert (await ann.login(other)).status == 201
        assert (await admin("DELETE", f"/v3/roles/{temporary['id']}")).status == 204
        assert (await ann.login(other)).status == 401
        assert [
            one["name"] for one in (await ann.client("GET", ann.path)).json["application_credentials"]
        ] == ["app"]

    quick(story)


def test_it_expires_and_its_tokens_with_it(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        soon = (cloud.clock.now().replace(microsecond=0)).isoformat()[:-2] + "59.500000"
        made = await ann.make(expires_at=soon)
        answer = await ann.login(made)
        assert answer.json["token"]["expires_at"] == made["expires_at"] + "Z"
        cloud.clock.advance(61)
        assert (await Client(cloud.app, answer.token)("GET", "/v3/auth/projects")).status == 401
        assert (await ann.login(made)).status == 401
        past = await ann.try_make("past", expires_at="2001-01-01T00:00:00Z")
        assert past.status == 400 and "'expires_at' must not be before now" in past.message
        wrong = await ann.try_make("wrong", expires_at="tomorrow")
        assert wrong.status == 400 and "Timestamp not in expected format" in wrong.message

    quick(story)


def test_a_restricted_one_makes_no_others_and_an_unrestricted_one_does(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        client = await ann.enter(await ann.make())
        for method, path, body in (
            ("POST", ann.path, {"application_credential": {"name": "b"}}),
            ("DELETE", f"{ann.path}/none", None),
        ):
            refused = await client(method, path, body)
            assert refused.status == 403
            assert "Using method 'application_credential' is not allowed" in refused.message
        assert (await client("GET", ann.path)).status == 200

        free = Owner(
            cloud,
            await ann.enter(await ann.make("free", unrestricted=True, roles=[{"name": "reader"}])),
            {"user": {"id": ann.id}, "project": {"id": ann.project}},
        )
        made = await free.make("child")
        assert [role["name"] for role in made["roles"]] == ["reader"], "no more than its parent has"
        assert (await free.try_make("grown", roles=[{"name": "member"}])).status == 400
        assert (await free.client("DELETE", f"{ann.path}/{made['id']}")).status == 204

    quick(story)


def test_its_token_opens_no_other_scope(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        made = await ann.make(roles=[{"name": "reader"}])
        answer = await ann.login(made)
        for scope in ({"project": {"id": ann.project}}, "unscoped", {"system": {"all": True}}):
            refused = await cloud.rescope(answer.token, scope)
            assert refused.status == 403
            assert "Using an application credential token to create a scoped token" in refused.message
        same = await cloud.rescope(answer.token, None)
        token = same.json["token"]
        assert same.status == 201 and [role["name"] for role in token["roles"]] == ["reader"]
        assert token["application_credential"]["id"] == made["id"]
        assert token["expires_at"] == answer.json["token"]["expires_at"]
        assert token["methods"] == ["application_credential", "token"]

        asked = await ann.login(made, scope={"project": {"id": ann.project}})
        assert asked.status == 401 and "cannot request a scope" in asked.message
        both = {
            "methods": ["application_credential", "password"],
            "application_credential": {"id": made["id"], "secret": made["secret"]},
            "password": {"user": {"id": ann.id, "password": PASSWORD}},
        }
        mixed = await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": both}})
        assert [role["name"] for role in mixed.json["token"]["roles"]] == ["reader"]
        assert mixed.json["token"]["methods"] == ["application_credential", "password"]

    quick(story)


def test_the_owner_alone_makes_one_and_others_do_not_see_it(quick):
    async def story(cloud: Cloud) -> None:
        ann, bob = await owner(cloud), await owner(cloud, "bob")
        made = await ann.make()
        one = f"{ann.path}/{made['id']}"
        body = {"application_credential": {"name": "x"}}
        for method, path, content in (
            ("GET", ann.path, None),
            ("POST", ann.path, body),
            ("GET", one, None),
            ("DELETE", one, None),
        ):
            assert (await bob.client(method, path, content)).status == 403, (method, path)
        for method in ("GET", "DELETE"):
            assert (await bob.client(method, f"{bob.path}/{made['id']}")).status == 403
            assert (await bob.client(method, f"{bob.path}/none")).status == 404
        unscoped = await cloud.as_("ann")
        assert (await unscoped("POST", ann.path, body)).status == 403
        assert (await cloud.admin("POST", ann.path, body)).status == 403
        assert (await cloud.admin("GET", one)).status == 200
        assert (await cloud.admin("DELETE", one)).status == 204

    quick(story)


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({}, 400, "'name' is a required property"),
        ({"name": ""}, 400, "Invalid input for field 'name'"),
        ({"name": "a" * 256}, 400, "is too long"),
        ({"name": "x", "secret": 1}, 400, "is not of type 'string'"),
        ({"name": "x", "secret": "a" * 5000}, 403, "password length"),
        ({"name": "x", "unrestricted": "yes"}, 400, "is not of type 'boolean'"),
        ({"name": "x", "roles": [{}]}, 400, "does not have enough properties"),
        ({"name": "x", "roles": [{"id": "a", "name": "b"}]}, 400, "has too many properties"),
        ({"name": "x", "colour": "red"}, 400, "Additional properties are not allowed"),
    ],
)
def test_a_malformed_one_is_told_what_is_wrong(quick, values, status, message):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        answer = await ann.client("POST", ann.path, {"application_credential": values})
        assert answer.status == status and message in answer.message

    quick(story)


@pytest.mark.parametrize(
    ("credential", "status", "message"),
    [
        (None, 400, "Expecting to find application_credential in identity"),
        ({"secret": "x"}, 400, "Expecting to find name or ID in application credential"),
        ({"id": "x"}, 400, "Object missing required field `secret`"),
        ({"name": "x", "secret": "x"}, 400, "Expecting to find user in application credential"),
        ({"name": "x", "secret": "x", "user": {}}, 400, "id or name must be present"),
        ({"name": "x", "secret": "x", "user": {"name": "ann"}}, 400, "Expecting to find domain in user"),
        (
            {"name": "app", "secret": "wrong", "user": {"name": "ann", "domain": {"id": DEFAULT}}},
            401,
            "requires",
        ),
        ({"name": "app", "secret": "x", "user": {"id": "nobody"}}, 401, "requires"),
        ({"id": "none", "secret": "x"}, 401, "requires"),
    ],
)
def test_a_login_that_is_wrong(quick, credential, status, message):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        await ann.make()
        answer = await login(cloud, credential)
        assert answer.status == status and message in answer.message

    quick(story)


def test_a_list_costs_what_one_costs(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)

        async def statements() -> int:
            before = cloud.store.statements
            assert (await ann.client("GET", ann.path)).status == 200
            return cloud.store.statements - before

        await ann.make("first")
        await statements()
        one = await statements()
        for number in range(4):
            await ann.make(f"app{number}")
        await ann.client("GET", "/v3/auth/projects")
        assert await statements() == one

    quick(story)
