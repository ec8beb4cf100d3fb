"""The kinds of QoS rules, and what the switch makes of them (extensions ``qos-rule-type-details`` and
``qos-rule-type-filter``)."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Forbidden, NotFound
from pileus.resource import types
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import GREATEST
from pileus.services.network.common.view_lists import list_views
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

KNOWN = ("bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate", "packet_rate_limit")


def _range(name: str) -> dict[str, Any]:
    values = {"start": 0, "end": GREATEST}
    return {"parameter_name": name, "parameter_type": "range", "parameter_values": values}


_ENFORCED: dict[str, list[dict[str, Any]]] = {
    "bandwidth_limit": [
        _range("max_kbps"),
        _range("max_burst_kbps"),
        {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["egress"]},
    ]
}
_FILTERS = ("all_rules", "all_supported")


class NotAuthorized(Forbidden):
    message = "Not authorized."


class QosRuleTypeNotFound(NotFound):
    message = "QoS rule type {type} could not be found."


async def list_rule_types(request: Request) -> Reply:
    """Those that are enforced; with ``all_rules`` all that the API knows."""
    request.authorise("get_rule_type")
    asked: dict[str, bool] = {}
    for name, text in request.query:
        if name not in _FILTERS:
            continue
        try:
            asked[name] = types.boolean.query(text)
        except BadValue as bad:
            raise NEUTRON.bad_value(name, text, bad) from None
    shown = KNOWN if asked.get("all_rules") else tuple(_ENFORCED)
    views = [{"type": kind} for kind in shown]
    return Reply.json({"rule_types": list_views(request, views, "type", answered=_FILTERS)})


async def show_rule_type(request: Request) -> Reply:
    """One, with the driver that enforces it and the values that it takes; for administrators."""
    request.authorise("get_rule_type")
    if not request.context.is_admin:
        raise NotAuthorized()
    kind = request.path["type"]
    if kind not in KNOWN:
        raise QosRuleTypeNotFound(type=kind)
    drivers = [
        {"name": "openvswitch", "supported_parameters": parameters}
        for parameters in (_ENFORCED.get(kind),)
        if parameters is not None
    ]
    return Reply.json({"rule_type": {"type": kind, "drivers": drivers}})


_KIND = types.enum(*KNOWN)
_DRIVER = types.dict_of(
    {
        "name": types.string(),
        "supported_parameters": types.list_of(types.dict_of({}, additional=types.anything)),
    }
)
ROUTES = (
    Route(
        "GET",
        "/v2.0/qos/rule-types",
        list_rule_types,
        rule="get_rule_type",
        reply=types.dict_of({"rule_types": types.list_of(types.dict_of({"type": _KIND}))}),
        summary="List QoS rule types",
    ),
    Route(
        "GET",
        "/v2.0/qos/rule-types/{type}",
        show_rule_type,
        rule="get_rule_type",
        reply=types.dict_of({"rule_type": types.dict_of({"type": _KIND, "drivers": types.list_of(_DRIVER)})}),
        summary="Show a QoS rule type",
    ),
)
