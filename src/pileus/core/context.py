"""Who asks, and when: the facts of one request that units of work may use."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from pileus.core.access_rules import AccessRule
from pileus.core.ids import new_request_id


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated caller of one request.

    ``now`` is naive UTC with microseconds, fixed for the whole request, so that
    a unit of work that is run again after a deadlock writes the same values.
    Scope is one of: project (``project_id``), domain (``domain_id``), system
    (``system_scope``), or none. ``roles`` are role names. ``is_admin``: ownership does not matter for this
    caller; ``is_service``: nor for this one, which is another service of the cloud. ``certificate`` is the
    thumbprint of that which has to come with the caller's token. ``access_rules`` are
    the only requests that his token may make, where there are bounds. ``methods`` are those by which the
    token was had.
    """

    now: dt.datetime
    request_id: str = msgspec.field(default_factory=new_request_id)
    user_id: str | None = None
    user_name: str | None = None
    user_domain_id: str | None = None
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    domain_id: str | None = None
    system_scope: bool = False
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    is_service: bool = False
    certificate: str = ""
    access_rules: tuple[AccessRule, ...] | None = None
    methods: tuple[str, ...] = ()

    def credentials(self) -> dict[str, Any]:
        """The dictionary that policy rules of oslo.policy's language look into."""
        return {
            "user_id": self.user_id,
            "user_domain_id": self.user_domain_id,
            "project_id": self.project_id,
            "tenant_id": self.project_id,
            "project_domain_id": self.project_domain_id,
            "domain_id": self.domain_id,
            "system_scope": "all" if self.system_scope else None,
            "roles": self.roles,
            "is_admin": self.is_admin,
        }


def system_context(now: dt.datetime) -> Context:
    """The context of work that Pileus does by itself (seeding, relays, reports of agents)."""
    return Context(now=now, system_scope=True, roles=("admin",), is_admin=True)
