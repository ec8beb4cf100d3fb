"""The directories of this process: which domains have one, and calls to them in threads of their own.

A server that is slow or dead holds ``AT_ONCE`` threads and whoever waits for that domain, and nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.common.generation import SCOPE
from pileus.services.identity.directory.errors import DirectoryUnavailable
from pileus.services.identity.directory.work import (
    directories_read,
    login_sync,
    members_sync,
    people_sync,
    teams_sync,
)
from pileus.services.identity.rules.directory import Options, Person, Team, conditions_of
from pileus.services.identity.sessions.session import Account, ById, Key
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store import Published, Store
from pileus.web.request import Request

AT_ONCE = 4
WAIT_S = 10.0

T = TypeVar("T")


class _Directory:
    def __init__(self, options: Options) -> None:
        self.options = options
        self._threads = ThreadPoolExecutor(AT_ONCE, f"ldap-{options.domain_id[:8]}")
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def call(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work of this domain. Raises DirectoryUnavailable where too many wait already."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise DirectoryUnavailable(url=self.options["url"]) from None
        running = asyncio.get_running_loop().run_in_executor(self._threads, work, self.options, *arguments)
        running.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(running)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Directories:
    """All directories; ``keys`` open the passwords of their configurations."""

    def __init__(self, store: Store, keys: TokenKeys) -> None:
        self._store = store
        self._keys = keys
        self._known: dict[str, _Directory] | None = None
        self._changes = 0
        store.subscribe(self._published)

    async def of_domain(self, domain_id: str | None) -> _Directory | None:
        """The directory of a domain, if it has one."""
        return None if domain_id is None else (await self._all()).get(domain_id)

    async def any(self) -> bool:
        """Whether any domain has a directory."""
        return bool(await self._all())

    async def log_in(
        self, request: Request, key: Key, account: Account | None, password: str
    ) -> tuple[bool, Account | None]:
        """Whether this user is of a directory; and, where the password is right, his account as it is now.

        Raises Unauthorized for a wrong password, DirectoryUnavailable.
        """
        if account is not None and account.password_hash is not None:
            return False, account
        every = await self._all()
        if not every:
            return False, account
        directory = _meant(every, key, account)
        if directory is None:
            return False, account
        name = account.name if account is not None else getattr(key, "name", None)
        found = await directory.call(_log_in, name, password) if name is not None else None
        if found is None:
            raise Unauthorized(f"the directory of domain {directory.options.domain_id} takes no such log-in")
        person, teams = found
        domain_id = directory.options.domain_id
        return True, await request.write(login_sync, request.context, domain_id, person, teams)

    async def list_people(self, request: Request, domain_id: str) -> list[str] | None:
        """Find the users of a domain's directory that a list asks for, and write their rows: their ids, or
        None where the domain has no directory."""
        directory = await self.of_domain(domain_id)
        if directory is None:
            return None
        found = await directory.call(_people, conditions_of(directory.options, "user", request.query))
        await request.write(people_sync, request.context, domain_id, found)
        return [one.id for one in found]

    async def list_teams(self, request: Request, domain_id: str) -> list[str] | None:
        """The same of groups."""
        directory = await self.of_domain(domain_id)
        if directory is None:
            return None
        found = await directory.call(_teams, conditions_of(directory.options, "group", request.query))
        await request.write(teams_sync, request.context, domain_id, found)
        return [one.id for one in found]

    async def read_members(self, request: Request, group: Mapping[str, Any]) -> None:
        """Write who is in a group of a directory now; nothing for a group of another domain."""
        directory = await self.of_domain(group["domain_id"])
        if directory is not None:
            found = await directory.call(_members, group["id"], group["name"])
            await request.write(members_sync, request.context, group["domain_id"], group["id"], found or [])

    def close(self) -> None:
        """Let the threads go."""
        for directory in (self._known or {}).values():
            directory.close()
        self._known = None

    async def _all(self) -> dict[str, _Directory]:
        if self._known is None:
            changes = self._changes
            options = await self._store.read(directories_read, self._keys)
            made = {key: _Directory(one) for key, one in options.items()}
            if changes != self._changes:  # they changed while they were read
                return made
            self._known = made
        return self._known

    def _published(self, published: Published) -> None:
        if SCOPE not in published.scopes and published.events:
            return
        kinds = ("domain_config.", "domain.")
        if not published.events or any(one.kind.startswith(kinds) for one in published.events):
            self._changes += 1
            self.close()


def _log_in(options: Options, name: str, password: str) -> tuple[Person, list[Team]] | None:
    from pileus.services.identity.directory import client

    return client.log_in(options, name, password)


def _people(options: Options, conditions: list[tuple[str, str, str]]) -> list[Person]:
    from pileus.services.identity.directory import client

    return client.people(options, conditions)


def _teams(options: Options, conditions: list[tuple[str, str, str]]) -> list[Team]:
    from pileus.services.identity.directory import client

    return client.teams(options, conditions)


def _members(options: Options, group_id: str, group_name: str) -> list[Person] | None:
    from pileus.services.identity.directory import client

    return client.members(options, group_id, group_name)


def _meant(every: dict[str, _Directory], key: Key, account: Account | None) -> _Directory | None:
    if account is not None:
        return every.get(account.domain_id)
    if isinstance(key, ById):
        return None
    if key.domain_id is not None:
        return every.get(key.domain_id)
    return next((one for one in every.values() if one.options.domain_name == key.domain_name), None)
