"""Units that change a user or a group, behind the rule of who stands above whom (``rules/standing.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec, TypeVar

from pileus.core.context import Context
from pileus.core.errors import Forbidden
from pileus.services.identity.grants import ActorKind, Grant, domain_of, roles_held
from pileus.services.identity.roles import role_graph
from pileus.services.identity.rules.standing import Caller, Held, is_above
from pileus.store.tx import Tx

P = ParamSpec("P")
T = TypeVar("T")
Actor = tuple[ActorKind, str]


class HoldsMore(Forbidden):
    """Whoever shall be changed holds a role above those of the caller (403)."""

    message = (
        "You are not authorized to perform the requested action: the {kind} holds a role above those of the "
        "caller."
    )


class RoleTooHigh(Forbidden):
    """The role that shall be given is above those of the caller (403)."""

    message = "You are not authorized to perform the requested action: the role is above those of the caller."


def require_standing(tx: Tx, context: Context, actors: Iterable[Actor], given: Grant | None = None) -> None:
    """Raise HoldsMore or RoleTooHigh where an actor, or the role of a grant, is above the caller.

    Everybody may change what is his own; for an administrator of the cloud no statement is made. Who gives
    or takes a role gets at nothing else that the user has, so that roles on the system that mean nothing to
    the services don't keep a manager from managing the user's place in his domain, as in Keystone.
    """
    caller = Caller(context.roles, context.domain_id, context.system_scope)
    if caller.unbounded:
        return
    graph = role_graph(tx)
    for kind, key in actors:
        own = kind == "user" and key == context.user_id
        if own:
            continue
        named_only = given is not None
        if any(is_above(graph, caller, held, named_only=named_only) for held in roles_held(tx, kind, key)):
            raise HoldsMore(kind=kind)
    if given is not None and is_above(graph, caller, Held(given.role_id, domain_of(tx, given))):
        raise RoleTooHigh


def guarded(
    kind: ActorKind, unit: Callable[Concatenate[Tx, Context, str, P], T]
) -> Callable[Concatenate[Tx, Context, str, P], T]:
    """A unit that changes the user or group with the id that it is given."""

    def run(tx: Tx, context: Context, key: str, /, *args: P.args, **keywords: P.kwargs) -> T:
        require_standing(tx, context, [(kind, key)])
        return unit(tx, context, key, *args, **keywords)

    return run


def behind(
    tx: Tx,
    actors: Iterable[Actor],
    unit: Callable[Concatenate[Tx, Context, P], T],
    context: Context,
    /,
    *args: P.args,
    **keywords: P.kwargs,
) -> T:
    """Run a unit that changes something of the actors, such as who is in a group: that gives the group's
    roles to a user, or takes them."""
    require_standing(tx, context, actors)
    return unit(tx, context, *args, **keywords)


def guarded_grant(tx: Tx, unit: Callable[[Tx, Context, Grant], None], context: Context, grant: Grant) -> None:
    """Run a unit that gives or takes a role."""
    require_standing(tx, context, [(grant.actor_kind, grant.actor_id)], grant)
    unit(tx, context, grant)
