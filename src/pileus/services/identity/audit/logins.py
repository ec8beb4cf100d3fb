"""Log-ins as the audit log wants them: read from a request for a token and its reply."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from pileus.core.errors import Fault
from pileus.services.identity.audit.book import AuditBook
from pileus.services.identity.audit.work import Login
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request

_LONGEST = 255


class _Named(msgspec.Struct):
    id: str | None = None


class _TokenBody(msgspec.Struct):
    user: _Named
    project: _Named | None = None


class _TokenReply(msgspec.Struct):
    token: _TokenBody


_token_of = msgspec.json.Decoder(_TokenReply).decode


def audited(noun: Noun, book: AuditBook) -> Noun:
    """The noun, with each POST of a token's noted: also one that was refused."""
    return dataclasses.replace(
        noun,
        routes=tuple(
            dataclasses.replace(route, handler=_noting(route.handler, book))
            if (route.method, route.path) == ("POST", "/v3/auth/tokens")
            else route
            for route in noun.routes
        ),
    )


def _noting(handler: Handler, book: AuditBook) -> Handler:
    async def handle(request: Request) -> Reply:
        try:
            reply = await handler(request)
        except Fault as fault:
            book.note(_failed(request, type(fault).__name__))
            raise
        if reply.status == 201 and isinstance(reply.body, bytes):
            token = _token_of(reply.body).token
            project = token.project.id if token.project is not None else None
            book.note(_login(request, outcome="success", user_id=token.user.id, project_id=project))
        else:
            book.note(_failed(request, "MoreProofsWanted"))
        return reply

    return handle


def _login(request: Request, **values: Any) -> Login:
    agent = request.header("user-agent")
    return Login(
        at=request.context.now,
        methods=_methods(request),
        address=request.client_address,
        agent=None if agent is None else "".join(one for one in agent if one.isprintable())[:_LONGEST],
        request_id=request.context.request_id,
        **values,
    )


def _failed(request: Request, reason: str) -> Login:
    """A refused attempt, by the class of the refusal: its sentence is for the client, or for the log."""
    user = _part(_part(_part(_part(_body(request), "auth"), "identity"), "password"), "user")
    domain = _part(user, "domain")
    return _login(
        request,
        outcome="failure",
        reason=reason,
        user_id=_text(user, "id"),
        name=_text(user, "name"),
        domain_id=_text(domain, "id"),
        domain_name=_text(domain, "name"),
    )


def _methods(request: Request) -> tuple[str, ...]:
    given = _part(_part(_body(request), "auth"), "identity").get("methods")
    if not isinstance(given, list):
        return ()
    return tuple(one for one in given[:8] if isinstance(one, str) and len(one) <= 32 and one.isprintable())


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except Fault:
        return {}
    return body if isinstance(body, dict) else {}


def _part(body: dict[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _text(body: dict[str, Any], name: str) -> str | None:
    text = body.get(name)
    # no database takes a NUL in a text, and one item must not keep the others from being written
    return text if isinstance(text, str) and len(text) <= _LONGEST and "\x00" not in text else None
