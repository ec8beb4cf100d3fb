"""``/v3/users/{id}/access_rules``: what application credentials are kept to, each rule once for its user.

Whose rule it is decides who may see or delete it, and not the user that the path names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_hex_id
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.common.attributes import ID
from pileus.services.identity.common.errors import ForbiddenNotSecurity
from pileus.services.identity.common.generation import announce_many
from pileus.services.identity.common.policy import NOT_DOMAINS, SYSTEM_READER, rules
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.sessions.bounds import require_own, require_unrestricted
from pileus.services.identity.tables.credentials import access_rules, application_credential_access_rules
from pileus.services.identity.tables.users import users
from pileus.store.errors import Referenced
from pileus.store.tx import Tx
from pileus.web.crud import Crud, list_reply, shown_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class AccessRuleNotFound(NotFound):
    """There is no such access rule (404)."""

    message = "Could not find Access Rule: {id}."


PATH = types.string(225, minimum=1, pattern="/.*")
_FIELDS = {"service": types.string(64, minimum=1), "method": types.enum(*METHODS), "path": PATH}

ACCESS_RULE = Resource(
    "access_rule",
    table=access_rules,
    wording=KEYSTONE,
    not_found=AccessRuleNotFound,
    attributes=(
        ID,
        Attribute("user_id", types.string(64), visible=False),
        *(Attribute(name, kind, filter=True) for name, kind in _FIELDS.items()),
    ),
)

_KNOWN = select(access_rules).where(access_rules.c.user_id == bindparam("user_id"))
_HOLD = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
_OF_CREDENTIALS = (
    select(application_credential_access_rules.c.application_credential_id, access_rules)
    .join(access_rules, access_rules.c.id == application_credential_access_rules.c.access_rule_id)
    .where(application_credential_access_rules.c.application_credential_id.in_(_IDS))
    .order_by(access_rules.c.service, access_rules.c.path, access_rules.c.method)
)


def _parse_rule(value: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = _RULE_KEYS.parse(value)
    missing = next((name for name in _FIELDS if name not in parsed), None)
    if missing is not None and "id" not in parsed:
        raise types.BadValue(f"{missing!r} is a required property", value=value)
    return parsed


_RULE_KEYS = types.dict_of({"id": types.string(64, minimum=1), **_FIELDS}, additional=types.anything)
RULE = types.Type("access rule", _parse_rule, _RULE_KEYS.schema)
SHOWN_RULE = types.dict_of({"id": types.string(None), **_FIELDS}, required=("id", *_FIELDS))


def access_rules_load(tx: Tx, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The access rules of application credentials as they are shown."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tx.rows(_OF_CREDENTIALS, {"ids": ids}):
        found.setdefault(row.application_credential_id, []).append(
            {"id": row.id, "service": row.service, "path": row.path, "method": row.method}
        )
    return found


def access_rules_hold(tx: Tx, user_id: str) -> None:
    """Let nobody else make rules of this user until the transaction ends."""
    tx.execute(_HOLD, {"user_id": user_id})


def access_rules_choose(tx: Tx, user_id: str, wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of the rules that a user asks for; those that he does not have yet are made.

    Raises AccessRuleNotFound for an id that is none of his, where nothing else is said. The caller has
    called ``access_rules_hold`` in this transaction.
    """
    rows = tx.rows(_KNOWN, {"user_id": user_id})
    own = {row.id for row in rows}
    known = {(row.service, row.method, row.path): row.id for row in rows}
    made, chosen = [], []
    for rule in wanted:
        if rule.get("id") in own:
            chosen.append(rule["id"])
            continue
        if any(name not in rule for name in _FIELDS):
            raise AccessRuleNotFound(id=rule["id"])
        key = rule["service"], rule["method"], rule["path"]
        if key not in known:
            known[key] = new_hex_id()
            made.append(
                {
                    "id": known[key],
                    "user_id": user_id,
                    "service": rule["service"],
                    "method": rule["method"],
                    "path": rule["path"],
                }
            )
        chosen.append(known[key])
    tx.insert(access_rules, made)
    return list(dict.fromkeys(chosen))


def access_rules_save(tx: Tx, context: Context, chosen: Mapping[str, Sequence[str]]) -> None:
    """Write the access rules of new application credentials, by their ids."""
    tx.insert(
        application_credential_access_rules,
        [
            {"application_credential_id": key, "access_rule_id": rule_id}
            for key, some in chosen.items()
            for rule_id in some
        ],
    )


def access_rule_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete rules that no application credential is kept to. Raises ForbiddenNotSecurity for another."""
    try:
        ACCESS_RULE.remove(tx, originals)
    except Referenced:
        raise ForbiddenNotSecurity("May not delete access rule in use") from None
    announce_many(
        tx, context, "access_rule.delete", [(one["id"], {"user_id": one["user_id"]}) for one in originals]
    )


class AccessRuleHandlers:
    """The handlers."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    async def list(self, request: Request) -> Reply:
        """GET …/access_rules"""
        user_id = request.path["id"]
        request.authorise(ACCESS_RULE.rule("list"), {"target.user.id": user_id})
        await self._require_own(request)
        crud = Crud(resource=ACCESS_RULE)
        return await list_reply(request, crud, [access_rules.c.user_id == user_id])

    async def get(self, request: Request) -> Reply:
        """GET …/access_rules/{rule_id}"""
        found = await request.read(self._find, request, "get")
        await self._require_own(request)
        return shown_reply(request, ACCESS_RULE, found)

    async def delete(self, request: Request) -> Reply:
        """DELETE …/access_rules/{rule_id}"""
        await self._require_own(request, deletes=True)

        def unit(tx: Tx) -> None:
            access_rule_delete(tx, request.context, [self._find(tx, request, "delete")])

        await request.write(unit)
        return Reply.empty()

    def _find(self, tx: Tx, request: Request, action: str) -> Values:
        key = request.path["rule_id"]
        found = fetch(tx, ACCESS_RULE, [key], lock=action == "delete")
        owner = found[0]["user_id"] if found else request.path["id"]
        request.authorise(ACCESS_RULE.rule(action), {"target.user.id": owner})
        if not found:
            raise AccessRuleNotFound(id=key)
        return found[0]

    async def _require_own(self, request: Request, *, deletes: bool = False) -> None:
        """Raise Refused for who acts for another, DelegationForbidden where a bounded program deletes."""
        text = request.header("x-auth-token") or ""
        session = (await self._authenticator.authenticate(text)).session
        require_own(session, "access rules")
        if deletes:
            require_unrestricted(session, "application credentials")


def noun(handlers: AccessRuleHandlers) -> Noun:
    """Make the noun."""
    every, one = "/v3/users/{id}/access_rules", "/v3/users/{id}/access_rules/{rule_id}"
    own = "user_id:%(target.user.id)s"

    def route(method: str, path: str, handler: Handler, action: str, status: int = 200) -> Route:
        return Route(
            method,
            path,
            handler,
            resource=ACCESS_RULE,
            action=action,
            status=status,
            rule=ACCESS_RULE.rule(action),
            summary=f"{action.capitalize()} access rules",
        )

    return Noun(
        name="access_rule",
        routes=(
            route("GET", every, handlers.list, "list"),
            route("GET", one, handlers.get, "get"),
            route("DELETE", one, handlers.delete, "delete", 204),
        ),
        rules=rules(
            {
                "get_access_rule": f"{SYSTEM_READER} or {own}",
                "list_access_rules": f"{SYSTEM_READER} or {own}",
                "delete_access_rule": f"(role:admin and system_scope:all) or {own}",
            },
            NOT_DOMAINS,
        ),
    )
