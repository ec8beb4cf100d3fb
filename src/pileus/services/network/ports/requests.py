"""Ports as users ask for them: what only the cloud itself may do is refused, and what it has made is kept.

The units in ``work`` do as they are told, for the API and for siblings (compute plugs its servers' ports
with them); these stand in front of them on the API's side.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, bindparam, literal, select

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.errors import InUse
from pileus.services.network.config import NetworkConfig
from pileus.services.network.local_ips.tables import local_ips
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.service_ports import kinds_of
from pileus.services.network.ports.work import (
    ServicePortInUse,
    check_removable,
    port_create,
    port_update,
)
from pileus.services.network.routers.tables import routers
from pileus.services.network.rules import device_owners
from pileus.services.network.trunks.tables import subports, trunks
from pileus.store.narrowed import Narrowed, Only
from pileus.store.tx import Tx


class DeviceIDNotOwnedByTenant(Conflict):
    message = (
        "The following device_id {device_id} is not owned by your tenant or matches another tenants router."
    )


class PortInUseAsTrunkParent(InUse):
    message = "Port {port_id} is currently a parent port for trunk {trunk_id}."


class PortInUseAsSubPort(InUse):
    message = "Port {port_id} is currently a subport for trunk {trunk_id}."


_PARENT, _CHILD, _LOCAL_IP = range(3)
_ROUTERS = select(routers.c.id, routers.c.project_id).where(
    routers.c.id.in_(bindparam("ids", expanding=True))
)
_NAMES = frozenset({"device_id", "device_owner"})
_PLACE = frozenset({"binding:host_id", "fixed_ips"})


def requested_port_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Create ports by request; DeviceIDNotOwnedByTenant for what is another project's."""
    _check_devices(tx, context, [(spec["device_id"], spec["project_id"]) for spec in specs], config)
    return port_create(tx, context, specs, config=config)


def requested_port_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change ports by request. What the network's own ports are for nobody changes, and where an
    administrator has moved one, or taken an address that it needs, it is put right at once."""
    renamed = [one for one in updates if _differs(one, _NAMES)]
    placed = [one for one in updates if _differs(one, _PLACE)]
    own = kinds_of(tx, {one.original["id"] for one in (*renamed, *placed)})
    for one in renamed:
        if one.original["id"] in own:
            raise _kept(one, own)
    for one in placed:
        kind = own.get(one.original["id"], device_owners.DHCP)
        if kind == device_owners.FLOATING_IP and _differs(one, {"fixed_ips"}):
            raise _kept(one, own)
        if kind in device_owners.OF_ROUTERS and not one.changes.get("fixed_ips", True):
            raise BadRequest(resource="router", msg="Router port must have at least one fixed IP")
    _check_devices(
        tx,
        context,
        [(one.changes.get("device_id") or "", one.original["project_id"]) for one in renamed],
        config,
    )
    after = port_update(tx, context, updates, config=config)
    moved = [one.original for one in placed if one.original["id"] in own]
    if not moved:
        return after
    _keep(tx, context, moved, own, config)
    fresh = {port["id"]: port for port in fetch(tx, PORT, [port["id"] for port in moved])}
    return [fresh.get(port["id"], port) for port in after]


def requested_port_delete(
    tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig
) -> None:
    """Delete ports by request; ServicePortInUse for a router's and a floating IP's own, which go by other
    requests. DHCP's own come back at once, as others."""
    own = kinds_of(tx, {port["id"] for port in originals})
    check_removable(originals, own)
    _check_unused(tx, [port["id"] for port in originals])
    delete_ports(tx, context, originals, config)
    _keep(tx, context, [port for port in originals if port["id"] in own], own, config)


def _uses(only: Only) -> CompoundSelect[Any]:
    of_parents = select(trunks.c.id, trunks.c.port_id, literal(_PARENT).label("kind"))
    of_children = select(subports.c.trunk_id, subports.c.port_id, literal(_CHILD))
    of_local = select(local_ips.c.id, local_ips.c.local_port_id, literal(_LOCAL_IP))
    return of_parents.where(*only(trunks.c.port_id)).union_all(
        of_children.where(*only(subports.c.port_id)), of_local.where(*only(local_ips.c.local_port_id))
    )


_USES = Narrowed(_uses)


def _check_unused(tx: Tx, ids: Sequence[str]) -> None:
    """PortInUseAsTrunkParent, PortInUseAsSubPort, ServicePortInUse: what needs a port goes first."""
    used = _USES.first(tx, {}, ids)
    if used is None:
        return
    if used.kind == _LOCAL_IP:
        reason = "still referenced by Local IPs"
        raise ServicePortInUse(port_id=used.port_id, change="deleted", reason=reason)
    kind = PortInUseAsTrunkParent if used.kind == _PARENT else PortInUseAsSubPort
    raise kind(port_id=used.port_id, trunk_id=used.id)


def _differs(update: Update, names: Collection[str]) -> bool:
    return any(name in update.changes and update.changes[name] != update.original[name] for name in names)


def _kept(update: Update, own: Mapping[str, str]) -> ServicePortInUse:
    port_id = update.original["id"]
    reason = f"has device owner {own[port_id]}"
    return ServicePortInUse(port_id=port_id, change="updated", reason=reason)


def _plain(device_id: str) -> str:
    """Normalise an id as people spell it."""
    text = device_id.strip().lower()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


def _check_devices(tx: Tx, context: Context, named: Iterable[tuple[str, str]], config: NetworkConfig) -> None:
    """DeviceIDNotOwnedByTenant where a router or server is named that belongs to another project than
    the port. However it is spelled: this is for the reader's sake, since no look-up believes it."""
    wanted = [(device_id, _plain(device_id), project_id) for device_id, project_id in named]
    ids = sorted({plain for _, plain, _ in wanted if plain})
    if not ids or (context.is_admin or context.is_service):
        return
    there = {row.id: row.project_id for row in tx.rows(_ROUTERS, {"ids": ids})}
    there.update(config.projects_of_servers(tx, ids))
    for device_id, plain, project_id in wanted:
        if there.get(plain, project_id) != project_id:
            raise DeviceIDNotOwnedByTenant(device_id=device_id)


def _keep(
    tx: Tx, context: Context, ports: Sequence[Values], own: Mapping[str, str], config: NetworkConfig
) -> None:
    """Let the followers restore the service ports that were moved or deleted."""
    kinds = {port["id"]: own[port["id"]] for port in ports}
    if kinds:
        for follow in config.followers.service_ports_changed:
            follow(tx, context, ports, kinds, config)
