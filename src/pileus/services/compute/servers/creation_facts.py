"""Everything that is read before new servers are decided on: in one place, in a bounded number of statements.

Nothing is refused here. What is not there, or not to be seen by the caller, is None or missing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import func, select

from pileus.resource.access import Access
from pileus.resource.declaration import Values
from pileus.resource.rows import fetch
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.flavors.resource import FLAVOR
from pileus.services.compute.flavors.work import visible
from pileus.services.compute.nodes.reading import NodeFacts, nodes_read
from pileus.services.compute.policy import is_admin
from pileus.services.compute.quotas.counting import Limits, limits_read
from pileus.services.compute.servers.block_device_mappings import Device, devices_of_image
from pileus.services.compute.servers.devices import DeviceFacts, device_facts_read
from pileus.services.compute.servers.requested_networks import (
    GroupFacts,
    NetworkFacts,
    group_facts_read,
    network_facts_read,
)
from pileus.services.compute.servers.server_spec import ServerSpec
from pileus.services.compute.tables.keypairs import keypairs
from pileus.services.compute.tables.servers import server_groups, servers
from pileus.services.compute.uses.image import image_usable
from pileus.services.compute.uses.network import qos_policy_usable
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

HINTED_SERVERS = ("same_host", "different_host")
"""Hints that name servers."""


class CreationFacts(NamedTuple):
    """``nodes`` and ``limits`` are read where something is asked of them; ``hinted`` are those servers of the
    hints that the caller may know of; ``group_size`` is how many servers the server group has.
    ``wanted_devices``: those of the image, then those of the request."""

    flavor: Values | None
    image: Values | None
    keypair: Any
    nodes: list[NodeFacts]
    limits: Limits | None
    server_group: Any
    group_size: int
    hinted: frozenset[str]
    groups: GroupFacts
    networks: NetworkFacts
    qos_policy_usable: bool
    wanted_devices: tuple[Device, ...]
    devices: DeviceFacts


def creation_facts_read(tx: Tx, access: Access, spec: ServerSpec, config: ComputeConfig) -> CreationFacts:
    """Read; the server group's size and the ports that are given are held until the transaction ends."""
    context = access.context
    flavors = fetch(tx, FLAVOR, [spec.flavor_id], [visible(access)])
    group, size = _server_group(tx, context.project_id or "", spec.hints.get("group"))
    counted = spec.metadata or spec.files or group is not None
    placed = spec.zone or spec.host or spec.node
    image = image_usable(tx, access, spec.image_id) if spec.image_id else None
    devices = (*(devices_of_image(image["properties"]) if image is not None else ()), *spec.devices)
    return CreationFacts(
        flavor=flavors[0] if flavors else None,
        image=image,
        keypair=_keypair(tx, context.user_id or "", spec.key_name),
        nodes=nodes_read(tx, config, context.now) if placed else [],
        limits=limits_read(tx, context.project_id or "", context.user_id) if counted else None,
        server_group=group,
        group_size=size,
        hinted=_hinted(tx, access, spec),
        groups=group_facts_read(tx, context, spec.groups),
        networks=network_facts_read(tx, access, spec.networks),
        qos_policy_usable=not spec.qos_policy_id or qos_policy_usable(tx, access, spec.qos_policy_id),
        wanted_devices=devices,
        devices=device_facts_read(tx, access, devices),
    )


def _keypair(tx: Tx, user_id: str, name: str | None) -> Any:
    if name is None:
        return None
    c = keypairs.c
    return tx.first(select(c.name, c.type, c.public_key).where(c.user_id == user_id, c.name == name))


def _server_group(tx: Tx, project_id: str, group_id: str | None) -> tuple[Any, int]:
    """The group of the project, and how many servers it has, which nobody else changes meanwhile."""
    if group_id is None:
        return None, 0
    c = server_groups.c
    group = tx.first(select(server_groups).where(c.id == group_id, c.project_id == project_id))
    if group is None:
        return None, 0
    tx.lock(f"quota:{group_id}:members")
    of_group = select(func.count()).where(servers.c.group_id == group_id, servers.c.deleted_at.is_(None))
    return group, int(tx.scalar(of_group))


def _hinted(tx: Tx, access: Access, spec: ServerSpec) -> frozenset[str]:
    """Those servers of the hints that the caller may see: where others are is not to be found out."""
    named = {key for hint in HINTED_SERVERS for key in spec.hints.get(hint) or ()}
    if not named or is_admin(access):
        return frozenset(named)
    c = servers.c
    own = c.project_id == (access.context.project_id or "")
    return frozenset(row.id for row in tx.rows(select(c.id).where(column_in(tx, c.id, sorted(named)), own)))
