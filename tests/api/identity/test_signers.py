"""Tokens for signatures: what they are good for, who gets none, and requests signed for an object store."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from tests.api.identity.cloud import Answer, Client, Cloud, run
from tests.api.identity.test_credentials import ask, keys_of, owner, signed_keys

from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.service import IdentitySettings
from pileus.services.identity.tables.users import users

TEXT = b"GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/bucket/photo.jpg"


def _version_2(secret: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode()


def _version_4(secret: str, text: bytes) -> str:
    key = f"AWS4{secret}".encode()
    for part in (*text.split(b"\n")[2].split(b"/"), text):
        key = hmac.new(key, part, hashlib.sha256).digest()
    return key.hex()


def _text_4(service: str = "s3", end: str = "aws4_request") -> bytes:
    digest = hashlib.sha256(b"").hexdigest()
    return f"AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/{service}/{end}\n{digest}".encode()


async def _s3(client: Client, access: str, text: bytes, signature: Any, name: str = "credentials") -> Answer:
    given = {"access": access, "token": base64.urlsafe_b64encode(text).decode(), "signature": signature}
    return await client("POST", "/v3/s3tokens", {name: given})


def test_an_object_store_gets_the_signer_of_a_request(tell):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        keys = await keys_of(ann)
        access, secret = keys["access"], keys["secret"]
        swift = (await owner(cloud, "swift", "service")).client
        for text, signature in ((TEXT, _version_2(secret, TEXT)), (_text_4(), _version_4(secret, _text_4()))):
            answer = await _s3(swift, access, text, signature)
            assert answer.status == 200, answer
            token = answer.json["token"]
            assert (token["user"]["id"], token["project"]["id"]) == (ann.id, ann.project)
            assert token["methods"] == ["ec2credential"] and token["catalog"]
            assert "x-subject-token" not in answer.headers, "the token's document only"
            wrong = await _s3(swift, access, text, signature[:-1] + "x")
            assert wrong.status == 401
            assert (await _s3(swift, access, text + b"x", signature)).status == 401
            assert (await _s3(swift, "none", text, signature)).status == 404
            assert (await _s3(ann.client, access, text, signature)).status == 403
            assert (await _s3(cloud.anyone, access, text, signature)).status == 401
        for odd in (_text_4("ec2"), _text_4(end="other"), b"AWS4-HMAC-SHA256\n"):
            signature = _version_4(secret, odd) if odd.count(b"\n") == 3 else "x"
            assert (await _s3(swift, access, odd, signature)).status == 401
        named = await _s3(swift, access, TEXT, _version_2(secret, TEXT), "ec2Credentials")
        assert named.status == 200
        for broken in ({"access": access}, {"access": access, "token": "%", "signature": "x"}):
            assert (await swift("POST", "/v3/s3tokens", {"credentials": broken})).status == 400
        assert (await swift("POST", "/v3/s3tokens", {"credentials": {"token": "x"}})).status == 401

    tell(story)


def test_their_tokens_open_nothing_of_identity(quick):
    """As in Keystone: whoever has a signed request of somebody must not manage his account."""

    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        answer = await ask(cloud, signed_keys(cloud, await keys_of(ann)))
        token = answer.token
        client = Client(cloud.app, token)
        for method, path, body in (
            ("GET", f"/v3/users/{ann.id}", None),
            ("GET", "/v3/auth/tokens", None),
            ("POST", ann.path, {"application_credential": {"name": "more"}}),
            ("POST", f"/v3/users/{ann.id}/credentials/OS-EC2", {"tenant_id": ann.project}),
        ):
            refused = await client(method, path, body, x_subject_token=token or "")
            assert refused.status == 403 and "EC2 credential tokens cannot be used" in refused.message
        assert (await cloud.rescope(token or "", {"project": {"id": ann.project}})).status == 201
        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=token or "")
        assert shown.status == 200, "a service may ask what it is"
        derived = await cloud.rescope(token or "", {"project": {"id": ann.project}})
        assert (await Client(cloud.app, derived.token)("GET", f"/v3/users/{ann.id}")).status == 403

    quick(story)


@pytest.mark.parametrize("path", ["ec2", "s3"])
def test_who_was_inactive_for_too_long_gets_none(tmp_path: Path, path: str):
    async def story(cloud: Cloud) -> None:
        ann = await owner(cloud)
        keys = await keys_of(ann)

        async def come() -> int:
            if path == "ec2":
                return (await ask(cloud, signed_keys(cloud, keys))).status
            return (await _s3(cloud.admin, keys["access"], TEXT, _version_2(keys["secret"], TEXT))).status

        assert await come() == 200
        cloud.clock.advance(31 * 86400)
        keep = {"user": {"options": {"ignore_user_inactivity": True}}}
        cloud.admin = await _fresh_admin(cloud)
        assert await come() == 401
        assert (await cloud.admin("PATCH", f"/v3/users/{ann.id}", keep)).status == 200
        assert await come() == 200

    compliance = Compliance(disable_user_account_days_inactive=30)
    settings = IdentitySettings(compliance=compliance)
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


async def _fresh_admin(cloud: Cloud) -> Client:
    """An administrator's client after a time in which he was inactive too."""

    def wake(tx: Any) -> None:
        tx.execute(users.update().where(users.c.name == "admin").values(last_active_at=cloud.clock.now()))

    await cloud.store.write(wake)
    return await cloud.as_(scope={"project": {"name": "admin", "domain": {"id": "default"}}})
