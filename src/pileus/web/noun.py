"""Nouns: everything that a service puts together about one thing of its API, in one value.

A noun's folder makes one :class:`Noun`; ``service.py`` is the tuple of a service's nouns. Routes, policy
rules, quotas, the list of extensions, OpenAPI and the calls of agents are folded from it::

    NOUN = Noun(
        name="subnetpool",
        routes=(*crud(SUBNETPOOL, "/v2.0/subnetpools", create=subnetpool_create), *tag_routes(...)),
        rules=RULES,
        quotas=(SUBNETPOOL_QUOTA,),
        extensions=(DEFAULT_SUBNETPOOLS,),
    )

A noun that needs settings is a function of them that returns a Noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pileus.policy import Rule
from pileus.resource.declaration import Extension
from pileus.resource.quota import Quota
from pileus.web.answers import Answer
from pileus.web.routes import Route
from pileus.web.sockets import Socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """One thing of an API.

    ``answers`` are the calls of agents that are about it; ``extensions`` those of the API that its
    folder brings; ``sockets`` the WebSockets that it serves.
    """

    name: str
    routes: Sequence[Route] = ()
    rules: Sequence[Rule] = ()
    quotas: Sequence[Quota] = ()
    extensions: Sequence[Extension] = ()
    answers: Sequence[Answer] = ()
    sockets: Sequence[Socket] = ()
