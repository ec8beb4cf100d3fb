"""``/v3/users/{id}/application_credentials``.

The owner alone makes one, for himself, in the project of his token. Who may see or delete one is
decided by its owner and not by the user that the path names, so that nobody reaches those of others
by naming himself.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

from pileus.core.errors import Forbidden
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.auth.authenticator import Authenticator
from pileus.services.identity.auth.session import Session
from pileus.services.identity.credentials.application import (
    APPLICATION_CREDENTIAL,
    ApplicationCredentialValidationError,
    application_credential_create,
    application_credential_delete,
    application_credentials,
    expiry_read,
)
from pileus.services.identity.declared import Noun, list_reply, reply_one, turn_of
from pileus.services.identity.passwords import Passwords
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show

SECRET_BYTES = 64


class DelegationForbidden(Forbidden):
    """A restricted application credential makes and ends no others (403)."""

    message = (
        "You are not authorized to perform the requested action: Using method 'application_credential' is "
        "not allowed for managing additional {what}."
    )


def require_unrestricted(session: Session, what: str) -> None:
    """Raise DelegationForbidden where the caller came with a restricted application credential."""
    if session.credential is not None and not session.credential.unrestricted:
        raise DelegationForbidden(what=what)


NOUN = Noun(
    resource=APPLICATION_CREDENTIAL,
    target=lambda values: {} if values is None else {"user_id": values["user_id"]},
)


class ApplicationCredentialHandlers:
    """The handlers; they ask the authenticator what the caller's own token is."""

    def __init__(self, authenticator: Authenticator, passwords: Passwords) -> None:
        self._authenticator = authenticator
        self._passwords = passwords

    async def list(self, request: Request) -> Reply:
        """GET …/application_credentials"""
        request.authorise(NOUN.rule("list"), {"user_id": request.path["id"]})
        listing = request.dialect.listing(request, APPLICATION_CREDENTIAL)
        his = application_credentials.c.user_id == request.path["id"]
        return await list_reply(request, NOUN, None, listing, [his])

    async def create(self, request: Request) -> Reply:
        """POST …/application_credentials: the secret is in this reply and nowhere else."""
        user_id = request.path["id"]
        request.authorise(NOUN.rule("create"), {"user_id": user_id})
        spec = self._read(request)
        session = await self._session(request)
        require_unrestricted(session, "application credentials")
        secret = spec.pop("secret") or _new_secret()
        spec |= {
            "user_id": user_id,
            "project_id": session.scope.id,
            "expires_at": expiry_read(spec["expires_at"], request.context.now),
            "secret_hash": await request.while_there(self._passwords.hash(secret, turn_of(request, user_id))),
        }
        held = frozenset(role.id for role in session.roles)
        made = await request.write(application_credential_create, request.context, spec, held)
        view: dict[str, Any] = show(request, APPLICATION_CREDENTIAL, [made])[0]
        return Reply.json({APPLICATION_CREDENTIAL.name: {**view, "secret": secret}}, 201)

    async def get(self, request: Request) -> Reply:
        """GET …/application_credentials/{credential_id}"""
        return reply_one(request, NOUN, await self._find(request, "get"))

    async def delete(self, request: Request) -> Reply:
        """DELETE …/application_credentials/{credential_id}"""
        found = await self._find(request, "delete")
        await request.write(application_credential_delete, request.context, found["user_id"], found["id"])
        return Reply.empty()

    async def _find(self, request: Request, action: str) -> Values:
        key = request.path["credential_id"]
        found = await request.read(fetch, APPLICATION_CREDENTIAL, [key])
        owner = found[0]["user_id"] if found else request.path["id"]
        request.authorise(NOUN.rule(action), {"user_id": owner})
        if action == "delete":
            require_unrestricted(await self._session(request), "application credentials")
        if not found:
            raise APPLICATION_CREDENTIAL.not_found(key)
        return found[0]

    async def _session(self, request: Request) -> Session:
        return (await self._authenticator.meaning(request.header("x-auth-token") or "")).session

    def _read(self, request: Request) -> Values:
        body = request.json()
        name = APPLICATION_CREDENTIAL.name
        if not isinstance(body, dict) or not isinstance(body.get(name), dict):
            raise request.dialect.no_object(APPLICATION_CREDENTIAL, body)
        # Keystone takes these two, and goes by the token and its own ids all the same.
        wanted = {key: value for key, value in body[name].items() if key not in ("id", "project_id")}
        spec = check_create(APPLICATION_CREDENTIAL, request.context, wanted)
        if spec.pop("access_rules"):
            raise ApplicationCredentialValidationError(detail="access rules are not supported")
        return spec


def _new_secret() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
