"""Authenticate tokens fast: sessions are remembered with their generation.

Where this process is the only server of its database (SQLite), commits are heard of before
their writers are answered, so the generation need not be read. Elsewhere it is read once a
request, by primary key.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

from pileus.core.clock import Clock
from pileus.core.context import Context
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.common.generation import SCOPE, generation_read, revision_of
from pileus.services.identity.sessions.session import Session, service_providers_read, session_read
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import Token, token_open, token_seal
from pileus.services.identity.tokens.ring import KeyRing
from pileus.store import Published, Store

REMEMBERED = 4096
"""Tokens whose sessions are remembered, some 3 KiB each; the least recently used goes first."""


class Authenticated(msgspec.Struct, frozen=True):
    """A token with its session, and the context of requests that have it; ``revision`` is that of the keys
    that opened it."""

    token: Token
    session: Session
    context: Context
    generation: int
    revision: int


class Authenticator:
    """Authenticates tokens; the web app calls it: ``await authenticator(text)``."""

    def __init__(self, store: Store, keys: TokenKeys, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self.ring = KeyRing(store, keys, "token")
        self._clock = clock
        self._known: OrderedDict[bytes, Authenticated] = OrderedDict()
        self._alone = store.dialect == "sqlite"
        self._generation: int | None = None
        self._turns = 0
        self._providers: tuple[int, tuple[dict[str, str], ...]] | None = None
        store.subscribe(self._published)

    async def __call__(self, text: str) -> Context:
        """The context of requests with this token. Raises Unauthorized."""
        return (await self.authenticate(text)).context

    async def authenticate(self, text: str) -> Authenticated:
        """Read the session of a token as it is now. Raises Unauthorized."""
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        generation = await self._keep_up()
        known = self._known.get(digest)
        until = None if known is None else known.session.groups_until
        left_group = until is not None and until <= self._clock.now()
        if known is None or known.generation != generation or left_group:
            known = await self._work_out(text, digest, known)
        else:
            self._known.move_to_end(digest)
        if known.token.expires_at <= self._clock.now():
            self._known.pop(digest, None)
            raise Unauthorized("the token has expired")
        return known

    async def seal(self, token: Token) -> str:
        """The text of a token, sealed with a key that is still good on every server."""
        await self._keep_up()
        return token_seal(self._keys, token)

    async def service_providers(self) -> tuple[dict[str, str], ...]:
        """The enabled service providers, as tokens name them; read once in a generation."""
        generation = self._generation
        if generation is None:
            generation = await self._read_generation()
        if self._providers is None or self._providers[0] != generation:
            self._providers = generation, await self._store.read(service_providers_read)
        return self._providers[1]

    async def _keep_up(self) -> int:
        """Read the keys anew if they have changed; returns the present generation."""
        generation = self._generation
        if generation is None or not self._alone:
            generation = await self._read_generation()
        if revision_of(generation) != self._keys.revision:
            await self.ring.refresh()
        return generation

    async def _work_out(self, text: str, digest: bytes, before: Authenticated | None) -> Authenticated:
        while True:
            revision = self._keys.revision
            opened = before is not None and before.revision == revision
            token = before.token if before is not None and opened else token_open(self._keys, text)
            try:
                if token is None:
                    raise Unauthorized("the token is none of ours")
                generation, session = await self._store.read(session_read, token, self._clock.now())
            except Unauthorized:
                self._known.pop(digest, None)
                raise
            if revision_of(generation) == revision:
                break
            await self.ring.refresh()  # keys changed meanwhile: perhaps this one's was withdrawn
        found = Authenticated(token, session, _context(token, session, self._clock), generation, revision)
        self._known[digest] = found
        self._known.move_to_end(digest)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _read_generation(self) -> int:
        turns = self._turns
        generation = await self._store.read(generation_read)
        if turns == self._turns:  # else a commit came between: what was read may be old already
            self._generation = generation
        return generation

    def _published(self, published: Published) -> None:
        if SCOPE in published.scopes or not published.events:
            self._turns += 1
            self._generation = None


def _context(token: Token, session: Session, clock: Clock) -> Context:
    """The context of requests with a token, which knows how it was had and what has to come with it."""
    context = session.context(clock.now())
    return msgspec.structs.replace(context, certificate=token.certificate, methods=token.methods)
