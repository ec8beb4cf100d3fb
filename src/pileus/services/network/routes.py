"""Every path and verb of the network API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Resource
from pileus.services.network import extensions, handlers, quotas
from pileus.services.network.agents.work import agent_deleter, agent_updater
from pileus.services.network.agents.zones import zones_handler
from pileus.services.network.config import NetworkConfig
from pileus.services.network.dhcp import handlers as dhcp
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.floating_ips.work import (
    floatingip_create,
    floatingip_delete,
    floatingip_update,
)
from pileus.services.network.networks import availability
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.work import network_create, network_delete, network_update
from pileus.services.network.ports import timeline
from pileus.services.network.ports.asked import asked_port_create, asked_port_delete, asked_port_update
from pileus.services.network.ports.resource import PORT
from pileus.services.network.qos import rule_types
from pileus.services.network.qos import work as qos
from pileus.services.network.qos.resource import BANDWIDTH_LIMIT_RULE, OVSQOS, POLICY
from pileus.services.network.routers import handlers as l3
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.routers.work import router_create, router_delete, router_update
from pileus.services.network.security_groups import work as groups
from pileus.services.network.security_groups.resource import SECURITY_GROUP, SECURITY_GROUP_RULE
from pileus.services.network.subnetpools import work as pools
from pileus.services.network.subnetpools.resource import ADDRESS_SCOPE, SUBNETPOOL
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.work import subnet_create, subnet_delete, subnet_update
from pileus.web.crud import crud
from pileus.web.routes import Route
from pileus.web.tags import tag_routes

NETWORKS, SUBNETS, PORTS = "/v2.0/networks", "/v2.0/subnets", "/v2.0/ports"
GROUPS, GROUP_RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"
ROUTERS, FLOATING_IPS, SUBNETPOOLS = "/v2.0/routers", "/v2.0/floatingips", "/v2.0/subnetpools"
AGENTS, POLICIES = "/v2.0/agents", "/v2.0/qos/policies"


def routes(config: NetworkConfig, agent: Resource) -> tuple[Route, ...]:
    """The table; ``agent`` is the declaration of agents, which depends on a clock."""
    listed = (
        NETWORK,
        SUBNET,
        SUBNETPOOL,
        ADDRESS_SCOPE,
        PORT,
        ROUTER,
        FLOATING_IP,
        SECURITY_GROUP,
        SECURITY_GROUP_RULE,
        agent,
    )
    return (
        Route("GET", "/v2.0", handlers.version_root(listed), authenticated=False, summary="List collections"),
        *crud(
            NETWORK,
            NETWORKS,
            create=partial(network_create, config=config),
            update=partial(network_update, config=config),
            delete=partial(network_delete, config=config),
        ),
        *tag_routes(NETWORK, NETWORKS),
        *crud(
            SUBNET,
            SUBNETS,
            create=partial(subnet_create, config=config),
            update=partial(subnet_update, config=config),
            delete=partial(subnet_delete, config=config),
        ),
        *tag_routes(SUBNET, SUBNETS),
        *crud(
            PORT,
            PORTS,
            create=partial(asked_port_create, config=config),
            update=partial(asked_port_update, config=config),
            delete=partial(asked_port_delete, config=config),
        ),
        *tag_routes(PORT, PORTS),
        *timeline.ROUTES,
        Route(
            "GET",
            GROUPS,
            handlers.list_security_groups,
            resource=SECURITY_GROUP,
            action="list",
            rule="get_security_group",
            summary="List security group",
        ),
        *crud(
            ROUTER,
            ROUTERS,
            create=partial(router_create, config=config),
            update=partial(router_update, config=config),
            delete=partial(router_delete, config=config),
        ),
        *l3.routes(config, agent),
        *tag_routes(ROUTER, ROUTERS),
        *crud(
            FLOATING_IP,
            FLOATING_IPS,
            create=partial(floatingip_create, config=config),
            update=floatingip_update,
            delete=partial(floatingip_delete, config=config),
        ),
        *tag_routes(FLOATING_IP, FLOATING_IPS),
        *crud(
            SECURITY_GROUP,
            GROUPS,
            create=groups.security_group_create,
            update=groups.security_group_update,
            delete=groups.security_group_delete,
            list_=False,
        ),
        *tag_routes(SECURITY_GROUP, GROUPS),
        Route(
            "GET",
            GROUP_RULES,
            handlers.list_security_group_rules,
            resource=SECURITY_GROUP_RULE,
            action="list",
            rule="get_security_group_rule",
            summary="List security group rule",
        ),
        *crud(
            SECURITY_GROUP_RULE,
            GROUP_RULES,
            create=groups.security_group_rule_create,
            delete=groups.security_group_rule_delete,
            list_=False,
        ),
        Route("POST", AGENTS, handlers.create_agent, rule="create_agent", summary="Refused: agents report"),
        *crud(
            agent,
            AGENTS,
            update=agent_updater(agent, config),
            delete=agent_deleter(agent, config),
        ),
        *crud(
            SUBNETPOOL,
            SUBNETPOOLS,
            create=pools.subnetpool_create,
            update=pools.subnetpool_update,
            delete=pools.subnetpool_delete,
        ),
        *tag_routes(SUBNETPOOL, SUBNETPOOLS),
        *crud(
            ADDRESS_SCOPE,
            "/v2.0/address-scopes",
            create=pools.address_scope_create,
            update=pools.address_scope_update,
            delete=pools.address_scope_delete,
        ),
        *availability.ROUTES,
        Route(
            "GET",
            "/v2.0/service-providers",
            handlers.list_service_providers,
            summary="List service providers",
        ),
        *dhcp.routes(config, agent),
        *crud(
            POLICY,
            POLICIES,
            create=qos.policy_create,
            update=qos.policy_update,
            delete=qos.policy_delete,
        ),
        *tag_routes(POLICY, POLICIES),
        *tag_routes(POLICY, "/v2.0/policies"),  # where Neutron has them
        *crud(
            BANDWIDTH_LIMIT_RULE,
            f"{POLICIES}/{{policy_id}}/bandwidth_limit_rules",
            create=qos.limit_create,
            update=qos.limit_update,
            delete=qos.limit_delete,
        ),
        *rule_types.ROUTES,
        *crud(
            OVSQOS,
            "/v2.0/ovsqoss",
            create=qos.ovsqos_create,
            update=qos.ovsqos_update,
            delete=qos.policy_delete,
        ),
        *quotas.ROUTES,
        *extensions.ROUTES,
        Route("GET", "/v2.0/availability_zones", zones_handler(config), summary="List availability zones"),
    )
