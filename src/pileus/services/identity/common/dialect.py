"""Keystone's dialect with what its views have besides: additional attributes, links of nested resources."""

from __future__ import annotations

from typing import Any

from pileus.resource.declaration import Resource
from pileus.web.dialects.keystone import KeystoneDialect
from pileus.web.head import Head

_NESTED = {"application_credential": "users/{user_id}/application_credentials/{id}"}
"""The paths of what does not hang directly below ``/v3``."""

_OMITTED = frozenset({"default_project_id"})
"""Attributes that Keystone leaves out of views where they are not set."""


class IdentityDialect(KeystoneDialect):
    """The dialect of identity."""

    def decorate(self, head: Head, resource: Resource, view: dict[str, Any]) -> None:
        super().decorate(head, resource, view)
        path = _NESTED.get(resource.name)
        if path is not None:
            view["links"]["self"] = f"{head.service_url}/v3/{path.format_map(view)}"
        for name, value in (view.pop("extra", None) or {}).items():
            view.setdefault(name, value)
        for name in _OMITTED & view.keys():
            if view[name] is None:
                del view[name]


IDENTITY = IdentityDialect()
