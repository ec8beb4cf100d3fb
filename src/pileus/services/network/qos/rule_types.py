"""The kinds of QoS rules, and what the switch makes of them (extensions ``qos-rule-type-details`` and
``qos-rule-type-filter``)."""

from __future__ import annotations

from pileus.core.errors import Forbidden, NotFound
from pileus.resource import types
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.qos.kinds import BY_NAME, KINDS
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_FILTERS = ("all_rules", "all_supported")


class NotAuthorized(Forbidden):
    message = "Not authorized."


class QosRuleTypeNotFound(NotFound):
    message = "QoS rule type {type} could not be found."


async def list_rule_types(request: Request) -> Reply:
    """List all that the API knows: the one driver serves them, so that the filters leave out none."""
    request.authorise("get_rule_type")
    for name, text in request.query:
        if name not in _FILTERS:
            continue
        try:
            types.boolean.query(text)
        except BadValue as bad:
            raise NEUTRON.bad_value(name, text, bad) from None
    views = [{"type": kind.name} for kind in KINDS]
    return views_reply(request, "rule_types", views, "type", answered=_FILTERS)


async def show_rule_type(request: Request) -> Reply:
    """One, with the driver that enforces it and the values that it takes; for administrators."""
    request.authorise("get_rule_type")
    if not request.context.is_admin:
        raise NotAuthorized()
    kind = BY_NAME.get(request.path["type"])
    if kind is None:
        raise QosRuleTypeNotFound(type=request.path["type"])
    drivers = [{"name": "openvswitch", "supported_parameters": kind.parameters()}]
    return Reply.json({"rule_type": {"type": kind.name, "drivers": drivers}})


_KIND = types.enum(*BY_NAME)
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
        reply=views_type("rule_types", types.dict_of({"type": _KIND})),
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
