"""The face of the network service: what the app, siblings, edges and insight use.

``Network`` is what app starts. The units of work
named here may be called by siblings inside a transaction of their own: compute creates,
binds (``port_update`` of ``binding:host_id``) and deletes the ports of its servers;
``new_port`` makes the complete values that ``port_create`` takes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pileus.core.clock import Clock
from pileus.core.dns import DnsPublisher
from pileus.core.ids import new_id
from pileus.services.network import api, availability_zones, ip_availability, quotas, service_providers
from pileus.services.network.address_groups import noun as address_groups
from pileus.services.network.agents import noun as agents_noun
from pileus.services.network.agents.resource import agent_resource
from pileus.services.network.agents.serving import served_scopes, serves_guests_of
from pileus.services.network.agents.tables import agents
from pileus.services.network.auto_allocated_topology import noun as auto_allocated_topology
from pileus.services.network.common.names import is_host_name
from pileus.services.network.common.policy import BASE_RULES, CALLER_RULES
from pileus.services.network.config import Followers, HoldersOf, NetworkConfig, Notify, ProjectsOf
from pileus.services.network.config import from_settings as read_settings
from pileus.services.network.conntrack_helpers import noun as conntrack_helpers
from pileus.services.network.default_security_group_rules import noun as default_security_group_rules
from pileus.services.network.dhcp import noun as dhcp
from pileus.services.network.dhcp.followers import (
    dhcp_agent_reported,
    dhcp_agents_deleting,
    dhcp_agents_enabled,
    dhcp_follows_ports,
    dhcp_restores_ports,
)
from pileus.services.network.external_dns import noun as external_dns
from pileus.services.network.external_dns.worker import DnsWorker
from pileus.services.network.flavors import noun as flavors
from pileus.services.network.floating_ip_hosts.followers import (
    floating_ips_back,
    floating_ips_follow_agents,
    floating_ips_follow_ports,
    floating_ips_follow_routers,
    floating_ips_on_host,
    floating_ips_placed,
)
from pileus.services.network.floating_ips import noun as floating_ips
from pileus.services.network.floating_ips import pools
from pileus.services.network.floating_ips.resource import FLOATING_IP
from pileus.services.network.gateway_machines import noun as gateway_machines
from pileus.services.network.l2_gateways import noun as l2_gateways
from pileus.services.network.l2_gateways.state import gateways_leave_networks
from pileus.services.network.local_ips import noun as local_ips
from pileus.services.network.logs import noun as logs
from pileus.services.network.metering import noun as metering
from pileus.services.network.ndp_proxies import noun as ndp_proxies
from pileus.services.network.network_segment_ranges import noun as network_segment_ranges
from pileus.services.network.networks import noun as networks
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.port_bindings import noun as port_bindings
from pileus.services.network.port_forwardings import noun as port_forwardings
from pileus.services.network.port_forwardings.followers import translations_follow, translations_release
from pileus.services.network.ports import noun as ports
from pileus.services.network.ports.defaults import new_port
from pileus.services.network.ports.followers import ports_bind_waiting, ports_leave_networks
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.work import PORT_QUOTA, port_create, port_delete, port_update
from pileus.services.network.qos import noun as qos
from pileus.services.network.rbac_policies import noun as rbac_policies
from pileus.services.network.routers import noun as routers
from pileus.services.network.routers.followers import (
    l3_agent_reported,
    l3_agents_deleting,
    l3_agents_disabled,
    l3_agents_enabled,
    routers_restore_ports,
)
from pileus.services.network.routers.host_macs import host_macs_follow_agents, host_macs_leave
from pileus.services.network.routers.resource import ROUTER
from pileus.services.network.rules.segments import mtu_on_node
from pileus.services.network.section import NetworkSection
from pileus.services.network.security_groups import noun as security_groups
from pileus.services.network.security_groups.membership import default_groups
from pileus.services.network.security_groups.resource import SECURITY_GROUP
from pileus.services.network.segments import noun as segments
from pileus.services.network.subnetpools import noun as subnetpools
from pileus.services.network.subnets import noun as subnets
from pileus.services.network.subnets.resource import SUBNET
from pileus.services.network.subnets.tables import ip_allocations
from pileus.services.network.taps import noun as taps
from pileus.services.network.taps.followers import taps_follow_ports, taps_leave_ports
from pileus.services.network.trunks import noun as trunks
from pileus.services.network.trunks.followers import (
    trunks_follow_ports,
    trunks_follow_reports,
    trunks_leave_ports,
)
from pileus.store import Store
from pileus.web.answers import Handler, handlers
from pileus.web.dialects import ApiVersion
from pileus.web.dialects.neutron import NEUTRON_API
from pileus.web.face import ServiceFace
from pileus.web.service import Service

__all__ = [
    "FLOATING_IP",
    "FOLLOWERS",
    "NETWORK",
    "PORT",
    "PORT_QUOTA",
    "PREFIX",
    "ROUTER",
    "SECURITY_GROUP",
    "SUBNET",
    "Network",
    "NetworkConfig",
    "Notify",
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
]

PREFIX = "/networking"

FOLLOWERS = Followers(
    networks_deleting=(ports_leave_networks, gateways_leave_networks),
    ports_created=(dhcp_follows_ports,),
    ports_updated=(translations_follow, trunks_follow_ports, taps_follow_ports, floating_ips_follow_ports),
    ports_deleting=(trunks_leave_ports, translations_release, taps_leave_ports),
    ports_reported=(trunks_follow_reports,),
    floating_ips_changed=(floating_ips_placed,),
    floating_ips_reported=(floating_ips_on_host,),
    floating_ips_central=(floating_ips_back,),
    routers_spread=(floating_ips_follow_routers,),
    service_ports_changed=(routers_restore_ports, dhcp_restores_ports),
    agents_reported=(
        ports_bind_waiting,
        dhcp_agent_reported,
        l3_agent_reported,
        host_macs_follow_agents,
        floating_ips_follow_agents,
    ),
    agents_enabled=(dhcp_agents_enabled, l3_agents_enabled),
    agents_disabled=(l3_agents_disabled,),
    agents_deleting=(dhcp_agents_deleting, l3_agents_deleting, host_macs_leave),
)
"""The followers of each moment, in the order in which they are called."""


def from_settings(
    settings: NetworkSection,
    projects_of_servers: ProjectsOf,
    holders_of: HoldersOf,
    notify: Notify | None = None,
) -> NetworkConfig:
    """Read the settings; BadSettings names the key. The service that has servers answers the questions."""
    return read_settings(settings, FOLLOWERS, projects_of_servers, holders_of, notify)


def network_service(config: NetworkConfig, clock: Clock) -> Service:
    """The network API as the app takes it."""
    agent = agent_resource(clock, config)
    return Service(
        name="neutron",
        type="network",
        dialect=NEUTRON_API,
        prefix=PREFIX,
        base_rules=BASE_RULES,
        caller_rules=CALLER_RULES,
        nouns=(
            api.NOUN,
            networks.noun(config),
            network_segment_ranges.noun(config),
            segments.noun(config),
            subnets.noun(config),
            subnetpools.NOUN,
            ports.noun(config),
            port_bindings.noun(config),
            trunks.noun(config),
            routers.noun(config, agent),
            gateway_machines.noun(config),
            conntrack_helpers.NOUN,
            floating_ips.noun(config),
            port_forwardings.NOUN,
            pools.NOUN,
            metering.noun(config),
            ndp_proxies.NOUN,
            local_ips.noun(config),
            address_groups.NOUN,
            security_groups.NOUN,
            default_security_group_rules.NOUN,
            agents_noun.noun(config, agent),
            dhcp.noun(config, agent),
            qos.NOUN,
            rbac_policies.NOUN,
            auto_allocated_topology.noun(config),
            logs.NOUN,
            taps.noun(config),
            l2_gateways.noun(config),
            quotas.NOUN,
            ip_availability.NOUN,
            external_dns.noun(config),
            availability_zones.noun(config),
            service_providers.NOUN,
            flavors.NOUN,
        ),
        versions=(ApiVersion("v2.0", "/v2.0", "CURRENT", "2016-01-01T00:00:00Z"),),
        description="OpenStack Networking",
    )


class Network(ServiceFace):
    """The service; its units decide with ``config``."""

    def __init__(
        self,
        config: NetworkConfig,
        clock: Clock,
        publisher: DnsPublisher | None = None,
        publish_retry_s: float = 30.0,
    ) -> None:
        """``publisher`` brings names to a server outside, and is tried again so long after a failure."""
        self._clock = clock
        self._publisher, self._publish_retry_s = publisher, publish_retry_s
        self._worker: DnsWorker | None = None
        self.config = msgspec.structs.replace(config, publishes=publisher is not None)
        self.service = network_service(self.config, clock)

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return handlers(self.service.answers, store, self._clock)

    async def start(self, store: Store) -> None:
        """Begin to publish names, where there is a server for them."""
        if self._publisher is not None:
            self._worker = DnsWorker(
                store,
                self.config,
                self._publisher,
                self._clock,
                owner=new_id(),
                retry_s=self._publish_retry_s,
            )
            self._worker.start()

    async def close(self) -> None:
        """Stop publishing."""
        if self._worker is not None:
            await self._worker.close()
