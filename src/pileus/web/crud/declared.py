"""A resource's standard routes as one value: its units of work, and where its API differs from others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement

from pileus.core.context import Context
from pileus.resource.declaration import Resource, Update, Values
from pileus.store.tx import Tx
from pileus.web.request import Request

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Crud:
    """A resource, its units of work, and the options of its routes.

    Without options, whoever may not see one (the rule of ``get``) is answered as if it did not exist.

    ``judge`` asks the policy before it is told whether one exists: a refusal is a 403 even for what is not
    there (Keystone). ``found_first`` are the actions that answer 404 before ``judge`` is asked.
    ``guard`` is asked after the policy, in the transaction of an update or a deletion.
    ``prepare`` runs before the unit of a create or an update, after the policy was asked.
    ``where`` narrows the table to what this resource is. ``filters`` are parameters of lists that are no
    attributes. ``list_where`` and ``list_visible`` narrow a list for one request; a marker need not fulfil
    the first. ``list_rule`` names the policy rule of a list where it depends on the request.
    ``may_change_nothing``: an update may name no attribute, where the wording refuses that.
    """

    resource: Resource
    create: Create | None = None
    update: Change | None = None
    delete: Delete | None = None
    judge: Judge | None = None
    found_first: frozenset[str] = frozenset()
    guard: Guard | None = None
    prepare: Prepare | None = None
    where: Sequence[ColumnElement[bool]] = ()
    filters: Mapping[str, Filter] = field(default_factory=dict)
    list_where: Conditions | None = None
    list_visible: Conditions | None = None
    list_rule: Callable[[Request], str] | None = None
    may_change_nothing: bool = False
