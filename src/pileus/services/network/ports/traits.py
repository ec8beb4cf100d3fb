"""Attributes of ports that extensions add: declarations, rules, and what goes together. Pure.

Most are words between clients (a NUMA policy for who places servers, a device profile for who
manages accelerators). What a node acts on is ``hints``: the switch's choice of a transmit queue.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Attribute, Extension
from pileus.resource.types import Type
from pileus.services.network.common.attributes import TEXT, given
from pileus.services.network.common.policy import ADMIN, any_of
from pileus.services.network.rules import macs

IMMEDIATE, DEFERRED, NONE = "immediate", "deferred", "none"
DIRECT_PHYSICAL = "direct-physical"

_HINTS = types.dict_of(
    {
        "openvswitch": types.dict_of(
            {"other_config": types.dict_of({"tx-steering": types.enum("thread", "hash")})}
        )
    }
)


def _unset(inner: Type) -> Type:
    """A type whose None is shown where nothing was given, and is no value to give."""
    return Type(inner.name, given(inner).parse, types.nullable(inner).schema, query=inner.query)


ATTRIBUTES = (
    Attribute(
        "ip_allocation",
        types.enum(IMMEDIATE, DEFERRED, NONE),
        default=IMMEDIATE,
        filter=True,
        sort=True,
        description="When the port gets addresses: at once, when it is bound to a host, or none.",
    ),
    Attribute(
        "data_plane_status", types.enum("ACTIVE", "DOWN", None), update=True, policy=True, policy_get=False
    ),
    Attribute("propagate_uplink_status", types.boolean, default=True, create=True, update=True),
    Attribute("device_profile", types.nullable(TEXT), default=None, create=True),
    Attribute("hardware_offload_type", _unset(types.enum("switchdev")), default=None, create=True),
    Attribute(
        "numa_affinity_policy",
        types.enum("required", "preferred", "legacy", "socket", None),
        default=None,
        create=True,
        update=True,
    ),
    Attribute("trusted", _unset(types.boolean), default=None, create=True, update=True, policy=True),
    Attribute("hints", types.nullable(_HINTS), default=None, create=True, update=True, policy=True),
)

RULES = {
    "create_port:hints": ADMIN,
    "create_port:trusted": ADMIN,
    "get_port:hints": ADMIN,
    "get_port:trusted": ADMIN,
    "update_port:data_plane_status": any_of(ADMIN, "role:data_plane_integrator"),
    "update_port:hints": ADMIN,
    "update_port:trusted": ADMIN,
}

EXTENSIONS = (
    Extension(
        "data-plane-status",
        "Port data plane status extension",
        "Expose status of underlying data plane",
        "2017-01-24T10:00:00-00:00",
    ),
    Extension(
        "dns-domain-ports",
        "dns_domain for ports",
        "Allows the DNS domain to be specified for a network port.",
        "2017-04-24T10:00:00-00:00",
    ),
    Extension(
        "dns-integration", "DNS Integration", "Provides integration with DNS.", "2015-08-15T18:00:00-00:00"
    ),
    Extension("ip_allocation", "IP Allocation", "IP allocation extension.", "2016-06-10T23:00:00-00:00"),
    Extension(
        "port-device-profile",
        "Port device profile",
        "Expose the port device profile (Cyborg)",
        "2020-12-17T10:00:00-00:00",
    ),
    Extension(
        "port-hardware-offload-type",
        "Port hardware offload",
        "Expose port hardware offload extension",
        "2023-05-09T10:00:00-00:00",
    ),
    Extension(
        "port-hints",
        "Port hints",
        "Backend specific port hints to allow backend specific tuning",
        "2023-01-01T00:00:00-00:00",
    ),
    Extension(
        "port-hint-ovs-tx-steering",
        "Port hint: Open vSwitch Tx steering",
        "Enable Port hint: Open vSwitch Tx steering",
        "2023-01-01T00:00:00-00:00",
    ),
    Extension(
        "port-mac-override",
        "Neutron Port MAC address override",
        "Allow overriding the MAC address of a direct-physical Port via the active binding profile",
        "2022-03-18T10:00:00-00:00",
    ),
    Extension(
        "port-numa-affinity-policy",
        "Port NUMA affinity policy",
        "Expose the port NUMA affinity policy",
        "2020-07-08T10:00:00-00:00",
    ),
    Extension(
        "port-numa-affinity-policy-socket",
        'Port NUMA affinity policy "socket"',
        'Adds "socket" to the supported port NUMA affinity policies',
        "2024-02-09T10:00:00-00:00",
    ),
    Extension(
        "port-trusted-vif",
        "Port trusted vif",
        "Expose port 'trusted' attribute in the API",
        "2024-07-10T10:00:00-00:00",
    ),
    Extension(
        "uplink-status-propagation",
        "Uplink status propagation extension",
        "Provides ability to propagate port uplink status.",
        "2018-05-31T18:00:00-00:00",
    ),
    Extension(
        "uplink-status-propagation-updatable",
        "Uplink status propagation updatable extension",
        "Provides ability to update the port uplink status.",
        "2024-09-03T18:00:00-00:00",
    ),
)


def fill_profile(port: Mapping[str, Any], changes: MutableMapping[str, Any]) -> None:
    """Say in the binding's profile what the port says by itself: whether it is trusted, and offloaded.

    Who plugs guests reads it there. ``changes`` are those of ``port``, or all values of a new one.
    """
    if not {"trusted", "hardware_offload_type", "binding:profile"} & {*changes}:
        return
    merged = {**port, **changes}
    profile = dict(merged.get("binding:profile") or {})
    if merged.get("trusted") is not None:
        profile["trusted"] = merged["trusted"]
    if merged.get("hardware_offload_type"):
        there = profile.get("capabilities")
        capabilities = list(there) if isinstance(there, list) else []
        if merged["hardware_offload_type"] not in capabilities:
            profile["capabilities"] = [*capabilities, merged["hardware_offload_type"]]
    changes["binding:profile"] = profile


def takes_mac(port: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    """Whether the port takes the hardware address of the physical device that it is: where it is bound
    anew, and where it has just been freed."""
    if {**port, **changes}["binding:vnic_type"] != DIRECT_PHYSICAL:
        return False
    freed = port["device_id"] != "" and changes.get("device_id") == "" and changes.get("device_owner") == ""
    host = changes.get("binding:host_id") or ""
    return freed or (host != "" and host != port["binding:host_id"])


def mac_of_device(changes: Mapping[str, Any]) -> str | None:
    """The hardware address that a binding's profile names; None asks for a fresh one."""
    named = (changes.get("binding:profile") or {}).get("device_mac_address")
    return macs.normalise(named) if isinstance(named, str) else None


def allocation_kind(fixed_ips: Any, *, deferred: bool) -> str:
    """``ip_allocation`` of a port that has asked for these addresses: none where it asked to have none;
    ``deferred``: what it may have depends on a host that is not known yet."""
    if fixed_ips == []:
        return NONE
    return DEFERRED if deferred and fixed_ips is None else IMMEDIATE
