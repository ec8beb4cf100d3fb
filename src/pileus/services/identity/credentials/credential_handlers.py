"""``/v3/credentials``, and ``/v3/users/{id}/credentials/OS-EC2``, which shows those of type ec2 otherwise.

With an application credential's token only what is kept for its project is seen, and a restricted
one makes and changes no EC2 keys: they would open what it does not. EC2 keys are secrets that log
their owner in, so however they are asked for, an application credential reaches those alone that are
bound to itself, and the administrator of a domain none but his own.
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, false

from pileus.core.errors import Forbidden
from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.auth.authenticator import Authenticator
from pileus.services.identity.auth.session import Session
from pileus.services.identity.credentials.application_handlers import require_unrestricted
from pileus.services.identity.credentials.credential import (
    CREDENTIAL,
    EC2,
    CredentialNotFound,
    credential_create,
    credential_delete,
    credential_target,
    credential_update,
    credentials,
    credentials_read,
    ec2_blob,
    ec2_id,
    is_ec2,
    keep_bounds,
    keep_nature,
)
from pileus.services.identity.credentials.sealing import blob_seal
from pileus.services.identity.declared import Noun, read_create, read_update, reply_one
from pileus.services.identity.errors import UserNotFound
from pileus.services.identity.projects import PROJECT
from pileus.services.identity.standing import Actor, behind
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.users import USER
from pileus.store.tx import Tx
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show

_WHAT = "credentials"
_PROJECT_ID = types.string(64, minimum=1)
_NOUN = Noun(resource=CREDENTIAL, target=credential_target)


class OutOfDelegation(Forbidden):
    """The credential is kept for another project than that of the application credential (403)."""

    message = (
        "You are not authorized to perform the requested action: {what} project does not match the project "
        "scope of the delegated token."
    )


class KeysOutOfReach(Forbidden):
    """The EC2 credential would give the caller more than his token does (403)."""

    message = (
        "You are not authorized to perform the requested action: EC2 credential does not match the scope "
        "of the token."
    )


class CredentialHandlers:
    """The handlers; ``keys`` seal the blobs."""

    def __init__(self, authenticator: Authenticator, keys: TokenKeys) -> None:
        self._authenticator = authenticator
        self._keys = keys

    async def list(self, request: Request) -> Reply:
        """GET /v3/credentials: those that the caller may see."""
        context = request.context
        own = {} if context.system_scope else {"target.credential.user_id": context.user_id}
        request.authorise("identity:list_credentials", own)
        columns = {"target.credential.user_id": credentials.c.user_id}
        seen = request.access.policy.condition("identity:get_credential", context, columns)
        where = list(request.dialect.listing(request, CREDENTIAL).where)
        if seen is not True:
            where.append(false() if seen is False else seen)
        session = await self._session(request)
        where += _bounds(session)
        found = await request.read(credentials_read, self._keys, where)
        reached = [one for one in found if not is_ec2(one) or reaches_keys(session, one)]
        return _list_reply(request, show(request, CREDENTIAL, reached))

    async def create(self, request: Request) -> Reply:
        """POST /v3/credentials"""
        spec = read_create(request, CREDENTIAL)
        request.authorise("identity:create_credential", credential_target(spec))
        session = await self._session(request)
        if is_ec2(spec):
            require_unrestricted(session, _WHAT)
            blob = ec2_blob(spec["blob"])
            spec["id"] = ec2_id(blob["access"])
            if session.credential is not None:
                spec["blob"] = _json({**blob, "app_cred_id": session.credential.id})
        _within(session, spec["project_id"])
        _require_reach(session, spec)
        self._seal(request, spec)
        made = await request.write(behind, _owner(spec), credential_create, request.context, spec)
        return reply_one(request, _NOUN, made, 201)

    async def get(self, request: Request) -> Reply:
        """GET /v3/credentials/{id}"""
        return reply_one(request, _NOUN, await self._find(request, "get"))

    async def update(self, request: Request) -> Reply:
        """PATCH /v3/credentials/{id}"""
        changes = read_update(request, CREDENTIAL)
        before = await self._find(request, "update")
        after = {**before, **changes}
        request.authorise("identity:update_credential", credential_target(after))  # not to be given away
        keep_nature(before, after)
        if is_ec2(before):
            require_unrestricted(await self._session(request), _WHAT)
            keep_bounds(before, after)
        if "blob" in changes:
            self._seal(request, changes)
        key = request.path["id"]
        changed = await request.write(
            behind, _owner(before), credential_update, request.context, key, changes
        )
        return reply_one(request, _NOUN, Values({**changed, "blob": after["blob"]}))

    async def delete(self, request: Request) -> Reply:
        """DELETE /v3/credentials/{id}"""
        found = await self._find(request, "delete")
        await request.write(behind, _owner(found), credential_delete, request.context, found["id"])
        return Reply.empty()

    async def _find(self, request: Request, action: str) -> Values:
        key = request.path["id"]
        found = await request.read(credentials_read, self._keys, (), [key])
        request.authorise(_NOUN.rule(action), credential_target(found[0] if found else None))
        if not found:
            raise CredentialNotFound(id=key)
        session = await self._session(request)
        _within(session, found[0]["project_id"])
        _require_reach(session, found[0])
        return found[0]

    async def ec2_list(self, request: Request) -> Reply:
        """GET /v3/users/{id}/credentials/OS-EC2"""
        user_id = request.path["id"]
        request.authorise("identity:ec2_list_credentials", {"user_id": user_id})
        await request.read(_require_user, user_id)
        where = [credentials.c.user_id == user_id, credentials.c.type == EC2]
        session = await self._session(request)
        where += _bounds(session)
        found = await request.read(credentials_read, self._keys, where)
        views = [_ec2_view(request, one) for one in found if is_ec2(one) and reaches_keys(session, one)]
        return _list_reply(request, views)

    async def ec2_create(self, request: Request) -> Reply:
        """POST /v3/users/{id}/credentials/OS-EC2: a fresh pair of keys for the project ``tenant_id``."""
        user_id = request.path["id"]
        request.authorise("identity:ec2_create_credential", {"target.credential.user_id": user_id})
        session = await self._session(request)
        require_unrestricted(session, _WHAT)
        body = request.json()
        try:
            project_id = _PROJECT_ID.parse(body.get("tenant_id") if isinstance(body, dict) else None)
        except types.BadValue as bad:
            raise request.dialect.bad_value("tenant_id", bad.value, bad) from None
        await request.read(_require_user, user_id)
        await request.read(_require_project, project_id)
        _within(session, project_id, "EC2 credential")
        blob: dict[str, Any] = {"access": new_hex_id(), "secret": new_hex_id(), "trust_id": None}
        if session.credential is not None:
            blob["app_cred_id"] = session.credential.id
        spec = Values(
            {
                "id": ec2_id(blob["access"]),
                "user_id": user_id,
                "project_id": project_id,
                "type": EC2,
                "blob": _json(blob),
                "extra": None,
            }
        )
        self._seal(request, spec)
        made = await request.write(credential_create, request.context, spec)
        return Reply.json({"credential": _ec2_view(request, made)}, 201)

    async def ec2_get(self, request: Request) -> Reply:
        """GET /v3/users/{id}/credentials/OS-EC2/{credential_id}"""
        return Reply.json({"credential": _ec2_view(request, await self._find_ec2(request, "get"))})

    async def ec2_delete(self, request: Request) -> Reply:
        """DELETE /v3/users/{id}/credentials/OS-EC2/{credential_id}"""
        found = await self._find_ec2(request, "delete")
        await request.write(credential_delete, request.context, found["id"])
        return Reply.empty()

    async def _find_ec2(self, request: Request, action: str) -> Values:
        access = request.path["credential_id"]
        found = await request.read(
            credentials_read, self._keys, [credentials.c.type == EC2], [ec2_id(access)]
        )
        if not found:  # before the policy, as Keystone does: an access key is no secret that can be guessed
            raise CredentialNotFound(id=access)
        # The keys' owner decides and not the user of the path, of whom it is only asked that he exists.
        request.authorise(f"identity:ec2_{action}_credential", credential_target(found[0]))
        await request.read(_require_user, request.path["id"])
        session = await self._session(request)
        _within(session, found[0]["project_id"], "EC2 credential")
        _require_reach(session, found[0])
        return found[0]

    def _seal(self, request: Request, spec: Values) -> None:
        spec["sealed"] = blob_seal(self._keys, spec["blob"], timegm(request.context.now.timetuple()))

    async def _session(self, request: Request) -> Session:
        return (await self._authenticator.meaning(request.header("x-auth-token") or "")).session


def _owner(values: Mapping[str, Any]) -> Sequence[Actor]:
    return [("user", values["user_id"])]


def _bounds(session: Session) -> Sequence[ColumnElement[bool]]:
    return [] if session.credential is None else [credentials.c.project_id == session.scope.id]


def _within(session: Session, project_id: str | None, what: str = "Credential") -> None:
    """Raise OutOfDelegation where an application credential reaches beyond its project."""
    if session.credential is not None and project_id != session.scope.id:
        raise OutOfDelegation(what=what)


def reaches_keys(session: Session, keys: Mapping[str, Any]) -> bool:
    """Whether this caller, whom the policy lets see the EC2 credential, may know its secret."""
    if session.credential is not None:
        return ec2_blob(keys["blob"]).get("app_cred_id") == session.credential.id
    return session.scope.kind != "domain" or keys["user_id"] == session.user.id


def _require_reach(session: Session, values: Mapping[str, Any]) -> None:
    """Raise KeysOutOfReach for EC2 keys that the caller may not know."""
    if is_ec2(values) and not reaches_keys(session, values):
        raise KeysOutOfReach


def _require_user(tx: Tx, user_id: str) -> None:
    if not fetch(tx, USER, [user_id]):
        raise UserNotFound(id=user_id)


def _require_project(tx: Tx, project_id: str) -> None:
    if not fetch(tx, PROJECT, [project_id]):
        raise PROJECT.not_found(project_id)


def _json(blob: Mapping[str, Any]) -> str:
    return msgspec.json.encode(blob).decode()


def _ec2_view(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    blob = ec2_blob(values["blob"])
    href = f"{request.service_url}/v3/users/{values['user_id']}/credentials/OS-EC2/{blob['access']}"
    return {
        "user_id": values["user_id"],
        "tenant_id": values["project_id"],
        "access": blob["access"],
        "secret": blob.get("secret"),
        "trust_id": blob.get("trust_id"),
        "links": {"self": href},
    }


def _list_reply(request: Request, views: Sequence[Mapping[str, Any]]) -> Reply:
    links = {"next": None, "self": request.path_url, "previous": None}
    return Reply.json({"credentials": views, "links": links})
