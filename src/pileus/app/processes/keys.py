"""The keys of identity, as the controller may ask about them over the server's Unix socket."""

from __future__ import annotations

import datetime as dt
from calendar import timegm

import msgspec

from pileus.bus.endpoint import Administer
from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.services.identity.service import Identity
from pileus.services.identity.tokens.ring import KeyRing, Ring
from pileus.wire.keys import KeyFacts, KeyFileFacts, KeyFileQuestion, KeyList, KeyQuestion, Migrated

CREDENTIALS_NEEDED = dt.timedelta(hours=1)
"""A server that was cut off may go on sealing with the key that was primary; no longer than this."""


class KeyAdministration:
    """Lists, rotates and withdraws keys. ``active`` keys are kept; tokens live for ``lifetime``."""

    def __init__(self, identity: Identity, clock: Clock, active: int, lifetime: dt.timedelta) -> None:
        tokens, credentials = identity.rings
        self._rings: dict[str, tuple[KeyRing, dt.timedelta]] = {
            "token": (tokens, lifetime),
            "credential": (credentials, CREDENTIALS_NEEDED),
        }
        self._clock = clock
        self._active = active

    def answers(self) -> dict[str, tuple[type[msgspec.Struct], Administer]]:
        """The questions that the controller may ask."""
        return {
            "keys": (KeyQuestion, self.show),
            "keys_rotate": (KeyQuestion, self.rotate),
            "keys_withdraw": (KeyQuestion, self.withdraw),
            "keys_migrate": (KeyQuestion, self.migrate),
            "keys_rewrap": (KeyFileQuestion, self.rewrap),
        }

    async def show(self, asked: KeyQuestion) -> KeyList:
        """List the keys of a purpose."""
        ring, _ = self._rings[asked.purpose]
        return _facts(await ring.refresh())

    async def rotate(self, asked: KeyQuestion) -> KeyList:
        """Make the staged key primary."""
        ring, needed = self._rings[asked.purpose]
        return _facts(await ring.rotate(system_context(self._clock.now()), self._active, needed))

    async def withdraw(self, asked: KeyQuestion) -> KeyList:
        """Forget a key at once, on every server."""
        ring, _ = self._rings[asked.purpose]
        return _facts(await ring.withdraw(system_context(self._clock.now()), asked.key_id))

    async def migrate(self, _: KeyQuestion) -> Migrated:
        """Seal all credentials with the primary key."""
        ring, _needed = self._rings["credential"]
        return Migrated(await ring.migrate(timegm(self._clock.now().timetuple())))

    async def rewrap(self, asked: KeyFileQuestion) -> KeyFileFacts:
        """Seal the keys in the database with those of another file, or only make that file."""
        ring, _ = self._rings[asked.purpose]
        if asked.stage:
            ring.keys.stage()
            return KeyFileFacts(str(ring.keys.staged_path))
        count = await ring.rewrap()
        return KeyFileFacts(str(ring.keys.staged_path.with_suffix("")), count)


def _facts(ring: Ring) -> KeyList:
    order = {"primary": 0, "staged": 1, "secondary": 2}
    keys = sorted(ring.keys, key=lambda one: (order[one.state], one.retired_at or one.created_at))
    return KeyList(
        tuple(KeyFacts(one.id, one.state, _text(one.created_at), _text(one.retired_at)) for one in keys)
    )


def _text(moment: dt.datetime | None) -> str | None:
    if moment is None or moment.year == 1970:  # keys of the file have no time
        return None
    return moment.isoformat(timespec="seconds") + "Z"
