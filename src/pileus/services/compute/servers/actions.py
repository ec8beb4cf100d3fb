"""``POST /servers/{id}/action``: one path, and the actions of all nouns that servers have.

Source: Compute API reference, "Servers - run an action" and "run an administrative action".
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.services.compute.actions import action_route
from pileus.web.noun import Noun
from pileus.web.routes import Action


def server_actions_noun(*tables: Mapping[str, Action]) -> Noun:
    """The one route of the actions in these tables. Raises ValueError for one that is in two."""
    actions: dict[str, Action] = {}
    for table in tables:
        for name, action in table.items():
            if name in actions:
                raise ValueError(f"two actions of servers are called {name}")
            actions[name] = action
    return Noun(
        name="server_action",
        routes=(action_route("/v2.1/servers/{id}/action", actions, summary="Do something with a server"),),
    )
