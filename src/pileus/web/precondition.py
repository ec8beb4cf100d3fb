"""``If-Match: revision_number=N``: change or delete only what is still as it was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pileus.web.resource import Resource

if TYPE_CHECKING:
    from pileus.web.request import Request

_FORM = re.compile(r'"?revision_number=(\d{1,18})"?')


def wanted_revision(request: Request) -> int | None:
    """The revision that the request insists on, if it does; other entity tags mean nothing here.

    Raises the dialect's Invalid where ``revision_number=`` is not followed by a number.
    """
    text = request.header("if-match")
    if text is None:
        return None
    tags = [tag.strip() for tag in text.split(",") if "revision_number=" in tag]
    if not tags:
        return None
    if len(tags) > 1:
        raise request.dialect.bad_part("if-match", "Multiple revision_number etags are not supported.")
    found = _FORM.fullmatch(tags[0])
    if not found:
        sentence = "Revision number etag must be in the format of revision_number=<int>"
        raise request.dialect.bad_part("if-match", sentence)
    return int(found[1])


def check_revision(resource: Resource, original: Mapping[str, Any], wanted: int | None) -> None:
    """Raise the dialect's PreconditionFailed where the revision is another one."""
    if wanted is None:
        return
    current = original.get("revision_number")
    if current != wanted:
        raise resource.dialect.wrong_revision(resource, original[resource.key], wanted, current or 0)
