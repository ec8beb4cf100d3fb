"""The directories of this process: which domains have one, and calls to them in threads of their own.

A server that is slow or dead holds the threads of its domain and whoever waits for that domain, and nobody
else. A domain has as many threads as connections (``pool_size``), or ``AT_ONCE`` without a pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.core.errors import Fault
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.common.generation import SCOPE
from pileus.services.identity.directory.errors import DirectoryUnavailable, SizeLimitExceeded
from pileus.services.identity.directory.gone import (
    Mapped,
    Wanted,
    everybody_sync,
    found_again_sync,
    mapped_delete,
    mapped_read,
    unmapped_there,
)
from pileus.services.identity.directory.work import (
    directories_read,
    login_sync,
    members_sync,
    people_sync,
    teams_sync,
)
from pileus.services.identity.rules.directory import Options, conditions_of
from pileus.services.identity.sessions.session import Account, ById, Key
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store import Published, Store
from pileus.web.request import Request

if TYPE_CHECKING:  # it imports a library that a cloud without directories does without
    from pileus.services.identity.directory.client import Directory

AT_ONCE = 4
MOST_AT_ONCE = 32
WAIT_S = 10.0

T = TypeVar("T")

_log = log.get("identity")


class _Domain:
    """The directory of a domain and its threads."""

    def __init__(self, options: Options) -> None:
        self.options = options
        pooled = options.flag("use_pool")
        count = min(max(options.number("pool_size"), 1), MOST_AT_ONCE) if pooled else AT_ONCE
        self._threads = ThreadPoolExecutor(count, f"ldap-{options.domain_id[:8]}")
        self._turns = asyncio.Semaphore(count)
        self._lock = threading.Lock()
        self._made: Directory | None = None
        self._closed = False

    async def call(self, work: Callable[[Directory], T]) -> T:
        """Run blocking work of this domain. Raises DirectoryUnavailable where too many wait already."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            raise DirectoryUnavailable(url=self.options["url"]) from None
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)
        except RuntimeError:  # closed: the configuration has just changed
            self._turns.release()
            raise DirectoryUnavailable(url=self.options["url"]) from None
        running.add_done_callback(lambda _: self._turns.release())
        return await asyncio.shield(running)

    def _run(self, work: Callable[[Directory], T]) -> T:
        with self._lock:
            if self._made is None:
                from pileus.services.identity.directory.client import Directory

                self._made = Directory(self.options)
            directory = self._made
            if self._closed:
                directory.close()
        return work(directory)

    def close(self) -> None:
        """Let the threads go, and close the connections; calls that are under way go on to their end."""
        with self._lock:
            self._closed = True
            if self._made is not None:
                self._made.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class Directories:
    """All directories; ``keys`` open the passwords of their configurations."""

    def __init__(self, store: Store, keys: TokenKeys) -> None:
        self._store = store
        self._keys = keys
        self._known: dict[str, _Domain] | None = None
        self._changes = 0
        self._reading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        store.subscribe(self._published)

    async def of_domain(self, domain_id: str | None) -> _Domain | None:
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
        if name is None:
            raise Unauthorized(f"no such user: {key}")
        found = await directory.call(lambda it: it.log_in(name, password))
        if found is None:
            raise Unauthorized(f"the directory of domain {directory.options.domain_id} takes no such log-in")
        person, teams = found
        domain_id = directory.options.domain_id
        expected = key.id if isinstance(key, ById) else None
        return True, await request.write(login_sync, request.context, domain_id, person, teams, expected)

    async def list_people(self, request: Request, domain_id: str) -> list[str] | None:
        """Find the users of a domain's directory that a list asks for, and write their rows: their ids, or
        None where the domain has no directory."""
        directory = await self.of_domain(domain_id)
        if directory is None:
            return None
        conditions = conditions_of(directory.options, "user", request.query)
        found = await directory.call(lambda it: it.people(conditions))
        ids = await request.write(people_sync, request.context, domain_id, found)
        return [*ids.values()]

    async def list_teams(self, request: Request, domain_id: str) -> list[str] | None:
        """The same of groups."""
        directory = await self.of_domain(domain_id)
        if directory is None:
            return None
        conditions = conditions_of(directory.options, "group", request.query)
        found = await directory.call(lambda it: it.teams(conditions))
        ids = await request.write(teams_sync, request.context, domain_id, found)
        return [*ids.values()]

    async def read_members(self, request: Request, group: Mapping[str, Any]) -> None:
        """Write who is in a group of a directory now; nothing for a group of another domain."""
        directory = await self.of_domain(group["domain_id"])
        if directory is not None:
            found = await directory.call(lambda it: it.members(group["id"], group["name"]))
            await request.write(members_sync, request.context, group["domain_id"], group["id"], found or [])

    async def look(self, context: Context, wanted: Wanted) -> set[str]:
        """Ask the directories for the users and groups meant, and write who is there and who is gone.

        Returns the domains that have one. Raises DirectoryUnavailable where one does not answer: nobody is
        gone because of that.
        """
        several: dict[str, list[Mapped]] = {}
        for one in await self._store.read(mapped_read, wanted):
            several.setdefault(one.domain_id, []).append(one)
        every = await self._all()
        meant = every.keys() if wanted.domain_id is None else every.keys() & {wanted.domain_id}
        if wanted.public_id is not None or wanted.local_id is not None:
            meant &= several.keys()
        for domain_id in sorted(meant):
            await self._look_into(context, every[domain_id], several.get(domain_id, []))
        return set(every)

    async def _look_into(self, context: Context, directory: _Domain, asked: Sequence[Mapped]) -> None:
        domain_id = directory.options.domain_id
        if await self._store.read(unmapped_there, domain_id):
            # users whom an earlier version wrote, without their ids there
            try:
                everybody = await directory.call(lambda it: it.everybody())
            except SizeLimitExceeded as error:
                _log.warning("not all users of a directory can be read", domain=domain_id, error=error.text)
            else:
                await self._store.write(everybody_sync, context, domain_id, everybody)
        asked = [one for one in asked if one.local_id is not None]
        if not asked:
            return
        user_ids = [one.local_id for one in asked if one.local_id is not None and one.type == "user"]
        group_ids = [one.local_id for one in asked if one.local_id is not None and one.type == "group"]
        people, teams = await directory.call(lambda it: it.found_again(user_ids, group_ids))
        await self._store.write(found_again_sync, context, domain_id, asked, people, teams)

    async def purge(
        self, context: Context, wanted: Wanted, *, even_present: bool
    ) -> tuple[list[Mapped], list[Mapped]]:
        """Delete the users and groups meant that are gone: those that were deleted, and those that were not.

        ``even_present`` deletes those too that are still there, or whose domain has no directory any more.
        Raises DirectoryUnavailable.
        """
        if not even_present:
            await self.look(context, wanted)
        found = await self._store.read(mapped_read, wanted)
        ended = [one for one in found if even_present or one.gone_at is not None]
        await self._store.write(mapped_delete, context, ended)
        return ended, [one for one in found if one not in ended]

    def start(self, clock: Clock, period_s: float) -> None:
        """Look who is gone now and then, until ``close``; never with a period of 0."""
        if period_s:
            self._looking = asyncio.create_task(self._look_again(clock, period_s), name="directories")

    async def _look_again(self, clock: Clock, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            for domain_id in sorted(await self._known_domains()):
                try:
                    await self.look(system_context(clock.now()), Wanted(domain_id=domain_id))
                except Fault as fault:
                    _log.warning("a directory could not be looked into", domain=domain_id, error=fault.text)
                except Exception:
                    _log.exception("a directory could not be looked into", domain=domain_id)

    async def _known_domains(self) -> list[str]:
        try:
            return [*await self._all()]
        except Exception:
            _log.exception("the directories could not be read")
            return []

    async def close(self) -> None:
        """Let the threads go."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._forget()

    def _forget(self) -> None:
        for directory in (self._known or {}).values():
            directory.close()
        self._known = None

    async def _all(self) -> dict[str, _Domain]:
        async with self._reading:  # those who ask at once get the same connections
            while self._known is None:
                changes = self._changes
                options = await self._store.read(directories_read, self._keys)
                if changes == self._changes:  # else they changed while they were read
                    self._known = {key: _Domain(one) for key, one in options.items()}
            return self._known

    def _published(self, published: Published) -> None:
        if SCOPE not in published.scopes and published.events:
            return
        kinds = ("domain_config.", "domain.")
        if not published.events or any(one.kind.startswith(kinds) for one in published.events):
            self._changes += 1
            self._forget()


def _meant(every: dict[str, _Domain], key: Key, account: Account | None) -> _Domain | None:
    if account is not None:
        return every.get(account.domain_id)
    if isinstance(key, ById):
        return None
    if key.domain_id is not None:
        return every.get(key.domain_id)
    return next((one for one in every.values() if one.options.domain_name == key.domain_name), None)
