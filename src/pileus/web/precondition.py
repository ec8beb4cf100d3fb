"""``If-Match: revision_number=N``: change or delete only what is still as it was read."""

from __future__ import annotations

import re

from pileus.web.head import Head

_QUOTED = re.compile(r'(?:^|[\s,])(W/)?"((?:\\"|[^"])*)"')
_NAME = "revision_number="
_NUMBER = re.compile(r"\s*[-+]?[0-9]{1,18}\s*")


def wanted_revision(head: Head) -> int | None:
    """The revision that the request insists on, if it does; other entity tags mean nothing here.

    A number that no resource can have (a negative one) is a revision like any other: it does not match.
    Raises the dialect's Invalid where ``revision_number=`` is not followed by a number.
    """
    text = head.header("if-match")
    if text is None:
        return None
    quoted = _QUOTED.findall(text)
    # Weak tags never match (RFC 9110, 13.1.1); a header without quotes is one tag.
    tags = [tag for weak, tag in quoted if not weak] if quoted else [text.strip()]
    named = [tag for tag in tags if tag.startswith(_NAME)]
    if not named:
        return None
    if len(named) > 1:
        raise head.wording.bad_part("if-match", "Multiple revision_number etags are not supported.")
    number = named[0].removeprefix(_NAME)
    if not _NUMBER.fullmatch(number):
        sentence = "Revision number etag must be in the format of revision_number=<int>"
        raise head.wording.bad_part("if-match", sentence)
    return int(number)
