"""The compute API's dialect with links, and the pieces of bodies that its nouns share."""

from __future__ import annotations

import copy
import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

from pileus.core.errors import Fault, Invalid
from pileus.core.times import parse_time
from pileus.resource import types
from pileus.resource.declaration import Resource, Values
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version, parse, within
from pileus.services.compute.errors import BadRequest, Gone
from pileus.web.crud import Judge
from pileus.web.dialects.nova import NovaDialect
from pileus.web.head import Head
from pileus.web.request import Request
from pileus.web.routes import ANYBODY
from pileus.web.service import Spelling

LINKED = frozenset({"flavor", "server"})
"""Resources whose views carry ``links`` to themselves."""


_LEGACY = "url_legacy"
_PROJECT = "url_project"
_MOST_UNKNOWN = 100


class ComputeDialect(NovaDialect):
    """Nova's, with ``links`` in each view of a flavor or server."""

    def status(self, fault: Fault) -> int:
        if isinstance(fault, Gone):
            return 410
        return super().status(fault)

    def parse(self, head: Head, kind: Type, value: Any) -> Any:
        """Pass over what the type does not know below ``/v2``."""
        if _LEGACY not in head.path:
            return kind.parse(value)
        value = copy.deepcopy(value)
        for _ in range(_MOST_UNKNOWN):
            try:
                return kind.parse(value)
            except BadValue as bad:
                if not _forget_unknown(value, bad):
                    raise
        return kind.parse(value)

    def decorator(self, head: Head, resource: Resource) -> Callable[[dict[str, Any]], None]:
        linked = resource.name in LINKED
        empty_swap = not since(head, "2.75")

        def decorate(view: dict[str, Any]) -> None:
            if linked:
                view["links"] = links(head, resource.collection, view["id"])
            if empty_swap and view.get("swap") == 0:
                view["swap"] = ""  # no swap was an empty text for ten years

        return decorate


COMPUTE = ComputeDialect()

PATH = "/v2.1"

_SPELLINGS = re.compile(r"/(v2\.1|v2)(?:/([0-9a-f-]+))?(/.*)?")


def spelling(path: str) -> Spelling | None:
    """Read ``/v2.1/{project_id}/servers`` and ``/v2/servers``, which are ``/v2.1/servers``.

    ``/v2`` is the API as it was before microversions: it knows none, and passes over what it does not know
    in a body.
    """
    found = _SPELLINGS.fullmatch(path)
    if found is None:
        return None
    version, project_id, rest = found.groups()
    values = {} if project_id is None else {_PROJECT: project_id}
    if version == "v2":
        values[_LEGACY] = "/v2"
    return Spelling(PATH + (rest or ""), values, versioned=version != "v2")


def admit(request: Request) -> None:
    """Refuse a path that names another project than the caller's."""
    project_id = request.path.get(_PROJECT)
    if project_id is not None and project_id != request.context.project_id:
        raise BadRequest(
            f"Malformed request URL: URL's project_id '{project_id}' doesn't match "
            f"Context's project_id '{request.context.project_id}'"
        )


def root_url(head: Head) -> str:
    """The base of addresses of things, in the spelling that the request has."""
    return head.service_url + head.path.get(_LEGACY, PATH) + _project_part(head)


def _project_part(head: Head) -> str:
    project_id = head.path.get(_PROJECT)
    return "" if project_id is None else f"/{project_id}"


def links(head: Head, collection: str, key: str) -> list[dict[str, str]]:
    """``self`` and ``bookmark`` of one thing."""
    return [
        {"rel": "self", "href": f"{root_url(head)}/{collection}/{key}"},
        bookmark(head, collection, key),
    ]


def bookmark(head: Head, collection: str, key: str) -> dict[str, str]:
    """The link without a version that embedded things have."""
    base = head.service_url + _project_part(head)
    return {"rel": "bookmark", "href": f"{base}/{collection}/{key}"}


def since(head: Head, version: str) -> bool:
    """Whether the request speaks this microversion or a newer one."""
    return within((version, ""), head.version)


def judging(target: Callable[[Request, Values | None], Mapping[str, Any]] | None = None) -> Judge:
    """Make a judge that asks the rule of the route, as Nova does before it looks whether a thing exists."""

    def judge(request: Request, action: str, values: Values | None) -> None:
        if request.route.rule != ANYBODY:
            enforce(request, target(request, values) if target is not None else None)

    return judge


IS_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""The form of an id that a path holds."""


def _parse_name(value: Any) -> str:
    text: str = types.string(255, minimum=1).parse(value)
    if text != text.strip() or not text.isprintable():
        raise BadValue(
            f"'{value}' is not a valid name",
            f"{value!r} does not match '^(?![\\\\s])(?:[ -~]|[^\\\\x00-\\\\x7f])*(?<![\\\\s])$'",
            value=value,
        )
    return text


NAME = Type("name", _parse_name, {"type": "string", "minLength": 1, "maxLength": 255})
"""A name without spaces at its ends and without control characters."""

NOTHING = types.nullable(types.dict_of({}, additional=types.anything))
"""The argument of an action that takes none: null, or an object that means nothing."""


def enforce(request: Request, target: Mapping[str, Any] | None = None) -> None:
    """Ask the policy the rule that the route names; raises the refusal."""
    assert request.route.rule is not None
    request.authorise(request.route.rule, target)


def _forget_unknown(value: Any, bad: BadValue) -> bool:
    """Take away the key that a refusal names as unknown; whether it does."""
    if bad.unknown_key is None:
        return False
    try:
        for step in bad.path:
            value = value[step]
        del value[bad.unknown_key]
    except (LookupError, TypeError):  # of a part that the type made, and nobody wrote
        return False
    return True


def wrapped(name: str, fields: Mapping[str, Type], required: tuple[str, ...] = ()) -> Type:
    """``{name: {fields}}`` and nothing else."""
    return types.dict_of({name: types.dict_of(fields, required=required)}, required=(name,))


def at_least(version: Version, first: str) -> bool:
    """Whether ``version`` is ``first`` or newer."""
    return version >= parse(first)


def flag(request: Request, name: str) -> bool:
    """A boolean of the query; raises Invalid for what is none."""
    text = request.parameter(name)
    if text is None:
        return False
    if text == "":
        return True
    try:
        return bool(types.boolean.parse(text))
    except BadValue:
        raise Invalid(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a boolean"
        ) from None


def time_asked(name: str, text: str) -> dt.datetime:
    """The time in a query parameter. Raises BadRequest."""
    try:
        return parse_time(text)
    except ValueError:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        ) from None
