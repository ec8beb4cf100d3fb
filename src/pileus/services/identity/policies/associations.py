"""``OS-ENDPOINT-POLICY``: the policy of an endpoint, of a service, or of a service in a region.

The policy of an endpoint is its own, or that of its service in its region or the next region above that has
one, or that of its service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, or_, select

from pileus.core.errors import NotFound
from pileus.services.identity.catalog.endpoints import ENDPOINT, ENDPOINTS
from pileus.services.identity.catalog.regions import REGION
from pileus.services.identity.catalog.services import SERVICE
from pileus.services.identity.common.generation import announce
from pileus.services.identity.common.naming import Named, authorised, named_find, named_one
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.policies.noun import POLICY
from pileus.services.identity.tables.catalog import endpoints, policy_associations, regions
from pileus.store.tx import Tx
from pileus.store.upsert import upsert
from pileus.web.crud import list_reply, shown_reply
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route


class PolicyAssociationNotFound(NotFound):
    """The policy is not that of the endpoint, service or region (404)."""

    message = "Could not find policy association."


class NoPolicy(NotFound):
    """An endpoint has no policy (404)."""

    message = "No policy is associated with endpoint {id}."


_c = policy_associations.c
_OF_PLACES = select(_c.place, _c.policy_id).where(_c.place.in_(bindparam("places", expanding=True)))
_AT = and_(_c.place == bindparam("at"), _c.policy_id == bindparam("policy"))
_CHECK = select(_c.place).where(_AT)
_REMOVE = policy_associations.delete().where(_AT)
_OF_POLICY = select(_c.endpoint_id, _c.service_id, _c.region_id).where(_c.policy_id == bindparam("policy"))
_PARENTS = select(regions.c.id, regions.c.parent_region_id)

ENDPOINT_PLACE: Named = {"policy_id": POLICY, "endpoint_id": ENDPOINT}
SERVICE_PLACE: Named = {"policy_id": POLICY, "service_id": SERVICE}
REGION_PLACE: Named = {"policy_id": POLICY, "service_id": SERVICE, "region_id": REGION}


def _place(path: Mapping[str, str]) -> str:
    if "endpoint_id" in path:
        return f"endpoint/{path['endpoint_id']}"
    region = f"/{path['region_id']}" if "region_id" in path else ""
    return f"service/{path['service_id']}{region}"


def associate(tx: Tx, request: Request, named: Named) -> None:
    """Give the place that the path names the path's policy, in the stead of another."""
    named_find(tx, request, named)
    path = request.path
    row = {name: path.get(name) for name in ("policy_id", "endpoint_id", "service_id", "region_id")}
    tx.execute(upsert(tx.dialect, policy_associations, ("policy_id",)), {"place": _place(path), **row})
    announce(tx, request.context, "policy.update", path["policy_id"], associated=_place(path))


def associated(tx: Tx, request: Request, named: Named) -> None:
    """Raise NotFound unless the place has the policy."""
    named_find(tx, request, named)
    if tx.first(_CHECK, {"at": _place(request.path), "policy": request.path["policy_id"]}) is None:
        raise PolicyAssociationNotFound


def dissociate(tx: Tx, request: Request, named: Named) -> None:
    """Take the policy away from the place; nothing happens if it has another."""
    named_find(tx, request, named)
    place, policy_id = _place(request.path), request.path["policy_id"]
    if tx.execute(_REMOVE, {"at": place, "policy": policy_id}).rowcount:
        announce(tx, request.context, "policy.update", policy_id, dissociated=place)


def _upwards(tx: Tx, region_id: str | None) -> Iterator[str]:
    """A region and those above it, the nearest first."""
    above = {row.id: row.parent_region_id for row in tx.rows(_PARENTS)} if region_id is not None else {}
    seen: set[str] = set()
    while region_id is not None and region_id not in seen:
        seen.add(region_id)
        yield region_id
        region_id = above.get(region_id)


def policy_of_endpoint(tx: Tx, endpoint_id: str) -> Any:
    """The policy of an endpoint. Raises EndpointNotFound, NoPolicy."""
    endpoint = named_one(tx, ENDPOINT, endpoint_id)
    service = f"service/{endpoint['service_id']}"
    nearer = [f"{service}/{region}" for region in _upwards(tx, endpoint["region_id"])]
    places = [f"endpoint/{endpoint_id}", *nearer, service]
    found = {row.place: row.policy_id for row in tx.rows(_OF_PLACES, {"places": places})}
    for place in places:
        if place in found:
            return named_one(tx, POLICY, found[place])
    raise NoPolicy(id=endpoint_id)


def _places_of(tx: Tx, policy_id: str) -> list[Any]:
    """The conditions of the endpoints that a policy is associated with, one way or another."""
    named_one(tx, POLICY, policy_id)
    rows = tx.rows(_OF_POLICY, {"policy": policy_id})
    below: dict[str | None, list[str]] = {}
    if any(row.region_id for row in rows):
        for row in tx.rows(_PARENTS):
            below.setdefault(row.parent_region_id, []).append(row.id)
    places: list[Any] = []
    for row in rows:
        if row.endpoint_id is not None:
            places.append(endpoints.c.id == row.endpoint_id)
            continue
        of_service = endpoints.c.service_id == row.service_id
        if row.region_id is not None:
            of_service = and_(of_service, endpoints.c.region_id.in_(_downwards(below, row.region_id)))
        places.append(of_service)
    return places


def _downwards(below: Mapping[str | None, Sequence[str]], region_id: str) -> list[str]:
    found = [region_id]
    for one in found:  # grows as it goes
        found += [child for child in below.get(one, ()) if child not in found]
    return found


async def list_endpoints(request: Request) -> Reply:
    """GET /v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints"""
    authorised(request)
    places = await request.read(_places_of, request.path["policy_id"])
    return await list_reply(request, ENDPOINTS, [or_(endpoints.c.id.in_([]), *places)])


async def show_policy(request: Request) -> Reply:
    """GET /v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy"""
    authorised(request)
    found = await request.read(policy_of_endpoint, request.path["endpoint_id"])
    return shown_reply(request, POLICY, found)


def _association(path: str, named: Named, what: str) -> tuple[Route, ...]:
    """The three verbs of one kind of association; ``what`` ends the names of its rules."""

    async def put(request: Request) -> Reply:
        authorised(request)
        await request.write(associate, request, named)
        return Reply.empty()

    async def get(request: Request) -> Reply:
        authorised(request)
        await request.read(associated, request, named)
        return Reply.empty()

    async def delete(request: Request) -> Reply:
        authorised(request)
        await request.write(dissociate, request, named)
        return Reply.empty()

    def route(method: str, handler: Callable[[Request], Awaitable[Reply]], verb: str) -> Route:
        return Route(
            method,
            f"/v3/policies/{{policy_id}}/OS-ENDPOINT-POLICY/{path}",
            handler,
            status=204,
            body=NO_BODY if method == "PUT" else None,
            rule=f"identity:{verb}_policy_association_for_{what}",
            summary=f"{verb.capitalize()} the policy of {what.replace('_', ' ')}",
        )

    return route("PUT", put, "create"), route("GET", get, "check"), route("DELETE", delete, "delete")


_KINDS = ("endpoint", "service", "region_and_service")

NOUN = Noun(
    name="policy_association",
    routes=(
        *_association("endpoints/{endpoint_id}", ENDPOINT_PLACE, "endpoint"),
        *_association("services/{service_id}", SERVICE_PLACE, "service"),
        *_association("services/{service_id}/regions/{region_id}", REGION_PLACE, "region_and_service"),
        Route(
            "GET",
            "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints",
            list_endpoints,
            resource=ENDPOINT,
            action="list",
            rule="identity:list_endpoints_for_policy",
            summary="List the endpoints of a policy",
        ),
        Route(
            "GET",
            "/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy",
            show_policy,
            resource=POLICY,
            action="get",
            rule="identity:get_policy_for_endpoint",
            summary="Show the policy of an endpoint",
        ),
    ),
    rules=rules(
        {
            **{
                f"{verb}_policy_association_for_{kind}": READ if verb == "check" else ADMIN
                for kind in _KINDS
                for verb in ("create", "check", "delete")
            },
            "get_policy_for_endpoint": READ,
            "list_endpoints_for_policy": READ,
        },
        NOT_DOMAINS,
    ),
)
