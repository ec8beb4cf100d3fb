"""The section of the settings file that the network service reads."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class NetworkSection(Section, frozen=True):
    """``[network]``: the control side."""

    agent_down_time_s: Annotated[
        int, msgspec.Meta(ge=1, description="seconds without a report after which an agent counts as down")
    ] = 75
    heartbeat_interval_s: Annotated[
        float, msgspec.Meta(ge=0.01, le=86400, description="seconds between two reports of an agent")
    ] = 30.0
    vlan_ranges: Annotated[
        tuple[str, ...], Description(description="PHYSNET:FIRST:LAST, VLANs that projects may be given")
    ] = ("physnet1:1000:2999",)
    flat_networks: Annotated[
        tuple[str, ...],
        Description(description="physical networks that may carry flat networks; * for any"),
    ] = ("*",)
    vni_ranges: Annotated[
        tuple[str, ...], Description(description="FIRST:LAST, VXLAN and GRE segment ids")
    ] = ("1:65535",)
    project_network_types: Annotated[
        tuple[str, ...], Description(description="types tried in this order for networks of projects")
    ] = ("vxlan",)
    mtu: Annotated[int, msgspec.Meta(ge=576, le=9216, description="MTU of the physical networks")] = 1500
    scheduler: Annotated[
        Literal["least", "chance"],
        Description(description="which agent gets a new network or router: the least loaded, or any"),
    ] = "least"
    dhcp_agents_per_network: Annotated[
        int, msgspec.Meta(ge=1, le=16, description="DHCP agents that serve one network")
    ] = 1
    dhcp_lease_time_s: Annotated[
        int, msgspec.Meta(ge=120, description="seconds until a guest asks for its address again")
    ] = 86400
    distributed_dhcp: Annotated[
        bool,
        Description(description="the switch of each guest answers its DHCP; no dnsmasq runs for it"),
    ] = False
    allow_automatic_dhcp_failover: Annotated[
        bool, Description(description="networks of a dead DHCP agent are served by another")
    ] = True
    notifications: Annotated[
        str,
        Description(description="amqp:// URL to which notifications of metering go; empty: none"),
    ] = ""
    notification_topic: Annotated[
        str, Description(description="the topic, and the name of the queue before .info, of notifications")
    ] = "notifications"
    ipv6_pd_enabled: Annotated[
        bool,
        Description(
            description="IPv6 subnets of the default pool get the prefixes that routers outside delegate"
        ),
    ] = False
    l3_ha: Annotated[
        bool, Description(description="new routers are of high availability where nobody says otherwise")
    ] = False
    enable_default_route_ecmp: Annotated[
        bool, Description(description="new routers send by all their gateways where nobody says otherwise")
    ] = False
    enable_default_route_bfd: Annotated[
        bool, Description(description="new routers watch their next hops where nobody says otherwise")
    ] = False
    max_l3_agents_per_router: Annotated[
        int,
        msgspec.Meta(ge=0, le=16, description="agents that hold a router of high availability ready; 0: all"),
    ] = 3
    min_l3_agents_per_router: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=16, description="living agents without which no router of high availability is made"
        ),
    ] = 0
    l3_ha_net_cidr: Annotated[
        str, Description(description="subnet on which the agents of a router hear of each other")
    ] = "169.254.192.0/18"
    l3_ha_network_type: Annotated[
        str, Description(description="type of those networks; empty: as networks of projects")
    ] = ""
    ha_vrrp_advert_interval_ms: Annotated[
        int,
        msgspec.Meta(
            ge=50, le=40950, description="milliseconds between two signs of life of an active router"
        ),
    ] = 200
    router_distributed: Annotated[
        bool, Description(description="new routers are distributed where nobody says otherwise")
    ] = False
    dvr_base_mac: Annotated[
        str,
        Description(
            description="the first octets of the hardware addresses with which hosts send what they route"
        ),
    ] = "fa:16:3f:00:00:00"
    router_admin_state_down_before_update: Annotated[
        bool, Description(description="routers must be down before they become distributed or cease to be")
    ] = True
    allow_automatic_l3agent_failover: Annotated[
        bool, Description(description="routers of a dead or disabled L3 agent move to another")
    ] = True
    router_handover_s: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=3600,
            description="seconds for which an L3 agent goes on serving a router that was taken from it",
        ),
    ] = 10.0
