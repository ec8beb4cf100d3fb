"""Issue tokens for sessions, and make replies of them."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from pileus.services.identity.auth.view import token_view
from pileus.services.identity.catalog.catalog import CatalogRow, catalog_rows
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.session import Admit, ScopeRequest, Session, session_open
from pileus.services.identity.sessions.trusts import trust_consume
from pileus.services.identity.tokens.payload import Token, new_audit_id, token_chain
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request

VARY = (b"vary", b"X-Auth-Token")

ISSUED: ContextVar[list[Token] | None] = ContextVar("issued", default=None)
"""Where whoever watches a log-in gets to know the token that it gave, whatever form its reply has."""


class Issuer:
    """Issues tokens; ``lifetime`` is that of a token that was not made from another."""

    def __init__(
        self, authenticator: Authenticator, lifetime: dt.timedelta, *, unfiltered_catalogs: bool = True
    ) -> None:
        self._authenticator = authenticator
        self._unfiltered = unfiltered_catalogs
        self._lifetime = lifetime

    def token(
        self,
        now: dt.datetime,
        session: Session,
        methods: tuple[str, ...],
        parent: Token | None = None,
        *,
        shown_by: tuple[str, str] = ("", ""),
        certificate: str = "",
    ) -> Token:
        """A token for the session. It ends when ``parent`` does, from which it was made, and never later
        than the application credential, trust or OAuth access token that it is for. ``shown_by`` are the
        identity provider and protocol that showed the user, ``certificate`` what it is bound to. Raises
        Unauthorized at the end of a long chain."""
        own = new_audit_id(secrets.token_bytes(16))
        between: tuple[str, ...] = ()
        credential, trust = session.credential, session.trust
        if parent is None:
            expires_at = (now + self._lifetime).replace(microsecond=0)
            audit_ids: tuple[str, ...] = (own,)
        else:
            expires_at = parent.expires_at
            chain = token_chain(parent)
            if chain is None:
                raise Unauthorized("too many tokens were made from each other")
            first, between = chain
            audit_ids = (own, first)
            methods = tuple(dict.fromkeys((*parent.methods, *methods)))
        for bound in (credential, trust, session.access):
            if bound is not None and bound.expires_at is not None:
                expires_at = min(expires_at, bound.expires_at)
        token = Token(
            user_id=session.holder_id,
            scope=session.scope,
            methods=methods,
            issued_at=now,
            expires_at=expires_at,
            audit_ids=audit_ids,
            credential_id=credential.id if credential is not None else "",
            between=between,
            trust_id=trust.id if trust is not None else "",
            access_token_id=session.access.id if session.access is not None else "",
            idp_id=shown_by[0] if parent is None else parent.idp_id,
            protocol_id=shown_by[1] if parent is None else parent.protocol_id,
            certificate=certificate if parent is None else parent.certificate,
        )
        if (issued := ISSUED.get()) is not None:
            issued.append(token)
        return token

    async def reply(
        self, token: Token, session: Session, catalog: Sequence[CatalogRow] | None, status: int
    ) -> Reply:
        """A new token with its document."""
        return await self.document(token, session, catalog, await self.seal(token), status)

    async def document(
        self, token: Token, session: Session, catalog: Sequence[CatalogRow] | None, text: str, status: int
    ) -> Reply:
        """A token's document; ``text`` is the token itself."""
        view = await self.view(token, session, catalog)
        return Reply.json({"token": view}, status, [VARY]).header("x-subject-token", text)

    async def view(
        self, token: Token, session: Session, catalog: Sequence[CatalogRow] | None
    ) -> dict[str, Any]:
        """A token as the API shows it."""
        providers = await self._authenticator.service_providers()
        return token_view(token, session, catalog, providers)

    def open(
        self,
        tx: Tx,
        now: dt.datetime,
        user_id: str,
        scope: ScopeRequest,
        credential_id: str,
        wanted: bool,
        admit: Admit | None = None,
    ) -> tuple[Session, tuple[CatalogRow, ...] | None]:
        """Open the session of an authenticated user, with the catalog where it is ``wanted`` and shown."""
        session = session_open(tx, now, user_id, scope, credential_id, admit)
        if not wanted or session.scope.kind == "unscoped":
            return session, None
        return session, self.catalog(tx, session)

    def catalog(self, tx: Tx, session: Session) -> tuple[CatalogRow, ...]:
        """The catalog of a session."""
        return catalog_rows(tx, project_of(session), unfiltered=self._unfiltered)

    async def seal(self, token: Token) -> str:
        """The text of a new token."""
        return await self._authenticator.seal(token)


def project_of(session: Session) -> str | None:
    """The project whose catalog a session has."""
    return session.scope.id if session.scope.kind == "project" else None


async def require_use(request: Request, session: Session) -> None:
    """Count one use of a trust that has so many. Raises TrustUseLimitReached where it was the last one's."""
    if session.trust is not None and session.trust.remaining_uses is not None:
        await request.write(trust_consume, session.trust.id)
