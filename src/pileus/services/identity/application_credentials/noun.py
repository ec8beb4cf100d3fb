"""``/v3/users/{id}/application_credentials``.

The owner alone makes one, for himself, in the project of his token. Who may see or delete one is
decided by its owner and not by the user that the path names, so that nobody reaches those of others
by naming himself.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.application_credentials.resource import APPLICATION_CREDENTIAL
from pileus.services.identity.application_credentials.work import (
    application_credential_create,
    application_credential_delete,
)
from pileus.services.identity.common.expiry import expiry_read
from pileus.services.identity.common.policy import NOT_DOMAINS, OWNER, OWNER_OR_READ, rules
from pileus.services.identity.passwords.check import origin_of
from pileus.services.identity.passwords.hashing import Passwords
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_own, require_unrestricted
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.tables.credentials import application_credentials
from pileus.store.tx import Tx
from pileus.web.crud import Crud, list_reply, shown_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import show

SECRET_BYTES = 64

_CRUD = Crud(resource=APPLICATION_CREDENTIAL)
_RULE = APPLICATION_CREDENTIAL.rule


class ApplicationCredentialHandlers:
    """The handlers; the authenticator tells the session of the caller's own token."""

    def __init__(self, authenticator: Authenticator, passwords: Passwords) -> None:
        self._authenticator = authenticator
        self._passwords = passwords

    async def list(self, request: Request) -> Reply:
        """GET …/application_credentials"""
        request.authorise(_RULE("list"), {"user_id": request.path["id"]})
        await self._session(request)
        return await list_reply(request, _CRUD, [application_credentials.c.user_id == request.path["id"]])

    async def create(self, request: Request) -> Reply:
        """POST …/application_credentials: the secret is in this reply and nowhere else."""
        user_id = request.path["id"]
        request.authorise(_RULE("create"), {"user_id": user_id})
        spec = self._read(request)
        session = await self._session(request)
        require_unrestricted(session, "application credentials")
        secret = spec.pop("secret") or _new_secret()
        spec |= {
            "user_id": user_id,
            "project_id": session.scope.id,
            "expires_at": expiry_read(spec["expires_at"], request.context.now),
            "secret_hash": await request.while_there(
                self._passwords.hash(secret, origin_of(request, user_id))
            ),
        }
        held = frozenset(role.id for role in session.roles)
        made = await request.write(application_credential_create, request.context, [spec], held)
        view: dict[str, Any] = show(request, APPLICATION_CREDENTIAL, made)[0]
        return Reply.json({APPLICATION_CREDENTIAL.name: {**view, "secret": secret}}, 201)

    async def get(self, request: Request) -> Reply:
        """GET …/application_credentials/{credential_id}"""
        found = await request.read(self._find, request, "get")
        await self._session(request)
        return shown_reply(request, APPLICATION_CREDENTIAL, found)

    async def delete(self, request: Request) -> Reply:
        """DELETE …/application_credentials/{credential_id}"""
        session = await self._session(request)

        def unit(tx: Tx) -> None:
            found = self._find(tx, request, "delete", session)
            application_credential_delete(tx, request.context, [found])

        await request.write(unit)
        return Reply.empty()

    def _find(self, tx: Tx, request: Request, action: str, session: Session | None = None) -> Values:
        """The one that the path names, held where a ``session`` shall delete it."""
        key = request.path["credential_id"]
        found = fetch(tx, APPLICATION_CREDENTIAL, [key], lock=session is not None)
        owner = found[0]["user_id"] if found else request.path["id"]
        request.authorise(_RULE(action), {"user_id": owner})
        if session is not None:
            require_unrestricted(session, "application credentials")
        if not found:
            raise APPLICATION_CREDENTIAL.not_found(key)
        return found[0]

    async def _session(self, request: Request) -> Session:
        """The caller's. Raises Refused where he acts for somebody."""
        session = (await self._authenticator.authenticate(request.header("x-auth-token") or "")).session
        require_own(session, "application credentials")
        return session

    def _read(self, request: Request) -> Values:
        body = request.json()
        name = APPLICATION_CREDENTIAL.name
        if not isinstance(body, dict) or not isinstance(body.get(name), dict):
            raise request.dialect.no_object(APPLICATION_CREDENTIAL, body)
        # Keystone takes these two, and goes by the token and its own ids all the same.
        wanted = {key: value for key, value in body[name].items() if key not in ("id", "project_id")}
        return check_create(APPLICATION_CREDENTIAL, request.context, wanted)


def _new_secret() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")


def noun(handlers: ApplicationCredentialHandlers) -> Noun:
    """Make the noun."""

    def route(method: str, path: str, handler: Handler, action: str, status: int = 200) -> Route:
        return Route(
            method,
            path,
            handler,
            resource=APPLICATION_CREDENTIAL,
            action=action,
            status=status,
            rule=_RULE(action),
            summary=f"{action.capitalize()} application credentials",
        )

    every = "/v3/users/{id}/application_credentials"
    one = f"{every}/{{credential_id}}"
    return Noun(
        name="application_credential",
        routes=(
            route("GET", every, handlers.list, "list"),
            route("POST", every, handlers.create, "create", 201),
            route("GET", one, handlers.get, "get"),
            route("DELETE", one, handlers.delete, "delete", 204),
        ),
        rules=(
            *rules(
                {
                    "get_application_credential": OWNER_OR_READ,
                    "list_application_credentials": OWNER_OR_READ,
                    "delete_application_credential": "rule:admin_or_owner",
                },
                NOT_DOMAINS,
            ),
            *rules({"create_application_credential": f"{OWNER} and not project_id:None"}, ("project",)),
        ),
    )
