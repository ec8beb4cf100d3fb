"""A service as the app takes it: a name, a dialect, routes, rules, versions, extensions. All data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pileus.policy import Rule
from pileus.resource.declaration import Extension, Resource
from pileus.web.dialects import ApiVersion, Dialect
from pileus.web.microversions import Microversions
from pileus.web.routes import Route


class Spelling(NamedTuple):
    """Another way to write a path of a service: the path as its routes have it, and what it said besides.

    ``values`` come with those of the path's parameters. ``versioned`` False: the request has the oldest
    microversion, whatever its headers say, and the reply tells of none.
    """

    path: str
    values: Mapping[str, str]
    versioned: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """One OpenStack API.

    ``type`` is the catalog's (``network``), ``prefix`` where it hangs in the app's
    one URL space (``/networking``; empty for the root). Routes' paths are below the prefix.
    ``spelling`` reads a path (below the prefix) that has no route; ``admit`` looks at each request whose
    path was read so, and raises a Fault for one that is not to be served.
    """

    name: str
    type: str
    dialect: Dialect
    routes: Sequence[Route]
    prefix: str = ""
    resources: Sequence[Resource] = ()
    rules: Sequence[Rule] = ()
    extensions: Sequence[Extension] = ()
    versions: Sequence[ApiVersion] = ()
    microversions: Microversions | None = None
    spelling: Callable[[str], Spelling | None] | None = None
    admit: Callable[..., None] | None = None
    description: str = field(default="")
