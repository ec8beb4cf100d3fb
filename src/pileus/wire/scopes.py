"""Scopes: the names of what changed, as events and wake-ups carry them.

A scope is ``kind:id``. A wake-up says which scopes to look at again, never what
to do. An agent is woken for the scopes that it serves: its own host and the
networks, security groups and routers that have something on that host.
"""

from __future__ import annotations

import re


def host(name: str) -> str:
    """Things bound to a host have changed (ports, servers), or its agents have."""
    return f"host:{name}"


def network(network_id: str) -> str:
    """A network's own attributes, its subnets, or where its ports live."""
    return f"network:{network_id}"


def security_group(group_id: str) -> str:
    """A security group's rules or members."""
    return f"security_group:{group_id}"


def address_group(group_id: str) -> str:
    """The prefixes in an address group."""
    return f"address_group:{group_id}"


def port(port_id: str) -> str:
    """One port's details."""
    return f"port:{port_id}"


def router(router_id: str) -> str:
    """A router's interfaces, gateway, routes or floating IPs."""
    return f"router:{router_id}"


def server(server_id: str) -> str:
    """A server: what its host should make of it."""
    return f"server:{server_id}"


def dhcp(host: str) -> str:
    """Which networks a host's DHCP agent serves."""
    return f"dhcp:{host}"


def dhcp_network(network_id: str) -> str:
    """Everything that a network's DHCP must know: its ports (bound or not), its subnets, its own attributes.

    Apart from ``network:N``, so that a port that is not plugged anywhere yet wakes no switch.
    """
    return f"dhcp_network:{network_id}"


def l3(host: str) -> str:
    """Which routers a host's L3 agent serves."""
    return f"l3:{host}"


def gateways(host: str) -> str:
    """Which gateway machines a host has."""
    return f"gateways:{host}"


def hypervisor(host: str) -> str:
    """Which servers a host has."""
    return f"hypervisor:{host}"


def volumes(host: str) -> str:
    """Which volumes a host's pools have."""
    return f"volumes:{host}"


def volume(volume_id: str) -> str:
    """A volume: its exports, and what is to be done with it."""
    return f"volume:{volume_id}"


def physical(host: str) -> str:
    """The physical switches that a host drives: their gateways and connections."""
    return f"physical:{host}"


def tunnels() -> str:
    """The set of tunnel endpoints."""
    return "tunnels:all"


OF_ONE_HOST = frozenset({"host", "dhcp", "l3", "gateways", "hypervisor", "physical", "volumes"})
"""Kinds of scopes whose key is the host that alone may listen to them."""
OF_THE_CLOUD = frozenset({"tunnels"})
"""Kinds that every node may listen to."""
OF_WHAT_IS_SERVED = frozenset(
    {"network", "security_group", "address_group", "port", "router", "server", "volume", "dhcp_network"}
)
"""Kinds that a node may listen to while its agents serve the thing, or are scheduled for it."""


_KEY = re.compile(r"[!-~]{1,255}")


def is_key(text: str) -> bool:
    """Whether a scope can be about ``text``."""
    return bool(_KEY.fullmatch(text))


def split(scope: str) -> tuple[str, str]:
    """``kind:id`` as a pair; raises ValueError where there is no colon."""
    kind, found, key = scope.partition(":")
    if not found:
        raise ValueError(f"not a scope: {scope!r}")
    return kind, key
