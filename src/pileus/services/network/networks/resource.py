"""The declaration of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, exists, null, select

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Attribute, Loader, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON, HTTPBadRequest
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.attributes import (
    ADMIN_STATE_UP,
    ID,
    NAME,
    PROJECT,
    REFERENCE,
    ZONE_HINTS,
    given,
    number,
)
from pileus.services.network.common.errors import NetworkNotFound
from pileus.services.network.common.names import DOMAIN_NAME
from pileus.services.network.common.policy import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    SERVICE,
    any_of,
    rules,
)
from pileus.services.network.dhcp.tables import dhcp_bindings
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.tables import segments as segment_rows
from pileus.services.network.sharing.targets import NETWORKS, seen_external, seen_shared
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx

_SUBNETS_OF = (
    select(subnets.c.network_id, subnets.c.id)
    .where(subnets.c.network_id.in_(bindparam("ids", expanding=True)))
    .order_by(subnets.c.created_at, subnets.c.id)
)


def _subnets(tx: Tx, network_ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in tx.rows(_SUBNETS_OF, {"ids": network_ids}):
        found.setdefault(row.network_id, []).append(row.id)
    return found


_ZONES = (
    select(dhcp_bindings.c.network_id, agents.c.availability_zone)
    .select_from(dhcp_bindings.join(agents, agents.c.id == dhcp_bindings.c.agent_id))
    .where(
        dhcp_bindings.c.network_id.in_(bindparam("ids", expanding=True)),
        agents.c.availability_zone.is_not(None),
    )
    .distinct()
    .order_by(agents.c.availability_zone)
)


def _zones(tx: Tx, network_ids: list[str]) -> dict[str, list[str]]:
    """Where the network is served: the zones of its DHCP agents."""
    found: dict[str, list[str]] = {}
    for row in tx.rows(_ZONES, {"ids": network_ids}):
        found.setdefault(row.network_id, []).append(row.availability_zone)
    return found


_SCOPES = select(subnets.c.network_id, subnetpools.c.address_scope_id).select_from(
    subnets.join(subnetpools, subnetpools.c.id == subnets.c.subnetpool_id)
)


def _scope(version: int) -> Loader:
    """The address scope of a network's subnets of one IP version: that of the pool that they are from."""
    statement = _SCOPES.where(
        subnets.c.network_id.in_(bindparam("ids", expanding=True)), subnets.c.ip_version == version
    )

    def load(tx: Tx, network_ids: list[str]) -> dict[str, str | None]:
        return {row.network_id: row.address_scope_id for row in tx.rows(statement, {"ids": network_ids})}

    return load


TYPE, PHYSICAL, NUMBER = "provider:network_type", "provider:physical_network", "provider:segmentation_id"


def _parse_segments(value: Any) -> list[dict[str, Any]]:
    segments: list[dict[str, Any]] = _SEGMENTS.parse(value)
    for one in segments:
        for name in set(one) - {TYPE, PHYSICAL, NUMBER}:
            raise HTTPBadRequest(f"Unrecognized attribute(s) '{name}'")
    return segments


_SEGMENTS = types.list_of(
    types.dict_of(
        {
            TYPE: types.nullable(types.string(32)),
            PHYSICAL: types.nullable(types.string(64)),
            NUMBER: types.nullable(number()),
        },
        additional=types.anything,
    )
)
SEGMENTS = Type("segments", _parse_segments, types.nullable(_SEGMENTS).schema)


def _of_one(column: ColumnElement[Any]) -> Callable[[Context], ColumnElement[Any]]:
    """A provider attribute as it is shown: none where the network has several segments, or none."""
    shown = case((networks.c.segments.is_(None), column), else_=null())
    return lambda context: shown


def _carried_by(column: ColumnElement[Any]) -> Callable[[Sequence[str]], ColumnElement[bool]]:
    """A filter by a provider attribute: any segment of a network counts."""
    return lambda texts: networks.c.id.in_(select(segment_rows.c.network_id).where(column.in_(texts)))


def _numbered(texts: Sequence[str]) -> ColumnElement[bool]:
    return _carried_by(segment_rows.c.segmentation_id)([_NUMBER.parse(text) for text in texts])


_NUMBER = number()
_ROUTED = exists(
    select(subnets.c.id).where(subnets.c.network_id == networks.c.id, subnets.c.segment_id.is_not(None))
)

NETWORK = Resource(
    "network",
    table=networks,
    wording=NEUTRON,
    not_found=NetworkNotFound,
    policy_columns={"router:external": seen_external},
    attributes=(
        ID,
        NAME,
        PROJECT,
        ADMIN_STATE_UP,
        Attribute("status", types.string(16), default="ACTIVE", filter=True, sort=True),
        Attribute("subnets", types.list_of(types.uuid), loader=_subnets, empty=()),
        Attribute(
            "shared",
            types.boolean,
            seen=seen_shared(NETWORKS),
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "router:external",
            types.boolean,
            column=networks.c.external,
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "is_default",
            types.boolean,
            default=False,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "provider:network_type",
            given(types.string(32)),
            column=networks.c.network_type,
            seen=_of_one(networks.c.network_type),
            create=True,
            update=True,
            policy=True,
            filter=True,
            condition=_carried_by(segment_rows.c.network_type),
            sort=True,
        ),
        Attribute(
            "provider:physical_network",
            given(types.string(64)),
            column=networks.c.physical_network,
            seen=_of_one(networks.c.physical_network),
            create=True,
            update=True,
            policy=True,
            filter=True,
            condition=_carried_by(segment_rows.c.physical_network),
            sort=True,
        ),
        Attribute(
            "provider:segmentation_id",
            given(number()),
            column=networks.c.segmentation_id,
            seen=_of_one(networks.c.segmentation_id),
            create=True,
            update=True,
            policy=True,
            filter=True,
            condition=_numbered,
            sort=True,
        ),
        Attribute(
            "segments",
            SEGMENTS,
            default=None,
            create=True,
            policy=True,
            omitted=True,
            description="The provider attributes of each segment, where there are several.",
        ),
        Attribute(
            "vlan_transparent",
            types.boolean,
            default=False,
            create=True,
            filter=True,
            description="Whether frames that guests have tagged pass, with their tags.",
        ),
        Attribute(
            "qinq",
            types.boolean,
            default=False,
            create=True,
            filter=True,
            description="The same, in a service tag (IEEE 802.1ad) on the physical network.",
        ),
        Attribute(
            "l2_adjacency",
            types.boolean,
            column=~_ROUTED,
            default=True,
            description="Whether all its ports hear each other's broadcasts: not in a routed network.",
        ),
        Attribute(
            "mtu",
            number(0),
            default=0,
            create=True,
            update=True,
            filter=True,
            sort=True,
            description="0 asks for the greatest that fits through the underlay.",
        ),
        Attribute(
            "port_security_enabled",
            types.boolean,
            default=True,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            filter=True,
        ),
        Attribute(
            "availability_zone_hints",
            ZONE_HINTS,
            default=[],
            create=True,
            sort=True,
        ),
        Attribute("availability_zones", types.list_of(types.string(255)), loader=_zones, empty=()),
        Attribute("ipv4_address_scope", REFERENCE, loader=_scope(4)),
        Attribute("ipv6_address_scope", REFERENCE, loader=_scope(6)),
        Attribute("dns_domain", DOMAIN_NAME, default="", create=True, update=True),
        Attribute("qos_policy_id", REFERENCE, default=None, create=True, update=True, filter=True),
        *STANDARD,
    ),
)

RULES = rules(
    {
        "create_network": ADMIN_OR_MEMBER,
        "create_network:shared": ADMIN,
        "create_network:router:external": ADMIN,
        "create_network:is_default": ADMIN,
        "create_network:port_security_enabled": ADMIN_OR_MEMBER,
        "create_network:provider:network_type": ADMIN,
        "create_network:provider:physical_network": ADMIN,
        "create_network:provider:segmentation_id": ADMIN,
        "create_network:segments": ADMIN,
        "update_network:provider:network_type": ADMIN,
        "update_network:provider:physical_network": ADMIN,
        "update_network:provider:segmentation_id": ADMIN,
        "get_network": any_of(ADMIN_OR_READER, SERVICE, "rule:shared", "rule:external"),
        "get_network:provider:network_type": ADMIN,
        "get_network:segments": ADMIN,
        "get_network:provider:physical_network": ADMIN,
        "get_network:provider:segmentation_id": ADMIN,
        "update_network": ADMIN_OR_MEMBER,
        "update_network:shared": ADMIN,
        "update_network:router:external": ADMIN,
        "update_network:is_default": ADMIN,
        "update_network:port_security_enabled": ADMIN_OR_MEMBER,
        "delete_network": ADMIN_OR_MEMBER,
    }
)
