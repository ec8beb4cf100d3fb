"""Several methods together: whether what was shown is enough for the user, and a receipt where it is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from pileus.core.errors import Unauthenticated
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.rules.methods import methods_required, methods_suffice
from pileus.services.identity.sessions.session import Account
from pileus.services.identity.tokens.receipts import Receipt, receipt_open, receipt_seal
from pileus.services.identity.tokens.ring import KeyRing
from pileus.web.reply import Reply
from pileus.web.request import Request

HEADER = "openstack-auth-receipt"


class InsufficientAuthMethods(Unauthenticated):
    """The proofs so far are right, and the user has to give more (401, with a receipt)."""

    message = "Insufficient auth methods received for {user_id}. Auth Methods Provided: {methods}."

    def __init__(self, account: Account, methods: tuple[str, ...]) -> None:
        super().__init__(user_id=account.id, methods=f"[{','.join(methods)}]")
        self.account = account
        self.methods = methods


class Receipts:
    """Takes receipts and gives them, sealed with the keys of tokens; ``known`` are the methods that this
    cloud has."""

    def __init__(self, ring: KeyRing, lifetime: dt.timedelta, known: Collection[str]) -> None:
        self._ring = ring
        self._lifetime = lifetime
        self._known = known

    async def read(self, request: Request, user_id: str) -> Receipt | None:
        """The receipt that came with a request. Raises Unauthorized for one that is not good for the user."""
        text = request.header(HEADER)
        if text is None:
            return None
        receipt = await self._open(text)
        if receipt is None or receipt.user_id != user_id or receipt.expires_at <= request.context.now:
            raise Unauthorized("the receipt is none of ours, is another user's, or has ended")
        return receipt

    async def holder(self, request: Request) -> str | None:
        """Whose receipt came with a request; None where there is none of ours that has not ended."""
        text = request.header(HEADER)
        receipt = await self._open(text) if text is not None else None
        return None if receipt is None or receipt.expires_at <= request.context.now else receipt.user_id

    async def _open(self, text: str) -> Receipt | None:
        await self._ring.keep_up()  # a receipt comes before the token whose check would tell of other keys
        return receipt_open(self._ring.keys, text)

    def require(self, account: Account, shown: tuple[str, ...], receipt: Receipt | None) -> None:
        """Raise InsufficientAuthMethods, or Unauthorized where the user has changed since the receipt."""
        if receipt is not None and receipt.issued_at < account.tokens_after:
            raise Unauthorized(f"user {account.id} has changed since the receipt was issued")
        if not methods_suffice(account.options, shown, self._known):
            raise InsufficientAuthMethods(account, shown)

    async def reply(self, now: dt.datetime, insufficient: InsufficientAuthMethods) -> Reply:
        """The refusal, with a receipt for what was shown."""
        account, methods = insufficient.account, insufficient.methods
        receipt = Receipt(
            user_id=account.id,
            methods=methods,
            issued_at=now,
            expires_at=(now + self._lifetime).replace(microsecond=0),
        )
        body: dict[str, Any] = {
            "receipt": {
                "methods": list(methods),
                "user": {
                    "id": account.id,
                    "name": account.name,
                    "domain": {"id": account.domain_id, "name": account.domain_name},
                },
                "expires_at": _time(receipt.expires_at),
                "issued_at": _time(receipt.issued_at),
            },
            "required_auth_methods": methods_required(account.options, methods, self._known),
        }
        await self._ring.keep_up()
        return Reply.json(body, 401).header(HEADER, receipt_seal(self._ring.keys, receipt))


def _time(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"
