"""A service as the app takes it: a name, a dialect, its nouns, the versions of its API. All data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pileus.core.context import Context
from pileus.policy import Rule
from pileus.resource.declaration import Extension, Resource
from pileus.resource.quota import Quota
from pileus.web.answers import Answer
from pileus.web.dialects import ApiVersion, Dialect
from pileus.web.microversions import Microversions
from pileus.web.noun import Noun
from pileus.web.routes import Route
from pileus.web.sockets import Socket


class Spelling(NamedTuple):
    """Another way to write a path of a service: the path as its routes have it, and what it said besides.

    ``values`` come with those of the path's parameters. ``versioned`` False: the request has the oldest
    microversion, whatever its headers say, and the reply tells of none.
    """

    path: str
    values: Mapping[str, str]
    versioned: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One OpenStack API: a tuple of nouns, and from them routes, rules, quotas, extensions and answers.

    ``type`` is the catalog's (``network``), ``prefix`` where it hangs in the app's
    one URL space (``/networking``; empty for the root). Routes' paths are below the prefix.
    ``endpoint_path`` is what the catalog's address has after the prefix.
    ``base_rules`` are the policy's words that the nouns' rules share; ``caller_rules`` those that fill in
    fields of the caller's Context (``{"is_admin": "context_is_admin"}``), so that units of work know them.
    ``spelling`` reads a path (below the prefix) that has no route; ``admit`` looks at each request whose
    path was read so, and raises a Fault for one that is not to be served. ``accept`` is asked about each
    caller who has a token, and raises a Fault for one who is not served here.
    ``aliases`` are other types, each with a name, under which the catalog knows it too.
    """

    name: str
    type: str
    dialect: Dialect
    nouns: Sequence[Noun]
    prefix: str = ""
    endpoint_path: str = ""
    base_rules: Sequence[Rule] = ()
    caller_rules: Mapping[str, str] = field(default_factory=dict)
    versions: Sequence[ApiVersion] = ()
    microversions: Microversions | None = None
    spelling: Callable[[str], Spelling | None] | None = None
    admit: Callable[..., None] | None = None
    accept: Callable[[Context], None] | None = None
    aliases: Sequence[tuple[str, str]] = ()
    description: str = ""
    routes: tuple[Route, ...] = field(init=False)
    rules: tuple[Rule, ...] = field(init=False)
    quotas: tuple[Quota, ...] = field(init=False)
    extensions: tuple[Extension, ...] = field(init=False)
    answers: tuple[Answer, ...] = field(init=False)
    resources: tuple[Resource, ...] = field(init=False)
    sockets: tuple[Socket, ...] = field(init=False)

    def __post_init__(self) -> None:
        def fold(name: str, several: Iterable[Any]) -> None:
            object.__setattr__(self, name, tuple(several))

        fold("routes", (one for noun in self.nouns for one in noun.routes))
        fold("rules", (*self.base_rules, *(one for noun in self.nouns for one in noun.rules)))
        fold("quotas", (one for noun in self.nouns for one in noun.quotas))
        fold("extensions", (one for noun in self.nouns for one in noun.extensions))
        fold("answers", (one for noun in self.nouns for one in noun.answers))
        fold("sockets", (one for noun in self.nouns for one in noun.sockets))
        fold("resources", {id(one.resource): one.resource for one in self.routes if one.resource}.values())
