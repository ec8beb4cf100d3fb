"""The records that should be outside, by what the database says of ports and floating IPs."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import or_, select

from pileus.core.dns import DnsRecord
from pileus.services.network.config import NetworkConfig
from pileus.services.network.floating_ips.tables import floating_ips
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.tables import ports
from pileus.services.network.rules.names import domain_for
from pileus.services.network.rules.publishing import published_addresses, records_of
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx

PORT, FLOATING_IP = "port", "floatingip"
Key = tuple[DnsRecord, str]
"""A record, and the id of what it is of."""


class Owner(NamedTuple):
    """The thing that a record is of."""

    resource_id: str
    resource_type: str
    project_id: str


_FLAGGED = select(subnets.c.id).where(subnets.c.dns_publish_fixed_ip)
_NAMES = (
    ports.c.dns_name,
    ports.c.dns_domain,
    ports.c.dns_assignment,
    ports.c.dns_keywords,
    ports.c.project_id,
    networks.c.dns_domain.label("network_domain"),
)
_PORTS = (
    select(
        ports.c.id,
        ports.c.fixed_ips,
        *_NAMES,
        networks.c.external,
        networks.c.network_type,
        networks.c.physical_network,
        networks.c.segmentation_id,
        networks.c.segments.is_not(None).label("has_several"),
    )
    .select_from(ports.join(networks, networks.c.id == ports.c.network_id))
    .where(ports.c.dns_name != "", or_(ports.c.dns_domain != "", networks.c.dns_domain != ""))
)
_FLOATING_IPS = (
    select(
        floating_ips.c.id,
        floating_ips.c.project_id.label("owner"),
        floating_ips.c.floating_ip_address,
        floating_ips.c.dns_name.label("own_name"),
        floating_ips.c.dns_domain.label("own_domain"),
        *_NAMES,
    )
    .select_from(
        floating_ips.outerjoin(ports, ports.c.id == floating_ips.c.fixed_port_id).outerjoin(
            networks, networks.c.id == ports.c.network_id
        )
    )
    .where(
        or_(
            floating_ips.c.dns_name != "",
            (ports.c.dns_name != "") & or_(ports.c.dns_domain != "", networks.c.dns_domain != ""),
        )
    )
)


def desired_records(tx: Tx, config: NetworkConfig) -> dict[Key, Owner]:
    """Compute the records, by what they say and whose they are; three statements."""
    reverse = config.publish_reverse
    found: dict[Key, Owner] = {}
    flagged = {row.id for row in tx.rows(_FLAGGED)}
    for row in tx.rows(_PORTS):
        if not has_domain(row):
            continue
        chosen = published_addresses(row.fixed_ips, dict(row._mapping), flagged, config.ranges)
        names = {one["ip_address"]: one["fqdn"] for one in row.dns_assignment if one["ip_address"] in chosen}
        owner = Owner(row.id, PORT, row.project_id)
        found.update(((record, row.id), owner) for record in records_of(names, reverse=reverse))
    for row in tx.rows(_FLOATING_IPS):
        name = _floating_name(row)
        if name is not None:
            owner = Owner(row.id, FLOATING_IP, row.owner)
            names = {row.floating_ip_address: name}
            found.update(((record, row.id), owner) for record in records_of(names, reverse=reverse))
    return found


def has_domain(row: Any) -> bool:
    """Whether a port's name is in a domain of its own or of its network, which is known to the end."""
    return domain_for(dict(row._mapping), row.network_domain or "") is not None


def _floating_name(row: Any) -> str | None:
    """A floating IP's own name goes before that of the port that it leads to."""
    if row.own_name and row.own_domain:
        return f"{row.own_name}.{row.own_domain}"
    if row.dns_name and row.dns_assignment and has_domain(row):
        return str(row.dns_assignment[0]["fqdn"])
    return None
