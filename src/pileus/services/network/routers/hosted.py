"""The routers that an agent of a host serves (``on_host``, ``of_type``), for statements about them."""

from __future__ import annotations

from sqlalchemy import bindparam

from pileus.services.network.agents.hosting import hosted

HOSTED = hosted(bindparam("on_host"), bindparam("of_type"))
