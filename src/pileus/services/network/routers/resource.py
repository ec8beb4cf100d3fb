"""The declaration of routers (extensions ``router``, ``ext-gw-mode``, ``extraroute``,
``router_availability_zone`` of the Network API)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, select

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.agents.tables import agents
from pileus.services.network.common.addressing import ROUTES
from pileus.services.network.common.attributes import ADMIN_STATE_UP, ID, NAME, PROJECT, REFERENCE, ZONE_HINTS
from pileus.services.network.common.errors import RouterNotFound
from pileus.services.network.common.policy import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.network.ports.resource import FIXED_IPS
from pileus.services.network.ports.tables import ports
from pileus.services.network.qos.tables import router_policies
from pileus.services.network.routers.tables import router_bindings, router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx

_GATEWAYS = (
    select(
        routers.c.id,
        routers.c.enable_snat,
        ports.c.network_id,
        ports.c.fixed_ips,
        router_policies.c.qos_policy_id,
    )
    .select_from(
        routers.join(
            router_ports,
            and_(
                router_ports.c.router_id == routers.c.id,
                router_ports.c.port_type == device_owners.ROUTER_GATEWAY,
            ),
        )
        .join(ports, ports.c.id == router_ports.c.port_id)
        .outerjoin(router_policies, router_policies.c.router_id == routers.c.id)
    )
    .where(routers.c.id.in_(bindparam("ids", expanding=True)))
    # The first one last: it is the one that a dictionary by router keeps.
    .order_by(router_ports.c.gateway_index.desc(), router_ports.c.port_id.desc())
)
_ALL_GATEWAYS = (
    select(router_ports.c.router_id, ports.c.network_id, ports.c.fixed_ips)
    .select_from(router_ports.join(ports, ports.c.id == router_ports.c.port_id))
    .where(
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type == device_owners.ROUTER_GATEWAY,
    )
    .order_by(router_ports.c.gateway_index, router_ports.c.port_id)
)
_ZONES = (
    select(router_bindings.c.router_id, agents.c.availability_zone)
    .select_from(router_bindings.join(agents, agents.c.id == router_bindings.c.agent_id))
    .where(
        router_bindings.c.router_id.in_(bindparam("ids", expanding=True)),
        agents.c.availability_zone.is_not(None),
    )
)


def gateway_info(
    network_id: str, fixed_ips: list[dict[str, str]], enable_snat: bool, qos_policy_id: str | None = None
) -> dict[str, Any]:
    """``external_gateway_info`` as it is shown."""
    return {
        "network_id": network_id,
        "external_fixed_ips": fixed_ips,
        "enable_snat": enable_snat,
        "qos_policy_id": qos_policy_id,
    }


def gateways_first(tx: Tx, router_ids: list[str]) -> dict[str, dict[str, Any]]:
    """``external_gateway_info`` of routers that have a gateway: the first one; one statement."""
    return {
        row.id: gateway_info(row.network_id, row.fixed_ips, row.enable_snat, row.qos_policy_id)
        for row in tx.rows(_GATEWAYS, {"ids": router_ids})
    }


def gateways_all(tx: Tx, router_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """``external_gateways`` of routers that have any, the first one first; one statement."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tx.rows(_ALL_GATEWAYS, {"ids": router_ids}):
        one = {"network_id": row.network_id, "external_fixed_ips": row.fixed_ips}
        found.setdefault(row.router_id, []).append(one)
    return found


def _zones(tx: Tx, router_ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for row in tx.rows(_ZONES, {"ids": router_ids}):
        found.setdefault(row.router_id, set()).add(row.availability_zone)
    return {router_id: sorted(zones) for router_id, zones in found.items()}


GATEWAY = types.dict_of(
    {
        "network_id": types.uuid,
        "enable_snat": types.boolean,
        "external_fixed_ips": FIXED_IPS,
        "qos_policy_id": REFERENCE,
    },
    required=("network_id",),
)


def _parse_info(value: Any) -> Any:
    """Whatever is empty clears the gateway, as null does."""
    return GATEWAY.parse(value) if value else None


def _parse_flag(value: Any) -> bool | None:
    """Null leaves it open, as it is to leave it out."""
    return None if value is None else types.boolean.parse(value)


_FLAG = Type("boolean", _parse_flag, {"type": ["boolean", "null"]}, accepts_none=True)

ROUTER = Resource(
    "router",
    table=routers,
    wording=NEUTRON,
    not_found=RouterNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        ADMIN_STATE_UP,
        Attribute("status", types.string(16), default="ACTIVE", filter=True, sort=True),
        Attribute(
            "external_gateway_info",
            Type("gateway", _parse_info, {"anyOf": [GATEWAY.schema, {"type": "null"}]}, accepts_none=True),
            loader=gateways_first,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
        ),
        Attribute(
            "external_gateways",
            types.list_of(types.dict_of({"network_id": types.uuid, "external_fixed_ips": FIXED_IPS})),
            loader=gateways_all,
            view_only=True,
            empty=(),
            default=(),
            description="All its gateways, of which the first is its external_gateway_info.",
        ),
        Attribute(
            "enable_default_route_ecmp",
            _FLAG,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            description="Whether what leaves without an address of its own goes out by all gateways.",
        ),
        Attribute(
            "enable_default_route_bfd",
            _FLAG,
            default=None,
            create=True,
            update=True,
            policy=True,
            policy_get=False,
            description="Whether next hops outside are watched, so that a dead one is not used.",
        ),
        Attribute("enable_snat", types.boolean, default=True, visible=False),
        Attribute("routes", ROUTES, default=[], update=True),
        Attribute(
            "distributed",
            _FLAG,
            default=None,
            create=True,
            update=True,
            policy=True,
            filter=True,
            description="Whether hosts route by themselves what their guests send.",
        ),
        Attribute(
            "ha",
            _FLAG,
            default=None,
            create=True,
            update=True,
            policy=True,
            filter=True,
            description="Whether several agents hold it ready, one of which is active.",
        ),
        Attribute(
            "enable_ndp_proxy",
            _FLAG,
            default=None,
            create=True,
            update=True,
            filter=True,
            description="Whether it answers outside for IPv6 addresses behind it that have an NDP proxy.",
        ),
        Attribute(
            "availability_zone_hints",
            ZONE_HINTS,
            default=[],
            create=True,
        ),
        Attribute(
            "flavor_id", REFERENCE, default=None, create=True, policy=True, policy_get=False, sort=True
        ),
        Attribute("gateway_vm", types.boolean, default=False, visible=False),
        Attribute("availability_zones", types.list_of(types.string(255)), loader=_zones, empty=()),
        *STANDARD,
    ),
)

RULES = rules(
    {
        "create_router": ADMIN_OR_MEMBER,
        "create_router:distributed": ADMIN,
        "create_router:ha": ADMIN,
        "create_router:flavor_id": ADMIN_OR_MEMBER,
        "create_router:enable_default_route_bfd": ADMIN,
        "create_router:enable_default_route_ecmp": ADMIN,
        "create_router:external_gateway_info": ADMIN_OR_MEMBER,
        "create_router:external_gateway_info:network_id": ADMIN_OR_MEMBER,
        "create_router:external_gateway_info:enable_snat": ADMIN,
        "create_router:external_gateway_info:external_fixed_ips": ADMIN,
        "get_router": ADMIN_OR_READER,
        "get_router:distributed": ADMIN,
        "get_router:ha": ADMIN,
        "update_router": ADMIN_OR_MEMBER,
        "update_router:distributed": ADMIN,
        "update_router:ha": ADMIN,
        "update_router:enable_default_route_bfd": ADMIN,
        "update_router:enable_default_route_ecmp": ADMIN,
        "update_router:external_gateway_info": ADMIN_OR_MEMBER,
        "update_router:external_gateway_info:network_id": ADMIN_OR_MEMBER,
        "update_router:external_gateway_info:enable_snat": ADMIN,
        "update_router:external_gateway_info:external_fixed_ips": ADMIN,
        "delete_router": ADMIN_OR_MEMBER,
        "add_router_interface": ADMIN_OR_MEMBER,
        "remove_router_interface": ADMIN_OR_MEMBER,
        "add_external_gateways": ADMIN_OR_MEMBER,
        "add_external_gateways:external_gateways": ADMIN_OR_MEMBER,
        "add_external_gateways:external_gateways:network_id": ADMIN_OR_MEMBER,
        "add_external_gateways:external_gateways:enable_snat": ADMIN,
        "add_external_gateways:external_gateways:external_fixed_ips": ADMIN,
        "update_external_gateways": ADMIN_OR_MEMBER,
        "update_external_gateways:external_gateways": ADMIN_OR_MEMBER,
        "update_external_gateways:external_gateways:network_id": ADMIN_OR_MEMBER,
        "update_external_gateways:external_gateways:enable_snat": ADMIN,
        "update_external_gateways:external_gateways:external_fixed_ips": ADMIN,
        "remove_external_gateways": ADMIN_OR_MEMBER,
        "remove_external_gateways:external_gateways": ADMIN_OR_MEMBER,
        "add_extraroutes": ADMIN_OR_MEMBER,
        "remove_extraroutes": ADMIN_OR_MEMBER,
    }
)
