"""The body of ``POST /v3/auth/tokens``: its types, and the login that it asks for.

Source: the Identity API v3 reference, "Authentication and token management".
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.core.errors import Invalid, Unauthenticated
from pileus.resource import types
from pileus.resource.struct_type import struct_type
from pileus.services.identity.auth.totp import TotpProof
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.sessions.session import ById, ByName, Key, ScopeRequest
from pileus.web.request import Request

METHODS = ("password", "token", "application_credential", "totp", "oauth1")


class AuthMethodNotSupported(Unauthenticated):
    """A method that this service does not have (401)."""

    message = "Attempted to authenticate with an unsupported method."


class ApplicationCredentialAuthError(Unauthenticated):
    """An application credential can't be used in this way (401)."""

    message = "Error authenticating with application credential: {detail}"


class MalformedAuth(Invalid):
    """A part of the body is missing (400)."""

    message = (
        "Expecting to find {attribute} in {target}. The server could not comply with the request since it is "
        "either malformed or otherwise incorrect. The client is assumed to be in error."
    )


class _Domain(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _User(msgspec.Struct):
    password: str | None = None
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None


class _TotpUser(msgspec.Struct):
    passcode: str | None = None
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None


class _Totp(msgspec.Struct):
    user: _TotpUser


class _Password(msgspec.Struct):
    user: _User


class _Token(msgspec.Struct):
    id: str


class _ApplicationCredential(msgspec.Struct):
    secret: str
    id: str | None = None
    name: str | None = None
    user: _User | None = None


class _OAuth1(msgspec.Struct):
    """Empty: it is the headers that say who asks."""


class _Identity(msgspec.Struct):
    methods: list[str]
    password: _Password | None = None
    token: _Token | None = None
    application_credential: _ApplicationCredential | None = None
    totp: _Totp | None = None
    oauth1: _OAuth1 | None = None


class _Project(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None


class _System(msgspec.Struct):
    all: bool = False


class _Trust(msgspec.Struct):
    id: str | None = None


class _Scope(msgspec.Struct):
    project: _Project | None = None
    domain: _Domain | None = None
    system: _System | None = None
    unscoped: dict[str, Any] | None = None
    trust: _Trust | None = msgspec.field(name="OS-TRUST:trust", default=None)


class _Auth(msgspec.Struct):
    identity: _Identity
    scope: _Scope | str | None = None


_AUTH = struct_type(_Auth)
AUTH_BODY = types.dict_of({"auth": _AUTH}, required=("auth",), additional=types.anything)


class PasswordProof(msgspec.Struct, frozen=True):
    """A user and a password."""

    user: Key
    password: str


class TokenProof(msgspec.Struct, frozen=True):
    """Another token."""

    token: str


class ApplicationCredentialProof(msgspec.Struct, frozen=True):
    """An application credential's secret, and its id or its name among those of ``user``."""

    secret: str
    id: str | None
    name: str
    user: Key | None


class OAuth1Proof(msgspec.Struct, frozen=True):
    """The signature of the request itself, with an OAuth access token."""


Proof = PasswordProof | TokenProof | ApplicationCredentialProof | TotpProof | OAuth1Proof


class Login(msgspec.Struct, frozen=True):
    """A request for a token: proofs in the order of its methods, and the scope."""

    proofs: tuple[Proof, ...]
    scope: ScopeRequest


def read_login(request: Request) -> Login:
    """Read the body of a request for a token. Raises Invalid, or AuthMethodNotSupported."""
    body = request.json()
    if not isinstance(body, dict) or not isinstance(body.get("auth"), dict):
        raise MalformedAuth(attribute="auth", target="request body")
    try:
        auth: _Auth = AUTH_BODY.parse(body)["auth"]
    except types.BadValue as bad:
        field = "/".join(map(str, bad.path[1:])) or "auth"
        raise SchemaValidationError(f"Invalid input for field '{field}': {bad.schema}") from None
    proofs = _proofs(auth.identity)
    if auth.scope is not None and any(isinstance(proof, ApplicationCredentialProof) for proof in proofs):
        raise ApplicationCredentialAuthError(detail="Application credentials cannot request a scope.")
    return Login(proofs, _scope(auth.scope))


def _proofs(identity: _Identity) -> tuple[Proof, ...]:
    if not identity.methods:
        raise MalformedAuth(attribute="methods", target="identity")
    proofs: list[Proof] = []
    for method in dict.fromkeys(identity.methods):
        if method not in METHODS:
            raise AuthMethodNotSupported
        if method == "password":
            if identity.password is None:
                raise MalformedAuth(attribute="password", target="identity")
            proofs.append(_password(identity.password.user))
        elif method == "oauth1":
            if identity.oauth1 is None:
                raise MalformedAuth(attribute="oauth1", target="identity")
            proofs.append(OAuth1Proof())
        elif method == "token":
            if identity.token is None:
                raise MalformedAuth(attribute="token", target="identity")
            proofs.append(TokenProof(identity.token.id))
        elif method == "totp":
            if identity.totp is None:
                raise MalformedAuth(attribute="totp", target="identity")
            proofs.append(_totp(identity.totp.user))
        else:
            if identity.application_credential is None:
                raise MalformedAuth(attribute="application_credential", target="identity")
            proofs.append(_application_credential(identity.application_credential))
    return tuple(proofs)


def _application_credential(given: _ApplicationCredential) -> ApplicationCredentialProof:
    if given.id is not None:
        return ApplicationCredentialProof(given.secret, given.id, "", None)
    target = "application credential"
    if not given.name:
        raise MalformedAuth(attribute="name or ID", target=target)
    if given.user is None:
        raise MalformedAuth(attribute="user", target=target)
    user = _user(given.user, "identity/application_credential/user")
    return ApplicationCredentialProof(given.secret, None, given.name, user)


def _password(user: _User) -> PasswordProof:
    if user.password is None:
        raise MalformedAuth(attribute="password", target="user")
    return PasswordProof(_user(user, "identity/password/user"), user.password)


def _totp(user: _TotpUser) -> TotpProof:
    if user.passcode is None:
        raise MalformedAuth(attribute="passcode", target="user")
    return TotpProof(_user(user, "identity/totp/user"), user.passcode)


def _user(user: _User | _TotpUser, path: str) -> Key:
    if user.id is not None:
        return ById(user.id)
    if user.name is None:
        raise SchemaValidationError(f"Invalid input for field {path}: id or name must be present.")
    return _named(user.name, user.domain, path, "user")


def _named(name: str, domain: _Domain | None, path: str, target: str) -> ByName:
    if domain is None:
        raise MalformedAuth(attribute="domain", target=target)
    if domain.id is None and domain.name is None:
        raise SchemaValidationError(f"Invalid input for field {path}/domain: id or name must be present.")
    return ByName(name, domain.id, domain.name)


def _scope(scope: _Scope | str | None) -> ScopeRequest:
    if scope is None:
        return ScopeRequest()
    if isinstance(scope, str):
        if scope != "unscoped":
            raise SchemaValidationError(f"Invalid input for field 'scope': {scope!r} is not 'unscoped'")
        return ScopeRequest(chosen=True)
    known = (scope.system, scope.project, scope.domain, scope.trust, scope.unscoped)
    if len([one for one in known if one is not None]) != 1:
        raise MalformedAuth(attribute="system, project, domain, OS-TRUST:trust or unscoped", target="scope")
    if scope.trust is not None:
        if not scope.trust.id:
            raise MalformedAuth(attribute="trust_id", target="trust")
        return ScopeRequest("trust", ById(scope.trust.id), True)
    if scope.unscoped is not None:
        return ScopeRequest(chosen=True)
    if scope.system is not None:
        if not scope.system.all:
            raise MalformedAuth(attribute="all", target="system")
        return ScopeRequest("system", None, True)
    if scope.project is not None:
        return ScopeRequest("project", _project(scope.project), True)
    assert scope.domain is not None
    if scope.domain.id is not None:
        return ScopeRequest("domain", ById(scope.domain.id), True)
    if scope.domain.name is None:
        raise SchemaValidationError("Invalid input for field scope/domain: id or name must be present.")
    return ScopeRequest("domain", ByName(scope.domain.name), True)


def _project(project: _Project) -> Key:
    if project.id is not None:
        return ById(project.id)
    if project.name is None:
        raise SchemaValidationError("Invalid input for field scope/project: id or name must be present.")
    return _named(project.name, project.domain, "scope/project", "project")
