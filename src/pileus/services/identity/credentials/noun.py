"""``/v3/credentials``.

With the token of an application credential or a trust only what is kept for its project is seen, and
a restricted credential makes and changes no EC2 keys: they would open what it does not. EC2 keys and keys of
passcodes are secrets that log their owner in, so however they are asked for, an application credential or a
trust reaches those EC2 keys alone that are bound to itself, and the administrator of a domain none but his
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import false

from pileus.resource.check import merge_additional
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.pages import list_request, page_reply
from pileus.services.identity.common.policy import ADMIN, READ, rules
from pileus.services.identity.credentials.resource import (
    CREDENTIAL,
    CredentialNotFound,
    credential_target,
    ec2_blob,
    ec2_id,
    is_ec2,
    logs_in,
    refuse_change_of_bounds,
    refuse_change_of_kind,
)
from pileus.services.identity.credentials.work import (
    MANAGING,
    credential_create,
    credential_delete,
    credential_update,
    credentials_found,
    credentials_list,
    credentials_read,
    encode_blob,
    may_know_keys,
    require_may_know,
    require_within,
    seal,
    within_delegation,
)
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_unrestricted
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.standing.guard import Actor, require_standing
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.store.tx import Tx
from pileus.web.crud import shown_reply
from pileus.web.noun import Noun
from pileus.web.parse import parse_create, parse_update
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route


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
        listing = list_request(request, CREDENTIAL)
        where = list(listing.where)
        if seen is not True:
            where.append(false() if seen is False else seen)
        session = await self._session(request)
        where += within_delegation(session)
        found = await request.read(credentials_list, self._keys, where)
        reached = [one for one in found if not logs_in(one) or may_know_keys(session, one)]
        return page_reply(request, CREDENTIAL, listing, reached)

    async def create(self, request: Request) -> Reply:
        """POST /v3/credentials"""
        spec = parse_create(CREDENTIAL, request)[0]
        request.authorise("identity:create_credential", credential_target(spec))
        session = await self._session(request)
        if is_ec2(spec):
            require_unrestricted(session, MANAGING)
            blob = ec2_blob(spec["blob"])
            spec["id"] = ec2_id(blob["access"])
            if session.bound is not None:
                spec["blob"] = encode_blob({**blob, **dict([session.bound])})
        require_within(session, spec["project_id"])
        require_may_know(session, spec)
        seal(self._keys, request, spec)

        def unit(tx: Tx) -> Values:
            require_standing(tx, request, _owner(spec))
            return credential_create(tx, request.context, [spec])[0]

        return shown_reply(request, CREDENTIAL, await request.write(unit), 201)

    async def get(self, request: Request) -> Reply:
        """GET /v3/credentials/{id}"""
        return shown_reply(request, CREDENTIAL, await self._find(request, "get"))

    async def update(self, request: Request) -> Reply:
        """PATCH /v3/credentials/{id}"""
        changes = parse_update(CREDENTIAL, request)
        before = await self._find(request, "update")
        after = {**before, **changes}
        request.authorise("identity:update_credential", credential_target(after))  # not to be given away
        refuse_change_of_kind(before, after)
        if is_ec2(before):
            require_unrestricted(await self._session(request), MANAGING)
            refuse_change_of_bounds(before, after)
        if "blob" in changes:
            seal(self._keys, request, changes)

        def unit(tx: Tx) -> Values:
            require_standing(tx, request, _owner(before))
            original = _fetch_locked(tx, before["id"])
            merged = merge_additional(CREDENTIAL, original, Values(changes, changes.given))
            return credential_update(tx, request.context, [Update(original, merged)])[0]

        changed = await request.write(unit)
        return shown_reply(request, CREDENTIAL, {**changed, "blob": after["blob"]})

    async def delete(self, request: Request) -> Reply:
        """DELETE /v3/credentials/{id}"""
        found = await self._find(request, "delete")

        def unit(tx: Tx) -> None:
            require_standing(tx, request, _owner(found))
            credential_delete(tx, request.context, [found])

        await request.write(unit)
        return Reply.empty()

    async def _find(self, request: Request, action: str) -> Values:
        key = request.path["id"]
        find = credentials_found if action == "delete" else credentials_read
        found = await request.read(find, self._keys, (), [key])
        request.authorise(CREDENTIAL.rule(action), credential_target(found[0] if found else None))
        if not found:
            raise CredentialNotFound(id=key)
        session = await self._session(request)
        require_within(session, found[0]["project_id"])
        require_may_know(session, found[0])
        return found[0]

    async def _session(self, request: Request) -> Session:
        return (await self._authenticator.authenticate(request.header("x-auth-token") or "")).session


def _owner(values: Mapping[str, Any]) -> Sequence[Actor]:
    return [("user", values["user_id"])]


def _fetch_locked(tx: Tx, key: str) -> Values:
    found = fetch(tx, CREDENTIAL, [key], lock=True)
    if not found:
        raise CredentialNotFound(id=key)
    return found[0]


def noun(handlers: CredentialHandlers) -> Noun:
    """Make the noun."""

    def route(method: str, path: str, handler: Handler, action: str, status: int = 200) -> Route:
        return Route(
            method,
            path,
            handler,
            resource=CREDENTIAL,
            action=action,
            status=status,
            rule=CREDENTIAL.rule(action),
            summary=f"{action.capitalize()} credentials",
        )

    every, one = "/v3/credentials", "/v3/credentials/{id}"
    own = "user_id:%(target.credential.user_id)s"
    return Noun(
        name="credential",
        routes=(
            route("GET", every, handlers.list, "list"),
            route("POST", every, handlers.create, "create", 201),
            route("GET", one, handlers.get, "get"),
            route("PATCH", one, handlers.update, "update"),
            route("DELETE", one, handlers.delete, "delete", 204),
        ),
        rules=rules(
            {
                "get_credential": f"{READ} or {own}",
                "list_credentials": f"{READ} or {own}",
                "create_credential": f"{ADMIN} or {own}",
                "update_credential": f"{ADMIN} or {own}",
                "delete_credential": f"{ADMIN} or {own}",
            }
        ),
    )
