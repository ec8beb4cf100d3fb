"""The volume API's dialect with links, and the pieces of bodies that its nouns share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pileus.core.errors import Invalid, NotFound
from pileus.resource import types
from pileus.resource.declaration import Resource
from pileus.resource.listing import Listing, Sort
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version, parse, within
from pileus.services.volume.errors import BadRequest
from pileus.web.dialects import ApiVersion
from pileus.web.dialects.cinder import CinderDialect
from pileus.web.head import Head
from pileus.web.request import Request
from pileus.web.service import Spelling

LINKED = frozenset({"volume", "backup"})
"""Resources whose views carry ``links`` to themselves."""

PATH = "/v3"
COUNT = "pileus.count"
"""Where a request's scope holds how many things its list has, on all pages."""
LARGEST = 2**31 - 1
_PROJECT = "url_project"
_SPELLINGS = re.compile(r"/v3/([0-9a-f-]+)(/.*)?")


class VolumeDialect(CinderDialect):
    """Cinder's, with ``links`` in each view of a volume or a backup."""

    slash_names_nothing = True

    def listing(self, head: Head, resource: Resource) -> Listing:
        """Pages may begin at an offset, too."""
        listing = super().listing(head, resource)
        for name, text in head.query:
            if name == "offset":
                listing.offset = self.limit(text)
        return listing

    def list_links(
        self, head: Head, resource: Resource, listing: Listing, keys: Sequence[str], more: bool
    ) -> dict[str, Any]:
        """Beside the link to the next page, how many there are where that was asked for."""
        counted = {"count": head.scope[COUNT]} if COUNT in head.scope else {}
        return {**super().list_links(head, resource, listing, keys, more), **counted}

    def sorts(self, resource: Resource, keys: Sequence[str], directions: Sequence[str]) -> list[Sort]:
        """Names are known by their old name, too."""
        return super().sorts(resource, ["name" if key == "display_name" else key for key in keys], directions)

    def decorator(self, head: Head, resource: Resource) -> Callable[[dict[str, Any]], None] | None:
        if resource.name not in LINKED:
            return None
        base, bare = root_url(head), head.service_url + _project_part(head)

        def decorate(view: dict[str, Any]) -> None:
            path = f"/{resource.collection}/{view['id']}"
            view["links"] = [
                {"rel": "self", "href": base + path},
                {"rel": "bookmark", "href": bare + path},
            ]

        return decorate

    def version_document(self, head: Head, version: ApiVersion, base: str) -> Any:
        return {"versions": [self.version_entry(version, base)]}


VOLUME_API = VolumeDialect()


def spelling(path: str) -> Spelling | None:
    """Read ``/v3/{project_id}/volumes``, which is ``/v3/volumes``."""
    found = _SPELLINGS.fullmatch(path)
    if found is None:
        return None
    project_id, rest = found.groups()
    return Spelling(PATH + (rest or ""), {_PROJECT: project_id})


def admit(request: Request) -> None:
    """Refuse a path that names another project than the caller's, or a thing without a name."""
    project_id = request.path.get(_PROJECT)
    if project_id is not None and project_id != request.context.project_id:
        raise BadRequest("Malformed request url")
    if str(request.scope["path"]).endswith("/"):
        raise NotFound


def root_url(head: Head) -> str:
    """The base of addresses of things, in the spelling that the request has."""
    return head.service_url + PATH + _project_part(head)


def _project_part(head: Head) -> str:
    project_id = head.path.get(_PROJECT)
    return "" if project_id is None else f"/{project_id}"


def since(head: Head, version: str) -> bool:
    """Whether the request speaks this microversion or a newer one."""
    return within((version, ""), head.version)


def at_least(version: Version, first: str) -> bool:
    """Whether ``version`` is ``first`` or newer."""
    return version >= parse(first)


def enforce(request: Request, target: Mapping[str, Any] | None = None) -> None:
    """Ask the policy the rule that the route names; raises the refusal."""
    assert request.route.rule is not None
    request.authorise(request.route.rule, target)


def enforce_own(request: Request) -> None:
    """The same, about the caller's own project."""
    enforce(request, {"project_id": request.context.project_id})


def wrapped(name: str, fields: Mapping[str, Type], required: Sequence[str] = ()) -> Type:
    """``{name: {fields}}`` and nothing else."""
    return types.dict_of({name: types.dict_of(fields, required=required)}, required=(name,))


def flag(request: Request, name: str) -> bool:
    """A boolean of the query; raises Invalid for what is none."""
    text = request.parameter(name)
    if text is None:
        return False
    try:
        return bool(types.boolean.parse(text))
    except BadValue:
        raise Invalid(f"Invalid value '{text}' for {name}. It must be a boolean.") from None


def _parse_name(value: Any) -> str:
    text: str = types.string(255, minimum=1).parse(value)
    if not text.isprintable():
        raise BadValue(f"'{value}' is not a valid name", f"{value!r} has control characters", value=value)
    return text.strip()


def _parse_text(value: Any) -> str:
    return str(types.string(255).parse(value)).strip()


NAME = Type("name", _parse_name, {"type": "string", "minLength": 1, "maxLength": 255})
"""A name that must be there."""
TEXT = types.nullable(Type("text", _parse_text, {"type": "string", "maxLength": 255}))
"""A name or a description that may be empty or missing."""
ID = types.nullable(types.uuid)
NOTHING = types.nullable(types.dict_of({}, additional=types.anything))
"""The argument of an action that takes none."""

MOST_METADATA = 512
"""Items of metadata that one thing may have: each list of things reads all of them."""
_KEY = types.string(255, minimum=1)
_VALUE = types.string(255)
_TOO_MANY = f"more than {MOST_METADATA} items of metadata"


def merged(now: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Metadata with more items. Raises BadRequest for too many."""
    together = {**now, **added}
    if len(together) > max(MOST_METADATA, len(now)):
        raise BadRequest(f"Invalid input received: {_TOO_MANY}.")
    return together


def _parse_metadata(value: Any) -> dict[str, str]:
    """Metadata as Cinder takes it: short names, short texts."""
    if not isinstance(value, dict):
        raise BadValue("not a dictionary", f"{value!r} is not of type 'object'", value=value)
    if len(value) > MOST_METADATA:
        raise BadValue(_TOO_MANY, _TOO_MANY, value=len(value))
    parsed = {}
    for key, text in value.items():
        try:
            _KEY.parse(key)
            parsed[key] = _VALUE.parse(text)
        except BadValue as bad:
            bad.path = (key,)
            raise
    return parsed


METADATA = Type(
    "metadata",
    _parse_metadata,
    {"type": "object", "additionalProperties": {"type": "string", "maxLength": 255}},
)
