"""``/v3/users/{id}/credentials/OS-EC2``: the credentials of type ec2 as pairs of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import UserNotFound
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, OWNER_OR_READ, READ, rules
from pileus.services.identity.common.replies import (
    LINKS,
    TEXT,
    TEXT_OR_NONE,
    listed,
    one_page_links,
    shape,
)
from pileus.services.identity.credentials.resource import (
    EC2,
    CredentialNotFound,
    credential_target,
    ec2_blob,
    ec2_id,
    is_ec2,
)
from pileus.services.identity.credentials.work import (
    MANAGING,
    credential_create,
    credential_delete,
    credentials_list,
    credentials_read,
    encode_blob,
    may_know_keys,
    require_may_know,
    require_within,
    seal,
    within_delegation,
)
from pileus.services.identity.projects.resource import PROJECT
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_unrestricted
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.tables.credentials import credentials
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.users.resource import USER
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_PROJECT_ID = types.string(64, minimum=1)
_BODY = types.dict_of({"tenant_id": _PROJECT_ID}, required=("tenant_id",), additional=types.anything)


class Ec2Handlers:
    """The handlers; ``keys`` seal the blobs."""

    def __init__(self, authenticator: Authenticator, keys: TokenKeys) -> None:
        self._authenticator = authenticator
        self._keys = keys

    async def list(self, request: Request) -> Reply:
        """GET /v3/users/{id}/credentials/OS-EC2"""
        user_id = request.path["id"]
        request.authorise("identity:ec2_list_credentials", {"user_id": user_id})
        await request.read(_require_user, user_id)
        where = [credentials.c.user_id == user_id, credentials.c.type == EC2]
        session = await self._session(request)
        where += within_delegation(session)
        found = await request.read(credentials_list, self._keys, where)
        views = [_view(request, one) for one in found if is_ec2(one) and may_know_keys(session, one)]
        return Reply.json({"credentials": views, "links": one_page_links(request)})

    async def create(self, request: Request) -> Reply:
        """POST /v3/users/{id}/credentials/OS-EC2: a fresh pair of keys for the project ``tenant_id``."""
        user_id = request.path["id"]
        request.authorise("identity:ec2_create_credential", {"target.credential.user_id": user_id})
        session = await self._session(request)
        require_unrestricted(session, MANAGING)
        project_id = _project_of(request)
        await request.read(_require_user, user_id)
        await request.read(_require_project, project_id)
        require_within(session, project_id, "EC2 credential")
        blob: dict[str, Any] = {"access": new_hex_id(), "secret": new_hex_id(), "trust_id": None}
        if session.bound is not None:
            blob |= dict([session.bound])
        spec = Values(
            {
                "id": ec2_id(blob["access"]),
                "user_id": user_id,
                "project_id": project_id,
                "type": EC2,
                "blob": encode_blob(blob),
                "extra": None,
            }
        )
        seal(self._keys, request, spec)
        made = await request.write(credential_create, request.context, [spec])
        return Reply.json({"credential": _view(request, made[0])}, 201)

    async def get(self, request: Request) -> Reply:
        """GET /v3/users/{id}/credentials/OS-EC2/{credential_id}"""
        return Reply.json({"credential": _view(request, await self._find(request, "get"))})

    async def delete(self, request: Request) -> Reply:
        """DELETE /v3/users/{id}/credentials/OS-EC2/{credential_id}"""
        found = await self._find(request, "delete")
        await request.write(credential_delete, request.context, [found])
        return Reply.empty()

    async def _find(self, request: Request, action: str) -> Values:
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
        require_within(session, found[0]["project_id"], "EC2 credential")
        require_may_know(session, found[0])
        return found[0]

    async def _session(self, request: Request) -> Session:
        return (await self._authenticator.authenticate(request.header("x-auth-token") or "")).session


def _project_of(request: Request) -> str:
    """The project in the body of a request for keys. Raises Invalid."""
    body = request.json()
    if not isinstance(body, dict) or "tenant_id" not in body:
        raise request.dialect.bad_input("tenant_id", None, "None is not of type 'string'")
    project_id: str = declared_body(request)["tenant_id"]
    return project_id


def _require_user(tx: Tx, user_id: str) -> None:
    if not fetch(tx, USER, [user_id]):
        raise UserNotFound(id=user_id)


def _require_project(tx: Tx, project_id: str) -> None:
    if not fetch(tx, PROJECT, [project_id]):
        raise PROJECT.not_found(project_id)


def _view(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
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


_KEYS = shape(
    {
        "user_id": TEXT,
        "tenant_id": TEXT_OR_NONE,
        "access": TEXT,
        "secret": TEXT_OR_NONE,
        "trust_id": TEXT_OR_NONE,
        "links": LINKS,
    }
)
_REPLY = shape({"credential": _KEYS})
_OWN = "user_id:%(target.credential.user_id)s"


def noun(handlers: Ec2Handlers) -> Noun:
    """Make the noun."""
    every = "/v3/users/{id}/credentials/OS-EC2"
    one = f"{every}/{{credential_id}}"
    return Noun(
        name="ec2_credential",
        routes=(
            Route(
                "GET",
                every,
                handlers.list,
                rule="identity:ec2_list_credentials",
                reply=listed("credentials", _KEYS),
                summary="List EC2 keys",
            ),
            Route(
                "POST",
                every,
                handlers.create,
                status=201,
                rule="identity:ec2_create_credential",
                body=_BODY,
                reply=_REPLY,
                summary="Create EC2 keys",
            ),
            Route(
                "GET",
                one,
                handlers.get,
                rule="identity:ec2_get_credential",
                reply=_REPLY,
                summary="Show EC2 keys",
            ),
            Route(
                "DELETE",
                one,
                handlers.delete,
                status=204,
                rule="identity:ec2_delete_credential",
                summary="Delete EC2 keys",
            ),
        ),
        rules=rules(
            {
                "ec2_get_credential": f"{READ} or {_OWN}",
                "ec2_list_credentials": OWNER_OR_READ,
                "ec2_create_credential": f"{ADMIN} or (role:member and {_OWN})",
                "ec2_delete_credential": f"{ADMIN} or (role:member and {_OWN})",
            },
            NOT_DOMAINS,
        ),
    )
