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
    """The claims under both names, each as a list of texts."""
    found: dict[str, list[str]] = {}
    for name, value in claims.items():
        values = [_text(one) for one in (value if isinstance(value, list) else [value])][:MOST_VALUES]
        if values:
            found[f"OIDC-{name}"] = found[f"HTTP_OIDC_{name.upper().replace('-', '_')}"] = values
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
