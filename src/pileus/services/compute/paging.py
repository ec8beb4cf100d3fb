"""Pages of lists that are no declared resource's: their size, and the link to the next one."""

from __future__ import annotations

from typing import Any

from pileus.services.compute.api import COMPUTE
from pileus.web.head import Head


def largest_page(head: Head) -> int:
    """The size of a page where the query names none."""
    return head.settings.page_limit or COMPUTE.max_limit


def page_size(head: Head) -> int:
    """The size of a page: the query's ``limit``, and never more than the largest page."""
    most = largest_page(head)
    text = head.parameter("limit")
    return most if text is None else min(COMPUTE.limit(text), most)


def offset(head: Head) -> int:
    """The number of things before the page (``offset``)."""
    text = head.parameter("offset")
    return COMPUTE.limit(text) if text else 0


def next_page(head: Head, name: str, marker: str) -> dict[str, Any]:
    """The link, called ``name``, to the page after ``marker``."""
    return {name: [{"rel": "next", "href": COMPUTE.next_link(head, marker)}]}
