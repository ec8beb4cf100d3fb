"""The route of actions, under the name by which compute's nouns know it."""

from __future__ import annotations

from pileus.web.actions import action_route

__all__ = ["action_route"]
