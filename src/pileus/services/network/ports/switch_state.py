"""The desired state of a node's switch: the answer to ``SWITCH_STATE``.

One transaction, a constant number of statements whatever the number of ports. The
position is read first: everything read after it is at least as new, so an agent that
remembers it can be told too often of a change, never too late.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    null,
    or_,
    select,
    union,
    union_all,
)

from pileus.services.network.agents.distributed import networks_beyond
from pileus.services.network.agents.replicas import replicas, replicas_on
from pileus.services.network.agents.tables import agents
from pileus.services.network.config import NetworkConfig
from pileus.services.network.l2_gateways.tables import (
    l2_gateway_connections,
    l2_gateway_ports,
    physical_addresses,
    physical_switches,
)
from pileus.services.network.networks.host_segments import host_segments, segments_of
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.dhcp_state import PORT_COLUMNS, device_dhcp, switched_dhcp
from pileus.services.network.ports.distributed_state import distributed_statement, host_routing
from pileus.services.network.ports.group_changes import HISTORY, group_changes
from pileus.services.network.ports.group_state import address_groups_of_host, groups_of_host
from pileus.services.network.ports.local_ip_state import local_ips_of
from pileus.services.network.ports.log_state import PortLogs
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.tap_state import port_taps
from pileus.services.network.qos.kinds import EGRESS
from pileus.services.network.qos.state import PolicyRules, rules_for_nodes
from pileus.services.network.rules.agent_types import SWITCH_AGENTS
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND, NetworkSegment
from pileus.services.network.rules.segments import TUNNELS, mtu_on_node
from pileus.services.network.subnets.tables import subnets
from pileus.services.network.trunks.tables import subports, trunks
from pileus.store.events import newest_position
from pileus.store.narrowed import Narrowed, Only, narrowed
from pileus.store.tx import Tx
from pileus.wire.switch import (
    AddressGroupDetails,
    AddressPair,
    DeviceDetails,
    FixedIP,
    ForwardingEntry,
    LocalIP,
    NetworkDetails,
    RemoteAddress,
    SecurityGroupChange,
    SecurityGroupDetails,
    Segment,
    SwitchState,
    SwitchStateRequest,
    TunnelEndpoint,
)
from pileus.wire.taps import PortTaps

NOWHERE = "00:00:00:00:00:00"
"""The address of what is for everybody, in a table of forwarding."""
_HOST = bindparam("on_host", type_=String)
_PLUGGED = and_(
    or_(ports.c.host == _HOST, ports.c.id.in_(replicas_on(_HOST))),
    ports.c.vif_type.not_in((UNBOUND, BINDING_FAILED)),
)
_HERE = select(ports.c.network_id).where(_PLUGGED)
_CARRIED = union(_HERE, networks_beyond(_HERE, _HOST))
"""Networks that a host carries: also those that a distributed router leads to from there."""
_ROUTERS = distributed_statement(_HERE, _HOST)

_DEVICES = select(
    ports.c.id,
    ports.c.network_id,
    ports.c.mac_address,
    ports.c.admin_state_up,
    ports.c.quarantined,
    ports.c.port_security_enabled,
    ports.c.fixed_ips,
    ports.c.allowed_address_pairs,
    ports.c.security_groups,
    ports.c.project_id,
    ports.c.device_id,
    ports.c.device_owner,
    ports.c.status,
    ports.c.revision_number,
    ports.c.id.in_(replicas_on(_HOST)).label("replicated"),
    networks.c.qos_policy_id.label("network_qos_policy_id"),
    ports.c.qos_policy_id,
    ports.c.hints,
    trunks.c.port_id.label("parent_id"),
    subports.c.segmentation_id,
).select_from(
    ports.join(networks, networks.c.id == ports.c.network_id)
    .outerjoin(subports, subports.c.port_id == ports.c.id)
    .outerjoin(trunks, trunks.c.id == subports.c.trunk_id)
)
_CHILDREN = select(subports.c.port_id).select_from(subports.join(trunks, trunks.c.id == subports.c.trunk_id))
_SUBNETS = select(subnets.c.id, subnets.c.cidr, subnets.c.gateway_ip).where(subnets.c.network_id.in_(_HERE))
_NETWORKS = select(
    networks.c.id,
    networks.c.network_type,
    networks.c.physical_network,
    networks.c.segmentation_id,
    networks.c.mtu,
    networks.c.admin_state_up,
    networks.c.segments.is_not(None).label("has_several"),
    networks.c.vlan_transparent,
    networks.c.qinq,
)
_REPLICAS = replicas().subquery()
_AT = func.coalesce(_REPLICAS.c.host, ports.c.host)
_ELSEWHERE = (
    select(ports.c.network_id, ports.c.mac_address, ports.c.fixed_ips, _AT.label("host"))
    .select_from(
        ports.join(networks, networks.c.id == ports.c.network_id).outerjoin(
            _REPLICAS, _REPLICAS.c.port_id == ports.c.id
        )
    )
    .where(
        or_(
            networks.c.network_type.in_(sorted(TUNNELS)),
            networks.c.segments.is_not(None),
            # Whoever routes for a network must know whom it has, whatever carries it.
            networks.c.id.in_(networks_beyond(_HERE, _HOST)),
        ),
        ports.c.host != "",
        bindparam("on_host") != _AT,
        ports.c.vif_type.not_in((UNBOUND, BINDING_FAILED)),
    )
)
_CONNECTED = l2_gateway_connections.join(
    l2_gateway_ports, l2_gateway_ports.c.l2_gateway_id == l2_gateway_connections.c.l2_gateway_id
).join(physical_switches, physical_switches.c.name == l2_gateway_ports.c.device_name)
# Nobody knows every machine behind a switch: what is for everybody goes there, too.
_BEHIND_SWITCHES = (
    select(
        l2_gateway_connections.c.network_id,
        literal(NOWHERE),
        null(),
        physical_switches.c.name,
    )
    .select_from(_CONNECTED)
    .where(physical_switches.c.tunnel_ip.is_not(None))
    .distinct()
)
_SEEN_BY_SWITCHES = select(
    physical_addresses.c.network_id,
    physical_addresses.c.mac_address,
    null(),
    physical_addresses.c.switch_name,
).where(physical_addresses.c.network_id.in_(select(l2_gateway_connections.c.network_id)))
_MESH = union_all(
    select(agents.c.host, agents.c.tunneling_ip, agents.c.tunnel_types, literal(0).label("is_switch")).where(
        agents.c.agent_type.in_(SWITCH_AGENTS), agents.c.tunneling_ip.is_not(None)
    ),
    select(
        physical_switches.c.name, physical_switches.c.tunnel_ip, physical_switches.c.tunnel_types, literal(1)
    ).where(
        physical_switches.c.tunnel_ip.is_not(None),
        physical_switches.c.name.in_(select(l2_gateway_ports.c.device_name).select_from(_CONNECTED)),
    ),
).order_by("is_switch", "host")


def _ports_here(only: Only, *, with_dhcp: bool) -> Select[Any]:
    """A port with the subports of its trunk: nothing else tells the host of one that comes."""
    devices = _DEVICES.add_columns(*PORT_COLUMNS) if with_dhcp else _DEVICES
    conditions = [_PLUGGED]
    if own := only(ports.c.id):
        conditions.append(or_(*own, ports.c.id.in_(_CHILDREN.where(*only(trunks.c.port_id)))))
    return devices.where(*conditions).order_by(ports.c.id)


def _far(only: Only, *, anywhere: bool) -> CompoundSelect[Any]:
    """Select all that is elsewhere, on nodes and behind switches; of networks that the host carries."""
    far: list[tuple[Select[Any], ColumnElement[Any]]] = [
        (_ELSEWHERE, ports.c.network_id),
        (_BEHIND_SWITCHES, l2_gateway_connections.c.network_id),
        (_SEEN_BY_SWITCHES, physical_addresses.c.network_id),
    ]
    if not anywhere:
        far = [(statement.where(column.in_(_CARRIED)), column) for statement, column in far]
    narrower = [statement.where(*only(column)) for statement, column in far]
    return union_all(*narrower).order_by("network_id", "mac_address")


_PORTS_HERE, _PORTS_WITH_DHCP = (
    Narrowed(functools.partial(_ports_here, with_dhcp=with_dhcp)) for with_dhcp in (False, True)
)
_NETWORKS_HERE = narrowed(_NETWORKS.where(networks.c.id.in_(_CARRIED)).order_by(networks.c.id), networks.c.id)
_FAR_FROM_HERE = Narrowed(functools.partial(_far, anywhere=False))
_FAR = Narrowed(functools.partial(_far, anywhere=True))


def switch_state(tx: Tx, request: SwitchStateRequest, config: NetworkConfig) -> SwitchState:
    """Read the answer; what is not served by the host is left out of it."""
    position = newest_position(tx)
    here = {"on_host": request.host}
    mesh = tx.rows(_MESH)
    devices: tuple[DeviceDetails, ...] = ()
    if request.devices is None or request.devices:
        devices = _devices(tx, here, request.devices, config)
    nets: tuple[NetworkDetails, ...] = ()
    if request.networks is None or request.networks:
        nets = _networks(tx, here, request.networks, _endpoints(mesh), config)
    groups: tuple[SecurityGroupDetails, ...] = ()
    changes: tuple[SecurityGroupChange, ...] = ()
    wanted = request.security_groups
    if wanted and request.groups_since:
        since = request.groups_since if request.groups_history == HISTORY else 0
        changes, wanted = group_changes(tx, here, wanted, since, position)
    if wanted is None or wanted:
        groups = groups_of_host(tx, here, wanted)
    prefixes: tuple[AddressGroupDetails, ...] = ()
    if request.address_groups is None or request.address_groups:
        prefixes = address_groups_of_host(tx, here, request.address_groups)
    routing = host_routing(tx, _ROUTERS, here, config.dvr_base_mac)
    return SwitchState(
        position=position,
        history=HISTORY,
        devices=devices,
        networks=nets,
        security_groups=groups,
        group_changes=changes,
        address_groups=prefixes,
        tunnels=tuple(
            TunnelEndpoint(host=row.host, tunneling_ip=row.tunneling_ip, tunnel_types=tuple(row.tunnel_types))
            for row in mesh
            if row.host != request.host
        ),
        routers=routing.routers,
        floating_ips=routing.floating_ips,
        gateways=routing.gateways,
        routing_mac=routing.mac,
    )


def _devices(
    tx: Tx, here: Mapping[str, Any], wanted: tuple[str, ...] | None, config: NetworkConfig
) -> tuple[DeviceDetails, ...]:
    rows = (_PORTS_WITH_DHCP if config.distributed_dhcp else _PORTS_HERE).rows(tx, here, wanted)
    prefixes = {row.id: row for row in tx.rows(_SUBNETS, here)}
    policies = rules_for_nodes(tx, {policy_id for row in rows if (policy_id := _policy_of(row))})
    logs = PortLogs(tx, rows)
    taps = port_taps(tx, [row.id for row in rows])
    local_ips = local_ips_of(tx, rows)
    found = (
        _device(row, prefixes, policies, logs, taps.get(row.id), local_ips.get(row.id, ())) for row in rows
    )
    if not config.distributed_dhcp:
        return tuple(found)
    return tuple(
        msgspec.structs.replace(one, dhcp=device_dhcp(row)) for one, row in zip(found, rows, strict=True)
    )


def _device(
    row: Row[Any],
    prefixes: Mapping[str, Row[Any]],
    policies: Mapping[str, PolicyRules],
    logs: PortLogs,
    taps: PortTaps | None,
    local_ips: tuple[LocalIP, ...],
) -> DeviceDetails:
    policy = policies.get(_policy_of(row) or "")
    return DeviceDetails(
        port_id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        admin_state_up=row.admin_state_up,
        quarantined=row.quarantined,
        port_security_enabled=row.port_security_enabled,
        fixed_ips=tuple(_fixed_ip(ip, prefixes.get(ip["subnet_id"])) for ip in row.fixed_ips),
        allowed_address_pairs=tuple(
            AddressPair(ip_address=pair["ip_address"], mac_address=pair["mac_address"])
            for pair in row.allowed_address_pairs
        ),
        security_group_ids=tuple(row.security_groups),
        device_id=row.device_id,
        device_owner=row.device_owner,
        replicated=bool(row.replicated),
        status=row.status,
        revision=row.revision_number,
        rate_limit=policy.limit(EGRESS) if policy else None,
        qos=policy.of_port() if policy else None,
        tx_steering=_tx_steering(row.hints),
        parent_id=row.parent_id,
        vlan_id=row.segmentation_id or 0,
        logs=logs.of(row),
        taps=taps,
        local_ips=local_ips,
    )


def _policy_of(row: Row[Any]) -> str | None:
    """A port's own policy goes before its network's; ports of the network's own services have none of the
    network's (a gateway's addresses are limited in the router)."""
    if row.qos_policy_id is None and not row.device_owner.startswith("network:"):
        found: str | None = row.network_qos_policy_id
        return found
    return str(row.qos_policy_id) if row.qos_policy_id else None


def _tx_steering(hints: Mapping[str, Any] | None) -> str | None:
    """How the switch chooses a transmit queue for what it sends to the port."""
    found: str | None = (hints or {}).get("openvswitch", {}).get("other_config", {}).get("tx-steering")
    return found


def _fixed_ip(ip: Mapping[str, str], prefix: Row[Any] | None) -> FixedIP:
    return FixedIP(
        ip_address=ip["ip_address"],
        subnet_id=ip["subnet_id"],
        cidr=prefix.cidr if prefix is not None else "",
        gateway_ip=prefix.gateway_ip if prefix is not None else None,
    )


def _networks(
    tx: Tx,
    here: Mapping[str, Any],
    wanted: tuple[str, ...] | None,
    endpoints: Mapping[str, str],
    config: NetworkConfig,
) -> tuple[NetworkDetails, ...]:
    found = _NETWORKS_HERE.rows(tx, here, wanted)
    far = _FAR_FROM_HERE.rows(tx, here, wanted)
    several = segments_of(tx, [row.id for row in found if row.has_several])
    near = host_segments(tx, several, {here["on_host"], *(row.host for row in far)}) if several else {}
    heard = [
        row for row in far if row.network_id not in several or _hear_each_other(row, here["on_host"], near)
    ]
    tunnelled = {row.id for row in found if row.has_several or row.network_type in TUNNELS}
    forwarding = _forwarding([row for row in heard if row.network_id in tunnelled], endpoints)
    remote = _remote(far, tunnelled, several, here["on_host"], near)
    dhcp = switched_dhcp(tx, [row.id for row in found], config)
    return tuple(
        NetworkDetails(
            network_id=row.id,
            segment=_segment(near.get((row.id, here["on_host"])) if row.has_several else row),
            mtu=mtu_on_node(row.mtu),
            admin_state_up=row.admin_state_up,
            vlan_transparent=row.vlan_transparent,
            qinq=row.qinq,
            forwarding=tuple(forwarding.get(row.id, ())),
            remote=tuple(remote.get(row.id, ())),
            dhcp=dhcp.get(row.id),
        )
        for row in found
    )


def _segment(carrier: Any) -> Segment:
    """By what the host carries a network: its only segment, or the one of several that leads there."""
    if carrier is None:
        return Segment(network_type="none")
    return Segment(
        network_type=carrier.network_type,
        physical_network=carrier.physical_network,
        segmentation_id=carrier.segmentation_id,
    )


def _hear_each_other(port: Row[Any], host: str, near: Mapping[tuple[str, str], NetworkSegment]) -> bool:
    """Whether a host and that of a port send the frames of their network to each other through tunnels."""
    own = near.get((port.network_id, host))
    return own is not None and own.network_type in TUNNELS and own == near.get((port.network_id, port.host))


def _remote(
    far: Iterable[Row[Any]],
    tunnelled: Collection[str],
    several: Collection[str],
    host: str,
    near: Mapping[tuple[str, str], NetworkSegment],
) -> dict[str, list[RemoteAddress]]:
    """Ports on other hosts that are reached by physical networks."""
    found: dict[str, list[RemoteAddress]] = {}
    for row in far:
        if row.network_id in several:
            own = near.get((row.network_id, host))
            by_wire = own is not None and own.network_type not in TUNNELS
            by_wire = by_wire and own == near.get((row.network_id, row.host))
        else:
            by_wire = row.network_id not in tunnelled
        if by_wire and row.mac_address != NOWHERE and row.fixed_ips:
            addresses = tuple(ip["ip_address"] for ip in row.fixed_ips)
            found.setdefault(row.network_id, []).append(RemoteAddress(row.mac_address, addresses))
    return found


def _endpoints(mesh: Iterable[Row[Any]]) -> dict[str, str]:
    """Ends of tunnels by name; a node's own name is before a switch's."""
    found: dict[str, str] = {}
    for row in mesh:
        found.setdefault(row.host, row.tunneling_ip)
    return found


def _forwarding(far: Iterable[Row[Any]], endpoints: Mapping[str, str]) -> dict[str, list[ForwardingEntry]]:
    found: dict[str, list[ForwardingEntry]] = {}
    for row in far:
        endpoint = endpoints.get(row.host)
        if endpoint is not None:
            entry = ForwardingEntry(
                mac_address=row.mac_address,
                ip_addresses=tuple(ip["ip_address"] for ip in row.fixed_ips or ()),
                host=row.host,
                tunneling_ip=endpoint,
            )
            found.setdefault(row.network_id, []).append(entry)
    return found


def forwarding_everywhere(tx: Tx, network_ids: Collection[str]) -> dict[str, list[ForwardingEntry]]:
    """By network, all that it has on nodes and behind switches; two statements."""
    nowhere = {"on_host": ""}
    return _forwarding(_FAR.rows(tx, nowhere, network_ids), _endpoints(tx.rows(_MESH)))
