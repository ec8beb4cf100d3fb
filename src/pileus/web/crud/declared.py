"""A resource's standard routes as one value: its units of work, and where its API differs from others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.listing import Listing
from pileus.resource.types import Type
from pileus.store.tx import Tx
from pileus.web.request import Request
from pileus.web.routes import ByVersion

Create = Callable[[Tx, Context, list[Values]], list[Values]]
Change = Callable[[Tx, Context, list[Update]], list[Values]]
Delete = Callable[[Tx, Context, list[Values]], None]

Judge = Callable[[Request, str, Values | None], None]
"""``(request, action, values)``: raise Forbidden unless the policy allows the action on one; ``values`` None:
on one that does not exist."""

Guard = Callable[[Tx, Request, str, Sequence[Values]], None]
"""``(tx, request, action, originals)``: raise a refusal that takes a look into the database."""

Prepare = Callable[[Request, Values], Awaitable[None]]
"""Work on the values of a create or an update outside of any transaction (hashing a password)."""

Filter = Callable[[Sequence[str]], ColumnElement[bool]]
"""The condition for the texts of a query's parameter; may raise BadValue."""

Conditions = Callable[[Request], Sequence[ColumnElement[bool]]]

View = Callable[[Request, str, dict[str, Any]], dict[str, Any]]
"""``(request, action, view)``: a view as the reply to an action has it; ``action`` may be ``detail``."""

Kind = Type | ByVersion


class Patch(NamedTuple):
    """An update whose body holds changes to what is there, rather than new values (JSON patch).

    ``read`` checks the body; ``apply`` makes new values of the one that is there and what ``read`` returned,
    and asks the policy. It returns None where there is nothing to do. A declaration with a patch has a judge.
    """

    read: Callable[[Request], Any]
    apply: Callable[[Request, Values, Any], Values | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crud:
    """A resource, its units of work, and the options of its routes.

    Without options, whoever may not see one (the rule of ``get``) is answered as if it did not exist.

    Who may do and see what:

    ``judge`` asks the policy before it is told whether one exists: a refusal is a 403 even for what is not
    there (Keystone, Nova). ``found_first`` are the actions that answer 404 before ``judge`` is asked.
    ``list_judge`` asks it about a list, whose rows are then not narrowed by a rule.
    ``guard`` is asked after the policy, in the transaction of an update or a deletion.
    ``where`` narrows the table to what this resource is, ``visible`` for one request to what the caller sees
    of it, in each action. ``list_where`` and ``list_visible`` narrow a list for one request; a marker need
    not fulfil the first. ``list_rule`` names the policy rule of a list where it depends on the request.
    ``not_found`` makes the error of a missing one where it tells more than its key.

    How it is taken and shown:

    ``bodies`` and ``replies`` are types by action, where a declaration can't say them (they differ by
    microversion); attributes are checked all the same. ``shown`` are the attributes that a reply has where
    it has not all, ``view`` makes the last touches to one. ``detail``: lists are short (``shown["list"]``),
    and those at ``/detail`` have everything. ``statuses`` and ``versions`` are those of an action, where it
    has others than the rest. ``headers`` are those of the reply to a creation, ``parameter`` is the name that
    the path has for the key. ``filters`` are parameters of lists that are no attributes; ``listing`` reads
    the query of a list where the dialect does not. ``may_change_nothing``: an update may name no attribute,
    where the wording refuses that. ``page`` is the length of a list where the request names none, if the
    list is always bounded.

    What is done besides:

    ``prepare`` runs before the unit of a create or an update, after the policy was asked, ``deleted`` after a
    deletion was committed. ``patch`` reads updates that are patches. ``joined``: creations by one caller at
    the same time become one unit of work, which has to take several as well as one (``store.joining``).
    """

    resource: Resource
    create: Create | None = None
    update: Change | None = None
    delete: Delete | None = None
    judge: Judge | None = None
    found_first: frozenset[str] = frozenset()
    list_judge: Callable[[Request], None] | None = None
    guard: Guard | None = None
    where: Sequence[ColumnElement[bool]] = ()
    visible: Conditions | None = None
    list_where: Conditions | None = None
    list_visible: Conditions | None = None
    list_rule: Callable[[Request], str] | None = None
    not_found: Callable[[Request], NotFound] | None = None
    bodies: Mapping[str, Kind] = field(default_factory=dict)
    replies: Mapping[str, Kind] = field(default_factory=dict)
    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)
    view: View | None = None
    detail: bool = False
    statuses: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    headers: Callable[[Request, dict[str, Any]], Mapping[str, str]] | None = None
    parameter: str = ""
    filters: Mapping[str, Filter] = field(default_factory=dict)
    listing: Callable[[Request], Listing] | None = None
    may_change_nothing: bool = False
    page: int | None = None
    prepare: Prepare | None = None
    deleted: Callable[[Values], Awaitable[None]] | None = None
    patch: Patch | None = None
    joined: bool = False
