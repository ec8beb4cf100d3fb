"""The face of the network service: what the app, siblings, edges and insight use.

``Network`` is what app starts. The units of work
named here may be called by siblings inside a transaction of their own: compute creates,
binds (``port_update`` of ``binding:host_id``) and deletes the ports of its servers;
``new_port`` makes the complete values that ``port_create`` takes.
"""

from __future__ import annotations

from collections.abc import Mapping

from pileus.core.clock import Clock
from pileus.services.network import extensions, quotas
from pileus.services.network.agents.resource import RULES as AGENT_RULES
from pileus.services.network.agents.resource import agent_resource
from pileus.services.network.agents.serving import served_scopes, serves_guests_of
from pileus.services.network.agents.tables import agents
from pileus.services.network.common import policy
from pileus.services.network.common.names import is_host_name
from pileus.services.network.config import Followers, HoldersOf, NetworkConfig, ProjectsOf
from pileus.services.network.config import from_settings as read_settings
from pileus.services.network.dhcp.followers import (
    dhcp_agent_reported,
    dhcp_agents_deleting,
    dhcp_agents_enabled,
    dhcp_follows_ports,
    dhcp_restores_ports,
)
from pileus.services.network.dhcp.handlers import RULES as DHCP_RULES
from pileus.services.network.floating_ips.followers import floating_ips_follow, floating_ips_release
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.floating_ips.resource import RULES as FLOATING_IP_RULES
from pileus.services.network.networks.availability import RULES as AVAILABILITY_RULES
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.resource import RULES as NETWORK_RULES
from pileus.services.network.ports.followers import ports_bind_waiting, ports_leave_networks
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.resource import RULES as PORT_RULES
from pileus.services.network.ports.specs import new_port
from pileus.services.network.ports.work import port_create, port_delete, port_update
from pileus.services.network.qos.resource import RULES as QOS_RULES
from pileus.services.network.routers.followers import (
    l3_agent_reported,
    l3_agents_deleting,
    l3_agents_enabled,
    routers_restore_ports,
)
from pileus.services.network.routers.handlers import RULES as L3_RULES
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.routers.resource import RULES as ROUTER_RULES
from pileus.services.network.routes import routes
from pileus.services.network.rules.segments import mtu_on_node
from pileus.services.network.section import NetworkSection
from pileus.services.network.security_groups.membership import default_groups
from pileus.services.network.security_groups.resource import RULES as GROUP_RULES
from pileus.services.network.security_groups.resource import SECURITY_GROUP
from pileus.services.network.subnetpools.resource import RULES as POOL_RULES
from pileus.services.network.subnets.resource import RULES as SUBNET_RULES
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.tables import ip_allocations
from pileus.services.network.wire_side import wire_handlers
from pileus.store import Store
from pileus.web.answers import Handler
from pileus.web.dialects import ApiVersion
from pileus.web.dialects.neutron import NEUTRON_API
from pileus.web.face import ServiceFace
from pileus.web.noun import Noun
from pileus.web.service import Service

__all__ = [
    "FLOATING_IP",
    "FOLLOWERS",
    "NETWORK",
    "PORT",
    "PREFIX",
    "ROUTER",
    "SECURITY_GROUP",
    "SUBNET",
    "Network",
    "NetworkConfig",
    "agents",
    "default_groups",
    "from_settings",
    "ip_allocations",
    "is_host_name",
    "mtu_on_node",
    "network_service",
    "new_port",
    "port_create",
    "port_delete",
    "port_update",
    "served_scopes",
    "serves_guests_of",
    "wire_handlers",
]

PREFIX = "/networking"

RULES = (
    *policy.BASE_RULES,
    *NETWORK_RULES,
    *SUBNET_RULES,
    *PORT_RULES,
    *GROUP_RULES,
    *AGENT_RULES,
    *QOS_RULES,
    *ROUTER_RULES,
    *FLOATING_IP_RULES,
    *POOL_RULES,
    *AVAILABILITY_RULES,
    *DHCP_RULES,
    *L3_RULES,
    *quotas.RULES,
)

FOLLOWERS = Followers(
    networks_deleting=(ports_leave_networks,),
    ports_created=(dhcp_follows_ports,),
    ports_updated=(floating_ips_follow,),
    ports_deleting=(floating_ips_release,),
    own_ports_touched=(routers_restore_ports, dhcp_restores_ports),
    agents_reported=(ports_bind_waiting, dhcp_agent_reported, l3_agent_reported),
    agents_enabled=(dhcp_agents_enabled, l3_agents_enabled),
    agents_deleting=(dhcp_agents_deleting, l3_agents_deleting),
)
"""What follows upwards, from the lowest floor to the highest."""


def from_settings(
    settings: NetworkSection, projects_of_servers: ProjectsOf, holders_of: HoldersOf
) -> NetworkConfig:
    """Read the settings; BadSettings names the key. The service that has servers answers the questions."""
    return read_settings(settings, FOLLOWERS, projects_of_servers, holders_of)


def network_service(config: NetworkConfig, clock: Clock) -> Service:
    """The network API as the app takes it."""
    agent = agent_resource(clock, config)
    return Service(
        name="neutron",
        type="network",
        dialect=NEUTRON_API,
        prefix=PREFIX,
        nouns=(
            Noun(
                name="everything", routes=routes(config, agent), rules=RULES, extensions=extensions.EXTENSIONS
            ),
        ),
        versions=(ApiVersion("v2.0", "/v2.0", "CURRENT", "2016-01-01T00:00:00Z"),),
        description="OpenStack Networking",
    )


class Network(ServiceFace):
    """The service; its units decide with ``config``."""

    def __init__(self, config: NetworkConfig, clock: Clock) -> None:
        self._clock = clock
        self.config = config
        self.service = network_service(config, clock)

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return wire_handlers(store, self.config, self._clock)
