"""OpenAPI 3.1, made from the routes and resources that serve the requests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pileus
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import Type, binary
from pileus.resource.versions import Version, parse
from pileus.web.reply import Reply, encode
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action, ByVersion, Route
from pileus.web.service import Service

_PARAMETER = re.compile(r"\{([^}]+)\}")
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_WORD = re.compile(r"[a-zA-Z0-9]+")
_DESCRIPTIONS = {
    200: "Done",
    201: "Created",
    202: "Accepted",
    204: "Done, no body",
    300: "The versions",
}


def openapi_route(services: Sequence[Service]) -> Route:
    """``GET /openapi.json``, open to everybody."""
    document: list[bytes] = []

    async def handler(request: Request) -> Reply:
        if not document:
            document.append(encode(openapi(services, request.settings.public_url.rstrip("/"))))
        return Reply.chunks(list(document))

    return Route("GET", "/openapi.json", handler, authenticated=False, summary="Show this description")


def openapi(services: Sequence[Service], url: str = "") -> dict[str, Any]:
    """The document, of a server at a URL (empty: where the document is).

    Microversioned routes of the same verb and path are told as the newest.
    """
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {}
    for service in services:
        for route in service.routes:
            path = (service.prefix + route.path) or "/"
            paths.setdefault(path, {})[route.method.lower()] = _operation(service, route, path, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pileus", "version": pileus.__version__},
        "servers": [{"url": url or "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "tags": [{"name": service.type, "description": service.description} for service in services],
    }


def reply_schema(service: Service, route: Route, version: Version | None = None) -> dict[str, Any] | None:
    """The JSON schema of an operation's successful reply, complete in itself; None where it declares none.

    ``version`` is the microversion for which it is made, the newest where it is None.
    """
    kind = route.reply
    if kind is not None:
        if isinstance(kind, ByVersion) and version is not None:
            kind = kind.of(version)
        return _newest(service, route, kind).schema
    if route.resource is None or not route.action:
        return None
    schemas: dict[str, Any] = {}
    operation: dict[str, Any] = {"responses": {str(route.status): {}}}
    _bodies(service, route.resource, route, operation, schemas)
    content = operation["responses"][str(route.status)].get("content")
    if content is None:
        return None
    return {**content["application/json"]["schema"], "components": {"schemas": schemas}}


def _operation(service: Service, route: Route, path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    resource = route.resource
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]
    operation: dict[str, Any] = {
        "operationId": _operation_id(service, route),
        "summary": route.summary,
        "tags": [service.type],
        "responses": {
            str(route.status): {"description": _DESCRIPTIONS.get(route.status, "Done")},
            "default": {"description": "A refusal or failure, in the service's own shape"},
        },
    }
    if route.authenticated:
        operation["security"] = [{"token": []}]
    if any(route.versions):
        operation["x-openstack-versions"] = list(route.versions)
    if route.rule:
        operation["x-policy-rule"] = route.rule
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": one.schema}
        for name, one in route.query.items()
    ]
    if resource is not None and route.action:
        parameters += _query(service, resource, route.action)
        _bodies(service, resource, route, operation, schemas)
    elif route.stream:
        operation["requestBody"] = {"required": True, "content": _BYTES}
    if route.reply is not None and route.reply is not NO_BODY:
        operation["responses"][str(route.status)].update(_content_of(service, route, route.reply))
    if route.body is not None and route.body is not NO_BODY:
        operation["requestBody"] = {"required": True, **_content_of(service, route, route.body)}
    elif route.actions:
        verbs = [_object({name: _argument(service, one)}) for name, one in route.actions.items()]
        operation["requestBody"] = _content({"oneOf": verbs}, required=True)
        operation["responses"].update(_action_replies(service, route))
    if parameters:
        operation["parameters"] = parameters
    return operation


def _operation_id(service: Service, route: Route) -> str:
    """``network_create_port`` for what is declared; else the verb and the words of the path."""
    resource = route.resource
    own = f"{route.path.rstrip('/')}/"
    same = [
        one.path
        for one in service.routes
        if one.resource and resource and one.resource.name == resource.name and one.action == route.action
    ]
    shortest = route.path == min(same, key=len, default="")
    if resource is not None and route.action and own.count("{") <= 1 and shortest:
        name = resource.plural if route.action == "list" else resource.name
        return f"{service.type}_{route.action}_{name}"
    return "_".join([service.type, route.method.lower(), *_WORD.findall(route.path)])


def _newest(service: Service, declared: Route | Action, kind: Type | ByVersion) -> Type:
    """The type that the newest version of the window has."""
    if not isinstance(kind, ByVersion):
        return kind
    assert service.microversions is not None
    last = declared.versions[1]
    return kind.of(parse(last) if last else service.microversions.maximum)


def _content_of(service: Service, route: Route, kind: Type | ByVersion) -> dict[str, Any]:
    return {"content": _BYTES} if kind is binary else _content(_newest(service, route, kind).schema)


def _argument(service: Service, action: Action) -> dict[str, Any]:
    return {**_newest(service, action, action.argument).schema, "description": action.summary}


def _action_replies(service: Service, route: Route) -> dict[str, Any]:
    """The responses of a route of actions: by status, one of what those with a body answer."""
    replies: dict[str, Any] = {}
    for action in route.actions.values():
        reply = replies.setdefault(
            str(action.status), {"description": _DESCRIPTIONS.get(action.status, "Done")}
        )
        if action.reply is not None and action.reply is not NO_BODY:
            schemas = reply.setdefault("content", {"application/json": {"schema": {"anyOf": []}}})
            kinds = schemas["application/json"]["schema"]["anyOf"]
            schema = _newest(service, action, action.reply).schema
            if schema not in kinds:
                kinds.append(schema)
    return replies


def _bodies(
    service: Service, resource: Resource, route: Route, operation: dict[str, Any], schemas: dict[str, Any]
) -> None:
    action = route.action
    name = f"{service.type}.{resource.name}"
    schemas.setdefault(name, _view_schema(resource))
    shown: dict[str, Any] = {"$ref": f"#/components/schemas/{name}"}
    wrap = resource.wording.wrapped
    if action in ("create", "update"):
        taken_name = f"{name}.{action}"
        schemas.setdefault(taken_name, _taken_schema(resource, action))
        taken: dict[str, Any] = {"$ref": f"#/components/schemas/{taken_name}"}
        one = _object({resource.name: taken}) if wrap else taken
        if action == "create" and resource.bulk:
            several = _object({resource.plural: {"type": "array", "items": taken, "minItems": 1}})
            one = {"oneOf": [one, several]}
        operation["requestBody"] = _content(one, required=True)
    if action == "delete":
        return
    if action == "list":
        reply = _object({resource.plural: {"type": "array", "items": shown}}, closed=False)
    else:
        reply = _object({resource.name: shown}) if wrap else shown
        if action == "create" and resource.bulk:
            reply = {"oneOf": [reply, _object({resource.plural: {"type": "array", "items": shown}})]}
    operation["responses"][str(route.status)].update(_content(reply))


def _query(service: Service, resource: Resource, action: str) -> list[dict[str, Any]]:
    if action != "list":
        return []
    names = [one for one in resource.attributes.values() if one.filter]
    return [
        {"name": one.name, "in": "query", "required": False, "schema": _query_schema(one)} for one in names
    ] + [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in service.dialect.list_parameters.items()
        if not any(one.name == name for one in names)
    ]


def _query_schema(attribute: Attribute) -> dict[str, Any]:
    schema = attribute.type.schema
    return {"type": "boolean"} if schema == {"type": "boolean"} else {"type": "string"}


def _view_schema(resource: Resource) -> dict[str, Any]:
    properties = {}
    for attribute in resource.attributes.values():
        if attribute.visible:
            properties[attribute.name] = _described(attribute, view=True)
            if attribute.alias:
                properties[attribute.alias] = _described(attribute, view=True)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if resource.description:
        schema["description"] = resource.description
    return schema


def _taken_schema(resource: Resource, action: str) -> dict[str, Any]:
    properties = {}
    required = []
    for attribute in resource.attributes.values():
        if not getattr(attribute, action):
            continue
        properties[attribute.name] = _described(attribute, view=False)
        if attribute.alias:
            properties[attribute.alias] = _described(attribute, view=False)
        elif attribute.required and action == "create":
            required.append(attribute.name)
    closed = resource.additional is None
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": not closed,
    }
    if required:
        schema["required"] = required
    return schema


def _described(attribute: Attribute, *, view: bool) -> dict[str, Any]:
    kind = attribute.shown if view and attribute.shown is not None else attribute.type
    schema = dict(kind.schema)
    if attribute.description:
        schema["description"] = attribute.description
    default = attribute.default
    if not view and not attribute.required and not callable(default) and default is not None:
        schema["default"] = default
    return schema


def _object(properties: dict[str, Any], *, closed: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {**schema, "additionalProperties": False} if closed else schema


def _content(schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"content": {"application/json": {"schema": schema}}}
    return {**content, "required": True} if required else content
