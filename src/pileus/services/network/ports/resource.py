"""The declaration of ports."""

from __future__ import annotations

import ipaddress
from typing import Any

from pileus.core.repeats import first_repeat
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import BadValue, Type
from pileus.resource.wordings.neutron import NEUTRON, HTTPBadRequest
from pileus.services.network.common.attributes import (
    ADMIN_STATE_UP,
    ID,
    IP_VERSION,
    MOST,
    NAME,
    PROJECT,
    REFERENCE,
    TEXT,
)
from pileus.services.network.common.errors import PortNotFound
from pileus.services.network.common.names import DOMAIN_NAME, HOST_NAME
from pileus.services.network.common.policy import (
    ADMIN_OR_MEMBER,
    ADMIN_OR_SERVICE,
    NET_OWNER_MANAGER,
    NET_OWNER_MEMBER,
    NET_OWNER_READER,
    PROJECT_MEMBER,
    PROJECT_READER,
    SERVICE,
    any_of,
    rules,
)
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.targets import NETWORK_COLUMNS, network_targets
from pileus.services.network.ports import traits
from pileus.services.network.ports.filters import in_security_groups, with_fixed_ips
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.resource_requests import resource_requests
from pileus.services.network.rules import device_owners, macs

VNIC_TYPES = (
    "normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder",
    "smart-nic", "accelerator-direct", "accelerator-direct-physical", "remote-managed", "vdpa",
)  # fmt: skip


_FIXED_IP = {"subnet_id": types.uuid, "ip_address": types.ip_address}
_ASSIGNED = {"ip_address": types.ip_address, "hostname": types.string(), "fqdn": types.string()}
_BLANK_OPTIONS = ("router", "classless-static-route")


def _parse_mac(value: Any) -> str | None:
    found = macs.normalise(value) if isinstance(value, str) else None
    if found is None:
        raise BadValue(f"'{value}' is not a valid MAC address", value=value)
    return found


def _unique_addresses(fixed_ips: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
    """neutron-lib's check of fixed_ips: no address twice; it looks at no other key."""
    if fixed_ips is not None:
        fixed_ips = [{key: one[key] for key in _FIXED_IP if key in one} for one in fixed_ips]
    named = [one["ip_address"] for one in fixed_ips or () if one.get("ip_address")]
    position = first_repeat(named)
    if position is not None:
        raise BadValue(f"Duplicate IP address '{named[position]}'", value=named[position])
    return fixed_ips


def _check_option(option: dict[str, Any]) -> dict[str, Any]:
    """Check that a value is not blank, except of options for which a blank value has a meaning."""
    value = option["opt_value"]
    if value is not None and not value.strip() and option["opt_name"] not in _BLANK_OPTIONS:
        raise BadValue(f"No valid key specs matched for: {option}", value=option, conversion=True)
    return option


def _check_pair(pair: dict[str, str]) -> dict[str, str]:
    """Refuse addresses of many, from which nobody sends (RFC 1112, RFC 4291)."""
    text = pair.get("ip_address") or ""
    if text:
        prefix = ipaddress.ip_network(text, strict=False)
        many = ipaddress.ip_network("224.0.0.0/4" if prefix.version == 4 else "ff00::/8")
        if "/" not in text and prefix.subnet_of(many):  # type: ignore[arg-type]
            raise HTTPBadRequest(f"IP {text} is a multicast address, which is not supported.")
        if "/" in text and prefix.overlaps(many) and text != "0.0.0.0/0":
            raise HTTPBadRequest(
                f"Subnet {text} overlaps with multicast range {many}, which is not supported."
            )
    return pair


def _parse_group_id(value: Any) -> str:
    """Take an id, or an object with one, as old clients send it."""
    return str(types.uuid.parse(value["id"] if isinstance(value, dict) and "id" in value else value))


_DEVICE_ID = types.line(255)
_DEVICE_OWNER = types.normalised(types.line(255), device_owners.normal)
_MAC = Type("mac", _parse_mac, types.mac.schema, query=lambda text: macs.normalise(text) or text)
FIXED_IPS = types.normalised(
    types.nullable(types.list_of(types.dict_of(_FIXED_IP, additional=types.anything), maximum=MOST)),
    _unique_addresses,
)
_PAIRS = types.list_of(
    types.normalised(
        types.dict_of({"ip_address": types.address_or_prefix, "mac_address": _MAC}), _check_pair
    ),
    maximum=MOST,
    none_is_empty=True,
)
_OPTIONS = types.list_of(
    types.normalised(
        types.dict_of(
            {
                "opt_name": types.line(64, minimum=1, pattern="[a-z0-9-]+"),
                "opt_value": types.nullable(types.line(255)),
                "ip_version": IP_VERSION,
            },
            required=("opt_name", "opt_value"),
        ),
        _check_option,
    ),
    maximum=MOST,
    none_is_empty=True,
)
_GROUPS = types.nullable(
    types.list_of(Type("uuid", _parse_group_id, types.uuid.schema), unique=True, maximum=MOST)
)


PORT = Resource(
    "port",
    table=ports,
    source=ports.join(networks, networks.c.id == ports.c.network_id),
    wording=NEUTRON,
    not_found=PortNotFound,
    parents={"network_id": NETWORK},
    targets=network_targets,
    policy_columns=NETWORK_COLUMNS,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("network_id", types.uuid, create=True, required=True, filter=True, sort=True),
        ADMIN_STATE_UP,
        Attribute("status", types.string(16), default="DOWN", filter=True, sort=True),
        Attribute(
            "mac_address",
            types.nullable(_MAC),
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute(
            "fixed_ips",
            FIXED_IPS,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            condition=with_fixed_ips,
        ),
        Attribute(
            "device_id",
            _DEVICE_ID,
            default="",
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute(
            "device_owner",
            _DEVICE_OWNER,
            default="",
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute(
            "security_groups",
            _GROUPS,
            default=None,
            create=True,
            update=True,
            filter=True,
            condition=in_security_groups,
        ),
        Attribute(
            "port_security_enabled",
            types.boolean,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "allowed_address_pairs",
            _PAIRS,
            default=[],
            create=True,
            update=True,
            policy=True,
            policy_get=False,
        ),
        Attribute("extra_dhcp_opts", _OPTIONS, default=[], create=True, update=True),
        Attribute(
            "binding:host_id",
            types.with_default_none(TEXT, ""),
            column=ports.c.host,
            default="",
            create=True,
            update=True,
            policy=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "binding:vnic_type",
            types.enum(*VNIC_TYPES),
            column=ports.c.vnic_type,
            default="normal",
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "binding:profile",
            types.with_default_none(types.dict_of({}, additional=types.anything), {}),
            column=ports.c.profile,
            default={},
            create=True,
            update=True,
            policy=True,
        ),
        Attribute(
            "binding:vif_type",
            types.string(64),
            column=ports.c.vif_type,
            default="unbound",
            policy_get=True,
            filter=True,
        ),
        Attribute(
            "binding:vif_details",
            types.anything,
            column=ports.c.vif_details,
            default={},
            policy_get=True,
        ),
        Attribute("dns_name", HOST_NAME, default="", create=True, update=True, filter=True),
        Attribute(
            "dns_domain",
            DOMAIN_NAME,
            default="",
            create=True,
            update=True,
            description="The domain of its name, where that is not its network's.",
        ),
        Attribute("dns_assignment", types.list_of(types.dict_of(_ASSIGNED)), default=[]),
        Attribute(
            "dns_keywords",
            types.nullable(types.dict_of({}, additional=types.string(None))),
            default=None,
            visible=False,
            description="What its maker is, for domains with keywords.",
        ),
        Attribute("qos_policy_id", REFERENCE, default=None, create=True, update=True, filter=True),
        Attribute(
            "qos_network_policy_id",
            REFERENCE,
            column=networks.c.qos_policy_id,
            default=None,
            description="The policy of its network, which holds where the port has none of its own.",
        ),
        Attribute(
            "resource_request",
            types.nullable(types.dict_of({}, additional=types.anything)),
            loader=resource_requests,
            view_only=True,
            policy_get=True,
            description="What the port asks of its host by its policy's minima, in Placement's words.",
        ),
        Attribute(
            "qos_enforced_by",
            types.nullable(types.string(16)),
            column=ports.c.rate_limited_by,
            default=None,
            description="What limits the rate on the node, as its agent reported: policing or meter.",
        ),
        Attribute(
            "quarantined",
            types.boolean,
            default=False,
            filter=True,
            description="Whether the port carries no packet, whatever else it says: set by compute.",
        ),
        *traits.ATTRIBUTES,
        *STANDARD,
    ),
)

_ADMIN_SERVICE_OWNER = any_of(ADMIN_OR_SERVICE, NET_OWNER_MEMBER)
_ADMIN_SERVICE_OWNER_SHARED = any_of(ADMIN_OR_SERVICE, NET_OWNER_MEMBER, "rule:shared")
# Narrower than Neutron's, which lets the owner of a network name his ports the network's own.
_DEVICE_OWNER_RULE = any_of("not rule:network_device", ADMIN_OR_SERVICE)
_PAIRS_RULE = any_of("rule:admin_only", NET_OWNER_MEMBER, SERVICE)
_MEMBER_OR_SERVICE = any_of(ADMIN_OR_MEMBER, SERVICE)

RULES = rules(
    {
        "create_port": _ADMIN_SERVICE_OWNER_SHARED,
        "create_port:device_id": _MEMBER_OR_SERVICE,
        "create_port:device_owner": _DEVICE_OWNER_RULE,
        "create_port:mac_address": _ADMIN_SERVICE_OWNER,
        "create_port:fixed_ips": _ADMIN_SERVICE_OWNER_SHARED,
        "create_port:port_security_enabled": _ADMIN_SERVICE_OWNER,
        "create_port:binding:host_id": ADMIN_OR_SERVICE,
        "create_port:fixed_ips:ip_address": _ADMIN_SERVICE_OWNER,
        "create_port:fixed_ips:subnet_id": _ADMIN_SERVICE_OWNER_SHARED,
        "create_port:binding:profile": SERVICE,
        "create_port:binding:vnic_type": _MEMBER_OR_SERVICE,
        "create_port:allowed_address_pairs": _PAIRS_RULE,
        "get_port": any_of(ADMIN_OR_SERVICE, NET_OWNER_READER, PROJECT_READER),
        "get_port:binding:vif_type": ADMIN_OR_SERVICE,
        "get_port:binding:vif_details": ADMIN_OR_SERVICE,
        "get_port:binding:host_id": ADMIN_OR_SERVICE,
        "get_port:binding:profile": ADMIN_OR_SERVICE,
        "get_port:resource_request": ADMIN_OR_SERVICE,
        "update_port": any_of(ADMIN_OR_SERVICE, PROJECT_MEMBER),
        "update_port:device_id": _MEMBER_OR_SERVICE,
        "update_port:device_owner": _DEVICE_OWNER_RULE,
        "update_port:mac_address": any_of(ADMIN_OR_SERVICE, NET_OWNER_MANAGER),
        "update_port:fixed_ips": _ADMIN_SERVICE_OWNER,
        "update_port:fixed_ips:ip_address": _ADMIN_SERVICE_OWNER,
        "update_port:fixed_ips:subnet_id": _ADMIN_SERVICE_OWNER_SHARED,
        "update_port:port_security_enabled": _ADMIN_SERVICE_OWNER,
        "update_port:binding:host_id": ADMIN_OR_SERVICE,
        "update_port:binding:profile": SERVICE,
        "update_port:binding:vnic_type": any_of(ADMIN_OR_SERVICE, PROJECT_MEMBER),
        "update_port:allowed_address_pairs": _PAIRS_RULE,
        "delete_port": any_of(ADMIN_OR_SERVICE, NET_OWNER_MEMBER, PROJECT_MEMBER),
        **traits.RULES,
    }
)
