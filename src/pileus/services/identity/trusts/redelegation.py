"""How often a trust may be passed on, and what may be given with it: decided without the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pileus.services.identity.common.errors import Refused, ValidationError
from pileus.services.identity.sessions.trusts import Trust


def redelegation_count(wish: Mapping[str, Any], chain: Sequence[Trust], most: int) -> int:
    """How often the new trust may be passed on; ``chain`` is that from which it is made, nearest first.

    Raises Refused, and ValidationError for wishes that exclude each other.
    """
    asked: int | None = wish["redelegation_count"]
    if not wish["allow_redelegation"] or asked == 0:
        return 0
    if asked is not None and asked > most:
        raise Refused(f"requested redelegation depth of {asked} is greater than allowed {most}")
    if wish["remaining_uses"] is not None:
        raise ValidationError("remaining_uses must not be set if redelegation is allowed")
    if not chain:
        return asked if asked is not None else most
    left = chain[0].redelegation_count - 1
    if asked is not None and asked != left:
        raise Refused("modifying redelegation_count upon redelegation is forbidden")
    return max(left, 0)


def redelegated_expiry(
    wish: Mapping[str, Any], role_ids: Sequence[str], chain: Sequence[Trust], most: int
) -> dt.datetime | None:
    """When a trust that is passed on ends. Raises Refused where it would give more than one of the chain."""
    expires_at: dt.datetime | None = wish["expires_at"]
    for parent in chain:
        if not 0 < parent.redelegation_count <= most:
            raise Refused(f"remaining redelegation depth of {parent.redelegation_count} of {parent.id}")
        if wish["remaining_uses"] is not None:
            raise Refused("remaining_uses must not be set in order to redelegate a trust")
        if parent.expires_at is not None and expires_at is not None and parent.expires_at < expires_at:
            raise Refused("requested expiration time is more than redelegated trust can provide")
        expires_at = expires_at or parent.expires_at
        if not parent.role_ids.issuperset(role_ids):
            raise Refused("some of requested roles are not in redelegated trust")
        if wish["impersonation"] and not parent.impersonation:
            raise Refused(f"redelegated trust {parent.id} does not specify impersonation")
        # The roles of the trust are the trustor's in this project, and nothing was lent of his others.
        if wish["project_id"] != parent.project_id:
            raise Refused(f"redelegated trust {parent.id} is for another project")
    return expires_at
