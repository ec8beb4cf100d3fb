"""What users keep: secrets as text, EC2 keys, and requests that were signed with them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from tests.api.identity.cloud import Answer, Cloud
from tests.api.identity.test_application_credentials import Owner, owner

from pileus.services.identity.credentials.resource import ec2_id
from pileus.services.identity.rules.signatures import Signed, signature
from pileus.services.identity.tables.credentials import credentials
from pileus.store.tx import Tx

PATH = "/v3/credentials"


def _sealed(tx: Tx) -> list[str]:
    return [row.sealed for row in tx.rows(select(credentials.c.sealed))]


def test_a_credential_is_kept_found_changed_and_forgotten(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        spec = {"type": "cert", "blob": "-----BEGIN", "user_id": ann.id, "project_id": ann.project}
        made = await ann.client.make("credential", **spec, colour="green")
        assert spec.items() <= made.items() and made["colour"] == "green"
        one = f"{PATH}/{made['id']}"
        assert made["links"] == {"self": f"http://cloud:5000/identity{one}"}
        assert "BEGIN" not in (await cloud.store.read(_sealed))[0]
        assert (await ann.client("GET", one)).json == {"credential": made}
        assert (await ann.client("GET", PATH)).json["credentials"] == [made]
        for query, found in (
            ("?type=cert", [made]),
            ("?type=ec2", []),
            (f"?user_id={ann.id}", [made]),
            ("?user_id=other", []),
        ):
            assert (await ann.client("GET", PATH + query)).json["credentials"] == found
        changed = await ann.client("PATCH", one, {"credential": {"blob": "other", "type": "cert"}})
        assert changed.status == 200
        assert changed.json["credential"] == {**made, "blob": "other"}
        assert (await ann.client("GET", one)).json == changed.json
        for name, value in (("type", "totp"), ("type", "ec2"), ("project_id", None), ("project_id", "p")):
            kept = await ann.client("PATCH", one, {"credential": {name: value}})
            assert kept.status == 400 and kept.message == f"{name} can not be updated for credential"
        assert (await ann.client("GET", one)).json == changed.json
        assert (await ann.client("DELETE", one)).status == 204
        for method in ("GET", "DELETE"):
            gone = await cloud.admin(method, one)
            assert gone.status == 404 and gone.message == f"Could not find credential: {made['id']}."

    tell(story)


def test_they_are_their_owners(quick):
    async def story(cloud: Cloud) -> None:
        ann, bob = await owner(cloud), await owner(cloud, "bob")
        made = await ann.client.make("credential", type="cert", blob="x", user_id=ann.id)
        one = f"{PATH}/{made['id']}"
        assert (await bob.client("GET", PATH)).json["credentials"] == []
        for method, body in (
            ("GET", None),
            ("PATCH", {"credential": {"blob": "y"}}),
            ("DELETE", None),
        ):
            assert (await bob.client(method, one, body)).status == 403, method
        spec = {"type": "cert", "blob": "x", "user_id": ann.id}
        assert (await bob.client("POST", PATH, {"credential": spec})).status == 403
        given_away = await ann.client("PATCH", one, {"credential": {"user_id": bob.id}})
        assert given_away.status == 403
        assert (await cloud.admin("GET", PATH)).json["credentials"] == [made]

    quick(story)


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"blob": None}, 400, "'blob' is a required property"),
        ({"type": None}, 400, "'type' is a required property"),
        ({"blob": {"access": "a"}}, 400, "is not of type 'string'"),
        ({"type": "ec2", "blob": "x"}, 400, "Invalid blob in credential"),
        ({"type": "ec2", "blob": "[" * 100_000}, 400, "Invalid blob in credential"),
        ({"type": "ec2", "blob": '{"access": ' + "[" * 500 + "]" * 500 + "}"}, 400, "Invalid blob"),
        ({"type": "ec2", "blob": "[]"}, 400, "Expecting to find blob in credential"),
        ({"type": "ec2", "blob": '{"secret": "x"}'}, 400, "Expecting to find access in credential"),
        ({"type": "ec2", "blob": '{"access": "x"}'}, 400, "'project_id' is a required property"),
    ],
)
def test_a_malformed_one_is_told_what_is_wrong(quick, changes, status, message):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        spec = {"type": "cert", "blob": "x", "user_id": ann.id, **changes}
        spec = {key: value for key, value in spec.items() if value is not None}
        answer = await ann.client("POST", PATH, {"credential": spec})
        assert answer.status == status and message in answer.message

    quick(story)


async def keys_of(one: Owner, **more: Any) -> dict[str, Any]:
    path = f"/v3/users/{one.id}/credentials/OS-EC2"
    made = await one.client("POST", path, {"tenant_id": one.project, **more})
    assert made.status == 201, made
    found: dict[str, Any] = made.json["credential"]
    return found


def signed_keys(cloud: Cloud, keys: dict[str, Any], **changes: Any) -> dict[str, Any]:
    moment = cloud.clock.now().isoformat(timespec="seconds") + "Z"
    params = {"Action": "DescribeInstances", "SignatureVersion": "2", "Timestamp": moment}
    request = Signed(access=keys["access"], verb="GET", host="cloud:8773", path="/", params=params)
    request = msgspec.structs.replace(request, **changes)
    right = signature(keys["secret"], request)
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(request, signature=right))
    return found


async def ask(cloud: Cloud, signed: dict[str, Any]) -> Answer:
    return await cloud.admin("POST", "/v3/ec2tokens", {"credentials": signed})


def test_ec2_keys_are_made_listed_used_and_deleted(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        every = f"/v3/users/{ann.id}/credentials/OS-EC2"
        keys = await keys_of(ann)
        one = f"{every}/{keys['access']}"
        assert (keys["user_id"], keys["tenant_id"], keys["trust_id"]) == (ann.id, ann.project, None)
        assert keys["links"] == {"self": f"http://cloud:5000/identity{one}"}
        assert (await ann.client("GET", one)).json == {"credential": keys}
        assert (await ann.client("GET", every)).json["credentials"] == [keys]
        stored = (await ann.client("GET", PATH)).json["credentials"]
        assert [found["type"] for found in stored] == ["ec2"]
        assert json.loads(stored[0]["blob"])["secret"] == keys["secret"]

        answer = await ask(cloud, signed_keys(cloud, keys))
        token = answer.json["token"]
        assert answer.status == 200 and token["methods"] == ["ec2credential"]
        assert (token["user"]["id"], token["project"]["id"]) == (ann.id, ann.project)
        assert {role["name"] for role in token["roles"]} == {"member", "reader"}
        subject = {"x_subject_token": answer.token}
        assert (await cloud.admin("GET", "/v3/auth/tokens", **subject)).status == 200

        grant = f"/v3/projects/{ann.project}/users/{ann.id}/roles/{await cloud.role('member')}"
        assert (await cloud.admin("DELETE", grant)).status == 204
        assert (await ask(cloud, signed_keys(cloud, keys))).status == 401
        assert (await cloud.admin("PUT", grant)).status == 204

        assert (await ann.client("DELETE", one)).status == 204
        gone = await ask(cloud, signed_keys(cloud, keys))
        assert gone.status == 404 and gone.message == "EC2 access key not found."
        for method in ("GET", "DELETE"):
            missing = await ann.client(method, one)
            assert missing.status == 404
            assert missing.message == f"Could not find credential: {keys['access']}."

    tell(story)


def test_they_go_with_their_user_and_their_project(quick):
    async def story(cloud: Cloud) -> None:
        ann, bob = await owner(cloud), await owner(cloud, "bob")
        await keys_of(ann)
        await keys_of(bob)
        assert (await cloud.admin("DELETE", f"/v3/users/{ann.id}")).status == 204
        assert len((await cloud.admin("GET", PATH)).json["credentials"]) == 1
        assert (await cloud.admin("DELETE", f"/v3/projects/{bob.project}")).status == 204
        assert (await cloud.admin("GET", PATH)).json["credentials"] == []
        domain = await cloud.admin.make("domain", name="d")
        user = await cloud.admin.make("user", name="u", domain_id=domain["id"])
        await cloud.admin.make("credential", type="cert", blob="x", user_id=user["id"])
        path = f"/v3/domains/{domain['id']}"
        assert (await cloud.admin("PATCH", path, {"domain": {"enabled": False}})).status == 200
        assert (await cloud.admin("DELETE", path)).status == 204
        assert (await cloud.admin("GET", PATH)).json["credentials"] == []

    quick(story)


def test_who_may_have_ec2_keys(quick):
    async def story(cloud: Cloud) -> None:
        ann, bob = await owner(cloud), await owner(cloud, "bob")
        reader = await owner(cloud, "rita", "reader")
        keys = await keys_of(ann)
        every = f"/v3/users/{ann.id}/credentials/OS-EC2"
        for method, path, body in (
            ("GET", every, None),
            ("POST", every, {"tenant_id": ann.project}),
            ("GET", f"{every}/{keys['access']}", None),
            ("DELETE", f"{every}/{keys['access']}", None),
        ):
            assert (await bob.client(method, path, body)).status == 403, method
        own = f"/v3/users/{reader.id}/credentials/OS-EC2"
        assert (await reader.client("POST", own, {"tenant_id": reader.project})).status == 403
        for project, status in (("none", 404), (None, 400)):
            assert (await ann.client("POST", every, {"tenant_id": project})).status == status
        assert (await cloud.admin("GET", "/v3/users/none/credentials/OS-EC2")).status == 404
        signed = {"credentials": signed_keys(cloud, keys)}
        assert (await cloud.anyone("POST", "/v3/ec2tokens", signed)).status == 401
        assert (await ann.client("POST", "/v3/ec2tokens", signed)).status == 403
        service = await owner(cloud, "ec2", "service")
        assert (await service.client("POST", "/v3/ec2tokens", signed)).status == 200

    quick(story)


def test_a_signature_that_is_wrong_or_old(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        keys = await keys_of(ann)
        signed = signed_keys(cloud, keys)
        for wrong, status in (
            ({**signed, "signature": "x"}, 401),
            ({**signed, "signature": None}, 401),
            ({**signed, "path": "/other"}, 401),
            ({**signed, "access": "none"}, 404),
            ({**signed, "access": 1}, 400),
            ({"signature": "x"}, 401),
            (signed_keys(cloud, {**keys, "secret": "other"}), 401),
        ):
            assert (await ask(cloud, wrong)).status == status, wrong
        assert (await cloud.admin("POST", "/v3/ec2tokens", {})).status == 400
        cloud.clock.advance(15 * 60 - 1)
        assert (await ask(cloud, signed)).status == 200
        cloud.clock.advance(2)
        assert (await ask(cloud, signed)).status == 401
        await cloud.admin("PATCH", f"/v3/users/{ann.id}", {"user": {"enabled": False}})
        assert (await ask(cloud, signed_keys(cloud, keys))).status == 401

    quick(story)


def test_an_application_credential_sees_and_makes_what_is_within_its_bounds(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        elsewhere = await ann.client.make("credential", type="cert", blob="x", user_id=ann.id)
        here = {"type": "cert", "blob": "x", "user_id": ann.id, "project_id": ann.project}
        inside = await ann.client.make("credential", **here)
        keys = await keys_of(ann)
        ec2 = f"/v3/users/{ann.id}/credentials/OS-EC2"
        names = {"user": {"id": ann.id}, "project": {"id": ann.project}}

        restricted = await ann.enter(await ann.make(roles=[{"name": "member"}]))
        listed = (await restricted("GET", PATH)).json["credentials"]
        assert inside in listed and elsewhere not in listed
        assert (await restricted("GET", f"{PATH}/{elsewhere['id']}")).status == 403
        blob = json.dumps({"access": "mine", "secret": "s"})
        for method, path, body in (
            ("POST", ec2, {"tenant_id": ann.project}),
            ("POST", PATH, {"credential": {**here, "type": "ec2", "blob": blob}}),
            ("GET", f"{ec2}/{keys['access']}", None),
            ("DELETE", f"{ec2}/{keys['access']}", None),
        ):
            refused = await restricted(method, path, body)
            assert refused.status == 403, (method, path)
        for changes in ({"type": "EC2", "blob": blob}, {"project_id": None}, {"type": "ec2"}):
            kept = await restricted("PATCH", f"{PATH}/{inside['id']}", {"credential": changes})
            assert kept.status == 400, changes
        assert (await restricted("GET", ec2)).json["credentials"] == [], "they would open more"
        assert [one["type"] for one in listed] == ["cert"]

        made = await ann.make("free", unrestricted=True, roles=[{"name": "reader"}])
        free = Owner(cloud, await ann.enter(made), names)
        assert (await free.client("POST", ec2, {"tenant_id": ann.project})).status == 403, "no member"
        spec = {**here, "type": "ec2", "blob": blob}
        bound = await free.client.make("credential", **spec)
        assert json.loads(bound["blob"])["app_cred_id"] == made["id"]
        token = (await ask(cloud, signed_keys(cloud, {"access": "mine", "secret": "s"}))).json["token"]
        assert [role["name"] for role in token["roles"]] == ["reader"]
        assert token["application_credential"]["id"] == made["id"]
        kept = json.loads(bound["blob"])
        for name, changes in (
            ("app_cred_id", {"blob": blob}),
            ("app_cred_id", {"blob": json.dumps({**kept, "app_cred_id": None})}),
            ("access", {"blob": json.dumps({**kept, "access": "other"})}),
            ("type", {"type": "cert"}),
            ("type", {"type": "cert", "blob": blob}),
            ("type", {"type": "EC2"}),
            ("project_id", {"project_id": elsewhere["id"]}),
        ):
            for client in (ann.client, free.client, cloud.admin):
                freed = await client("PATCH", f"{PATH}/{bound['id']}", {"credential": changes})
                assert freed.status == 400, (changes, freed)
                assert freed.message == f"{name} can not be updated for credential"
        other = json.dumps({**kept, "secret": "t"})
        assert (
            await free.client("PATCH", f"{PATH}/{bound['id']}", {"credential": {"blob": other}})
        ).status == 200
        assert (await ask(cloud, signed_keys(cloud, {"access": "mine", "secret": "t"}))).status == 200
        for client in (restricted, free.client):
            refused = await client("GET", f"{PATH}/{ec2_id(keys['access'])}")
            assert refused.status == 403 and "does not match the scope of the token" in refused.message
        twin = await free.client("POST", PATH, {"credential": spec})
        assert twin.status == 409
        assert (await ann.client("DELETE", f"{ann.path}/{made['id']}")).status == 204
        assert (await ask(cloud, signed_keys(cloud, {"access": "mine", "secret": "t"}))).status == 401

    quick(story)


def test_a_list_costs_what_one_costs(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)

        async def statements() -> int:
            before = cloud.store.statements
            assert (await ann.client("GET", f"/v3/users/{ann.id}/credentials/OS-EC2")).status == 200
            return cloud.store.statements - before

        await keys_of(ann)
        await statements()
        one = await statements()
        for _ in range(5):
            await keys_of(ann)
        await ann.client("GET", "/v3/auth/projects")
        assert await statements() == one

    quick(story)


def test_a_key_that_is_lost_is_said_and_not_hidden(quick):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        await keys_of(ann)
        keys = cloud.identity.credential_keys
        assert keys._path is not None
        assert keys._path != cloud.identity.keys._path
        assert keys._path.stat().st_mode & 0o777 == 0o600
        keys._path.write_bytes(bytes(32))
        keys._load()
        answer = await ann.client("GET", PATH)
        assert answer.status == 500 and "encrypted credentials" in answer.message

    quick(story)


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"]
)
def test_times_at_the_ends_of_the_calendar_break_nothing(quick, moment):
    async def story(cloud: Cloud) -> None:
        keys = await keys_of(await owner(cloud))
        params = {"Action": "DescribeInstances", "SignatureVersion": "2", "Timestamp": moment}
        assert (await ask(cloud, signed_keys(cloud, keys, params=params))).status in (200, 401)

    quick(story)
