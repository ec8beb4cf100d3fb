"""The error of all agents that need this node's switch."""

from __future__ import annotations

from pileus.core.errors import NotYet


class SwitchUnreachable(NotYet):
    """The connection to ovsdb-server is lost, which comes back by itself, or a bridge is not there yet."""

    message = "The switch of this node is not there yet: {reason}"
