"""A service as the app takes it: a name, a dialect, routes, rules, versions, extensions. All data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pileus.web.dialects import Dialect
from pileus.web.microversions import Microversions
from pileus.web.policy import Rule
from pileus.web.resource import Extension, Resource
from pileus.web.routes import Route

if TYPE_CHECKING:
    from pileus.web.request import Request


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One line of a service's version document.

    ``path`` is below the service's prefix (``/v2.0``); ``status`` is CURRENT,
    SUPPORTED, DEPRECATED or stable; ``shows_window`` prints the microversion
    bounds even when they are empty, as Nova's v2.0 does.
    """

    id: str
    path: str
    status: str = "CURRENT"
    updated: str = ""
    min_version: str = ""
    max_version: str = ""
    media_types: tuple[str, ...] = ()
    shows_window: bool = False


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
    admit: Callable[[Request], None] | None = None
    description: str = field(default="")
