"""Prefixes that nobody delegates, for a simulated node."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from pileus.drivers.delegation.spec import Asked


class SimulatedPrefixClients:
    """Gives at once what is asked for, of the prefix for documentation; who had one keeps it. ``released``
    has the keys that were given back."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.released: list[str] = []
        self._held: dict[str, str | None] = {}
        self._news: set[str] = set()
        self._woken = asyncio.Event()

    async def ask(self, wanted: Collection[Asked], served: Collection[str]) -> None:
        """See PrefixClients."""
        now = {one.key: one for one in wanted}
        for key in self.asked.keys() - now.keys():
            self._held.pop(key, None)
            if self.asked[key].owner in served:
                self.released.append(key)
        for key in now.keys() - self._held.keys():
            self.give(key, now[key].hint or _made_of(now[key]))
        self.asked = now

    def give(self, key: str, prefix: str | None) -> None:
        """As a server does that delegates another prefix, or none any more."""
        self._held[key] = prefix
        self._news.add(key)
        self._woken.set()

    def held(self) -> Mapping[str, str | None]:
        """See PrefixClients."""
        return self._held

    async def changed(self) -> Collection[str]:
        """See PrefixClients."""
        await self._woken.wait()
        self._woken.clear()
        news, self._news = self._news, set()
        return news

    def close(self) -> None:
        """See PrefixClients."""


def _made_of(one: Asked) -> str:
    number = one.association
    return f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64"
