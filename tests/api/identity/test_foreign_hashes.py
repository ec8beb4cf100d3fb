"""Passwords whose hashes Keystone wrote, and the memory in which ours are made."""

from __future__ import annotations

import argon2
import pytest
from sqlalchemy import select
from tests.api.identity.cloud import PASSWORD, Cloud

from pileus.services.identity.passwords.foreign import foreign_verify, is_foreign, is_whole
from pileus.services.identity.passwords.kept_memory import KeptMemory
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx

HASHES = {
    "bcrypt": "$2b$04$WnT0QnE8Z92WCTJnOLwOu.vV9ZFgBDk4oLqO/RXkt4Fk7s3LNas1y",
    "bcrypt_sha256": "$bcrypt-sha256$v=2,t=2b,r=4$p0l1aO8kyP/T7kwZVUsc.e$yZQTxIfY7V6pi.hsDwwPhFOAgZO26uK",
    "bcrypt_sha256 of old": "$bcrypt-sha256$2b,4$TTPhlCp7KqeQZfjZXxOAHO$xU2baGNcp2FhX/GviT4HYxXB5zoBg82",
    "scrypt": "$scrypt$ln=4,r=8,p=1$AcB4D6GU8t4bo3TOGaP0fg$Ahj9YS5y4mSHat/cuz1lToRRSWtC/qhY9Zl7pckHrdw",
    "pbkdf2_sha512": (
        "$pbkdf2-sha512$1000$.//..//..//..//..//.AQ$qroviCEyi.mfSxcq72Tt2p4/FoNflxtRor0f3nVjeUqlzWdvyVYhgb.V7"
        "ZLqsw6zi4kmk0jR4gs0PoCOAZh0fw"
    ),
}
"""Those of ``PASSWORD``, made with passlib 1.7.4."""
OTHERS = (
    "$2b$31$WnT0QnE8Z92WCTJnOLwOu.vV9ZFgBDk4oLqO/RXkt4Fk7s3LNas1y",
    "$scrypt$ln=30,r=8,p=1$AcB4D6GU8t4bo3TOGaP0fg$Ahj9YS5y4mSHat/cuz1lToRRSWtC/qhY9Zl7pckHrdw",
    "$scrypt$ln=0,r=0,p=0$AcB4D6GU8t4bo3TOGaP0fg$Ahj9YS5y4mSHat/cuz1lToRRSWtC/qhY9Zl7pckHrdw",
    HASHES["pbkdf2_sha512"].replace("$1000$", "$99999999$"),
    HASHES["pbkdf2_sha512"].replace("$1000$", "$0$"),
    "$6$rounds=10000$salt$hash",
    "plain text",
    "",
    "$argon2id$v=19$m=4194304,t=100,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
)


@pytest.mark.parametrize("kind", HASHES)
def test_each_kind_is_verified(kind: str):
    assert is_foreign(HASHES[kind])
    assert foreign_verify(HASHES[kind], PASSWORD)
    for wrong in ("", PASSWORD.upper(), PASSWORD + " ", PASSWORD + "\x00", "x" * 4096):
        assert not foreign_verify(HASHES[kind], wrong)


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_none_or_costs_too_much_is_not_taken(text: str):
    assert not is_foreign(text) and not foreign_verify(text, PASSWORD)


def test_bcrypt_looks_at_72_bytes_so_longer_ones_are_not_rehashed():
    assert is_whole(HASHES["bcrypt"], "x" * 72) and not is_whole(HASHES["bcrypt"], "ä" * 37)
    assert is_whole(HASHES["scrypt"], "x" * 73)


def test_hashes_in_kept_memory_are_those_of_argon2():
    kept = KeptMemory()
    for password in ("", "correct horse", "pässword😀", "x" * 4096):
        ours = kept.hash(password)
        assert kept.is_ours(ours) and argon2.PasswordHasher().verify(ours, password)
        kept.release()
        theirs = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(password)
        assert kept.is_ours(theirs) and kept.verify(theirs, password)
        assert not kept.verify(theirs, password + "x") and not kept.verify(ours, password + "x")
    assert kept.hash("x") != kept.hash("x")
    assert len(kept._blocks) == 1 and not any(kept._blocks[0]._mapping[:]), "nothing of a password stays"
    costly = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=2).hash("x")
    assert kept.verify(costly, "x") and not kept.verify(costly, "y") and not kept.is_ours(costly)
    assert not kept.verify("no hash", "x")


def test_a_keystones_user_logs_in_and_has_one_of_our_hashes_then(tell):
    async def story(cloud: Cloud) -> None:
        def hash_of(tx: Tx, key: str) -> str:
            return str(tx.scalar(select(users.c.password_hash).where(users.c.id == key)))

        for number, encoded in enumerate(HASHES.values()):
            user = await cloud.admin.make("user", name=f"user-{number}")
            path = f"/v3/users/{user['id']}/password_hash"
            assert (await cloud.admin("PUT", path, {"password_hash": encoded})).status == 204
            kept = await cloud.store.read(hash_of, user["id"])
            assert kept == encoded
            assert (await cloud.login(user["name"], "wrong")).status == 401
            for _ in range(2):
                token = await cloud.login(user["name"])
                assert token.status == 201
                kept = await cloud.store.read(hash_of, user["id"])
                assert kept.startswith("$argon2id$")
            body = {"user": {"password": "next", "original_password": PASSWORD}}
            cloud.clock.advance(0.001)
            assert (await cloud.anyone("POST", f"/v3/users/{user['id']}/password", body)).status == 204

    tell(story)


def test_what_is_no_hash_is_refused_and_tokens_end(quick):
    async def story(cloud: Cloud) -> None:
        ann = await cloud.person("ann", "member")
        found = (await cloud.admin("GET", "/v3/users?name=ann")).json["users"][0]
        path = f"/v3/users/{found['id']}/password_hash"
        for bad in (*OTHERS, None, 1):
            refused = await cloud.admin("PUT", path, {"password_hash": bad})
            assert refused.status == 400, bad
        assert (await ann("PUT", path, {"password_hash": HASHES["scrypt"]})).status == 403
        missing = await cloud.admin(
            "PUT", "/v3/users/none/password_hash", {"password_hash": HASHES["scrypt"]}
        )
        assert missing.status == 404
        cloud.clock.advance(0.001)
        assert (await ann("GET", "/v3/auth/projects")).status == 200
        assert (await cloud.admin("PUT", path, {"password_hash": HASHES["scrypt"]})).status == 204
        assert (await ann("GET", "/v3/auth/projects")).status == 401

    quick(story)
