"""Keys of tokens and credentials: rotated, withdrawn, on several servers of one database."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator

import pytest
from tests.api.identity.cloud import PASSWORD, Client, Cloud
from tests.api.identity.test_multi_factor import RECEIPT, ann, auth, passcode

from pileus.core.context import system_context
from pileus.policy import Policies
from pileus.services.identity.service import Identity
from pileus.services.identity.tables.keys import shared_keys
from pileus.services.identity.tokens.keys import KeyFileMismatch, TokenKeys
from pileus.services.identity.tokens.ring import (
    KeyInUse,
    KeyNotFound,
    KeyRing,
    NotInDatabase,
    NotMigrated,
    Ring,
    ring_read,
)
from pileus.store import Store
from pileus.store.tx import Tx
from pileus.web.app import create_app

LIFETIME = dt.timedelta(hours=1)


async def _rotate(cloud: Cloud, ring: KeyRing) -> Ring:
    cloud.clock.advance(1)
    return await ring.rotate(system_context(cloud.clock.now()), 3, LIFETIME)


def _states(ring: Ring) -> list[str]:
    return sorted(one.state for one in ring.keys)


@contextlib.asynccontextmanager
async def _another(cloud: Cloud, url: str, folder) -> AsyncIterator[Client]:
    """A second server of the same database, with the same files."""
    store = await Store.open(url, poll_s=0.2)
    identity = Identity(store, folder / "token-keys", clock=cloud.clock)
    try:
        await identity.start(store)
        yield _client(cloud, identity, store)
    finally:
        await identity.close()
        await store.close()


def _client(cloud: Cloud, identity: Identity, store: Store) -> Client:
    app = create_app(
        [identity.service],
        store=store,
        authenticator=identity.authenticator,
        policy=Policies({"identity": identity.service.rules}, {"identity": {}}),
        clock=cloud.clock,
    )
    return Client(app)


@contextlib.asynccontextmanager
async def _unaware(cloud: Cloud, folder) -> AsyncIterator[Client]:
    """A server that has the keys of the file, and has not been told of any change."""
    identity = Identity(cloud.store, folder / "token-keys", clock=cloud.clock)
    try:
        yield _client(cloud, identity, cloud.store)
    finally:
        await identity.close()


def test_what_was_sealed_since_opens_on_a_server_that_was_not_told(quick, tmp_path):
    async def story(cloud: Cloud) -> None:
        for ring in cloud.identity.rings:
            await _rotate(cloud, ring)
        user = await ann(cloud, ["password", "totp"])
        half = auth(["password"], password=PASSWORD)
        proven = await cloud.anyone("POST", "/v3/auth/tokens", half)
        assert proven.status == 401 and RECEIPT in proven.headers
        async with _unaware(cloud, tmp_path) as there:
            whole = auth(["totp", "password"], totp=passcode(cloud), password=PASSWORD)
            assert (await there("POST", "/v3/auth/tokens", whole)).status == 201
        cloud.clock.advance(30)
        async with _unaware(cloud, tmp_path) as there:
            rest = auth(["totp"], totp=passcode(cloud))
            receipt = {"openstack_auth_receipt": proven.headers[RECEIPT]}
            assert (await there("POST", "/v3/auth/tokens", rest, **receipt)).status == 201

            leaked = next(
                one.id for one in (await cloud.identity.rings[0].refresh()).keys if one.state == "primary"
            )
            await cloud.identity.rings[0].withdraw(system_context(cloud.clock.now()), leaked)
            cloud.clock.advance(30)
            rest = auth(["totp"], totp=passcode(cloud))
            assert (await there("POST", "/v3/auth/tokens", rest, **receipt)).status == 401

        # many are opened with one look at the keys
        async def statements(client: Client) -> int:
            client.token = cloud.admin.token
            before = cloud.store.statements
            shown = await client("GET", f"/v3/credentials?user_id={user['id']}")
            assert [one["blob"] for one in shown.json["credentials"]].count("secret") == count
            return cloud.store.statements - before

        counts = []
        for count in (2, 6):
            while len((await cloud.admin("GET", "/v3/credentials")).json["credentials"]) < count + 1:
                await cloud.admin.make("credential", user_id=user["id"], type="cert", blob="secret")
            async with _unaware(cloud, tmp_path) as there:
                counts.append(await statements(there))
        assert counts[0] == counts[1]

    quick(story)


def test_tokens_outlive_rotations_and_not_the_withdrawal_of_their_key(tell):
    async def story(cloud: Cloud) -> None:
        ring = cloud.identity.rings[0]
        before = await ring.refresh()
        assert _states(before) == ["primary"]
        first = cloud.admin
        after = await _rotate(cloud, ring)
        assert _states(after) == ["primary", "secondary", "staged"]
        second = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})
        for _ in range(3):
            await _rotate(cloud, ring)
        for client in (first, second):
            assert (await client("GET", "/v3/users")).status == 200
        primary = next(one.id for one in after.keys if one.state == "primary")
        now = system_context(cloud.clock.now())
        await ring.withdraw(now, primary)
        assert (await first("GET", "/v3/users")).status == 200
        assert (await second("GET", "/v3/users")).status == 401, "also one that is known"
        await ring.withdraw(now, before.keys[0].id)
        assert (await first("GET", "/v3/users")).status == 401, "the file's key is withdrawn as well"
        third = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})
        assert (await third("GET", "/v3/users")).status == 200
        with pytest.raises(KeyNotFound):
            await ring.withdraw(now, primary)
        # the secrets are nowhere in the open
        rows = await cloud.store.read(lambda tx: tx.rows(shared_keys.select()))
        known = await ring.refresh()
        assert {row.id for row in rows} == known.secrets.keys()
        for row in rows:
            assert known.secrets[row.id].hex() not in row.sealed and len(row.sealed) > 64

    tell(story)


def test_old_keys_go_when_their_tokens_have_ended(quick):
    async def story(cloud: Cloud) -> None:
        ring = cloud.identity.rings[0]
        for _ in range(4):
            await _rotate(cloud, ring)
        assert len((await ring.refresh()).keys) == 6
        cloud.clock.advance(LIFETIME.total_seconds() + 60)
        assert len((await _rotate(cloud, ring)).keys) == 3

    quick(story)


def test_two_servers_on_one_database_know_at_once(url, tell, tmp_path):
    if url.startswith("sqlite"):
        pytest.skip("a SQLite file has one server")

    async def story(cloud: Cloud) -> None:
        ring = cloud.identity.rings[0]
        async with _another(cloud, url, tmp_path) as there:
            there.token = cloud.admin.token
            assert (await there("GET", "/v3/users")).status == 200
            await _rotate(cloud, ring)
            new = await cloud.as_("admin", {"project": {"name": "admin", "domain": {"name": "Default"}}})
            for token in (cloud.admin.token, new.token):
                there.token = token
                assert (await there("GET", "/v3/users")).status == 200, (
                    "sealed with a key that it has to read"
                )
            leaked = next(one.id for one in (await ring.refresh()).keys if one.state == "primary")
            await ring.withdraw(system_context(cloud.clock.now()), leaked)
            cloud.anyone, here = there, cloud.anyone
            token = (await cloud.login()).token
            cloud.anyone = here
            new_client = Client(cloud.app, token)
            assert (await new_client("GET", "/v3/auth/projects")).status == 200, (
                "a server that has not heard of the withdrawal yet seals with no withdrawn key"
            )
            assert (await there("GET", "/v3/users")).status == 401, "with the next request"
            there.token = cloud.admin.token
            assert (await there("GET", "/v3/users")).status == 200
        # a server that starts knows them, and what it seals is good elsewhere
        async with _another(cloud, url, tmp_path) as later:
            cloud.anyone, here = later, cloud.anyone
            token = (await cloud.login()).token
            cloud.anyone = here
            assert (await Client(cloud.app, token)("GET", "/v3/auth/projects")).status == 200

    tell(story)


def test_credentials_are_sealed_anew_before_their_key_goes(tell):
    async def story(cloud: Cloud) -> None:
        ring = cloud.identity.rings[1]
        made = [
            await cloud.admin.make("credential", user_id="u", type="cert", blob=f"secret-{number}")
            for number in range(3)
        ]
        old = (await ring.refresh()).keys[0].id
        await _rotate(cloud, ring)
        with pytest.raises(NotMigrated):
            await _rotate(cloud, ring)
        with pytest.raises(KeyInUse):
            await ring.withdraw(system_context(cloud.clock.now()), old)
        ldap = {"url": "ldap://x", "password": "bind secret"}
        await cloud.admin("PUT", "/v3/domains/default/config", {"config": {"ldap": ldap}})
        late = await cloud.admin.make("credential", user_id="u", type="cert", blob="late")

        assert await ring.migrate(0) == 3, "what was made since is sealed with the new key"
        assert await ring.migrate(0) == 0
        await ring.withdraw(system_context(cloud.clock.now()), old)
        await _rotate(cloud, ring)
        shown = (await cloud.admin("GET", "/v3/credentials")).json["credentials"]
        assert {one["id"]: one["blob"] for one in shown} == {one["id"]: one["blob"] for one in [*made, late]}

    tell(story)


def test_another_key_file_takes_the_place_of_one_that_leaked(url, tell, tmp_path):
    async def story(cloud: Cloud) -> None:
        ring, file = cloud.identity.rings[0], tmp_path / "token-keys"
        with pytest.raises(NotInDatabase):
            await ring.rewrap()
        await _rotate(cloud, ring)
        token = await cloud.login()
        leaked = file.read_bytes()
        other = tmp_path / "other"
        other.mkdir()
        (other / "token-keys").write_bytes(leaked)
        ring.keys.stage()
        staged = ring.keys.staged_path
        assert staged.stat().st_mode & 0o777 == 0o600 and len(staged.read_bytes()) == 32
        (other / "token-keys.next").write_bytes(staged.read_bytes())

        assert await ring.rewrap() == 3
        assert not staged.exists() and file.read_bytes() != leaked
        await ring.refresh()
        assert (await Client(cloud.app, token.token)("GET", "/v3/auth/projects")).status == 200
        await _rotate(cloud, ring)

        def with_file(secret: bytes, tx: Tx) -> Ring:
            (tmp_path / "tried").write_bytes(secret)
            return ring_read(tx, TokenKeys(tmp_path / "tried"), "token")

        with pytest.raises(KeyFileMismatch):
            await cloud.store.read(lambda tx: with_file(leaked, tx))
        assert len((await cloud.store.read(lambda tx: with_file(file.read_bytes(), tx))).keys) == 4
        there = TokenKeys(other / "token-keys")
        assert len((await cloud.store.read(ring_read, there, "token")).keys) == 4
        assert not (other / "token-keys.next").exists(), "a server that has the staged file takes it over"
        assert (other / "token-keys").read_bytes() == file.read_bytes()

    tell(story)


def test_two_rotations_at_once_are_two(tell):
    async def story(cloud: Cloud) -> None:
        ring = cloud.identity.rings[0]
        now = system_context(cloud.clock.now())
        await asyncio.gather(*(ring.rotate(now, 3, LIFETIME) for _ in range(3)))
        states = _states(await ring.refresh())
        assert states == ["primary", *["secondary"] * 3, "staged"]

    tell(story)
