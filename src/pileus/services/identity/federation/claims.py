"""Claims of OpenID Connect as a mapping sees them: under the names that Apache's mod_auth_openidc gives them.

``preferred_username`` is ``HTTP_OIDC_PREFERRED_USERNAME`` and ``OIDC-preferred_username``: mappings that were
written for a Keystone behind Apache go on. A list stays one: nobody puts a second group into a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MOST_VALUES = 2000


def mapped_claims(claims: Mapping[str, Any]) -> dict[str, list[str]]:
    """The claims under both names, each as a list of texts.

    Of claims that share a name of the first kind (``Groups`` and ``groups``, ``a-b`` and ``a_b``) the one
    that is written in its form counts, and none where no one is: another spelling passes no mapping.
    """
    found: dict[str, list[str]] = {}
    sharing: dict[str, list[str]] = {}
    for name, value in claims.items():
        values = [_text(one) for one in (value if isinstance(value, list) else [value])][:MOST_VALUES]
        if values:
            found[f"OIDC-{name}"] = values
            sharing.setdefault(_form_of(name), []).append(name)
    for form, names in sharing.items():
        counts = names[0] if len(names) == 1 else form if form in names else None
        if counts is not None:
            found[f"HTTP_OIDC_{form.upper()}"] = found[f"OIDC-{counts}"]
    return found


def _form_of(name: str) -> str:
    return name.lower().replace("-", "_")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
