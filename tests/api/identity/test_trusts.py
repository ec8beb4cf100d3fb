"""Trusts: made, used, passed on, used up, and worth nothing as soon as their ground is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Answer, Client, Cloud

TRUSTS = "/v3/OS-TRUST/trusts"


async def _id(client: Client) -> tuple[str, str]:
    """The ids of the user and the project of a client's token."""
    token = (await client("GET", "/v3/auth/tokens", x_subject_token=client.token or "")).json["token"]
    return token["user"]["id"], token["project"]["id"]


class Pair:
    """Ann, who trusts Bob, and what he does with it."""

    def __init__(self, cloud: Cloud, ann: Client, ids: tuple[str, str], bob_id: str) -> None:
        self.cloud = cloud
        self.ann = ann
        self.ann_id, self.project_id = ids
        self.bob_id = bob_id

    async def try_make(self, client: Client | None = None, **values: Any) -> Answer:
        body = {
            "trustor_user_id": self.ann_id,
            "trustee_user_id": self.bob_id,
            "impersonation": True,
            "project_id": self.project_id,
            "roles": [{"name": "member"}],
            **values,
        }
        return await (client or self.ann)("POST", TRUSTS, {"trust": body})

    async def make(self, client: Client | None = None, **values: Any) -> dict[str, Any]:
        made = await self.try_make(client, **values)
        assert made.status == 201, made
        found: dict[str, Any] = made.json["trust"]
        return found

    async def login(self, trust: dict[str, Any], user: str = "bob") -> Answer:
        return await self.cloud.login(user, scope={"OS-TRUST:trust": {"id": trust["id"]}})

    async def enter(self, trust: dict[str, Any], user: str = "bob") -> Client:
        answer = await self.login(trust, user)
        assert answer.status == 201, answer
        return Client(self.cloud.app, answer.token)

    async def alive(self, client: Client) -> bool:
        return (await client("GET", "/v3/auth/projects")).status == 200


async def pair(cloud: Cloud, *roles: str) -> Pair:
    ann = await cloud.person("ann", *(roles or ("member",)))
    bob = await cloud.admin.make("user", name="bob", password=PASSWORD)
    return Pair(cloud, ann, await _id(ann), bob["id"])


def test_one_is_made_shown_used_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        made = await two.make(expires_at="2199-01-01T00:00:00.000000Z", colour="red")
        assert made["expires_at"] == "2199-01-01T00:00:00.000000Z" and made["colour"] == "red"
        assert made["remaining_uses"] is made["redelegated_trust_id"] is made["deleted_at"] is None
        assert made["redelegation_count"] == 0 and "allow_redelegation" not in made
        one = f"{TRUSTS}/{made['id']}"
        here = f"http://cloud:5000/identity{one}"
        assert made["links"]["self"] == here
        assert made["roles_links"] == {"self": f"{here}/roles", "next": None, "previous": None}
        role = made["roles"][0]
        assert (role["name"], len(made["roles"])) == ("member", 1)
        assert role["links"]["self"] == f"http://cloud:5000/identity/v3/roles/{role['id']}"
        bob = await cloud.as_("bob")
        for client in (two.ann, bob, cloud.admin):
            assert (await client("GET", one)).json == {"trust": made}
            listed = await client("GET", f"{one}/roles")
            assert listed.json == {"roles": [role], "links": made["roles_links"]}
            assert (await client("GET", f"{one}/roles/{role['id']}")).json == {"role": role}
            assert (await client("HEAD", f"{one}/roles/{role['id']}")).status == 200
            assert (await client("HEAD", f"{one}/roles/{await cloud.role('reader')}")).status == 404
        twin = await two.try_make(expires_at="2199-01-01T00:00:00Z")
        assert twin.status == 409 and "attempting to store trust" in twin.message
        bare = {key: value for key, value in made.items() if key not in ("roles", "roles_links")}
        for client, query in (
            (two.ann, f"?trustor_user_id={two.ann_id}"),
            (bob, f"?trustee_user_id={two.bob_id}"),
        ):
            assert (await client("GET", TRUSTS + query)).json["trusts"] == [bare]
        assert (await cloud.admin("GET", TRUSTS)).json["trusts"] == [bare]

        answer = await two.login(made)
        token = answer.json["token"]
        assert token["OS-TRUST:trust"] == {
            "id": made["id"],
            "impersonation": True,
            "trustor_user": {"id": two.ann_id},
            "trustee_user": {"id": two.bob_id},
        }
        assert token["user"]["id"] == two.ann_id and token["project"]["id"] == two.project_id
        assert {role["name"] for role in token["roles"]} == {"member", "reader"} and "is_domain" not in token
        urls = [one["url"] for service in token["catalog"] for one in service["endpoints"]]
        assert f"http://cloud:5000/volume/v3/{two.project_id}" in urls
        acting = Client(cloud.app, answer.token)
        shown = (await acting("GET", "/v3/auth/tokens", x_subject_token=answer.token)).json["token"]
        assert shown == token
        assert (await bob("DELETE", one)).status == 403
        assert (await two.ann("DELETE", one)).status == 204
        assert not await two.alive(acting)
        assert (await two.login(made)).status == 401
        gone = await two.ann("GET", one)
        assert gone.status == 404 and gone.message == f"Could not find trust: {made['id']}."

    tell(story)


def test_a_list_that_names_several_users_is_for_who_may_see_all_theirs(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        carl = await cloud.person("carl", "member")
        carl_id, _ = await _id(carl)
        for name, other in (("trustor_user_id", two.ann_id), ("trustee_user_id", two.bob_id)):
            for query in (
                f"{name}={other}&{name}={carl_id}",
                f"{name}={carl_id}&{name}={other}",
                f"{name}={carl_id}&{name}=&{name}={other}",
                f"{name}={other}&{name}=",
            ):
                refused = await carl("GET", f"{TRUSTS}?{query}")
                assert refused.status == 403, query
                seen = await cloud.admin("GET", f"{TRUSTS}?{query}")
                assert [one["id"] for one in seen.json["trusts"]] == [trust["id"]], query
            own = await carl("GET", f"{TRUSTS}?{name}={carl_id}&{name}={carl_id}")
            assert own.status == 200 and own.json["trusts"] == []

    quick(story)


def test_without_impersonation_the_trustee_stays_who_he_is(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        token = (await two.login(await two.make(impersonation=False))).json["token"]
        assert token["user"]["id"] == two.bob_id and token["OS-TRUST:trust"]["impersonation"] is False
        assert {role["name"] for role in token["roles"]} == {"member", "reader"}

    quick(story)


@pytest.mark.parametrize(
    ("values", "status", "message"),
    [
        ({"roles": []}, 403, "At least one role should be specified"),
        ({"roles": [{"name": "admin"}]}, 404, "Could not find role"),
        ({"roles": [{"name": "none"}]}, 404, "Could not find role: none."),
        ({"roles": [{"id": "none"}]}, 404, "Could not find role: none."),
        ({"roles": [{"id": "a", "name": "b"}]}, 400, "too many properties"),
        ({"roles": [{}]}, 400, "does not have enough properties"),
        ({"trustee_user_id": "none"}, 404, "Could not find user: none."),
        ({"project_id": "none"}, 404, "Could not find project: none."),
        ({"project_id": None}, 404, "Could not find role"),
        ({"trustor_user_id": "none"}, 403, "identity:create_trust"),
        ({"impersonation": "yes"}, 400, "is not of type 'boolean'"),
        ({"impersonation": None}, 400, "is not of type 'boolean'"),
        ({"expires_at": "soon"}, 400, "Timestamp not in expected format"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400, "must not be before now"),
        ({"remaining_uses": 0}, 400, "remaining_uses"),
        ({"remaining_uses": "3"}, 400, "remaining_uses"),
        ({"allow_redelegation": True, "remaining_uses": 2}, 400, "remaining_uses must not be set"),
        ({"allow_redelegation": True, "redelegation_count": 4}, 403, "not authorized"),
    ],
)
def test_what_can_not_be_is_refused(quick, values, status, message):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        refused = await two.try_make(**values)
        assert (refused.status, message in refused.message) == (status, True), refused
        assert (await cloud.admin("GET", TRUSTS)).json["trusts"] == []

    quick(story)


def test_scopes_that_are_no_trust_are_refused(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        for scope, status in (
            ({"OS-TRUST:trust": {}}, 400),
            ({"OS-TRUST:trust": {"id": 1}}, 400),
            ({"OS-TRUST:trust": {"id": "none"}}, 401),
            ({"OS-TRUST:trust": {"id": trust["id"]}, "project": {"id": two.project_id}}, 400),
        ):
            assert (await cloud.login("bob", scope=scope)).status == status
        assert (await two.login(trust, "ann")).status == 403, "the trustor is no trustee"
        await cloud.admin.make("user", name="eve", password=PASSWORD)
        assert (await two.login(trust, "eve")).status == 403

    quick(story)


def test_uses_are_counted_and_each_is_given_once(tell):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make(remaining_uses=3)
        answers = await asyncio.gather(*(two.login(trust) for _ in range(8)))
        given = [answer for answer in answers if answer.status == 201]
        assert len(given) == 3 and {answer.status for answer in answers} <= {201, 401, 403}
        assert await two.alive(Client(cloud.app, given[0].token)), "a token outlives the last use"
        assert (await two.login(trust)).status == 401
        assert (await two.ann("GET", f"{TRUSTS}/{trust['id']}")).status == 404
        assert (await two.ann("DELETE", f"{TRUSTS}/{trust['id']}")).status == 404

    tell(story)


def test_a_token_ends_with_its_trust(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        soon = "1970-01-01T00:00:00Z"
        now = (await cloud.login()).json["token"]["issued_at"]
        assert now > soon
        at = now[:11] + "23:59:59.000000Z"
        trust = await two.make(expires_at=at)
        assert (await two.login(trust)).json["token"]["expires_at"] <= at
        cloud.clock.advance(2 * 24 * 3600)
        assert (await two.login(trust)).status == 401
        cloud.admin = await cloud.as_(scope={"project": {"name": "admin", "domain": {"id": DEFAULT}}})
        assert (await cloud.admin("GET", f"{TRUSTS}/{trust['id']}")).status == 404

    quick(story)


async def _revoke_role(cloud: Cloud, two: Pair) -> Answer:
    path = f"/v3/projects/{two.project_id}/users/{two.ann_id}/roles/{await cloud.role('member')}"
    return await cloud.admin("DELETE", path)


async def _delete_role(cloud: Cloud, two: Pair) -> Answer:
    path = f"/v3/roles/{await cloud.role('member')}"
    changed = await cloud.admin("PATCH", path, {"role": {"options": {"immutable": False}}})
    assert changed.status == 200
    return await cloud.admin("DELETE", path)


def _disable(kind: str, key: str) -> Any:
    async def change(cloud: Cloud, two: Pair) -> Answer:
        return await cloud.admin("PATCH", f"/v3/{kind}s/{getattr(two, key)}", {kind: {"enabled": False}})

    return change


def _delete(kind: str, key: str) -> Any:
    async def change(cloud: Cloud, two: Pair) -> Answer:
        return await cloud.admin("DELETE", f"/v3/{kind}s/{getattr(two, key)}")

    return change


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (_revoke_role, 403),
        (_delete_role, 403),
        (_disable("user", "ann_id"), 403),
        (_disable("user", "bob_id"), 401),
        (_disable("project", "project_id"), 401),
        (_delete("user", "ann_id"), 401),
        (_delete("user", "bob_id"), 401),
        (_delete("project", "project_id"), 401),
    ],
    ids=("role", "no role", "ann", "bob", "project", "no ann", "no bob", "no project"),
)
def test_it_ends_with_the_trustors_rights_also_for_tokens_already_out(tell, change, status):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        acting = await two.enter(trust)
        assert await two.alive(acting)
        assert (await change(cloud, two)).status in (200, 204)
        assert not await two.alive(acting)
        assert (await two.login(trust)).status == status
        left = [one["id"] for one in (await cloud.admin("GET", TRUSTS)).json["trusts"]]
        assert left == ([] if "delete" in change.__qualname__ and status == 401 else [trust["id"]])
        if change is _delete_role:
            assert (await cloud.admin("GET", f"{TRUSTS}/{trust['id']}")).json["trust"]["roles"] == []

    tell(story)


def test_a_new_password_of_the_trustor_ends_the_tokens_and_not_the_trust(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        acting = await two.enter(trust)
        cloud.clock.advance(1)
        changed = {"user": {"password": "another horse"}}
        assert (await cloud.admin("PATCH", f"/v3/users/{two.ann_id}", changed)).status == 200
        assert not await two.alive(acting)
        cloud.clock.advance(1)
        assert await two.alive(await two.enter(trust))

    quick(story)


def test_who_acts_for_another_gets_nothing_that_lasts(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud, "member", "admin")
        acting = await two.enter(await two.make(roles=[{"name": "admin"}]))
        for scope in (None, "unscoped", {"project": {"id": two.project_id}}):
            refused = await cloud.rescope(acting.token or "", scope)
            assert refused.status == 403 and "Using trust-scoped token to create another" in refused.message
        for user_id in (two.ann_id, two.bob_id):
            path = f"/v3/users/{user_id}/application_credentials"
            for method, body in (("GET", None), ("POST", {"application_credential": {"name": "app"}})):
                assert (await acting(method, path, body)).status == 403
        own = await acting("PATCH", f"/v3/users/{two.ann_id}", {"user": {"password": "stolen horse"}})
        assert own.status == 403, "a trustee does not set his trustor's password"
        taken = await acting(
            "PUT", f"/v3/users/{two.ann_id}/password_hash", {"password_hash": f"$2b$04${'a' * 53}"}
        )
        assert taken.status == 403, "nor its hash"
        assert (await cloud.login("ann")).status == 201

    quick(story)


def test_an_application_credential_makes_and_sees_no_trusts(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        trust = await two.make()
        path = f"/v3/users/{two.ann_id}/application_credentials"
        body = {"name": "app", "unrestricted": True}
        made = (await two.ann("POST", path, {"application_credential": body})).json["application_credential"]
        identity = {
            "methods": ["application_credential"],
            "application_credential": {"id": made["id"], "secret": made["secret"]},
        }
        answer = await cloud.anyone("POST", "/v3/auth/tokens", {"auth": {"identity": identity}})
        app = Client(cloud.app, answer.token)
        one = f"{TRUSTS}/{trust['id']}"
        refused = [
            await app("GET", f"{TRUSTS}?trustor_user_id={two.ann_id}"),
            await app("GET", one),
            await app("GET", f"{one}/roles"),
            await app("DELETE", one),
            await two.try_make(app),
        ]
        for answer in refused:
            assert answer.status == 403
            assert "'application_credential' is not allowed for managing" in answer.message

    quick(story)


def test_it_is_passed_on_as_often_as_it_says(tell):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        cat = (await cloud.admin.make("user", name="cat", password=PASSWORD))["id"]
        first = await two.make(allow_redelegation=True, expires_at="2199-01-01T00:00:00Z")
        assert first["redelegation_count"] == 3
        bob = await two.enter(first)
        second = await two.make(bob, trustee_user_id=cat, allow_redelegation=True)
        assert second["redelegated_trust_id"] == first["id"] and second["redelegation_count"] == 2
        assert second["expires_at"] == first["expires_at"], "it ends no later than what it was made of"
        assert second["trustor_user_id"] == two.ann_id
        cats = await two.enter(second, "cat")
        dan = (await cloud.admin.make("user", name="dan", password=PASSWORD))["id"]
        last = await two.make(cats, trustee_user_id=dan)
        assert last["redelegation_count"] == 0
        end = await two.enter(last, "dan")
        for client, values in (
            (end, {}),
            (bob, {"allow_redelegation": True, "redelegation_count": 1}),
            (bob, {"remaining_uses": 1}),
            (bob, {"expires_at": "2199-01-02T00:00:00Z"}),
            (bob, {"roles": [{"name": "reader"}]}),
        ):
            refused = await two.try_make(client, **values)
            assert refused.status == 403, (values, refused)
            assert refused.message == "You are not authorized to perform the requested action."
        disabled = {"user": {"enabled": False}}
        assert (await cloud.admin("PATCH", f"/v3/users/{cat}", disabled)).status == 200
        assert not await two.alive(end) and (await two.login(last, "dan")).status == 403
        assert await two.alive(bob)
        assert (await two.ann("DELETE", f"{TRUSTS}/{first['id']}")).status == 204
        assert (await cloud.admin("GET", TRUSTS)).json["trusts"] == []

    tell(story)


def test_what_is_passed_on_without_impersonation_is_still_the_first_trustors(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        cat = (await cloud.admin.make("user", name="cat", password=PASSWORD))["id"]
        first = await two.make(impersonation=False, allow_redelegation=True)
        bob = await two.enter(first)
        wish = {"trustor_user_id": two.bob_id, "trustee_user_id": cat}
        assert (await two.try_make(bob, **wish)).status == 403, "no more impersonation than was given"
        second = await two.make(bob, **wish, impersonation=False)
        cats = await two.enter(second, "cat")
        assert await two.alive(cats)
        assert (await _revoke_role(cloud, two)).status == 204
        assert not await two.alive(cats)

    quick(story)


def test_a_trust_for_one_project_is_passed_on_for_no_other(quick):
    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        other = (await cloud.admin.make("project", name="other"))["id"]
        path = f"/v3/projects/{other}/users/{two.ann_id}/roles/{await cloud.role('member')}"
        assert (await cloud.admin("PUT", path)).status == 204
        bob = await two.enter(await two.make(allow_redelegation=True))
        assert (await two.try_make(bob, project_id=other)).status == 403
        forged = await two.try_make(project_id=other, redelegated_trust_id="none")
        assert forged.json["trust"]["redelegated_trust_id"] is None

    quick(story)


def test_a_service_acts_later_for_who_has_asked_it(quick):
    """As Heat does: the trust is made with the user's token, for the service's user, who logs in with it."""

    async def story(cloud: Cloud) -> None:
        two = await pair(cloud)
        service = await cloud.person("heat", "service")
        heat_id, _ = await _id(service)
        roles = (await two.ann("GET", "/v3/auth/tokens", x_subject_token=two.ann.token or "")).json["token"][
            "roles"
        ]
        trust = await two.make(
            trustee_user_id=heat_id,
            roles=[{"name": role["name"]} for role in roles],
            allow_redelegation=True,
            redelegation_count=None,
            expires_at=None,
        )
        acting = await two.enter(trust, "heat")
        shown = await acting("GET", f"/v3/projects/{two.project_id}")
        assert shown.status == 200
        assert (await acting("DELETE", f"{TRUSTS}/{trust['id']}")).status == 204

    quick(story)
