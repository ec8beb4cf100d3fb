"""Find who signed a request with EC2 keys that are kept here, and what he may do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pileus.core.context import Context
from pileus.core.errors import Forbidden, NotFound
from pileus.services.identity.auth.admission import require_active
from pileus.services.identity.auth.issuer import Issuer, require_use
from pileus.services.identity.catalog.catalog import CatalogRow
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.credentials.resource import EC2, ec2_blob, ec2_id
from pileus.services.identity.credentials.work import credentials_read
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.rules.signatures import BadSignature
from pileus.services.identity.sessions.session import Account, ById, ScopeRequest, Session
from pileus.services.identity.sessions.trusts import Trust, trust_pedigree
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.payload import Token
from pileus.store.tx import Tx
from pileus.web.request import Request

METHOD = "ec2credential"


class AccessKeyNotFound(NotFound):
    """There is no such access key (404)."""

    message = "EC2 access key not found."


class Ec2TokenRefused(Forbidden):
    """The caller's token is one for a signature (403)."""

    message = (
        "You are not authorized to perform the requested action: EC2 credential tokens cannot be used for "
        "authorization."
    )


def refuse_ec2_tokens(context: Context) -> None:
    """Raise Ec2TokenRefused: who has seen one signed request shall change nothing of its signer's account."""
    if METHOD in context.methods:
        raise Ec2TokenRefused


class Signers:
    """Gives tokens for signatures; ``keys`` open what credentials hold."""

    def __init__(self, issuer: Issuer, keys: TokenKeys, compliance: Compliance) -> None:
        self.issuer = issuer
        self._keys = keys
        self._compliance = compliance

    async def log_in(
        self, request: Request, access: str, verify: Callable[[str], None]
    ) -> tuple[Token, Session, Sequence[CatalogRow] | None]:
        """A token of the owner of an access key, with its session and catalog.

        ``verify`` is called with the secret and raises BadSignature. Raises AccessKeyNotFound, Unauthorized.
        """
        now = request.context.now
        found = await request.read(
            credentials_read, self._keys, [credentials.c.type == EC2], [ec2_id(access)]
        )
        if not found:
            raise AccessKeyNotFound
        credential, blob = found[0], ec2_blob(found[0]["blob"])
        _check(str(blob.get("secret") or ""), verify)
        scope = ScopeRequest("project", ById(credential["project_id"]), True)
        user_id, bound = credential["user_id"], str(blob.get("app_cred_id") or "")
        if blob.get("trust_id"):
            trust = await request.read(_find_trust, str(blob["trust_id"]))
            scope = ScopeRequest("trust", ById(trust.id), True)
            user_id = _trustee(trust, user_id)
        elif blob.get("access_token_id"):
            scope = ScopeRequest("oauth1", ById(str(blob["access_token_id"])), True)

        def admit(account: Account) -> None:
            require_active(now, self._compliance, account)

        session, catalog = await request.read(self.issuer.open, now, user_id, scope, bound, True, admit)
        if session.scope.id != credential["project_id"]:
            raise Unauthorized("the keys are not for the project of what they are bound to")
        await require_use(request, session)
        return self.issuer.token(now, session, (METHOD,)), session, catalog


def _check(secret: str, verify: Callable[[str], None]) -> None:
    """Raise Unauthorized for a signature that is not good."""
    try:
        if not secret:
            raise BadSignature("the credential has no secret")
        verify(secret)
    except BadSignature as reason:
        raise Unauthorized(str(reason)) from None


def _find_trust(tx: Tx, key: str) -> Trust:
    found = trust_pedigree(tx, key)
    if not found:
        raise Unauthorized(f"the trust {key} of the keys is gone")
    return found[0]


def _trustee(trust: Trust, user_id: str) -> str:
    """Who logs in with a user's keys that are bound to a trust. Raises Unauthorized for keys of others.

    With impersonation the keys are the trustor's, as all that is made with such a trust. What a blob says of
    a trust is the word of whoever wrote it.
    """
    owner = trust.trustor_user_id if trust.impersonation else trust.trustee_user_id
    if user_id != owner:
        raise Unauthorized(f"the keys of user {user_id} are bound to trust {trust.id} of others")
    return trust.trustee_user_id
