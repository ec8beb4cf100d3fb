"""Passwords of users, in bodies of requests."""

from __future__ import annotations

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.identity.common.errors import Unauthorized
from pileus.services.identity.passwords.check import PasswordCheck, origin_of
from pileus.services.identity.passwords.hashing import MAX_LENGTH, Passwords
from pileus.services.identity.rules.passwords import PasswordPolicy
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_unrestricted
from pileus.services.identity.sessions.session import ById, account_find
from pileus.services.identity.users.resource import USER
from pileus.services.identity.users.work import password_change
from pileus.web.body import declared_body
from pileus.web.reply import Reply
from pileus.web.request import Request

_CHANGE = types.dict_of(
    {"password": types.string(None), "original_password": types.string(None)},
    required=("password", "original_password"),
)
PASSWORD_BODY = types.dict_of({"user": _CHANGE}, required=("user",), additional=types.anything)


class PasswordRequirementsValidationError(Invalid):
    """A password does not match the setting ``password_regex`` (400)."""

    message = "The password does not match the requirements: {detail}."


class PasswordHandlers:
    """The password in the body of a new or changed user, and the change of one's own."""

    def __init__(
        self,
        passwords: Passwords,
        check: PasswordCheck,
        policy: PasswordPolicy,
        authenticator: Authenticator,
    ) -> None:
        self._passwords = passwords
        self._check = check
        self._policy = policy
        self._authenticator = authenticator

    async def prepare(self, request: Request, values: Values) -> None:
        """Put the hash where the password was.

        Raises DelegationForbidden where a restricted application credential would set the password of its
        owner, and so get rid of its bounds.
        """
        if "password" not in values:
            return
        if request.path.get("id") == request.context.user_id:
            authenticated = await self._authenticator.authenticate(request.header("x-auth-token") or "")
            require_unrestricted(authenticated.session, "passwords")
        password = values.pop("password")
        if password is not None:
            values["password_hash"] = await self._hash(request, password, request.context.user_id)
        elif "password" in values.given:
            values["password_hash"] = None

    async def change(self, request: Request) -> Reply:
        """POST /v3/users/{id}/password: the old password is the authorisation, there need be no token."""
        body = request.json()
        if not isinstance(body, dict) or not isinstance(body.get("user"), dict):
            raise request.dialect.no_object(USER, body)
        wanted = declared_body(request)["user"]
        key = request.path["id"]
        account = await request.read(account_find, ById(key))
        old_hash = account.password_hash if account else None
        right = await self._check.holds(request, account, wanted["original_password"], key)
        if not right or not old_hash:
            raise Unauthorized(f"wrong password for user {key}")
        new_hash = await self._hash(request, wanted["password"], key)
        if not await request.write(password_change, request.context, key, old_hash, new_hash):
            raise Unauthorized(f"the password of user {key} was changed meanwhile")
        return Reply.empty()

    async def _hash(self, request: Request, password: str, who: object) -> str:
        if not self._policy.takes(password[:MAX_LENGTH]):
            raise PasswordRequirementsValidationError(detail=self._policy.description)
        return await request.while_there(self._passwords.hash(password, origin_of(request, who)))
