"""Pages of lists that are made in memory: of what no SELECT can narrow to what the caller may see."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pileus.resource.declaration import Resource, Values
from pileus.resource.listing import Listing, bound
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.view import show


def list_request(request: Request, resource: Resource) -> Listing:
    """Read what a list request asks for, with the bound of its length."""
    listing = request.dialect.listing(request, resource)
    bound(listing, request.dialect.default_limit, request.settings.page_limit or request.dialect.max_limit)
    return listing


def page_reply(request: Request, resource: Resource, listing: Listing, found: Sequence[Values]) -> Reply:
    """Reply with the page that a listing asks for of all that was ``found``.

    Ordered by the listing's key, then by id, what is not set first. Raises NotFound for an unknown marker.
    """
    ordered = sorted(found, key=lambda one: str(one[resource.key]))
    for sort in reversed(listing.sort):
        # the sort is stable also in reverse: equal ones stay in the order of their ids
        ordered.sort(key=partial(_place, sort.name), reverse=sort.descending)
    start = 0
    if listing.marker is not None:
        places = [at for at, one in enumerate(ordered) if one[resource.key] == listing.marker]
        if not places:
            raise resource.wording.missing_marker(resource, listing.marker)
        start = places[0] + 1
    end = len(ordered) if listing.limit is None else start + listing.limit
    page, more = ordered[start:end], len(ordered) > end
    keys = [str(one[resource.key]) for one in page]
    beside = request.dialect.list_links(request, resource, listing, keys, more)
    return Reply.json({resource.plural: show(request, resource, page), **beside})


def _place(name: str, one: Values) -> tuple[bool, str]:
    value = one.get(name)
    return value is not None, str(value)
