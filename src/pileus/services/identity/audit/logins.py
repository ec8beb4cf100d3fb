"""Log-ins as the audit log wants them: each route that gives tokens to users, in one table."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pileus.core.errors import Fault, Kind
from pileus.services.identity.audit.book import AuditBook
from pileus.services.identity.audit.work import Login
from pileus.services.identity.auth.issuer import ISSUED
from pileus.services.identity.auth.receipts import HEADER
from pileus.services.identity.credentials.ec2tokens import SIGNED_NAMES
from pileus.services.identity.credentials.resource import ec2_id
from pileus.services.identity.oauth2.noun import client_named
from pileus.services.identity.tokens.payload import Token
from pileus.web.client_certificate import client_certificate
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request

_LONGEST = 255


class _Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The account that a request names, or the credential, and its methods: the words of whoever sent it."""

    methods: tuple[str, ...] = ()
    user_id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    credential_id: str | None = None


_Read = Callable[[Request], _Attempt]


def audited(noun: Noun, book: AuditBook) -> Noun:
    """The noun, with each log-in by its routes noted: also one that was refused."""
    return dataclasses.replace(
        noun,
        routes=tuple(
            route
            if (read := LOGINS.get((route.method, route.path))) is None
            else dataclasses.replace(route, handler=_noting(route.handler, book, read))
            for route in noun.routes
        ),
    )


def _noting(handler: Handler, book: AuditBook, read: _Read) -> Handler:
    @functools.wraps(handler)
    async def handle(request: Request) -> Reply:
        issued: list[Token] = []
        watching = ISSUED.set(issued)
        try:
            reply = await handler(request)
        except Fault as fault:
            proved = fault.kind is not Kind.INVALID
            book.note(_failed(request, read(request), type(fault).__name__, proved=proved))
            raise
        finally:
            ISSUED.reset(watching)
        if issued and reply.status < 400:
            book.note(_succeeded(request, read(request).methods, issued[-1]))
        else:
            book.note(_failed(request, read(request), _reason(reply), proved=reply.status != 400))
        return reply

    return handle


def _succeeded(request: Request, methods: tuple[str, ...], token: Token) -> Login:
    return _login(
        request,
        outcome="success",
        methods=methods or token.methods,
        user_id=token.user_id,
        project_id=token.scope.id if token.scope.kind == "project" else None,
    )


def _failed(request: Request, attempt: _Attempt, reason: str, *, proved: bool = True) -> Login:
    """A refused attempt, by the class of the refusal: its sentence is for the client, or for the log."""
    said = msgspec.structs.asdict(attempt)
    return _login(request, outcome="failure", reason=reason, route=request.route.path, proved=proved, **said)


def _login(request: Request, **values: Any) -> Login:
    agent = request.header("user-agent")
    return Login(
        at=request.context.now,
        address=request.client_address,
        agent=None if agent is None else "".join(one for one in agent if one.isprintable())[:_LONGEST],
        request_id=request.context.request_id,
        **values,
    )


def _reason(reply: Reply) -> str:
    """Why a reply without a token is one: a receipt, or an error of OAuth's."""
    if any(name == HEADER.encode() for name, _ in reply.headers):
        return "MoreProofsWanted"
    body = msgspec.json.decode(reply.body) if isinstance(reply.body, bytes) else None
    return (_text(body, "error") if isinstance(body, dict) else None) or "Unauthorized"


def _of_body(request: Request) -> _Attempt:
    """The first account or application credential that the methods name."""
    identity = _part(_part(_body(request), "auth"), "identity")
    program = _part(identity, "application_credential")
    users = [_part(_part(identity, method), "user") for method in ("password", "totp")]
    user = next((one for one in (*users, _part(program, "user")) if one), {})
    domain = _part(user, "domain")
    given = identity.get("methods")
    return _Attempt(
        methods=_printable(*given[:8]) if isinstance(given, list) else (),
        user_id=_text(user, "id"),
        name=_text(user, "name"),
        domain_id=_text(domain, "id"),
        domain_name=_text(domain, "name"),
        credential_id=_text(program, "id"),
    )


def _of_signature(request: Request) -> _Attempt:
    body = _body(request)
    signed = next((_part(body, name) for name in SIGNED_NAMES if body.get(name)), {})
    access = _text(signed, "access")
    return _Attempt(methods=("ec2credential",), credential_id=None if access is None else ec2_id(access))


def _of_client(request: Request) -> _Attempt:
    client = client_named(request)
    if client is None or len(client) > _LONGEST:
        client = None
    if client_certificate(request.scope, request.settings) is not None:
        return _Attempt(methods=("oauth2_credential",), user_id=client)
    return _Attempt(methods=("application_credential",), credential_id=client)


def _of_provider(request: Request) -> _Attempt:
    return _Attempt(methods=_printable(request.path["id"]))


def _of_browser(request: Request) -> _Attempt:
    return _Attempt()


LOGINS: Mapping[tuple[str, str], _Read] = {
    ("POST", "/v3/auth/tokens"): _of_body,
    ("POST", "/v3/ec2tokens"): _of_signature,
    ("POST", "/v3/s3tokens"): _of_signature,
    ("POST", "/v3/OS-OAUTH2/token"): _of_client,
    **{
        (method, "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols/{id}/auth"): _of_provider
        for method in ("GET", "POST")
    },
    ("GET", "/v3/auth/OS-FEDERATION/websso-callback"): _of_browser,
}
"""The routes by which users get tokens, and how to read whom a refused request was for. An access token of
OAuth 1.0a and another token are methods of the first."""


def _printable(*methods: Any) -> tuple[str, ...]:
    return tuple(one for one in methods if isinstance(one, str) and len(one) <= 32 and one.isprintable())


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except Fault:
        return {}
    return body if isinstance(body, dict) else {}


def _part(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _text(body: Mapping[str, Any], name: str) -> str | None:
    text = body.get(name)
    # no database takes a NUL in a text, and one item must not keep the others from being written
    return text if isinstance(text, str) and len(text) <= _LONGEST and "\x00" not in text else None
