"""Complete values of ports that Pileus makes by itself, or for a sibling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.core.context import Context
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.services.network.ports.resource import PORT


def new_port(context: Context, **values: Any) -> Values:
    """Complete values of a port from a few (names as in the API): checked, defaults and an id filled in."""
    named: Mapping[str, Any] = values
    return check_create(PORT, context, named)


def elevated(context: Context) -> Context:
    """The same request with an administrator's rights, for what the network itself does on its behalf."""
    return msgspec.structs.replace(context, is_admin=True)
