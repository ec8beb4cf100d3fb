"""Lists that no table stands behind, in the Network API's list language: filters, order, pages, fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import HTTPBadRequest
from pileus.web.dialects.neutron import page_links, page_size
from pileus.web.reply import Reply
from pileus.web.request import Request

View = Mapping[str, Any]
_LINK = types.dict_of({"rel": types.enum("next", "previous"), "href": types.string(None)})
_LANGUAGE = ("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir")


def views_type(plural: str, view: Type) -> Type:
    """The type of such a list's replies."""
    return types.dict_of({plural: types.list_of(view), f"{plural}_links": types.list_of(_LINK)})


def views_reply(
    request: Request,
    plural: str,
    views: Sequence[View],
    key: str,
    filters: Collection[str] = (),
    *,
    answered: Collection[str] = (),
) -> Reply:
    """Those of the views that the query asks for, with links to the pages around them.

    ``key``: the attribute that a marker is one of; ``filters``: those that are compared; ``answered``:
    parameters that the caller has obeyed already. HTTPBadRequest for a parameter that means nothing here.
    """
    asked: dict[str, list[str]] = {}
    for name, text in request.query:
        asked.setdefault(name, []).append(text)
    known = {*filters, *answered, *_LANGUAGE}
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
    found = [
        view
        for view in views
        if all(_is_one_of(view[name], name, texts) for name, texts in asked.items() if name in filters)
    ]
    limit = page_size(asked["limit"][-1]) if "limit" in asked else None
    reverse = asked.get("page_reverse", ["false"])[-1].lower() == "true"
    found = _page(_sorted(found, asked), asked.get("marker", [""])[-1], key, limit, reverse)
    fields = [text for text in asked.get("fields", ()) if text]
    shown = [{name: value for name, value in view.items() if not fields or name in fields} for view in found]
    if limit is None:
        return Reply.json({plural: shown})
    links = page_links(request, [view[key] for view in found], more=len(found) >= limit, reverse=reverse)
    return Reply.json({plural: shown, **({f"{plural}_links": links} if links else {})})


def _is_one_of(value: Any, name: str, texts: Sequence[str]) -> bool:
    if not isinstance(value, bool):
        return str(value) in texts
    try:
        return value in [types.boolean.parse(text) for text in texts]
    except BadValue as bad:
        raise HTTPBadRequest(f"Invalid input for {name}. Reason: {bad.text}.") from None


def _sorted(views: list[View], asked: Mapping[str, list[str]]) -> list[View]:
    keys, directions = asked.get("sort_key", []), asked.get("sort_dir", [])
    if len(keys) != len(directions):
        raise HTTPBadRequest("The number of sort_keys and sort_dirs must be same")
    for name, direction in reversed(list(zip(keys, directions, strict=True))):
        if any(not isinstance(view.get(name), str | int) for view in views):
            raise HTTPBadRequest(f"['{name}'] is invalid attribute for sort_keys")
        if direction not in ("asc", "desc"):
            raise HTTPBadRequest(
                f"['{direction}'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'"
            )
        views = sorted(views, key=lambda view: view[name], reverse=direction == "desc")
    return views


def _page(views: list[View], marker: str, key: str, limit: int | None, reverse: bool) -> list[View]:
    if marker:
        places = [place for place, view in enumerate(views) if view[key] == marker]
        if not places:
            return []
        views = views[: places[0]] if reverse else views[places[0] + 1 :]
    if limit is None:
        return views
    return views[-limit:] if reverse else views[:limit]
