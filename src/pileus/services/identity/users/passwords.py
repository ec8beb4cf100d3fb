"""Passwords of users, in bodies of requests."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.errors import Unauthorized, UserNotFound
from pileus.services.identity.passwords.check import PasswordCheck, origin_of
from pileus.services.identity.passwords.hashing import MAX_LENGTH, Passwords
from pileus.services.identity.rules.compliance import LOCK_PASSWORD, Compliance
from pileus.services.identity.rules.passwords import PasswordPolicy
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_own, require_unrestricted
from pileus.services.identity.sessions.session import Account, ById, account_find
from pileus.services.identity.standing.guard import require_standing
from pileus.services.identity.users.declared import find_user, require_own_domain
from pileus.services.identity.users.history import passwords_before
from pileus.services.identity.users.resource import USER
from pileus.services.identity.users.work import password_change, password_import
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.reply import Reply
from pileus.web.request import Request

_CHANGE = types.dict_of(
    {"password": types.string(None), "original_password": types.string(None)},
    required=("password", "original_password"),
)
HASH_BODY = types.dict_of({"password_hash": types.string(2048, minimum=1)}, required=("password_hash",))
PASSWORD_BODY = types.dict_of({"user": _CHANGE}, required=("user",), additional=types.anything)


class PasswordRequirementsValidationError(Invalid):
    """A password does not match the setting ``password_regex`` (400)."""

    message = "The password does not match the requirements: {detail}."


class PasswordHistoryValidationError(Invalid):
    """A password was the user's before (400)."""

    message = (
        "The new password cannot be identical to a previous password. The total number which includes the "
        "new password must be unique is {unique_count}."
    )


class PasswordAgeValidationError(Invalid):
    """A password was chosen too short a time ago to be changed (400)."""

    message = (
        "You cannot change your password at this time due to the minimum password age. Once you change your "
        "password, it must be used for {min_age_days} day(s) before it can be changed. Please try again in "
        "{days_left} day(s) or contact your administrator to reset your password."
    )


class PasswordSelfServiceDisabled(Invalid):
    """The user's options keep him from changing his password (400)."""

    message = (
        "You cannot change your password at this time due to password policy disallowing password changes. "
        "Please contact your administrator to reset your password."
    )


class PasswordHashNotTaken(Invalid):
    """A hash is of a kind, or of a cost, that is not checked here (400)."""

    message = (
        "Invalid input for field 'password_hash': it is no hash of bcrypt, bcrypt_sha256, scrypt or "
        "pbkdf2_sha512 as Keystone writes them, or it would cost too much to check."
    )


class PasswordHandlers:
    """The password in the body of a new or changed user, and the change of one's own."""

    def __init__(
        self,
        passwords: Passwords,
        check: PasswordCheck,
        policy: PasswordPolicy,
        authenticator: Authenticator,
        compliance: Compliance | None = None,
    ) -> None:
        self._passwords = passwords
        self._check = check
        self._policy = policy
        self._authenticator = authenticator
        self.compliance = compliance or Compliance()

    async def prepare(self, request: Request, values: Values) -> None:
        """Put the hash where the password was.

        Raises DelegationForbidden where a restricted application credential would set the password of its
        owner, and so get rid of its bounds; Refused where a trustee would set that of his trustor.
        """
        if "password" not in values:
            return
        await self._require_unbounded(request)
        password = values.pop("password")
        if password is not None:
            values["password_hash"] = await self._hash(request, password, request.context.user_id)
        elif "password" in values.given:
            values["password_hash"] = None

    async def _require_unbounded(self, request: Request) -> None:
        """Raise DelegationForbidden or Refused where a caller would set the password of his principal."""
        if request.path.get("id") == request.context.user_id:
            authenticated = await self._authenticator.authenticate(request.header("x-auth-token") or "")
            require_unrestricted(authenticated.session, "passwords")
            require_own(authenticated.session, "passwords")

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
        if account is None or not right or not old_hash:
            raise Unauthorized(f"wrong password for user {key}")
        self._check_account(request, account)
        await self._check_new(request, account, wanted)
        new_hash = await self._hash(request, wanted["password"], key)
        if not await request.write(
            password_change, request.context, key, old_hash, new_hash, self.compliance
        ):
            raise Unauthorized(f"the password of user {key} was changed meanwhile")
        return Reply.empty()

    async def take_over(self, request: Request) -> Reply:
        """PUT /v3/users/{id}/password_hash: a hash as it stands in Keystone's table."""
        await find_user(request)
        await self._require_unbounded(request)
        encoded = declared_body(request)["password_hash"]
        if not self._passwords.takes(encoded):
            raise PasswordHashNotTaken

        def unit(tx: Tx) -> None:
            found = fetch(tx, USER, [request.path["id"]], lock=True)
            if not found:
                raise UserNotFound(id=request.path["id"])
            require_standing(tx, request, [("user", found[0]["id"])])
            require_own_domain(request, found[0])
            password_import(tx, request.context, found[0], encoded, self.compliance)

        await request.write(unit)
        return Reply.empty()

    def _check_account(self, request: Request, account: Account) -> None:
        """Raise Unauthorized for an account that is disabled. That its password has ended is no hindrance."""
        inactive = self.compliance.is_inactive(request.context.now, account.options, account.active_at)
        if not account.enabled or inactive:
            raise Unauthorized(f"user {account.id} is disabled")

    async def _check_new(self, request: Request, account: Account, wanted: Mapping[str, str]) -> None:
        """Raise Invalid where the user may not choose that password, or none now."""
        new, compliance = wanted["password"], self.compliance
        self._check_expression(new)
        if account.options.get(LOCK_PASSWORD) is True:
            raise PasswordSelfServiceDisabled
        if account.password_self_service:
            left = compliance.days_to_wait(request.context.now, account.password_created_at)
            if left is not None:
                raise PasswordAgeValidationError(min_age_days=compliance.minimum_password_age, days_left=left)
        if not compliance.unique_last_password_count:
            return
        reused = new == wanted["original_password"]
        before = await request.read(passwords_before, account.id, compliance.kept_passwords)
        for encoded in [] if reused else before:
            origin = origin_of(request, account.id)
            if await request.while_there(self._passwords.matches(encoded, new, origin)):
                reused = True
                break
        if reused:
            raise PasswordHistoryValidationError(unique_count=compliance.unique_last_password_count)

    async def _hash(self, request: Request, password: str, who: object) -> str:
        self._check_expression(password)
        return await request.while_there(self._passwords.hash(password, origin_of(request, who)))

    def _check_expression(self, password: str) -> None:
        if not self._policy.takes(password[:MAX_LENGTH]):
            raise PasswordRequirementsValidationError(detail=self._policy.description)
