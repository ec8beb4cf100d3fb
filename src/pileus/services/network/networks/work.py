"""Units of work of networks: create with a free segment, change, delete with what is in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Unavailable
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.common.copies import copied, copied_updates
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.allocation import choose_segments
from pileus.services.network.networks.carriers import (
    as_shown,
    asked_segments,
    carried,
    check_tags,
    least_mtu,
    segment_values,
)
from pileus.services.network.networks.naming import names_follow_domains
from pileus.services.network.networks.resource import NETWORK, NUMBER, PHYSICAL, TYPE
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.tables import segments as taken_segments
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.reading import check_policies, check_policy_changes, default_policies
from pileus.services.network.qos.uses import hosts_on, refuse_unsupported_networks
from pileus.services.network.routers.tables import router_ports
from pileus.services.network.rules import device_owners, segments
from pileus.services.network.rules.segments import Segment
from pileus.services.network.sharing.everybody import (
    grant_everybody,
    revoke_anybody,
    share_changed,
    share_new,
)
from pileus.services.network.sharing.targets import EVERYBODY, EXTERNAL, NETWORKS, SHARED
from pileus.services.network.sharing.uses import stranded
from pileus.services.network.subnets.tables import subnets
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

ATTEMPTS = 10


NETWORK_QUOTA = network_quota("network", 100, networks.c.project_id)


class NetworkInUse(InUse):
    message = "Unable to complete operation on network {net_id}. {reason}."


class InvalidSharedSetting(InUse):
    message = "Unable to reconfigure sharing settings for network {network}. Multiple tenants are using it."


class ExternalNetworkInUse(InUse):
    message = (
        "External network {net_id} cannot be updated to be made non-external, since it has existing "
        "gateway ports."
    )


class DefaultExternalNetworkExists(Conflict):
    message = "A default external network already exists: {net_id}."


class NoNetworkFoundInMaximumAllowedAttempts(Unavailable):
    message = "Unable to create the network. No available network found in maximum allowed attempts."


_GATEWAYS_IN = (
    select(ports.c.network_id)
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        ports.c.network_id == bindparam("network"), router_ports.c.port_type == device_owners.ROUTER_GATEWAY
    )
    .limit(1)
)
_IP_VERSIONS_IN = select(subnets.c.ip_version).where(subnets.c.network_id == bindparam("network")).distinct()
_DEFAULT = select(networks.c.id).where(networks.c.is_default, networks.c.external).limit(2)
_DELETE_SUBNETS = delete(subnets).where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))


def network_create(
    tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig
) -> list[Values]:
    """Write new networks, each with a segment: the one asked for, or a free one of the first type."""
    specs = copied(specs)
    wishes = [asked_segments(spec, config) for spec in specs]
    check_policies(tx, context, {spec["qos_policy_id"] for spec in specs})
    _give_default_policies(tx, specs)
    spend(tx, specs, NETWORK_QUOTA)
    _check_default(tx, specs)
    mtus = [spec.get("mtu") for spec in specs]
    for _ in range(ATTEMPTS):
        free = iter(choose_segments(tx, [one for several in wishes for one in several], config))
        chosen = [[next(free) for _ in several] for several in wishes]
        for spec, several, mtu in zip(specs, chosen, mtus, strict=True):
            spec.update(carried(several), l2_adjacency=True)
            spec["mtu"] = least_mtu(several, mtu, config)
            check_tags(spec, several)
        try:
            with tx.savepoint():
                NETWORK.insert(tx, context, specs)
                tx.insert(
                    taken_segments,
                    [
                        row
                        for spec, several in zip(specs, chosen, strict=True)
                        for row in segment_values(context, spec["id"], several)
                    ],
                )
        except Duplicate:
            continue
        share_new(tx, context, NETWORKS, specs)
        outside = [(spec["id"], spec["project_id"]) for spec in specs if spec["router:external"]]
        grant_everybody(tx, context, NETWORKS, outside, EXTERNAL)
        tx.emit_many([_event(context, "network.create", spec) for spec in specs])
        return [as_shown(spec) for spec in specs]
    raise NoNetworkFoundInMaximumAllowedAttempts()


def network_update(
    tx: Tx, context: Context, updates: Sequence[Update], *, config: NetworkConfig
) -> list[Values]:
    """Change networks; the agents that serve them look again."""
    updates = copied_updates(updates)
    for one in updates:
        changes, network = one.changes, one.original
        _check_provider_stays(changes, network)
        if changes.get("mtu") is not None:
            changes["mtu"] = least_mtu(_segments_of(network), changes["mtu"], config)
            if changes["mtu"] < segments.LEAST_MTU[6]:
                tx.lock(f"subnets:{network['id']}")  # no subnet comes meanwhile
                versions = {row.ip_version for row in tx.rows(_IP_VERSIONS_IN, {"network": network["id"]})}
                segments.check_mtu(network["id"], changes["mtu"], versions)
        if network["shared"] and changes.get("shared") is False:
            _check_unshare(tx, network)
    hosts = _change_policies(tx, context, updates)
    _check_default(
        tx,
        [
            {**one.original, **one.changes}
            for one in updates
            if {"is_default", "router:external"} & {*one.changes}
        ],
    )
    share_changed(tx, context, NETWORKS, updates)
    _change_external(tx, context, updates)
    after = NETWORK.change(tx, context, updates)
    names_follow_domains(tx, updates)
    tx.emit_many([_event(context, "network.update", network, hosts) for network in after])
    return [as_shown(network) for network in after]


def network_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete networks with their subnets; NetworkInUse while one has ports that do not go with it."""
    ids = [network["id"] for network in originals]
    try:
        with tx.savepoint():
            for follow in config.followers.networks_deleting:
                follow(tx, context, ids, config)
            tx.execute(_DELETE_SUBNETS, {"ids": ids})
            NETWORK.remove(tx, originals)
    except Referenced:
        # A port came into being between the look and the delete.
        raise network_in_use(ids[0]) from None
    tx.emit_many([_event(context, "network.delete", network) for network in originals])


def _change_policies(tx: Tx, context: Context, updates: Sequence[Update]) -> set[str]:
    """Check the QoS policies that networks are to have, and return the scopes of hosts that enforce them."""
    check_policy_changes(tx, context, updates)
    changed = {
        one.original["id"]: one.changes["qos_policy_id"]
        for one in updates
        if one.changes.get("qos_policy_id", one.original["qos_policy_id"]) != one.original["qos_policy_id"]
    }
    refuse_unsupported_networks(tx, [(key, policy_id) for key, policy_id in changed.items() if policy_id])
    return hosts_on(tx, changed)


def _give_default_policies(tx: Tx, specs: Sequence[Values]) -> None:
    without = [spec for spec in specs if not spec["qos_policy_id"]]
    defaults = default_policies(tx, {spec["project_id"] for spec in without})
    for spec in without:
        spec["qos_policy_id"] = defaults.get(spec["project_id"])


def network_in_use(network_id: str) -> NetworkInUse:
    """The refusal of a network with ports in it."""
    return NetworkInUse(net_id=network_id, reason="There are one or more ports still in use on the network")


def _event(context: Context, kind: str, network: Values, more: Collection[str] = ()) -> Any:
    return event(
        context,
        kind,
        network["id"],
        network["project_id"],
        [scopes.network(network["id"]), scopes.dhcp_network(network["id"]), *sorted(more)],
        name=network["name"],
    )


def _segments_of(network: Values) -> list[Segment]:
    """Its segments, as far as their types go."""
    several = network["segments"]
    return [Segment(one[TYPE]) for one in ([network] if several is None else several or [{TYPE: "flat"}])]


def _check_provider_stays(changes: Values, network: Values) -> None:
    """How a network is carried does not change; to say what it is is no change."""
    differing = [
        name for name in (TYPE, PHYSICAL, NUMBER) if changes.get(name, network[name]) != network[name]
    ]
    if differing:
        raise InvalidInput(
            "Plugin does not support updating the following provider network attributes: "
            f"{', '.join(differing)}"
        )


def _change_external(tx: Tx, context: Context, updates: Sequence[Update]) -> None:
    """Let everybody's routers go through networks that lead outside from now on, and nobody's through those
    that don't; ExternalNetworkInUse where one has a gateway there."""
    changed = [
        one
        for one in updates
        if bool(one.changes.get("router:external", one.original["router:external"]))
        != one.original["router:external"]
    ]
    gone = [one.original["id"] for one in changed if one.original["router:external"]]
    for network_id in gone:
        check_not_outside(tx, network_id)
    revoke_anybody(tx, gone, EXTERNAL)
    new = [one.original for one in changed if not one.original["router:external"]]
    owners = [(network["id"], network["project_id"]) for network in new]
    grant_everybody(tx, context, NETWORKS, owners, EXTERNAL)


def check_not_outside(tx: Tx, network_id: str) -> None:
    """ExternalNetworkInUse where a router has its gateway on the network."""
    if tx.first(_GATEWAYS_IN, {"network": network_id}) is not None:
        raise ExternalNetworkInUse(net_id=network_id)


def _check_default(tx: Tx, several: Sequence[Mapping[str, Any]]) -> None:
    """DefaultExternalNetworkExists where one of several would be the second; others can't be the default."""
    new = [one["id"] for one in several if one["is_default"] and one["router:external"]]
    if not new:
        return
    tx.lock("default_external_network")
    for row in tx.rows(_DEFAULT):
        if row.id not in new:
            raise DefaultExternalNetworkExists(net_id=row.id)
    if len(new) > 1:
        raise DefaultExternalNetworkExists(net_id=new[0])


def _check_unshare(tx: Tx, network: Values) -> None:
    """InvalidSharedSetting where others have ports in it, whom no policy of their own would let."""
    if stranded(tx, NETWORKS, SHARED, network["id"], network["project_id"], EVERYBODY):
        raise InvalidSharedSetting(network=network["name"])
