"""What the nouns of Keystone's API have in common, and other services do not.

- The policy is asked before it is told whether the thing exists, and a refusal is a 403
  even where the caller may not see it; for some actions Keystone looks first and answers 404
  (``Noun.found_first``). Lists are refused as a whole, or narrowed by SQL.
- A token of a domain sees of a list what is in its domain, whatever its roles are.
- Bodies may hold attributes that nobody declared. They are kept (``extra``) and shown.
- Every view has ``links.self``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.check import check_create, check_update
from pileus.resource.declaration import Attribute, Resource, Values, fresh_hex_id
from pileus.resource.listing import Listing, page_statement
from pileus.resource.rows import fetch
from pileus.services.identity.errors import SchemaValidationError
from pileus.services.identity.rules.turns import Turn
from pileus.store.tx import Tx
from pileus.web.client import share_of
from pileus.web.dialects.keystone import KeystoneDialect
from pileus.web.head import Head
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route
from pileus.web.view import Page, show

DEFAULT_DOMAIN = "default"
MAX_EXTRA = 50


_HOMES = {"application_credential": "users/{user_id}/application_credentials/{id}"}
"""The paths of what does not hang directly below ``/v3``."""


class IdentityDialect(KeystoneDialect):
    """Keystone's dialect, with additional properties shown among the others."""

    omitted = frozenset({"default_project_id"})
    """What Keystone leaves out of views where it is not set."""

    def decorate(self, head: Head, resource: Resource, view: dict[str, Any]) -> None:
        super().decorate(head, resource, view)
        home = _HOMES.get(resource.name)
        if home is not None:
            view["links"]["self"] = f"{head.service_url}/v3/{home.format_map(view)}"
        for name, value in (view.pop("extra", None) or {}).items():
            view.setdefault(name, value)
        for name in self.omitted & view.keys():
            if view[name] is None:
                del view[name]


IDENTITY = IdentityDialect()


def home_domain(context: Context, values: Mapping[str, Any]) -> str:
    """The domain of what is made without naming one: that of a domain-scoped token, else the default one."""
    return context.domain_id or DEFAULT_DOMAIN


ID = Attribute("id", types.string(64), default=fresh_hex_id, filter=True, sort=True)
ENABLED = Attribute(
    "enabled", types.strict_boolean, default=True, create=True, update=True, filter=True, sort=True
)
DESCRIPTION = Attribute(
    "description",
    types.with_default_none(types.string(None), ""),
    default="",
    create=True,
    update=True,
)
OPTIONS = Attribute("options", types.dict_of({}), compute=lambda values: {}, create=True, update=True)
"""Keystone's resource options. None is supported, so only the empty object is taken."""

EXTRA = Attribute(
    "extra",
    types.Type("extra", lambda value: value, {"type": "object"}, accepts_none=True, show=lambda value: value),
)


def turn_of(request: Request, who: object) -> Turn:
    """For whom a hash is computed: the client's address, and the user that the request is about."""
    return Turn(share_of(request.client_address), str(who))


Prepare = Callable[[Request, Values], Awaitable[None]]
Filter = Callable[[Sequence[str]], ColumnElement[bool]]
Asked = Callable[[str, Mapping[str, Any]], Sequence[str]]


async def _nothing(request: Request, values: Values) -> None:
    """Nothing to prepare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A resource with its units of work and what the policy sees of it.

    ``target`` gives the keys that rules name (``target.user.domain_id``) for values, or none for
    something that does not exist; ``columns`` the same for the rule of the list. ``prepare`` runs
    before the unit of a create or update (hashing a password). ``where`` narrows what the table
    holds to this noun, ``home`` is the column of the domain that each is in. ``found_first`` are the
    actions that say 404 before the policy is asked. ``filters`` are the parameters of lists that are no
    attributes: the condition for their texts (BadValue where those are none). ``asked`` gives the rules of
    an action on one whose values decide it; without it, it is the action's own.
    """

    resource: Resource
    target: Callable[[Mapping[str, Any] | None], dict[str, Any]]
    create: Callable[[Tx, Context, Values], Values] | None = None
    update: Callable[[Tx, Context, str, Values], Values] | None = None
    delete: Callable[[Tx, Context, str], None] | None = None
    columns: Mapping[str, ColumnElement[Any]] = field(default_factory=dict)
    prepare: Prepare = _nothing
    where: Sequence[ColumnElement[bool]] = ()
    home: ColumnElement[Any] | None = None
    found_first: frozenset[str] = frozenset()
    filters: Mapping[str, Filter] = field(default_factory=dict)
    asked: Asked | None = None
    may_change_nothing: bool = False
    """Whether a PATCH may name no attribute: of all schemas Keystone's for projects alone allows it."""

    def rule(self, action: str) -> str:
        """``identity:list_users``, ``identity:get_user``."""
        return self.resource.rule(action)

    def authorise(self, request: Request, action: str, values: Values | None) -> None:
        """Raise Forbidden unless the policy allows the action on that one, or on one that is not there.

        A domain that a new one was not given, but gets, is none that the policy sees: only who may
        make them in any domain may leave it out, as in Keystone.
        """
        rules = self.asked(action, values) if self.asked and values is not None else (self.rule(action),)
        target = self.target(values)
        if action == "create" and values is not None and "domain_id" not in values.given:
            target = {key: value for key, value in target.items() if not key.endswith("domain_id")}
        for rule in rules:
            request.authorise(rule, target)


def noun_routes(noun: Noun) -> tuple[Route, ...]:
    """The five standard routes below ``/v3``."""
    path = f"/v3/{noun.resource.collection}"
    one = f"{path}/{{id}}"
    resource = noun.resource
    name = resource.name

    def route(method: str, at: str, handler: Handler, action: str, status: int = 200) -> Route:
        return Route(
            method,
            at,
            handler,
            resource=resource,
            action=action,
            status=status,
            summary=f"{action.capitalize()} {name}",
            rule=noun.rule(action),
        )

    return (
        route("GET", path, list_of(noun), "list"),
        route("POST", path, create_of(noun), "create", 201),
        route("GET", one, get_of(noun), "get"),
        route("PATCH", one, update_of(noun), "update"),
        route("DELETE", one, delete_of(noun), "delete", 204),
    )


def list_of(noun: Noun) -> Handler:
    """GET on the collection."""

    async def handler(request: Request) -> Reply:
        listing = request.dialect.listing(request, noun.resource)
        return await list_reply(request, noun, noun.rule("list"), listing)

    return handler


async def list_reply(
    request: Request,
    noun: Noun,
    rule: str | None,
    listing: Listing,
    among: Sequence[ColumnElement[bool]] = (),
) -> Reply:
    """A list of a noun, narrowed to what the rule lets the caller see; a refusal where that is nothing.

    ``rule`` None: the caller was judged already, and sees those that fulfil the conditions ``among``.
    """
    may_see = list(among)
    if rule is not None:
        condition = request.access.policy.condition(rule, request.context, noun.columns)
        if condition is False:
            raise request.access.refusal([rule], {})
        may_see += [*([] if condition is True else [condition]), *in_domain(request, noun)]
    listing.visible = may_see
    listing.where.extend([*may_see, *noun.where])
    listing.where.extend(_filtered(request, noun))
    return Reply.chunks(await request.read(_list, request, noun, listing))


def in_domain(request: Request, noun: Noun) -> Sequence[ColumnElement[bool]]:
    """The condition that keeps a list to the domain of a token that is a domain's."""
    domain_id = request.context.domain_id
    return () if noun.home is None or domain_id is None else (noun.home == domain_id,)


def _filtered(request: Request, noun: Noun) -> Iterator[ColumnElement[bool]]:
    """The conditions of the noun's own filters in the query. Raises Invalid."""
    given: dict[str, list[str]] = {}
    for name, text in request.query:
        if name in noun.filters:
            given.setdefault(name, []).append(text)
    for name, texts in given.items():
        try:
            yield noun.filters[name](texts)
        except types.BadValue as bad:
            raise request.dialect.bad_value(name, texts, bad) from None


def _list(tx: Tx, request: Request, noun: Noun, listing: Listing) -> list[bytes]:
    resource = noun.resource

    def statement(columns: Sequence[Any]) -> Select[Any]:
        return page_statement(
            tx, resource, columns, listing, resource.wording.missing_marker(resource, listing.marker or "")
        )

    page = Page(tx, request, resource, statement, ())
    more = listing.limit is not None and len(page.keys) >= listing.limit
    return page.encode(request.dialect.list_links(request, resource, listing, page.keys, more))


def create_of(noun: Noun) -> Handler:
    """POST on the collection."""
    unit = noun.create
    assert unit is not None

    async def handler(request: Request) -> Reply:
        spec = read_create(request, noun.resource)
        noun.authorise(request, "create", spec)
        await noun.prepare(request, spec)
        return reply_one(request, noun, await request.write(unit, request.context, spec), 201)

    return handler


def get_of(noun: Noun) -> Handler:
    """GET on one."""

    async def handler(request: Request) -> Reply:
        return reply_one(request, noun, await find(request, noun, "get"))

    return handler


def update_of(noun: Noun) -> Handler:
    """PATCH on one."""
    unit = noun.update
    assert unit is not None

    async def handler(request: Request) -> Reply:
        changes = read_update(request, noun.resource, may_be_empty=noun.may_change_nothing)
        await find(request, noun, "update")
        await noun.prepare(request, changes)
        key = request.path["id"]
        return reply_one(request, noun, await request.write(unit, request.context, key, changes))

    return handler


def delete_of(noun: Noun) -> Handler:
    """DELETE on one."""
    unit = noun.delete
    assert unit is not None

    async def handler(request: Request) -> Reply:
        await find(request, noun, "delete")
        await request.write(unit, request.context, request.path["id"])
        return Reply.empty()

    return handler


async def find(request: Request, noun: Noun, action: str) -> Values:
    """The one that the path names, after the policy was asked about it. Raises Forbidden, then NotFound
    (NotFound first where the noun says so)."""
    key = request.path["id"]
    found = await request.read(fetch, noun.resource, [key], noun.where)
    # MariaDB compares without the spaces at the end: an id has one spelling all the same
    values = found[0] if found and found[0][noun.resource.key] == key else None
    if values is None and action in noun.found_first:
        raise noun.resource.not_found(key)
    noun.authorise(request, action, values)
    if values is None:
        raise noun.resource.not_found(key)
    return values


def reply_one(request: Request, noun: Noun, values: Mapping[str, Any], status: int = 200) -> Reply:
    """One, under its name."""
    return Reply.json({noun.resource.name: show(request, noun.resource, [values])[0]}, status)


def read_create(request: Request, resource: Resource) -> Values:
    """The body of a create request against the declaration. Raises Invalid."""
    known, extra = _split(request, resource)
    values = check_create(resource, request.context, known)
    values["extra"] = extra or None
    return values


def read_update(request: Request, resource: Resource, *, may_be_empty: bool = False) -> Values:
    """The body of an update request; an ``id`` in it must be that of the path. Raises Invalid."""
    known, extra = _split(request, resource)
    if "id" in known and known.pop("id") != request.path["id"]:
        raise SchemaValidationError(f"Cannot change {resource.name} ID")
    if not known and not extra and not may_be_empty:
        raise SchemaValidationError(
            f"Invalid input for field '{resource.name}': {{}} does not have enough properties"
        )
    changes = check_update(resource, known)
    if extra:
        changes["extra"] = extra
    return changes


def _split(request: Request, resource: Resource) -> tuple[dict[str, Any], dict[str, Any]]:
    """The declared attributes in the body, and the others."""
    body = request.json()
    if not isinstance(body, dict) or not isinstance(body.get(resource.name), dict):
        raise resource.wording.no_object(resource, body)
    known, extra = {}, {}
    for name, value in body[resource.name].items():
        if name == "links":
            continue  # clients send back what they were shown
        if name != "extra" and resource.resolve(name) is not None:
            known[name] = value
        else:
            extra[name] = value
    if len(extra) > MAX_EXTRA or any(len(name) > 255 for name in extra):
        raise _too_many(resource.name)
    return known, extra


def _too_many(name: str) -> SchemaValidationError:
    return SchemaValidationError(f"A {name} has at most {MAX_EXTRA} additional properties")


def merged(original: Values, changes: Values) -> Values:
    """The changes, with additional properties laid over those that are there. Raises SchemaValidationError
    where those are too many together."""
    if changes.get("extra"):
        changes["extra"] = {**(original["extra"] or {}), **changes["extra"]}
        if len(changes["extra"]) > MAX_EXTRA:
            raise _too_many("resource")
    return changes
