"""Figures of identity: log-ins and checks of tokens, and long lists, of a simulated cloud."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import select

from benchmarks.api import median
from benchmarks.cloud import Cloud
from benchmarks.table import Row
from pileus.core.clock import SystemClock
from pileus.core.context import system_context
from pileus.services.identity.auth.issuer import Issuer
from pileus.services.identity.passwords.kept_memory import KeptMemory
from pileus.services.identity.service import Identity, Seed
from pileus.services.identity.sessions.session import ScopeRequest, session_open
from pileus.services.identity.tables.users import users
from pileus.services.identity.tokens.payload import token_seal
from pileus.store import Store

USERS = 10_000
TOKENS = 60
CHECKS = 10_000
V3 = "/identity/v3"


ROLES, SERVICES = 50, 10
PASSWORD = "correct horse battery staple"


def measure() -> Iterator[Row]:
    """Tokens, and lists."""
    yield from _tokens()
    yield check_of_a_known_token()
    yield from _lists()


class Hash:
    """What one password costs in memory that is kept."""

    def __init__(self) -> None:
        self._memory = KeptMemory()
        self._encoded = self._memory.hash(PASSWORD)

    def once_ms(self) -> float:
        """Verify the password once."""
        begun = time.perf_counter()
        assert self._memory.verify(self._encoded, PASSWORD)
        return (time.perf_counter() - begun) * 1e3


def _tokens() -> Iterator[Row]:
    """A password to a token with 50 roles and a catalog of 30 endpoints; what of it is the hash."""
    with Cloud("--simulated") as cloud:
        client = cloud.client()
        project = client.call("POST", f"{V3}/projects", {"project": {"name": "many"}})["project"]["id"]
        wanted = {"user": {"name": "ann", "password": PASSWORD}}
        user = client.call("POST", f"{V3}/users", wanted)["user"]["id"]
        for number in range(ROLES):
            role = client.call("POST", f"{V3}/roles", {"role": {"name": f"role-{number}"}})["role"]["id"]
            client.call("PUT", f"{V3}/projects/{project}/users/{user}/roles/{role}")
        for number in range(SERVICES - len(client.call("GET", f"{V3}/services")["services"])):
            service = client.call("POST", f"{V3}/services", {"service": {"type": f"type-{number}"}})
            for interface in ("public", "internal", "admin"):
                endpoint = {
                    "service_id": service["service"]["id"],
                    "interface": interface,
                    "region_id": "RegionOne",
                    "url": "http://127.0.0.1/v1/%(project_id)s",
                }
                client.call("POST", f"{V3}/endpoints", {"endpoint": endpoint})
        who = {"id": user, "password": PASSWORD}
        identity = {"methods": ["password"], "password": {"user": who}}
        body = {"auth": {"identity": identity, "scope": {"project": {"id": project}}}}
        client.raw("POST", f"{V3}/auth/tokens", json.dumps(body).encode())
        identity = {"methods": ["token"], "token": {"id": client.headers["x-subject-token"]}}
        again = {"auth": {"identity": identity, "scope": {"project": {"id": project}}}}
        hashing = Hash()
        # In turns: what a hash costs changes with the machine's other work, by a third within a minute.
        several = [
            (
                client.timed("POST", f"{V3}/auth/tokens", body),
                hashing.once_ms(),
                client.timed("POST", f"{V3}/auth/tokens", again),
            )
            for _ in range(TOKENS)
        ]
        whole, hashed, rest = (statistics.median(one) for one in zip(*several, strict=True))
        yield Row(f"password to token, {ROLES} roles, 30 endpoints", whole, "ms", None, 25, floor=hashed)
        yield Row("the same by a token: no hash", rest, "ms", None, 3)


def check_of_a_known_token() -> Row:
    """What it takes to know the caller by a token that came before: no statement."""

    async def main() -> float:
        with tempfile.TemporaryDirectory() as folder:
            clock = SystemClock()
            store = await Store.open(f"sqlite:///{folder}/cloud.sqlite")
            identity = Identity(store, Path(folder) / "keys", clock=clock)
            await identity.seed(system_context(clock.now()), Seed(endpoints=(), password_hash=None))
            user_id = await store.read(lambda tx: tx.scalar(select(users.c.id)))
            session = await store.read(session_open, clock.now(), user_id, ScopeRequest())
            issuer = Issuer(identity.authenticator, dt.timedelta(hours=1))
            text = token_seal(identity.keys, issuer.token(clock.now(), session, ("password",)))
            await identity.authenticator(text)
            begun = time.perf_counter()
            for _ in range(CHECKS):
                await identity.authenticator(text)
            spent = time.perf_counter() - begun
            await identity.close()
            await store.close()
            return spent * 1e3 / CHECKS

    return Row("check of a token that was seen before", asyncio.run(main()), "ms", None, 0.1)


def _lists() -> Iterator[Row]:
    """A list of all users, and a page of those whose names hold a text."""
    with Cloud("--simulated") as cloud:
        client = cloud.client()
        for number in range(USERS - 1):
            client.call("POST", "/identity/v3/users", {"user": {"name": f"user-{number}"}})
        for what, query in (("list", ""), ("list by a part of the name", "?name__contains=user-99")):
            yield Row(
                f"{USERS} users: {what}",
                median(10, partial(client.timed, "GET", f"/identity/v3/users{query}")),
                "ms", None, 120,
            )  # fmt: skip
