"""Leases that were given here, and what the server has not been told of them yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pileus.core import log
from pileus.core.clock import Clock
from pileus.host.isolation import reason
from pileus.host.l2.dhcp.answer import ENDED, RENEWED
from pileus.host.l2.dhcp.guests import Guest
from pileus.host.l2.dhcp.journal import Journal, Key
from pileus.wire.dhcp import LeaseChange

_log = log.get("host.l2.dhcp")

_TELL_EVERY_S = 1.0
_FOREVER = 0xFFFFFFFF
"""Seconds of a lease that has no end (RFC 2131, 3.3)."""
_AT_ONCE, _MOST_WAITING = 500, 10_000

Tell = Callable[[Sequence[LeaseChange]], Awaitable[None]]


class Leases:
    """They are kept for what is told only: whether a guest is answered does not depend on them. The journal
    knows them after a restart, so that those which ran out meanwhile are told to have ended then."""

    def __init__(self, clock: Clock, tell: Tell, journal: Journal) -> None:
        self._clock = clock
        self._tell = tell
        self._journal = journal
        self._held, self._news = journal.read()
        self._whose_is_known = False

    def became(self, guest: Guest, address: str, kind: str, lease_s: int) -> None:
        """A lease of a guest's was given, renewed or given back."""
        key = guest.network_id, address
        if kind == ENDED:
            if self._held.pop(key, None) is not None:
                self._note(key, guest.mac_address, ENDED, 0)
            return
        expires = 0 if lease_s >= _FOREVER else int(self._clock.now().timestamp()) + lease_s
        known = self._held.get(key)
        if known is not None and known[0] == guest.mac_address:
            kind = RENEWED
        self._held[key] = guest.mac_address, expires
        self._note(key, guest.mac_address, kind, expires)

    def keep(self, wanted: set[Key]) -> None:
        """Forget all others: their ports have gone, or have other addresses."""
        self._held = {key: held for key, held in self._held.items() if key in wanted}
        self._whose_is_known = True

    def forget(self) -> None:
        """Forget all of them, for good."""
        self._held, self._news = {}, []
        self._journal.remove()

    def _note(self, key: Key, mac: str, kind: str, expires: int) -> None:
        change = LeaseChange(key[0], kind, key[1], mac, expires)
        self._journal.note(change)
        self._news.append(change)
        if (many := len(self._news) - _MOST_WAITING) > 0:
            del self._news[:many]
            self._journal.told(many)

    async def report(self) -> None:
        """Tell what has happened, again and again."""
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            # Until the first pass is over, leases from before may be of ports that are elsewhere by now.
            if self._whose_is_known:
                self._end_those_that_ran_out()
            await self._tell_all()
            self._journal.shorten(self._held, self._news)

    def _end_those_that_ran_out(self) -> None:
        now = int(self._clock.now().timestamp())
        for key, (mac, expires) in list(self._held.items()):
            if 0 < expires <= now:
                del self._held[key]
                self._note(key, mac, ENDED, 0)

    async def _tell_all(self) -> None:
        while self._news:
            some = self._news[:_AT_ONCE]
            try:
                await self._tell(some)
            except Exception as error:
                _log.debug("leases are told later", why=reason(error))
                return
            # What was noted meanwhile came behind these, or has pushed some of them out.
            told = set(map(id, some))
            left = [one for one in self._news if id(one) not in told]
            self._journal.told(len(self._news) - len(left))
            self._news = left
