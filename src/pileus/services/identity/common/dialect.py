"""Keystone's dialect with what its views have besides: additional attributes, links of nested resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.resource.declaration import Resource
from pileus.web.dialects.keystone import KeystoneDialect
from pileus.web.head import Head

_NESTED = {
    "application_credential": "users/{user_id}/application_credentials/{id}",
    "audit_event": "OS-PILEUS-AUDIT/events/{id}",
    "identity_provider": "OS-FEDERATION/identity_providers/{id}",
    "mapping": "OS-FEDERATION/mappings/{id}",
    "service_provider": "OS-FEDERATION/service_providers/{id}",
    "endpoint_group": "OS-EP-FILTER/endpoint_groups/{id}",
    "consumer": "OS-OAUTH1/consumers/{id}",
    "trust": "OS-TRUST/trusts/{id}",
}
"""The paths of what does not hang directly below ``/v3``."""

_OMITTED = frozenset({"access_rules", "default_project_id"})
"""Attributes that Keystone leaves out of views where they are not set."""


class IdentityDialect(KeystoneDialect):
    """The dialect of identity."""

    def __init__(self, list_limit: int | None = None) -> None:
        """``list_limit`` is the length of a list where the request names none."""
        self.default_limit = list_limit

    def decorator(self, head: Head, resource: Resource) -> Callable[[dict[str, Any]], None]:
        base = f"{head.service_url}/v3/"
        path = _NESTED.get(resource.name)
        flat, key_name = f"{base}{resource.collection.replace('-', '_')}/", resource.key
        omitted = _OMITTED & resource.attributes.keys()

        def decorate(view: dict[str, Any]) -> None:
            own = flat + view[key_name] if path is None else base + path.format_map(view)
            links = view.get("links")
            view["links"] = {"self": own} if links is None else {**links, "self": own}
            extra = view.pop("extra", None)
            if extra:
                for name, value in extra.items():
                    view.setdefault(name, value)
            for name in omitted:
                if view.get(name, False) is None:
                    del view[name]

        return decorate
