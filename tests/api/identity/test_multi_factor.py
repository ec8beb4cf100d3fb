"""Passcodes, several methods together, and receipts."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud, run
from tests.asgi import Answer

from pileus.services.identity.auth.totp import guess_take
from pileus.services.identity.rules.passwords import Lockout
from pileus.services.identity.rules.totp import GUESSES_PER_STEP, step_of
from pileus.services.identity.service import IdentitySettings
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.payload import token_open
from pileus.services.identity.tokens.receipts import receipt_open
from pileus.store.tx import Tx

KEY = b"12345678901234567890"
BLOB = base64.b32encode(KEY).decode().rstrip("=")
RECEIPT = "openstack-auth-receipt"


def passcode(cloud: Cloud, key: bytes = KEY, ago_s: float = 0) -> str:
    """What an app would show now, or showed some seconds ago."""
    seconds = (cloud.clock.now() - dt.datetime(1970, 1, 1)).total_seconds() - ago_s
    return TOTP(key, 6, SHA1(), 30).generate(int(seconds)).decode()


def auth(methods: list[str], scope: Any = None, name: str = "ann", **proofs: str) -> dict[str, Any]:
    """A body; ``password`` and ``totp`` are secrets of the user with that name."""
    who = {"name": name, "domain": {"id": DEFAULT}}
    identity: dict[str, Any] = {"methods": methods}
    if "password" in proofs:
        identity["password"] = {"user": {**who, "password": proofs["password"]}}
    if "totp" in proofs:
        identity["totp"] = {"user": {**who, "passcode": proofs["totp"]}}
    if "token" in proofs:
        identity["token"] = {"id": proofs["token"]}
    return {"auth": {"identity": identity, **({} if scope is None else {"scope": scope})}}


async def ask(cloud: Cloud, body: Any, **headers: str) -> Answer:
    cloud.clock.advance(0.001)
    return await cloud.anyone("POST", "/v3/auth/tokens", body, **headers)


async def ann(cloud: Cloud, *rules: list[str], **options: Any) -> dict[str, Any]:
    """A user with a key of passcodes and those rules."""
    if rules:
        options["multi_factor_auth_rules"] = list(rules)
    user = await cloud.admin.make("user", name="ann", password=PASSWORD, options=options)
    credential = {"type": "totp", "user_id": user["id"], "blob": BLOB}
    made = await cloud.admin("POST", "/v3/credentials", {"credential": credential})
    assert made.status == 201
    return user


def test_a_passcode_logs_in_once(tell):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        code = passcode(cloud)
        made = await ask(cloud, auth(["totp"], totp=code))
        assert made.status == 201 and made.json["token"]["methods"] == ["totp"]
        assert (await ask(cloud, auth(["totp"], totp=code))).status == 401
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud, ago_s=30)))).status == 401, (
            "an earlier one"
        )
        cloud.clock.advance(30)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    tell(story)


def test_a_passcode_of_a_secret_that_is_kept_twice_logs_in_once(tell):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud)
        for blob in (BLOB, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJR"):
            credential = {"type": "totp", "user_id": user["id"], "blob": blob}
            assert (await cloud.admin("POST", "/v3/credentials", {"credential": credential})).status == 201
        code = passcode(cloud)
        assert (await ask(cloud, auth(["totp"], totp=code))).status == 201
        assert (await ask(cloud, auth(["totp"], totp=code))).status == 401
        cloud.clock.advance(30)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    tell(story)


def test_the_passcode_before_is_good_and_those_before_it_are_not(quick):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        for ago_s, status in ((60, 401), (-30, 401), (30, 201)):
            assert (await ask(cloud, auth(["totp"], totp=passcode(cloud, ago_s=ago_s)))).status == status

    quick(story)


def test_passcodes_of_windows_that_a_setting_names(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud, ago_s=30)))).status == 401
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    settings = IdentitySettings(totp_previous_windows=0)
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_wrong_passcodes_and_bodies(quick):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud)
        await cloud.admin.make("user", name="bob", password=PASSWORD)
        for name, code in (("ann", "12345"), ("ann", ""), ("ann", "\u0661"), ("bob", "123456"), ("no", "1")):
            assert (await ask(cloud, auth(["totp"], name=name, totp=code))).status == 401
        for bad, text in (
            ({"methods": ["totp"]}, "Expecting to find totp in identity"),
            (
                {"methods": ["totp"], "totp": {"user": {"id": user["id"]}}},
                "Expecting to find passcode in user",
            ),
            ({"methods": ["totp"], "totp": {"user": {"passcode": "1"}}}, "id or name must be present"),
            ({"methods": ["totp"], "totp": {}}, "Invalid input for field 'identity/totp'"),
        ):
            refused = await ask(cloud, {"auth": {"identity": bad}})
            assert refused.status == 400 and text in refused.message

    quick(story)


def test_keys_that_are_none_are_passed_over(quick):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud)
        for blob in ("", "!", "{}", "MZXW6==="):
            credential = {"type": "totp", "user_id": user["id"], "blob": blob}
            assert (await cloud.admin("POST", "/v3/credentials", {"credential": credential})).status == 201
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    quick(story)


def test_few_passcodes_can_be_guessed(quick):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        for _ in range(GUESSES_PER_STEP):
            assert (await ask(cloud, auth(["totp"], totp="0"))).status == 401
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 401, "too many"
        cloud.clock.advance(30)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    quick(story)


def test_passcodes_are_counted_for_all_servers(tell):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        for _ in range(GUESSES_PER_STEP - 1):
            assert (await ask(cloud, auth(["totp"], totp="0"))).status == 401
        step = step_of(cloud.clock.now())
        user = (await cloud.admin("GET", "/v3/users?name=ann")).json["users"][0]["id"]
        assert await cloud.store.write(guess_take, user, step, proof=False), "the last one, by another server"
        assert not await cloud.store.write(guess_take, user, step, proof=False)
        assert await cloud.store.write(guess_take, user, step, proof=True), "who has shown more counts apart"
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 401
        cloud.clock.advance(30)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    tell(story)


def test_a_key_that_nothing_opens_keeps_nobody_out(quick):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud)
        lost = await cloud.admin.make("credential", type="totp", user_id=user["id"], blob=BLOB)

        def spoil(tx: Tx) -> None:
            tx.execute(credentials.update().where(credentials.c.id == lost["id"]).values(sealed="x"))

        await cloud.store.write(spoil)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201
        listed = (await cloud.admin("GET", "/v3/credentials")).json["credentials"]
        assert len(listed) == 1 and listed[0]["id"] != lost["id"]
        one = f"/v3/credentials/{lost['id']}"
        assert (await cloud.admin("GET", one)).status == 500
        assert (await cloud.admin("DELETE", one)).status == 204
        assert (await cloud.admin("GET", one)).status == 404

    quick(story)


def test_wrong_passcodes_count_for_the_lock_out(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await ann(cloud)
        for _ in range(3):
            assert (await ask(cloud, auth(["totp"], totp="0"))).status == 401
        assert (await cloud.login("ann")).status == 401
        cloud.clock.advance(60)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 401
        cloud.clock.advance(600)
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)))).status == 201

    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, IdentitySettings(lockout=Lockout(3, 600)))


def test_a_right_password_does_not_end_the_count_of_wrong_passcodes(tmp_path: Path):
    """Else whoever has the password may guess for ever."""

    async def story(cloud: Cloud) -> None:
        await ann(cloud, ["password", "totp"])
        for _ in range(2):
            assert (await ask(cloud, auth(["password", "totp"], password=PASSWORD, totp="0"))).status == 401
        whole = auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud))
        assert (await ask(cloud, whole)).status == 201, "all that he has to show ends it"
        cloud.clock.advance(30)
        for _ in range(3):
            part = await ask(cloud, auth(["password"], password=PASSWORD))
            rest = {RECEIPT: part.headers[RECEIPT]}
            assert (await ask(cloud, auth(["totp"], totp="0"), **rest)).status == 401
        whole = auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud))
        assert (await ask(cloud, whole)).status == 401, "locked"
        cloud.clock.advance(600)
        whole = auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud))
        assert (await ask(cloud, whole)).status == 201

    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, IdentitySettings(lockout=Lockout(3, 600)))


def test_nobody_keeps_another_out_by_guessing_his_passcodes(quick):
    async def story(cloud: Cloud) -> None:
        await ann(cloud, ["password", "totp"])
        await cloud.admin.make("user", name="bob", password=PASSWORD)
        for _ in range(GUESSES_PER_STEP + 1):
            assert (await ask(cloud, auth(["totp"], totp="0"))).status == 401
            mixed = auth(["password", "totp"], name="bob", password=PASSWORD, totp="0")
            mixed["auth"]["identity"]["totp"]["user"]["name"] = "ann"
            assert (await ask(cloud, mixed)).status == 401
        whole = auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud))
        assert (await ask(cloud, whole)).status == 201
        cloud.clock.advance(30)
        part = await ask(cloud, auth(["password"], password=PASSWORD))
        for _ in range(GUESSES_PER_STEP):
            assert (await ask(cloud, auth(["totp"], totp="0"))).status == 401
        rest = {RECEIPT: part.headers[RECEIPT]}
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)), **rest)).status == 201
        cloud.clock.advance(30)
        for _ in range(GUESSES_PER_STEP):
            assert (await ask(cloud, auth(["password", "totp"], password=PASSWORD, totp="0"))).status == 401
        whole = auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud))
        assert (await ask(cloud, whole)).status == 401, "who knows the password guesses as few"

    quick(story)


def test_who_has_to_show_two_gets_a_receipt_for_one(tell):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud, ["password", "totp"], ["application_credential", "password"])
        part = await ask(cloud, auth(["password"], password=PASSWORD))
        assert part.status == 401
        receipt = part.json["receipt"]
        assert receipt["methods"] == ["password"]
        assert receipt["user"] == {
            "id": user["id"],
            "name": "ann",
            "domain": {"id": "default", "name": "Default"},
        }
        assert receipt["expires_at"] > receipt["issued_at"]
        assert part.json["required_auth_methods"] == [
            ["password", "totp"],
            ["application_credential", "password"],
        ]
        assert "x-subject-token" not in part.headers
        rest = {RECEIPT: part.headers[RECEIPT]}
        whole = await ask(cloud, auth(["totp"], totp=passcode(cloud)), **rest)
        assert whole.status == 201
        assert sorted(whole.json["token"]["methods"]) == ["password", "totp"]
        cloud.clock.advance(30)
        both = await ask(cloud, auth(["password", "totp"], password=PASSWORD, totp=passcode(cloud)))
        assert both.status == 201 and both.json["token"]["methods"] == ["password", "totp"]
        again = await ask(cloud, auth(["token"], "unscoped", token=both.token))
        assert again.status == 201 and sorted(again.json["token"]["methods"]) == ["password", "token", "totp"]

    tell(story)


def test_a_receipt_is_for_its_user_and_its_time(quick):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud, ["password", "totp"])
        await cloud.admin.make("user", name="bob", password=PASSWORD)
        part = await ask(cloud, auth(["password"], password=PASSWORD))
        rest = {RECEIPT: part.headers[RECEIPT]}
        assert (await ask(cloud, auth(["password"], name="bob", password=PASSWORD), **rest)).status == 401
        token = (await cloud.login("bob")).token
        for other in ("x", token, part.headers[RECEIPT][:-1]):
            assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)), **{RECEIPT: other})).status == 401
        cloud.clock.advance(30)
        assert (await Client(cloud.app, rest[RECEIPT])("GET", "/v3/auth/projects")).status == 401, "no token"
        assert token_open(cloud.identity.keys, rest[RECEIPT]) is None
        assert receipt_open(cloud.identity.keys, token) is None
        changed = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"password": "new"}})
        assert changed.status == 200
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)), **rest)).status == 401
        part = await ask(cloud, auth(["password"], password="new"))
        cloud.clock.advance(301)
        late = {RECEIPT: part.headers[RECEIPT]}
        assert (await ask(cloud, auth(["totp"], totp=passcode(cloud)), **late)).status == 401

    quick(story)


def test_rules_that_do_not_count(quick):
    async def story(cloud: Cloud) -> None:
        user = await ann(cloud, ["password", "totp"], multi_factor_auth_enabled=False)
        assert (await cloud.login("ann")).status == 201

        async def options(**values: Any) -> None:
            path = f"/v3/users/{user['id']}"
            assert (await cloud.admin("PATCH", path, {"user": {"options": values}})).status == 200

        await options(multi_factor_auth_enabled=True)
        assert (await cloud.login("ann")).status == 401
        await options(multi_factor_auth_rules=[["telepathy"]])
        assert (await cloud.login("ann")).status == 201, "nobody is locked out by what is not there"
        await options(multi_factor_auth_rules=[["telepathy", "password"]])
        assert (await cloud.login("ann")).status == 201
        await options(multi_factor_auth_rules=[["totp"]])
        part = await cloud.login("ann")
        assert part.status == 401 and part.json["required_auth_methods"] == []
        await options(multi_factor_auth_rules=None)
        assert (await cloud.login("ann")).status == 201

    quick(story)


def test_what_is_missing_is_told_before_the_scope_is_looked_at(quick):
    async def story(cloud: Cloud) -> None:
        await ann(cloud, ["password", "totp"])
        nowhere = {"project": {"id": "nowhere"}}
        part = await ask(cloud, auth(["password"], nowhere, password=PASSWORD))
        assert part.status == 401 and RECEIPT in part.headers
        whole = auth(["password", "totp"], nowhere, password=PASSWORD, totp=passcode(cloud))
        refused = await ask(cloud, whole)
        assert refused.status == 401 and RECEIPT not in refused.headers

    quick(story)


def test_a_wrong_password_uses_no_passcode(quick):
    async def story(cloud: Cloud) -> None:
        await ann(cloud, ["password", "totp"])
        code = passcode(cloud)
        wrong = await ask(cloud, auth(["totp", "password"], password="wrong", totp=code))
        assert wrong.status == 401 and RECEIPT not in wrong.headers
        assert (await ask(cloud, auth(["totp", "password"], password=PASSWORD, totp=code))).status == 201

    quick(story)


def test_an_application_credential_makes_and_reads_no_keys_of_passcodes(quick):
    async def story(cloud: Cloud) -> None:
        who = await cloud.person("ann", "member")
        shown = await who("GET", "/v3/auth/tokens", x_subject_token=who.token or "")
        user_id, project_id = shown.json["token"]["user"]["id"], shown.json["token"]["project"]["id"]
        own = {"type": "totp", "user_id": user_id, "blob": BLOB, "project_id": project_id}
        kept = await who("POST", "/v3/credentials", {"credential": own})
        assert kept.status == 201
        path = f"/v3/users/{user_id}/application_credentials"
        made = await who("POST", path, {"application_credential": {"name": "a", "unrestricted": True}})
        given = made.json["application_credential"]
        identity = {
            "methods": ["application_credential"],
            "application_credential": {"id": given["id"], "secret": given["secret"]},
        }
        program = Client(cloud.app, (await ask(cloud, {"auth": {"identity": identity}})).token)
        assert (await program("POST", "/v3/credentials", {"credential": own})).status == 403
        assert (await program("GET", f"/v3/credentials/{kept.json['credential']['id']}")).status == 403
        assert (await program("GET", "/v3/credentials")).json["credentials"] == []
        change = {"credential": {"blob": BLOB}}
        assert (
            await program("PATCH", f"/v3/credentials/{kept.json['credential']['id']}", change)
        ).status == 403

    quick(story)
