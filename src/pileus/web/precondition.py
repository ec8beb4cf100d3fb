"""``If-Match: revision_number=N``: change or delete only what is still as it was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pileus.core.errors import Invalid
from pileus.web.resource import Resource

if TYPE_CHECKING:
    from pileus.web.request import Request

_FORM = re.compile(r"revision_number=(\d{1,18})")


def wanted_revision(request: Request) -> int | None:
    """The revision that the request insists on, if it does. Raises Invalid for another form of the header."""
    text = request.header("if-match")
    if text is None:
        return None
    found = _FORM.fullmatch(text.strip().strip('"'))
    if not found:
        raise Invalid(f"Bad format in If-Match header: {text}")
    return int(found[1])


def check_revision(resource: Resource, original: Mapping[str, Any], wanted: int | None) -> None:
    """Raise the dialect's PreconditionFailed where the revision is another one."""
    if wanted is None:
        return
    current = original.get("revision_number")
    if current != wanted:
        raise resource.dialect.wrong_revision(resource, original[resource.key], wanted, current or 0)
