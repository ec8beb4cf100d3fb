"""``If-Match: revision_number=N``: change or delete only what is still as it was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pileus.web.resource import Resource

if TYPE_CHECKING:
    from pileus.web.request import Request

_QUOTED = re.compile(r'(?:^|[\s,])(W/)?"((?:\\"|[^"])*)"')
_NAME = "revision_number="
_NUMBER = re.compile(r"\s*[-+]?[0-9]{1,18}\s*")


def wanted_revision(request: Request) -> int | None:
    """The revision that the request insists on, if it does; other entity tags mean nothing here.

    A number that no resource can have (a negative one) is a revision like any other: it does not match.
    Raises the dialect's Invalid where ``revision_number=`` is not followed by a number.
    """
    text = request.header("if-match")
    if text is None:
        return None
    quoted = _QUOTED.findall(text)
    # Weak tags never match (RFC 9110, 13.1.1); a header without quotes is one tag.
    tags = [tag for weak, tag in quoted if not weak] if quoted else [text.strip()]
    named = [tag for tag in tags if tag.startswith(_NAME)]
    if not named:
        return None
    if len(named) > 1:
        raise request.dialect.bad_part("if-match", "Multiple revision_number etags are not supported.")
    number = named[0].removeprefix(_NAME)
    if not _NUMBER.fullmatch(number):
        sentence = "Revision number etag must be in the format of revision_number=<int>"
        raise request.dialect.bad_part("if-match", sentence)
    return int(number)


def check_revision(resource: Resource, original: Mapping[str, Any], wanted: int | None) -> None:
    """Raise the dialect's PreconditionFailed where the revision is another one.

    Raises the dialect's Invalid where the resource has no revisions: a condition is never passed over.
    """
    if wanted is None:
        return
    current = original.get("revision_number")
    if current is None:
        raise resource.dialect.bad_part(resource.plural, "Revision matching not supported for this resource")
    if current != wanted:
        raise resource.dialect.wrong_revision(resource, original[resource.key], wanted, current)
