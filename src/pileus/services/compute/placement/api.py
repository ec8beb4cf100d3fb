"""The pieces that nouns of the Placement API share: versions, headers, the providers as they are now."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any, NoReturn

from pileus.core.errors import Fault
from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import within
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.nodes.providers import landscape_read
from pileus.services.compute.nodes.reading import hosts_for_scheduler
from pileus.services.compute.placement.errors import ProviderNotFound
from pileus.services.compute.rules.providers import LARGEST, Landscape, Provider
from pileus.store.tx import Tx
from pileus.web.accept import JSON, preferred
from pileus.web.faults import NotAcceptable, UnsupportedMediaType
from pileus.web.head import Head
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import NO_BODY, Route

RESOURCE_CLASS = "[A-Z0-9_]+"
CUSTOM = "CUSTOM_[A-Z0-9_]+"
WITH_CODES = "1.23"
WITH_TIMES = "1.15"
UUID_KEY = "[0-9a-fA-F-]{36}"


def since(head: Head, version: str) -> bool:
    """Whether the request speaks this microversion or a newer one."""
    return within((version, ""), head.version)


def answering(handler: Handler) -> Handler:
    """A handler that speaks JSON alone, and whose refusals have codes where the version has them."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Reply:
        try:
            _must_be_json(request)
            return await handler(request)
        except Fault as fault:
            if not since(request, WITH_CODES):
                fault.error_code = None  # type: ignore[attr-defined]
            raise

    return answer


def _must_be_json(request: Request) -> None:
    body = request.route.body
    if body is not None and body is not NO_BODY:
        kind = (request.header("content-type") or "").split(";")[0].strip().lower()
        if kind != JSON:
            raise UnsupportedMediaType(f"The media type {kind or None} is not supported, use {JSON}")
    if request.method in ("GET", "HEAD") and preferred(request.header("accept"), [JSON]) is None:
        raise NotAcceptable(f"Only {JSON} is provided")


class RouteMaker:
    """Makes the routes of a noun, whose rules begin alike."""

    def __init__(self, rules: str, versions: tuple[str, str] = ("", "")) -> None:
        self._rules = rules
        self._versions = versions

    def __call__(
        self, method: str, path: str, handler: Handler, verb: str, summary: str, **more: Any
    ) -> Route:
        options = {"versions": self._versions, **more}
        return Route(method, path, answering(handler), rule=self._rules + verb, summary=summary, **options)


def enforce(request: Request, target: Mapping[str, Any] | None = None) -> None:
    """Ask the policy the rule that the route names; raises the refusal."""
    assert request.route.rule is not None
    request.authorise(request.route.rule, target)


def timed(request: Request, reply: Reply, changed: dt.datetime | None = None) -> Reply:
    """A reply that says since when it is so (None: since now), where the version has that."""
    if since(request, WITH_TIMES):
        moment = (changed or request.context.now).replace(tzinfo=dt.UTC)
        reply.header("last-modified", format_datetime(moment, usegmt=True))
        reply.header("cache-control", "no-cache")
    return reply


def shown(request: Request, document: Any, status: int = 200, changed: dt.datetime | None = None) -> Reply:
    """A document with the headers of its version."""
    return timed(request, Reply.json(document, status), changed)


def path_to(request: Request, path: str) -> str:
    """The path of a thing from the root of the server, as links of Placement have it."""
    return request.prefix + path


def location(request: Request, path: str) -> str:
    """The address of a thing, as the header ``Location`` has it."""
    return request.service_url + path


def landscape_now(tx: Tx, config: ComputeConfig, now: dt.datetime) -> Landscape:
    """All providers; a constant number of statements."""
    return landscape_read(tx, hosts_for_scheduler(tx, config, now), config.manner.ratios)


def provider_of(landscape: Landscape, provider_id: str, purpose: str = "") -> Provider:
    """The provider of a path. Raises ProviderNotFound."""
    found = landscape.providers.get(provider_id)
    if found is None:
        raise ProviderNotFound(id=provider_id, purpose=purpose)
    return found


def check_query(request: Request, *known: str, patterns: str = "") -> None:
    """Raise the dialect's refusal for a query that names what is not known at this version."""
    for name, _ in request.query:
        if name not in known and not (patterns and re.fullmatch(patterns, name)):
            refuse_query(request, f"Additional properties are not allowed ({name!r} was unexpected)")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID."""
    try:
        types.uuid.parse(text)
    except BadValue:
        return False
    return True


def refuse_query(request: Request, text: str) -> NoReturn:
    """Refuse the query with a reason."""
    raise request.dialect.bad_part("query", text)


def matching(pattern: str, minimum: int = 1, maximum: int = 255) -> Type:
    """A text of a pattern that engines can't be kept busy with: one set of characters."""
    plain = re.compile(pattern)

    def parse(value: Any) -> str:
        text: str = types.string(maximum, minimum=minimum).parse(value)
        if not plain.fullmatch(text):
            sentence = f"{text!r} does not match '^{pattern}$'"
            raise BadValue(sentence, sentence, value=value)
        return text

    schema = {"type": "string", "pattern": f"^{pattern}$", "minLength": minimum, "maxLength": maximum}
    return Type("text", parse, schema)


def keyed(pattern: str, inner: Type, *, minimum: int = 0) -> Type:
    """A dictionary whose keys are of a pattern, with at least so many."""
    plain = re.compile(pattern)

    def parse(value: Any) -> dict[str, Any]:
        parsed: dict[str, Any] = types.dict_of({}, additional=inner).parse(value)
        if len(parsed) < minimum:
            sentence = f"{value!r} does not have enough properties"
            raise BadValue(sentence, sentence, value=value)
        for key in parsed:
            if not plain.fullmatch(key):
                sentence = f"Additional properties are not allowed ({key!r} was unexpected)"
                raise BadValue(sentence, sentence, value=value, unknown_key=key)
        return parsed

    schema = {
        "type": "object",
        "patternProperties": {f"^{pattern}$": inner.schema},
        "additionalProperties": False,
        **({"minProperties": minimum} if minimum else {}),
    }
    return Type("dictionary", parse, schema)


def _parse_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue("not a number", f"{value!r} is not of type 'number'", value=value)
    if not abs(value) <= _MOST_RATIO:
        raise BadValue("too large", f"{value!r} is greater than the maximum of {_MOST_RATIO}", value=value)
    return float(value)


_MOST_RATIO = 3.40282e38
NUMBER = Type("number", _parse_number, {"type": "number", "maximum": _MOST_RATIO})
GENERATION = types.strict_integer(-LARGEST, LARGEST)
COUNT = types.strict_integer(0, LARGEST)
POSITIVE = types.strict_integer(1, LARGEST)
