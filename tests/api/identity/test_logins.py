"""Many log-ins at once, wrong ones, and the rules for passwords."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, PASSWORD, Cloud, run

from pileus.services.identity.passwords.hashing import HashingLimits, TooManyLogins
from pileus.services.identity.rules.fair_queue import Origin
from pileus.services.identity.rules.passwords import Lockout
from pileus.services.identity.service import BadPasswordSetting, IdentitySettings


class Door:
    """Speaks to the app from addresses of its own, and may hang up."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def login(
        self,
        address: str,
        name: str = "admin",
        password: str = "wrong",
        leaves: asyncio.Event | None = None,
    ) -> tuple[int, dict[str, str]]:
        """The status (0 where nothing was answered) and the headers."""
        user = {"name": name, "domain": {"id": DEFAULT}, "password": password}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}}
        body = [{"type": "http.request", "body": json.dumps({"auth": auth}).encode()}]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await (leaves or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": "/identity/v3/auth/tokens",
            "query_string": b"",
            "headers": [(b"host", b"cloud")],
            "client": (address, 1),
        }
        await self.cloud.app(scope, receive, send)
        if not sent:
            return 0, {}
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers


class Held:
    """Holds argon2's work back, in one thread as on a small machine, until ``release``; tells which was done.

    How many requests come to the queue while one hash is made is a matter of the machine, so stories say it.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.done: list[str] = []
        self.arrived = 0
        self._released = threading.Event()
        self.passwords = cloud.identity.passwords
        self._right, self._add = self.passwords._matches, self.passwords._queue.add
        self.passwords._matches = self._matches  # type: ignore[method-assign]
        self.passwords._queue.add = self._count  # type: ignore[method-assign]
        self.passwords._workers = 1

    def _matches(self, encoded: str | None, password: str) -> bool:
        self._released.wait()
        self.done.append(password)
        return self._right(encoded, password)

    def _count(self, origin: Origin, item: Any) -> Any:
        self.arrived += 1
        return self._add(origin, item)

    async def come(self, number: int) -> None:
        """Return when that many have come to the queue, those it has refused included."""
        while self.arrived < number:
            await asyncio.sleep(0.001)

    def release(self) -> None:
        self._released.set()


@contextlib.contextmanager
def held(cloud: Cloud) -> Iterator[Held]:
    """Hold hashes back, at the longest until the end."""
    one = Held(cloud)
    try:
        yield one
    finally:
        one.release()


def test_a_right_log_in_waits_for_few_of_anothers_wrong_ones(quick):
    async def story(cloud: Cloud) -> None:
        door = Door(cloud)
        with held(cloud) as hashes:
            wrong = [asyncio.ensure_future(door.login("192.0.2.1")) for _ in range(60)]
            await hashes.come(60)
            right = asyncio.ensure_future(door.login("192.0.2.2", password=PASSWORD))
            await hashes.come(61)
            hashes.release()
            status, _ = await right
        assert status == 201
        assert hashes.done.index(PASSWORD) <= 2, "it had a turn among them"
        for one in wrong:
            one.cancel()

    quick(story)


def test_a_clients_guesses_at_one_user_keep_no_other_user_waiting(quick):
    async def story(cloud: Cloud) -> None:
        door = Door(cloud)
        with held(cloud) as hashes:
            wrong = [asyncio.ensure_future(door.login("192.0.2.1", "victim")) for _ in range(60)]
            await hashes.come(60)
            right = asyncio.ensure_future(door.login("192.0.2.1", password=PASSWORD))
            await hashes.come(61)
            hashes.release()
            status, _ = await right
        assert status == 201
        assert hashes.done.index(PASSWORD) <= 2
        for one in wrong:
            one.cancel()

    quick(story)


def test_too_many_are_told_to_come_again(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        door = Door(cloud)
        groups = (
            ["192.0.2.1"] * 30,
            [f"2001:db8::{number}" for number in range(1, 20)],
            [f"198.51.100.{number}" for number in range(40)],
        )
        with held(cloud) as hashes:
            asked, number = [], 0
            for group in groups:
                asked.append([asyncio.ensure_future(door.login(address)) for address in group])
                number += len(group)
                await hashes.come(number)
            hashes.release()
            own, site, many = [await asyncio.gather(*several) for several in asked]
        # A client has a share of eight; when all is full, those with most make room for the others.
        assert tally(own) == {401: 2, 429: 28}, "one was being hashed"
        assert tally(site) == {401: 1, 429: 18}, "a site is one client"
        assert tally(many) == {401: 22, 503: 18}
        for status, headers in (*own, *site, *many):
            assert (status == 401) != ("retry-after" in headers)
            assert status == 401 or int(headers["retry-after"]) >= 1
        assert (await door.login("192.0.2.1", password=PASSWORD))[0] == 201

    settings = IdentitySettings(hashing=HashingLimits(waiting=24, waiting_of_one=8))
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def tally(answers: list[tuple[int, dict[str, str]]]) -> dict[int, int]:
    """How many answers have which status."""
    return dict(Counter(status for status, _ in answers))


def test_what_nobody_waits_for_is_not_hashed(quick):
    async def story(cloud: Cloud) -> None:
        door, leaves = Door(cloud), asyncio.Event()
        with held(cloud) as hashes:
            gone = [
                asyncio.ensure_future(door.login("192.0.2.1", password=f"gone {number}", leaves=leaves))
                for number in range(40)
            ]
            await hashes.come(40)
            leaves.set()
            assert {status for status, _ in await asyncio.gather(*gone)} == {0}
            assert len(cloud.identity.passwords._queue) == 0
        assert (await door.login("192.0.2.1", password=PASSWORD))[0] == 201
        assert len(hashes.done) == 2, "the one that was being hashed, and this"

    quick(story)


def test_a_cancelled_hash_leaves_the_queue(quick):
    async def story(cloud: Cloud) -> None:
        passwords = cloud.identity.passwords
        origin = Origin("192.0.2.1", "u")
        waiting = [asyncio.ensure_future(passwords.hash("x", origin)) for _ in range(20)]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert len(passwords._queue) == 0

    quick(story)


def test_the_refusal_says_when(quick):
    async def story(cloud: Cloud) -> None:
        passwords = cloud.identity.passwords
        passwords._workers = 0
        waiting = [asyncio.ensure_future(passwords.hash("x", Origin("a", "u"))) for _ in range(128)]
        await asyncio.sleep(0)
        passwords._workers = 1
        with pytest.raises(TooManyLogins) as refused:
            await passwords.hash("x", Origin("a", "u"))
        assert (refused.value.retry_after_s or 0) >= 1
        for one in waiting:
            one.cancel()

    quick(story)


@pytest.mark.parametrize("duration_s", [600, 0])
def test_a_user_is_locked_out_and_let_in_again(tmp_path: Path, duration_s: int):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)

        async def tries(password: str) -> int:
            return (await cloud.login("ann", password)).status

        for _ in range(2):
            assert await tries("wrong") == 401
        assert await tries(PASSWORD) == 201, "which forgets the failures"
        for _ in range(3):
            assert await tries("wrong") == 401
        locked, unknown = await cloud.login("ann", PASSWORD), await cloud.login("nobody", PASSWORD)
        assert locked.status == 401 and locked.body == unknown.body
        change = {"user": {"password": "other", "original_password": PASSWORD}}
        path = f"/v3/users/{user['id']}/password"
        assert (await cloud.anyone("POST", path, change)).status == 401
        cloud.clock.advance(599)
        assert await tries(PASSWORD) == 401 and await tries("wrong") == 401
        cloud.clock.advance(2)
        if not duration_s:
            assert await tries(PASSWORD) == 401
            enabled = await cloud.admin("PATCH", f"/v3/users/{user['id']}", {"user": {"enabled": True}})
            assert enabled.status == 200
        assert await tries(PASSWORD) == 201
        for _ in range(3):
            change = {"user": {"password": "other", "original_password": "wrong"}}
            assert (await cloud.anyone("POST", path, change)).status == 401
        assert await tries(PASSWORD) == 401

    settings = IdentitySettings(lockout=Lockout(3, duration_s))
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_guesses_at_once_are_no_more_than_those_one_after_the_other(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        await cloud.admin.make("user", name="ann", password=PASSWORD)
        door = Door(cloud)
        with held(cloud) as hashes:
            logins = [
                asyncio.ensure_future(door.login("192.0.2.1", "ann", f"guess {number}"))
                for number in range(6)
            ]
            await hashes.come(6)
            logins.append(asyncio.ensure_future(door.login("192.0.2.1", "ann", PASSWORD)))
            await hashes.come(7)
            hashes.release()
            answers = await asyncio.gather(*logins)
        assert [status for status, _ in answers] == [401] * 7

    settings = IdentitySettings(lockout=Lockout(3))
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_new_passwords_fit_the_expression(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        refused = await cloud.admin("POST", "/v3/users", {"user": {"name": "ann", "password": "short"}})
        wanted = "The password does not match the requirements: seven characters, one of them a number."
        assert refused.status == 400 and refused.message == wanted
        user = await cloud.admin.make("user", name="ann", password="longer than 7")
        path = f"/v3/users/{user['id']}"
        changed = await cloud.admin("PATCH", path, {"user": {"password": "nothing"}})
        assert changed.status == 400 and changed.message == wanted
        for new, status in (("nothing", 400), ("a number 1", 204)):
            body = {"user": {"password": new, "original_password": "longer than 7"}}
            assert (await cloud.anyone("POST", f"{path}/password", body)).status == status
        body = {"user": {"password": "x", "original_password": "wrong"}}
        assert (await cloud.anyone("POST", f"{path}/password", body)).status == 401, "nothing is told first"

    settings = IdentitySettings(
        password_regex=r"^(?=.*\d).{7,}$",
        password_regex_description="seven characters, one of them a number",
    )
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)


def test_an_expression_that_can_not_be_used_is_told_at_the_start(tmp_path: Path):
    async def story(cloud: Cloud) -> None:
        raise AssertionError

    with pytest.raises(BadPasswordSetting, match="password_regex"):
        run(f"sqlite:///{tmp_path}/c.sqlite", tmp_path, story, IdentitySettings(password_regex="(a)\\1"))
