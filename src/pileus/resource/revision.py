"""Revision numbers: change or delete only what is still as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.resource.declaration import Resource


def check_revision(resource: Resource, original: Mapping[str, Any], wanted: int | None) -> None:
    """Raise the wording's PreconditionFailed where the revision is another one; ``wanted`` None asks nothing.

    Raises the wording's Invalid where the resource has no revisions: a condition is never passed over.
    """
    if wanted is None:
        return
    current = original.get("revision_number")
    if current is None:
        raise resource.wording.bad_part(resource.plural, "Revision matching not supported for this resource")
    if current != wanted:
        raise resource.wording.wrong_revision(resource, original[resource.key], wanted, current)
