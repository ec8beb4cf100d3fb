"""Ranges of segments as a part of the API."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.services.network.network_segment_ranges.resource import (
    NETWORK_SEGMENT_RANGE,
    RULES,
    NetworkSegmentRangeNotFound,
)
from pileus.services.network.network_segment_ranges.work import (
    NetworkSegmentRangeDefaultReadOnly,
    defaults,
    range_create,
    range_delete,
    range_update,
    ranges_read,
)
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.tags import tag_routes
from pileus.web.view import show

PATH = "/v2.0/network_segment_ranges"
RULE = "get_network_segment_range"
_FILTERS = (
    *("id", "name", "description", "project_id", "tenant_id", "network_type", "physical_network"),
    *("default", "shared", "minimum", "maximum"),
)
_VIEW = types.dict_of(
    {one.name: one.shown or one.type for one in NETWORK_SEGMENT_RANGE.attributes.values()},
    additional=types.anything,
)


class _Handlers:
    """The requests that also concern the ranges of the settings, which ``config`` has."""

    def __init__(self, config: NetworkConfig) -> None:
        self._config = config
        self._defaults = {one["id"] for one in defaults(config)}

    async def list(self, request: Request) -> Reply:
        """List all ranges."""
        request.authorise(RULE)
        several = await request.read(ranges_read, self._config)
        views = show(request, NETWORK_SEGMENT_RANGE, several)
        return views_reply(request, "network_segment_ranges", views, "id", _FILTERS)

    async def show(self, request: Request) -> Reply:
        """Show one range."""
        request.authorise(RULE)
        found = await request.read(ranges_read, self._config, request.path["id"])
        if not found:
            raise NetworkSegmentRangeNotFound(id=request.path["id"])
        return Reply.json({"network_segment_range": show(request, NETWORK_SEGMENT_RANGE, found)[0]})

    def kept(self, route: Route) -> Route:
        """Have a route refuse to change what is of the settings."""

        async def checked(request: Request) -> Reply:
            if request.path["id"] in self._defaults:
                request.authorise(str(route.rule))
                raise NetworkSegmentRangeDefaultReadOnly(range_id=request.path["id"])
            return await route.handler(request)

        return replace(route, handler=checked)


def _routes(config: NetworkConfig) -> tuple[Route, ...]:
    handlers, one = _Handlers(config), f"{PATH}/{{id}}"
    changing = crud(
        NETWORK_SEGMENT_RANGE,
        PATH,
        create=partial(range_create, config=config),
        update=partial(range_update, config=config),
        delete=partial(range_delete, config=config),
        list_=False,
        get=False,
    )
    return (
        Route(
            "GET",
            PATH,
            handlers.list,
            rule=RULE,
            reply=views_type("network_segment_ranges", _VIEW),
            summary="List network segment ranges",
        ),
        Route(
            "GET",
            one,
            handlers.show,
            rule=RULE,
            reply=types.dict_of({"network_segment_range": _VIEW}),
            summary="Show network segment range",
        ),
        *(handlers.kept(route) if route.path == one else route for route in changing),
        *tag_routes(NETWORK_SEGMENT_RANGE, PATH, rules=tag_rule_names("network_segment_range")),
    )


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="network_segment_range",
        routes=_routes(config),
        rules=(*RULES, *tag_rules("network_segment_range")),
        extensions=(
            Extension(
                "network-segment-range",
                "Neutron Network Segment Range",
                "Provides support for the network segment range management",
                "2018-11-29T00:00:00-00:00",
            ),
        ),
    )
