"""OAuth 1.0a: a consumer asks, a user authorises, and the consumer acts for him, as far as he let it."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
from oauthlib import oauth1
from sqlalchemy import select
from tests.api.identity.cloud import Answer, Client, Cloud
from tests.api.identity.test_credentials import ask, signed_keys
from tests.asgi import encoded

from pileus.core.context import system_context
from pileus.services.identity.tables.oauth1 import access_tokens, consumers, request_tokens
from pileus.store.tx import Tx

EPOCH = dt.datetime(1970, 1, 1)
HOST = "http://cloud:5000/identity"


class Consumer:
    """A program with a key of its own, and maybe a token."""

    def __init__(self, cloud: Cloud, made: dict[str, Any], **more: Any) -> None:
        self.cloud = cloud
        self.id: str = made["id"]
        self.keys = {"client_key": made["id"], "client_secret": made["secret"], **more}

    def with_(self, form: dict[str, str], **more: Any) -> Consumer:
        """The same with a token."""
        keys = {
            "resource_owner_key": form["oauth_token"],
            "resource_owner_secret": form["oauth_token_secret"],
        }
        other = Consumer(self.cloud, {"id": self.id, "secret": self.keys["client_secret"]})
        other.keys |= {**keys, **more}
        return other

    def signed(self, path: str, **more: Any) -> str:
        """The Authorization header of a POST."""
        _, headers, _ = oauth1.Client(**{**self.keys, **more}).sign(f"{HOST}{path}", "POST")
        return str(headers["Authorization"])

    async def send(self, path: str, body: Any = None, signed: str | None = None, **headers: str) -> Answer:
        content = encoded(body)
        text = signed or self.signed(path)
        return await self.cloud.anyone("POST", path, content, authorization=text, **headers)

    async def ask(self, project_id: str, **more: Any) -> Answer:
        path = "/v3/OS-OAUTH1/request_token"
        return await self.send(path, signed=self.signed(path, **more), requested_project_id=project_id)

    async def exchange(self) -> Answer:
        return await self.send("/v3/OS-OAUTH1/access_token")

    async def login(self, **more: Any) -> Answer:
        auth = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}, **more}}
        return await self.send("/v3/auth/tokens", auth)


def form(answer: Answer) -> dict[str, str]:
    assert answer.status == 201 and answer.headers["content-type"] == "application/x-www-form-urlencoded", (
        answer
    )
    return {name: values[0] for name, values in parse_qs(answer.body.decode()).items()}


class Scene:
    """An administrator of a project, and a consumer."""

    def __init__(self, cloud: Cloud, boss: Client, ids: tuple[str, str], consumer: Consumer) -> None:
        self.cloud, self.boss, self.consumer = cloud, boss, consumer
        self.user_id, self.project_id = ids

    async def authorise(self, key: str, *roles: str) -> Answer:
        body = {"roles": [{"name": name} for name in roles or ("member",)]}
        return await self.boss("PUT", f"/v3/OS-OAUTH1/authorize/{key}", body)

    async def access(self, *roles: str) -> Consumer:
        """The consumer with an access token."""
        asked = form(await self.consumer.ask(self.project_id))
        answer = await self.authorise(asked["oauth_token"], *roles)
        assert answer.status == 200, answer
        verifier = answer.json["token"]["oauth_verifier"]
        given = form(await self.consumer.with_(asked, verifier=verifier).exchange())
        return self.consumer.with_(given)

    @property
    def tokens(self) -> str:
        return f"/v3/users/{self.user_id}/OS-OAUTH1/access_tokens"


async def scene(cloud: Cloud) -> Scene:
    cloud.clock.advance(time.time() - (cloud.clock.now() - EPOCH).total_seconds())
    cloud.admin = await cloud.as_(scope={"project": {"name": "admin", "domain": {"id": "default"}}})
    boss = await cloud.person("boss", "admin")
    token = (await boss("GET", "/v3/auth/tokens", x_subject_token=boss.token or "")).json["token"]
    made = (await cloud.admin("POST", "/v3/OS-OAUTH1/consumers", {"consumer": {}})).json["consumer"]
    return Scene(cloud, boss, (token["user"]["id"], token["project"]["id"]), Consumer(cloud, made))


def _kept(tx: Tx) -> list[tuple[str | None, str | None]]:
    tables = (consumers, request_tokens, access_tokens)
    return [(row.secret, row.sealed) for table in tables for row in tx.rows(select(table))]


def test_secrets_are_kept_sealed_also_those_of_an_earlier_version(tell):
    async def story(cloud: Cloud) -> None:
        stage = await scene(cloud)
        asked = form(await stage.consumer.ask(stage.project_id))
        access = await stage.access()
        shown = {
            str(value)
            for keys in (stage.consumer.keys, access.keys, asked)
            for name, value in keys.items()
            if "secret" in name
        }
        kept = await cloud.store.read(_kept)
        assert len(shown) == len(kept) == 3 and all(secret is None for secret, _ in kept)
        assert not any(secret in (sealed or "") for secret in shown for _, sealed in kept)

        def unseal(tx: Tx) -> None:
            for table, key in ((consumers, access.id), (access_tokens, access.keys["resource_owner_key"])):
                name = "client_secret" if table is consumers else "resource_owner_secret"
                change = table.update().where(table.c.id == key)
                tx.execute(change.values(secret=access.keys[name], sealed=None))

        await cloud.store.write(unseal)
        assert (await access.login()).status == 201, "another server may be of the earlier version"
        await cloud.identity.start(cloud.store)
        assert all(secret is None and sealed for secret, sealed in await cloud.store.read(_kept))
        assert (await access.login()).status == 201
        ring = cloud.identity.rings[1]
        await ring.rotate(system_context(cloud.clock.now()), 3, dt.timedelta(hours=1))
        assert await ring.migrate(0) == 3
        assert (await access.login()).status == 201

    tell(story)


def test_consumers_are_made_shown_changed_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        path = "/v3/OS-OAUTH1/consumers"
        made = (
            await cloud.admin(
                "POST", path, {"consumer": {"description": "d", "secret": "mine", "colour": "red"}}
            )
        ).json["consumer"]
        assert len(made["secret"]) == 32 and made["colour"] == "red"
        one = f"{path}/{made['id']}"
        assert made["links"]["self"] == f"{HOST}{one}"
        plain = {name: value for name, value in made.items() if name != "secret"}
        assert (await cloud.admin("GET", one)).json == {"consumer": plain}
        assert (await cloud.admin("GET", path)).json["consumers"] == [plain]
        changed = (await cloud.admin("PATCH", one, {"consumer": {"description": "e", "size": 1}})).json[
            "consumer"
        ]
        assert changed == {**plain, "description": "e", "size": 1}
        for body, status in (({"secret": "x"}, 400), ({}, 400), ({"description": 1}, 400)):
            assert (await cloud.admin("PATCH", one, {"consumer": body})).status == status, body
        assert (await cloud.admin("DELETE", one)).status == 204
        gone = await cloud.admin("GET", one)
        assert (gone.status, gone.message) == (404, "Consumer not found")

    tell(story)


def test_a_consumer_acts_for_who_has_authorised_it(tell):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        asked = form(await here.consumer.ask(here.project_id))
        assert asked["oauth_expires_at"].endswith("Z")
        verifier = (await here.authorise(asked["oauth_token"], "member")).json["token"]["oauth_verifier"]
        assert len(verifier) == 8
        bearer = here.consumer.with_(asked, verifier=verifier)
        given = form(await bearer.exchange())
        again = await bearer.exchange()
        assert (again.status, again.message) == (404, "Request token not found")

        acting = here.consumer.with_(given)
        answer = await acting.login()
        token = answer.json["token"]
        assert token["methods"] == ["oauth1"]
        assert token["OS-OAUTH1"] == {"access_token_id": given["oauth_token"], "consumer_id": acting.id}
        assert (token["user"]["id"], token["project"]["id"]) == (here.user_id, here.project_id)
        assert {role["name"] for role in token["roles"]} == {"member", "reader"}
        client = Client(cloud.app, answer.token)
        shown = (await client("GET", "/v3/auth/tokens", x_subject_token=answer.token)).json["token"]
        assert shown == token

        listed = (await here.boss("GET", here.tokens)).json["access_tokens"]
        one = f"{here.tokens}/{given['oauth_token']}"
        assert [entry["id"] for entry in listed] == [given["oauth_token"]]
        assert listed[0]["links"] == {"self": f"{HOST}{one}", "roles": f"{HOST}{one}/roles"}
        assert (await here.boss("GET", one)).json == {"access_token": listed[0]}
        roles = (await here.boss("GET", f"{one}/roles")).json["roles"]
        assert [role["name"] for role in roles] == ["member"]
        assert (await here.boss("GET", f"{one}/roles/{roles[0]['id']}")).json["role"] == roles[0]
        assert (await here.boss("HEAD", f"{one}/roles/{roles[0]['id']}")).status == 200
        assert (await here.boss("GET", f"{one}/roles/none")).status == 404
        assert (await here.boss("DELETE", one)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        gone = await acting.login()
        assert (gone.status, gone.message) == (404, "Access token not found")

    tell(story)


def test_a_signature_counts_once_and_must_be_right(quick):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        path = "/v3/OS-OAUTH1/request_token"
        for more in (
            {"client_secret": "wrong"},
            {"timestamp": str(int(time.time()) - 3600)},
            {"signature_method": oauth1.SIGNATURE_PLAINTEXT},
            {"nonce": "n" * 300},
        ):
            answer = await here.consumer.ask(here.project_id, **more)
            assert answer.status in (400, 401), more
        elsewhere = here.consumer.signed("/v3/OS-OAUTH1/access_token")
        wanted = {"requested_project_id": here.project_id}
        assert (await here.consumer.send(path, signed=elsewhere, **wanted)).status == 401
        once = here.consumer.signed(path)
        answers = await asyncio.gather(*(here.consumer.send(path, signed=once, **wanted) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [201, 401, 401, 401]
        acting = await here.access()
        once = acting.signed("/v3/auth/tokens")
        body = {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}
        statuses = [(await acting.send("/v3/auth/tokens", body, signed=once)).status for _ in range(2)]
        assert statuses == [201, 401]
        for method in (oauth1.SIGNATURE_HMAC_SHA256, oauth1.SIGNATURE_HMAC_SHA512):
            assert (await here.consumer.ask(here.project_id, signature_method=method)).status == 201

    quick(story)


@pytest.mark.parametrize(
    ("header", "project", "status", "message"),
    [
        (None, True, 400, "Expecting to find Authorization in request"),
        ("Basic x", True, 400, "not one of OAuth"),
        ('OAuth realm=""', True, 400, "Expecting to find oauth_consumer_key"),
        ('OAuth oauth_consumer_key="none"', False, 400, "Expecting to find Requested-Project-Id"),
        ('OAuth oauth_consumer_key="none"', True, 404, "Consumer not found"),
    ],
)
def test_requests_that_ask_for_nothing(quick, header, project, status, message):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        headers = {"authorization": header} if header else {}
        if project:
            headers["requested_project_id"] = here.project_id
        answer = await cloud.anyone("POST", "/v3/OS-OAUTH1/request_token", None, **headers)
        assert (answer.status, message in answer.message) == (status, True), answer

    quick(story)


def test_nobody_gives_more_than_he_has_and_each_step_is_its_owners(quick):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        assert (await here.consumer.ask("none")).status == 404
        asked = form(await here.consumer.ask(here.project_id))
        key = asked["oauth_token"]
        await cloud.admin.make("role", name="other")
        assert (await here.authorise(key, "other")).status == 401
        assert (await here.authorise(key, "none")).status == 404
        assert (await here.authorise("none")).status == 404
        member = await cloud.person("ann", "member")
        assert (await member("PUT", f"/v3/OS-OAUTH1/authorize/{key}", {"roles": []})).status == 403
        early = await here.consumer.with_(asked, verifier="a" * 8).exchange()
        assert early.status == 401, "nobody has authorised it"
        verifier = (await here.authorise(key)).json["token"]["oauth_verifier"]
        for wrong in (verifier[:-1] + ("a" if verifier[-1] != "a" else "b"), ""):
            assert (await here.consumer.with_(asked, verifier=wrong).exchange()).status in (400, 401)
        other = (await cloud.admin("POST", "/v3/OS-OAUTH1/consumers", {"consumer": {}})).json["consumer"]
        stolen = Consumer(cloud, other).with_(asked, verifier=verifier)
        assert (await stolen.exchange()).status == 401
        assert (await here.consumer.with_(asked, verifier=verifier).exchange()).status == 201

    quick(story)


def test_what_a_consumer_does_ends_with_what_it_stands_on(quick):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        acting = await here.access("admin")
        client = Client(cloud.app, (await acting.login()).token)
        refused = await cloud.rescope(client.token or "", {"project": {"id": here.project_id}})
        assert refused.status == 403 and "Using OAuth-scoped token to create another token" in refused.message
        path = f"/v3/users/{here.user_id}/application_credentials"
        assert (await client("POST", path, {"application_credential": {"name": "a"}})).status == 403
        assert (await client("GET", here.tokens)).status == 403
        trust = {"trustor_user_id": here.user_id, "trustee_user_id": here.user_id, "impersonation": True}
        assert (await client("POST", "/v3/OS-TRUST/trusts", {"trust": trust})).status == 403
        asked = form(await here.consumer.ask(here.project_id))
        body = {"roles": [{"name": "admin"}]}
        assert (await client("PUT", f"/v3/OS-OAUTH1/authorize/{asked['oauth_token']}", body)).status == 403

        grant = f"/v3/projects/{here.project_id}/users/{here.user_id}/roles/{await cloud.role('admin')}"
        assert (await cloud.admin("DELETE", grant)).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await acting.login()).status == 401
        assert (await cloud.admin("PUT", grant)).status == 204
        client = Client(cloud.app, (await acting.login()).token)
        assert (await client("GET", "/v3/auth/projects")).status == 200
        assert (await cloud.admin("DELETE", f"/v3/OS-OAUTH1/consumers/{here.consumer.id}")).status == 204
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await cloud.admin("GET", here.tokens)).json["access_tokens"] == []

    quick(story)


def test_tokens_end_with_their_time(quick):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        asked = form(await here.consumer.ask(here.project_id))
        acting = await here.access()
        assert (await acting.login()).status == 201
        cloud.clock.advance(8 * 3600 + 1)
        here.boss = await cloud.as_("boss", scope={"project": {"id": here.project_id}})
        assert (await here.authorise(asked["oauth_token"])).status == 401
        cloud.clock.advance(16 * 3600)
        assert (await acting.login()).status == 401

    quick(story)


def test_ec2_keys_made_with_an_access_token_are_bound_to_it(quick):
    async def story(cloud: Cloud) -> None:
        here = await scene(cloud)
        client = Client(cloud.app, (await (await here.access("admin")).login()).token)
        path = f"/v3/users/{here.user_id}/credentials/OS-EC2"
        own = (await here.boss("POST", path, {"tenant_id": here.project_id})).json["credential"]
        made = await client("POST", path, {"tenant_id": here.project_id})
        assert made.status == 201
        listed = (await client("GET", path)).json["credentials"]
        assert [one["access"] for one in listed] == [made.json["credential"]["access"]]
        token = (await ask(cloud, signed_keys(cloud, made.json["credential"]))).json["token"]
        assert token["OS-OAUTH1"]["consumer_id"] == here.consumer.id
        assert (await client("GET", f"{path}/{own['access']}")).status == 403

    quick(story)
