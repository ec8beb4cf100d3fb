"""Routers as a part of the API, and their side of the wire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pileus.resource.declaration import Extension, Resource
from pileus.services.network.agents.scheduled import Scheduler
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.gateway_handlers import EXTENSIONS as GATEWAY_EXTENSIONS
from pileus.services.network.routers.gateway_handlers import gateway_routes
from pileus.services.network.routers.ha_scheduling import states_of
from pileus.services.network.routers.handlers import interface_routes
from pileus.services.network.routers.hosting import router_bind, router_unbind
from pileus.services.network.routers.resource import ROUTER, RULES
from pileus.services.network.routers.state import l3_state
from pileus.services.network.routers.status import l3_status
from pileus.services.network.routers.tables import router_bindings
from pileus.services.network.routers.work import ROUTER_QUOTA, router_create, router_delete, router_update
from pileus.store.tx import Tx
from pileus.web.answers import Answer
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes
from pileus.wire.calls import L3_STATE, L3_STATUS

PATH = "/v2.0/routers"
EXTENSIONS = (
    Extension(
        "router",
        "Neutron L3 Router",
        "Router abstraction for basic L3 forwarding between L2 Neutron networks and access to external "
        "networks via a NAT gateway.",
        "2012-07-20T10:00:00-00:00",
    ),
    Extension(
        "ext-gw-mode",
        "Neutron L3 Configurable external gateway mode",
        "Extension of the router abstraction for specifying whether SNAT should occur on the "
        "external gateway",
        "2013-03-28T10:00:00-00:00",
    ),
    Extension(
        "extraroute",
        "Neutron Extra Route",
        "Extra routes configuration for L3 router",
        "2013-02-01T10:00:00-00:00",
    ),
    Extension(
        "extraroute-atomic",
        "Atomically add/remove extra routes",
        "Edit extra routes of a router on server side by atomically adding/removing extra routes",
        "2019-07-10T00:00:00+00:00",
    ),
    Extension(
        "router_availability_zone",
        "Router Availability Zone",
        "Availability zone support for router.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "l3-flavors", "Router Flavor Extension", "Flavor support for routers.", "2016-05-17T00:00:00-00:00"
    ),
    Extension(
        "l3_agent_scheduler",
        "L3 Agent Scheduler",
        "Schedule routers among l3 agents",
        "2013-02-07T10:00:00-00:00",
    ),
    Extension(
        "dvr",
        "Distributed Virtual Router",
        "Enables configuration of Distributed Virtual Routers.",
        "2014-06-01T10:00:00-00:00",
    ),
    Extension("l3-ha", "HA Router extension", "Adds HA capability to routers.", "2014-04-26T00:00:00-00:00"),
)

DOWN_FIRST = Extension(
    "router-admin-state-down-before-update",
    "Enforce Router's Admin State Down Before Update Extension",
    "Ensure that the admin state of a router is DOWN (admin_state_up=False) before updating the distributed "
    "attribute",
    "2019-07-02T15:56:00",
)


View: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def _with_ha_state(tx: Tx, router_id: str, alive_since: dt.datetime) -> View:
    states = states_of(tx, router_id, alive_since)
    return lambda agent: {**agent, "ha_state": states.get(agent["id"])}


def noun(config: NetworkConfig, agent: Resource) -> Noun:
    """``agent`` is the declaration of agents, which depends on a clock."""
    scheduler = Scheduler(
        "l3",
        ROUTER,
        "id",
        router_bindings,
        partial(router_bind, config=config),
        partial(router_unbind, config=config),
        lambda tx, context, router_id: _with_ha_state(tx, router_id, config.alive_since(context.now)),
    )
    return Noun(
        name="router",
        routes=(
            *crud(
                ROUTER,
                PATH,
                create=partial(router_create, config=config),
                update=partial(router_update, config=config),
                delete=partial(router_delete, config=config),
                statements={"list": 8, "create": 91, "get": 8, "update": 94, "delete": 54},
            ),
            *interface_routes(config),
            *gateway_routes(config),
            *scheduler.routes(agent),
            *tag_routes(ROUTER, PATH, rules=tag_rule_names("router")),
        ),
        rules=(*RULES, *tag_rules("router"), *scheduler.rules()),
        quotas=(ROUTER_QUOTA,),
        extensions=(
            *EXTENSIONS,
            *GATEWAY_EXTENSIONS,
            *((DOWN_FIRST,) if config.down_before_distributed else ()),
        ),
        answers=(
            Answer(L3_STATE, partial(l3_state, config=config)),
            Answer(L3_STATUS, partial(l3_status, config=config), writes=True),
        ),
    )
