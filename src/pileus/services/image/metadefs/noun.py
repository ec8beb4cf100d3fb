"""Metadata definitions: handlers, routes and rules."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

from pileus.policy import Rule
from pileus.resource import types
from pileus.services.image.metadefs import bodies, items, namespaces, resource_types
from pileus.services.image.metadefs.access import READER, own_target
from pileus.services.image.metadefs.items import NAMESPACES, OBJECT, PROPERTY, TAG, Kind
from pileus.services.image.metadefs.listing import namespace_list, read_limit, read_query
from pileus.services.image.policy import ADMIN, ADMIN_OR_READER, rules
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_ONE = f"{NAMESPACES}/{{namespace}}"
_TYPES = f"{_ONE}/resource_types"
_REPLY = types.dict_of({}, additional=types.anything)
_APPEND = "x-openstack-append"


async def list_namespaces(request: Request) -> Reply:
    """GET /v2/metadefs/namespaces"""
    query = read_query(request)
    found = await request.read(namespace_list, request, query)
    kept = [(name, text) for name, text in request.query if name != "marker"]
    body = {
        "namespaces": found,
        "first": f"{NAMESPACES}?{urlencode(kept)}" if kept else NAMESPACES,
        "schema": "/v2/schemas/metadefs/namespaces",
    }
    if found and len(found) == query.limit:
        body["next"] = f"{NAMESPACES}?{urlencode([*kept, ('marker', found[-1]['namespace'])])}"
    return Reply.json(body)


async def create_namespace(request: Request) -> Reply:
    """POST /v2/metadefs/namespaces"""
    given = bodies.read_body(bodies.NAMESPACE, "namespace", request.json())
    made = await request.write(namespaces.namespace_create, request, given)
    return Reply.json(made, 201, [(b"location", f"{request.service_url}{made['self']}".encode())])


async def show_namespace(request: Request) -> Reply:
    """GET /v2/metadefs/namespaces/{namespace}"""
    wanted = request.parameter("resource_type")
    return Reply.json(await request.read(namespaces.namespace_get, request, wanted))


async def update_namespace(request: Request) -> Reply:
    """PUT /v2/metadefs/namespaces/{namespace}"""
    given = bodies.read_body(bodies.NAMESPACE, "namespace", request.json())
    return Reply.json(await request.write(namespaces.namespace_update, request, given))


async def delete_namespace(request: Request) -> Reply:
    """DELETE /v2/metadefs/namespaces/{namespace}"""
    await request.write(namespaces.namespace_delete, request)
    return Reply.empty()


async def list_resource_types(request: Request) -> Reply:
    """GET /v2/metadefs/resource_types"""
    request.authorise("list_metadef_resource_types", own_target(request))
    return Reply.json({"resource_types": await request.read(resource_types.resource_type_list)})


async def list_associations(request: Request) -> Reply:
    """GET /v2/metadefs/namespaces/{namespace}/resource_types"""
    found = await request.read(resource_types.association_list, request)
    return Reply.json({"resource_type_associations": found})


async def associate(request: Request) -> Reply:
    """POST /v2/metadefs/namespaces/{namespace}/resource_types"""
    given = bodies.read_body(bodies.ASSOCIATION, "resource_type_association", request.json())
    return Reply.json(await request.write(resource_types.association_create, request, given), 201)


async def dissociate(request: Request) -> Reply:
    """DELETE /v2/metadefs/namespaces/{namespace}/resource_types/{name}"""
    await request.write(resource_types.association_delete, request, request.path["name"])
    return Reply.empty()


async def list_items(request: Request, kind: Kind) -> Reply:
    """The objects or tags of a namespace; of tags and objects a page, of properties all by name."""
    limit, marker = read_limit(request), request.parameter("marker")
    namespace, rows = await request.read(items.item_list, request, kind)
    if kind is PROPERTY:
        return Reply.json({"properties": {row.name: row.document for row in rows}})
    names = [row.name for row in rows]
    if marker is not None:
        if marker not in names:
            raise kind.not_found(name=marker, namespace_name=namespace.namespace)
        rows = rows[names.index(marker) + 1 :]
    if request.parameter("limit") is not None:
        rows = rows[:limit]
    if kind is TAG:
        return Reply.json({"tags": [{"name": row.name} for row in rows]})
    views = [kind.view(namespace.namespace, row) for row in rows]
    return Reply.json({"objects": views, "schema": "v2/schemas/metadefs/objects"})


async def create_item(request: Request, kind: Kind) -> Reply:
    """An object or a property."""
    given = bodies.read_body(kind.body, kind.name, request.json())
    made = await request.write(items.item_create, request, kind, [given])
    return Reply.json(made[0], 201)


async def create_tag(request: Request) -> Reply:
    """POST /v2/metadefs/namespaces/{namespace}/tags/{name}"""
    given = bodies.read_body(bodies.TAG, "tag", {"name": request.path["name"]})
    made = await request.write(items.item_create, request, TAG, [given])
    return Reply.json(made[0], 201)


async def create_tags(request: Request) -> Reply:
    """POST /v2/metadefs/namespaces/{namespace}/tags: these instead of all, or beside them if asked so."""
    given = bodies.read_body(bodies.TAGS, "tags", request.json())["tags"]
    append = (request.header(_APPEND) or "").strip().lower() in ("1", "t", "true", "on", "y", "yes")
    made = await request.write(items.item_create, request, TAG, given, replace=not append)
    return Reply.json({"tags": [{"name": one["name"]} for one in made]}, 201)


async def show_item(request: Request, kind: Kind) -> Reply:
    """One object, property or tag."""
    wanted = request.parameter("resource_type")
    return Reply.json(await request.read(items.item_get, request, kind, request.path["name"], wanted))


async def update_item(request: Request, kind: Kind) -> Reply:
    """Put another in the place of one."""
    given = bodies.read_body(kind.body, kind.name, request.json())
    return Reply.json(await request.write(items.item_update, request, kind, request.path["name"], given))


async def delete_item(request: Request, kind: Kind) -> Reply:
    """Delete one."""
    await request.write(items.item_delete, request, kind, request.path["name"])
    return Reply.empty()


async def delete_items(request: Request, kind: Kind) -> Reply:
    """Delete all of a kind."""
    await request.write(items.items_delete, request, kind)
    return Reply.empty()


def _item_routes(kind: Kind) -> tuple[Route, ...]:
    """The routes of a kind of thing in a namespace, but for how tags are made."""
    every, one, name = f"{_ONE}/{kind.plural}", f"{_ONE}/{kind.plural}/{{name}}", kind.name
    listed = _REPLY if kind is PROPERTY else types.list_of(_REPLY)
    return (
        Route(
            "GET",
            every,
            partial(list_items, kind=kind),
            rule=f"get_metadef_{kind.plural}",
            reply=types.dict_of({kind.plural: listed}, required=(kind.plural,), additional=types.anything),
            summary=f"List {kind.plural}",
        ),
        Route(
            "DELETE",
            every,
            partial(delete_items, kind=kind),
            status=204,
            rule="delete_metadef_tags" if kind is TAG else "delete_metadef_namespace",
            summary=f"Delete all {kind.plural}",
        ),
        Route(
            "GET",
            one,
            partial(show_item, kind=kind),
            rule=f"get_metadef_{name}",
            reply=_REPLY,
            summary=f"Show a {name}",
        ),
        Route(
            "PUT",
            one,
            partial(update_item, kind=kind),
            rule=f"modify_metadef_{name}",
            body=kind.body,
            reply=_REPLY,
            summary=f"Update a {name}",
        ),
        Route(
            "DELETE",
            one,
            partial(delete_item, kind=kind),
            status=204,
            rule=f"{kind.removal}_metadef_{name}",
            summary=f"Delete a {name}",
        ),
    )


def _making(kind: Kind) -> Route:
    return Route(
        "POST",
        f"{_ONE}/{kind.plural}",
        partial(create_item, kind=kind),
        status=201,
        rule=f"add_metadef_{kind.name}",
        body=kind.body,
        reply=_REPLY,
        summary=f"Make a {kind.name}",
    )


_TAG_ROUTES = (
    Route(
        "POST",
        f"{_ONE}/tags",
        create_tags,
        status=201,
        rule="add_metadef_tags",
        body=bodies.TAGS,
        reply=types.dict_of({"tags": types.list_of(bodies.TAG)}, required=("tags",)),
        summary="Make tags",
    ),
    Route(
        "POST",
        f"{_ONE}/tags/{{name}}",
        create_tag,
        status=201,
        rule="add_metadef_tag",
        body=NO_BODY,
        reply=_REPLY,
        summary="Make a tag",
    ),
)

_TYPE_ROUTES = (
    Route(
        "GET",
        "/v2/metadefs/resource_types",
        list_resource_types,
        rule="list_metadef_resource_types",
        reply=types.dict_of({"resource_types": types.list_of(_REPLY)}, required=("resource_types",)),
        summary="List resource types",
    ),
    Route(
        "GET",
        _TYPES,
        list_associations,
        rule="list_metadef_resource_types",
        reply=types.dict_of(
            {"resource_type_associations": types.list_of(_REPLY)}, required=("resource_type_associations",)
        ),
        summary="List the resource types of a namespace",
    ),
    Route(
        "POST",
        _TYPES,
        associate,
        status=201,
        rule="add_metadef_resource_type_association",
        body=bodies.ASSOCIATION,
        reply=_REPLY,
        summary="Associate a resource type with a namespace",
    ),
    Route(
        "DELETE",
        f"{_TYPES}/{{name}}",
        dissociate,
        status=204,
        rule="remove_metadef_resource_type_association",
        summary="End the association of a resource type",
    ),
)

_NAMESPACE_ROUTES = (
    Route(
        "GET",
        NAMESPACES,
        list_namespaces,
        rule="get_metadef_namespaces",
        reply=types.dict_of(
            {"namespaces": types.list_of(_REPLY)}, required=("namespaces",), additional=types.anything
        ),
        statements=3,
        summary="List namespaces",
    ),
    Route(
        "POST",
        NAMESPACES,
        create_namespace,
        status=201,
        rule="add_metadef_namespace",
        body=bodies.NAMESPACE,
        reply=_REPLY,
        summary="Make a namespace, with what is in it",
    ),
    Route(
        "GET",
        _ONE,
        show_namespace,
        rule="get_metadef_namespace",
        reply=_REPLY,
        summary="Show a namespace and what is in it",
    ),
    Route(
        "PUT",
        _ONE,
        update_namespace,
        rule="modify_metadef_namespace",
        body=bodies.NAMESPACE,
        reply=_REPLY,
        summary="Update a namespace",
    ),
    Route(
        "DELETE",
        _ONE,
        delete_namespace,
        status=204,
        rule="delete_metadef_namespace",
        summary="Delete a namespace and what is in it",
    ),
)

_ADMINS = (
    *(f"{verb}_metadef_{name}" for verb in ("add", "modify") for name in ("object", "property", "tag")),
    *(f"{verb}_metadef_namespace" for verb in ("add", "modify", "delete")),
    "delete_metadef_object",
    "remove_metadef_property",
    "delete_metadef_tag",
    "add_metadef_tags",
    "delete_metadef_tags",
    "add_metadef_resource_type_association",
    "remove_metadef_resource_type_association",
)
_READERS = (
    *(f"get_metadef_{name}" for kind in (OBJECT, PROPERTY, TAG) for name in (kind.name, kind.plural)),
    "get_metadef_namespace",
    "list_metadef_resource_types",
    "get_metadef_resource_type",
)

NOUN = Noun(
    name="metadef",
    routes=(
        *_NAMESPACE_ROUTES,
        *_TYPE_ROUTES,
        *_TAG_ROUTES,
        *(_making(kind) for kind in (OBJECT, PROPERTY)),
        *(route for kind in (OBJECT, PROPERTY, TAG) for route in _item_routes(kind)),
    ),
    rules=(
        Rule("metadef_default", "", "What is not about metadata definitions in particular"),
        Rule("metadef_admin", ADMIN, "Who changes metadata definitions"),
        *rules(
            {
                **dict.fromkeys(_ADMINS, "rule:metadef_admin"),
                **dict.fromkeys(_READERS, READER),
                "get_metadef_namespaces": ADMIN_OR_READER,
            }
        ),
    ),
)
