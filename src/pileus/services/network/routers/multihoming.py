"""Several gateways of a router (extension ``external-gateway-multihoming``): added, changed and removed.

A gateway has no id in the API: it is named by its network and its addresses. The first one is the router's
``external_gateway_info`` too, and what concerns all of them (source NAT, a QoS policy) is said with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, update

from pileus.core.context import Context
from pileus.core.errors import Invalid
from pileus.resource.declaration import Update, Values
from pileus.services.network.config import NetworkConfig
from pileus.services.network.routers.central_ports import central_ports_sync
from pileus.services.network.routers.gateway_qos import (
    GatewayPolicy,
    gateway_policies_set,
    gateway_policy,
)
from pileus.services.network.routers.gateways import (
    Info,
    NewGateway,
    addresses_differ,
    check_external,
    check_gateway,
    gateways_make,
    gateways_readdress,
    gateways_remove,
    snat,
)
from pileus.services.network.routers.ndp import ndp_before_gateways
from pileus.services.network.routers.reading import AttachedPort, Attachments, attachments
from pileus.services.network.routers.resource import gateways_first
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.routers.work import router_update
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx


class UnableToRemoveGateways(Invalid):
    message = "Unable to remove extra gateways from a router {router_id}"


class UnableToMatchGateways(Invalid):
    message = "Unable to match a requested gateway port to existing gateway ports for router {router_id}"


class _Matched(NamedTuple):
    """Gateways that are asked for, each with the port that it is, or None; by their order."""

    pairs: list[tuple[Info, AttachedPort | None]]

    @property
    def port_ids(self) -> set[str]:
        return {port.port_id for _, port in self.pairs if port is not None}


_SET_INDEX = (
    update(router_ports)
    .where(router_ports.c.port_id == bindparam("key"))
    .values(gateway_index=bindparam("index"))
)


def gateways_add(
    tx: Tx, context: Context, router: Values, infos: Sequence[Info], *, config: NetworkConfig
) -> Values:
    """Give a router further gateways; the first one is its ``external_gateway_info`` where it has none."""
    there = _facts(tx, context, router, infos)
    present = there.gateways(router["id"])
    following = present[-1].gateway_index + 1 if present else 0
    _check_all(router, infos, there)
    wanted = [NewGateway(router, info, index) for index, info in enumerate(infos, following)]
    gateways_make(tx, context, wanted, config)
    return _finish(tx, context, router, infos[0] if infos and not present else None, config)


def gateways_update(
    tx: Tx, context: Context, router: Values, infos: Sequence[Info], *, config: NetworkConfig
) -> Values:
    """Make a router's gateways those that are named, in this order: known ones stay, though their addresses
    may change, others come, and those that are not named go."""
    there = _facts(tx, context, router, infos)
    present = there.gateways(router["id"])
    matched = _match(router, infos, present)
    if infos and present and matched.pairs[0][1] is None and present[0].port_id not in matched.port_ids:
        stays = present[0].network_id == infos[0]["network_id"]  # with other addresses
        matched.pairs[0] = (infos[0], present[0] if stays else None)
    going = [port for port in present if port.port_id not in matched.port_ids]
    left = {
        **there.attached_ports,
        router["id"]: [one for one in there.attached_ports.get(router["id"], ()) if one not in going],
    }
    new = [info for info, port in matched.pairs if port is None]
    _check_all(router, new, there._replace(attached_ports=left))
    coming = {(router["id"], info["network_id"]) for info in new}
    gateways_remove(tx, context, going, there, config, coming)
    kept = [(port, info) for info, port in matched.pairs if port is not None]
    moved = [(port, info) for port, info in kept if addresses_differ(port, info)]
    gateways_readdress(tx, context, moved, config)
    indexes = [
        {"key": port.port_id, "index": index}
        for index, (_, port) in enumerate(matched.pairs)
        if port is not None and port.gateway_index != index
    ]
    if indexes:
        tx.execute(_SET_INDEX, indexes)
    wanted = [
        NewGateway(router, info, index) for index, (info, port) in enumerate(matched.pairs) if port is None
    ]
    gateways_make(tx, context, wanted, config)
    return _finish(tx, context, router, infos[0] if infos else {}, config)


def gateways_drop(
    tx: Tx, context: Context, router: Values, infos: Sequence[Info], *, config: NetworkConfig
) -> Values:
    """Take gateways from a router. UnableToRemoveGateways where it has none, UnableToMatchGateways where one
    that is named is not there."""
    there = _facts(tx, context, router, infos)
    present = there.gateways(router["id"])
    if infos and not present:
        raise UnableToRemoveGateways(router_id=router["id"])
    matched = _match(router, infos, present)
    if any(port is None for _, port in matched.pairs):
        raise UnableToMatchGateways(router_id=router["id"])
    going = [port for port in present if port.port_id in matched.port_ids]
    gateways_remove(tx, context, going, there, config)
    info: Info | None = None
    if going and going[0] is present[0]:
        left = [port for port in present if port not in going]
        info = {"network_id": left[0].network_id, "qos_policy_id": None} if left else {}
    return _finish(tx, context, router, info, config)


def _facts(tx: Tx, context: Context, router: Values, infos: Sequence[Info]) -> Attachments:
    networks = {info["network_id"] for info in infos}
    check_external(tx, context, networks)
    return attachments(tx, [router["id"]], networks)


def _check_all(router: Values, infos: Sequence[Info], there: Attachments) -> None:
    """Check new gateways, each beside what the router has and the new ones before it."""
    attached_ports = {key: list(several) for key, several in there.attached_ports.items()}
    beside = there._replace(attached_ports=attached_ports)
    for number, info in enumerate(infos):
        check_gateway(router, info, None, beside)
        new = AttachedPort(
            router["id"], f"new {number}", device_owners.ROUTER_GATEWAY, info["network_id"], []
        )
        attached_ports.setdefault(router["id"], []).append(new)


def _match(router: Values, infos: Sequence[Info], present: Sequence[AttachedPort]) -> _Matched:
    """Find the gateways that are meant: by an address, or by the network where there is one on it."""
    free = list(present)
    pairs: list[tuple[Info, AttachedPort | None]] = []
    for info in infos:
        there = [port for port in free if port.network_id == info["network_id"]]
        asked = {ip["ip_address"] for ip in info.get("external_fixed_ips") or () if ip.get("ip_address")}
        if asked:
            found = [port for port in there if asked & {ip["ip_address"] for ip in port.fixed_ips}]
        elif len(there) > 1:
            raise UnableToMatchGateways(router_id=router["id"])
        else:
            found = there
        pairs.append((info, found[0] if found else None))
        if found:
            free.remove(found[0])
    return _Matched(pairs)


def _finish(tx: Tx, context: Context, router: Values, first: Info | None, config: NetworkConfig) -> Values:
    """Write what is said with the first gateway, where that is another one (``{}``: none is left) or said
    anew; the router as it is now."""
    changes = Values()
    if first is not None:
        changes["enable_snat"] = snat(first)
        if not first:
            asked = Update(router, Values({"external_gateway_info": None}))
            ndp_before_gateways([asked])
            changes |= {name: value for name, value in asked.changes.items() if name == "enable_ndp_proxy"}
        old = gateway_policy(router["external_gateway_info"])
        gateway_policies_set(tx, context, [GatewayPolicy(router["id"], old, first)], {})
    (after,) = router_update(tx, context, [Update(router, changes)], config=config)
    if router["distributed"]:
        central_ports_sync(tx, context, [router["id"]], config)
    after["external_gateway_info"] = gateways_first(tx, [router["id"]]).get(router["id"])
    return after
