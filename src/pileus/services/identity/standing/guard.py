"""Refuse to change a user or a group above the caller (``rules/standing.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pileus.core.errors import Forbidden
from pileus.resource.declaration import Values
from pileus.services.identity.rules.standing import Caller, Held, is_above
from pileus.services.identity.standing.grants import ActorKind, Grant, domain_of, roles_held
from pileus.services.identity.standing.graph import role_graph
from pileus.store.tx import Tx
from pileus.web.crud import Guard
from pileus.web.request import Request

Actor = tuple[ActorKind, str]


class HoldsMore(Forbidden):
    """The user or group to be changed holds a role above those of the caller (403)."""

    message = (
        "You are not authorized to perform the requested action: the {kind} holds a role above those of the "
        "caller."
    )


class RoleTooHigh(Forbidden):
    """The role to be granted is above those of the caller (403)."""

    message = "You are not authorized to perform the requested action: the role is above those of the caller."


def caller_of(request: Request) -> Caller:
    """The caller with the roles of his token, for the rules of standing."""
    context = request.context
    unbounded = context.domain_id is None and request.access.allows("admin_required")
    return Caller(context.roles, context.domain_id, context.system_scope, unbounded)


def require_standing(tx: Tx, request: Request, actors: Iterable[Actor], given: Grant | None = None) -> None:
    """Raise HoldsMore or RoleTooHigh where an actor, or the role of a grant, is above the caller.

    Everybody may change what is his own; for an administrator of the cloud no statement is made. Who gives
    or takes a role gets at nothing else that the user has, so that roles on the system that mean nothing to
    the services don't keep a manager from managing the user's place in his domain, as in Keystone.
    """
    caller = caller_of(request)
    if caller.unbounded:
        return
    graph = role_graph(tx)
    for kind, key in actors:
        own = kind == "user" and key == request.context.user_id
        if own:
            continue
        named_only = given is not None
        if any(is_above(graph, caller, held, named_only=named_only) for held in roles_held(tx, kind, key)):
            raise HoldsMore(kind=kind)
    if given is not None and is_above(graph, caller, Held(given.role_id, domain_of(tx, given))):
        raise RoleTooHigh


def standing_guard(kind: ActorKind) -> Guard:
    """Make the guard of the routes that update and delete users or groups."""

    def guard(tx: Tx, request: Request, action: str, originals: Sequence[Values]) -> None:
        require_standing(tx, request, [(kind, one["id"]) for one in originals])

    return guard
