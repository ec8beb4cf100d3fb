"""A service as the app takes it: a name, a dialect, routes, rules, versions, extensions. All data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pileus.web.dialects import Dialect
from pileus.web.microversions import Microversions
from pileus.web.policy import Rule
from pileus.web.resource import Extension, Resource
from pileus.web.routes import Route


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


@dataclass(frozen=True, slots=True)
class Service:
    """One OpenStack API.

    ``type`` is the catalog's (``network``), ``prefix`` where it hangs in the app's
    one URL space (``/networking``; empty for the root). Routes' paths are below the prefix.
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
    description: str = field(default="")
