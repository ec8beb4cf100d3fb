"""The declaration of floating IPs (extensions ``router``, ``fip-port-details``,
``floating-ip-router-writable``)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, PROJECT, REFERENCE
from pileus.services.network.common.names import DOMAIN_NAME, RELATIVE_NAME
from pileus.services.network.common.policy import (
    ADMIN_MEMBER_OR_NETADMIN,
    ADMIN_OR_MANAGER,
    ADMIN_OR_READER,
    rules,
)
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.store.tx import Tx


class FloatingIPNotFound(NotFound):
    message = "Floating IP {floatingip_id} could not be found"


_DETAILS = (
    ports.c.name,
    ports.c.network_id,
    ports.c.mac_address,
    ports.c.admin_state_up,
    ports.c.status,
    ports.c.device_id,
    ports.c.device_owner,
)
_PORTS = (
    select(floating_ips.c.id, *_DETAILS)
    .select_from(floating_ips.join(ports, ports.c.id == floating_ips.c.fixed_port_id))
    .where(floating_ips.c.id.in_(bindparam("ids", expanding=True)))
)


def port_details(port: Any) -> dict[str, Any]:
    """Show the port that a floating IP leads to; ``port`` has the attributes."""
    return {column.name: getattr(port, column.name) for column in _DETAILS}


def _details(tx: Tx, floating_ip_ids: list[str]) -> dict[str, dict[str, Any]]:
    return {row.id: port_details(row) for row in tx.rows(_PORTS, {"ids": floating_ip_ids})}


_ADDRESS = types.nullable(types.ip_address)

FLOATING_IP = Resource(
    "floatingip",
    table=floating_ips,
    source=floating_ips.join(networks, networks.c.id == floating_ips.c.floating_network_id),
    wording=NEUTRON,
    not_found=FloatingIPNotFound,
    attributes=(
        ID,
        PROJECT,
        Attribute(
            "floating_ip_address",
            _ADDRESS,
            default=None,
            create=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
        ),
        Attribute("floating_network_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute("floating_port_id", types.uuid, default="", visible=False),
        Attribute(
            "subnet_id",
            REFERENCE,
            default=None,
            create=True,
            visible=False,
            description="The external network's subnet from which the address comes.",
        ),
        Attribute(
            "port_id",
            REFERENCE,
            column=floating_ips.c.fixed_port_id,
            default=None,
            create=True,
            update=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "fixed_ip_address", _ADDRESS, default=None, create=True, update=True, filter=True, sort=True
        ),
        Attribute(
            "router_id",
            REFERENCE,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
            sort=True,
            description="The router that translates; if none is named, one between port and network.",
        ),
        Attribute("status", types.string(16), default="DOWN", filter=True, sort=True),
        Attribute("port_details", types.anything, loader=_details),
        Attribute(
            "qos_policy_id",
            REFERENCE,
            default=None,
            create=True,
            update=True,
            filter=True,
        ),
        Attribute(
            "qos_network_policy_id",
            REFERENCE,
            column=networks.c.qos_policy_id,
            default=None,
            description="The policy of its network, which holds where the floating IP has none of its own.",
        ),
        Attribute("dns_name", RELATIVE_NAME, default="", create=True),
        Attribute("dns_domain", DOMAIN_NAME, default="", create=True),
        *STANDARD,
    ),
)

RULES = rules(
    {
        "create_floatingip": ADMIN_MEMBER_OR_NETADMIN,
        "create_floatingip:floating_ip_address": ADMIN_OR_MANAGER,
        "create_floatingip:router_id": ADMIN_MEMBER_OR_NETADMIN,
        "get_floatingip": ADMIN_OR_READER,
        "update_floatingip": ADMIN_MEMBER_OR_NETADMIN,
        "update_floatingip:router_id": ADMIN_MEMBER_OR_NETADMIN,
        "delete_floatingip": ADMIN_MEMBER_OR_NETADMIN,
    }
)
