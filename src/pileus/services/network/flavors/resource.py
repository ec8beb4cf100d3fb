"""The declarations of flavors and of service profiles."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.types import BadValue
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, TEXT
from pileus.services.network.common.policy import ADMIN, any_of, rules
from pileus.services.network.flavors.tables import flavor_profiles, network_flavors, service_profiles
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

ROUTERS = "L3_ROUTER_NAT"
SERVICE_TYPES = (ROUTERS, "FLAVORS", "QOS", "METERING", "PORTFORWARDING", "CONNTRACKHELPER")
"""Services that a flavor may be one of, by the names of Neutron's plugins."""


class FlavorNotFound(NotFound):
    message = "Flavor {flavor_id} could not be found."


class ServiceProfileNotFound(NotFound):
    message = "Service Profile {sp_id} could not be found."

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"sp_id": values.get("id"), **values})


def _known(name: str) -> str:
    if name.upper() not in SERVICE_TYPES:
        raise BadValue(f"Invalid service type: {name}", value=name)
    return name.upper()


def _profiles(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    return _bound(tx, "flavor_id", "service_profile_id", ids)


def _flavors(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    return _bound(tx, "service_profile_id", "flavor_id", ids)


def _bound(tx: Tx, of: str, other: str, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    statement = select(flavor_profiles).where(column_in(tx, flavor_profiles.c[of], ids))
    for row in tx.rows(statement.order_by(flavor_profiles.c.bound_at, flavor_profiles.c[other])):
        found.setdefault(getattr(row, of), []).append(getattr(row, other))
    return found


DESCRIPTION = Attribute("description", TEXT, default="", create=True, update=True, filter=True, sort=True)
ENABLED = Attribute("enabled", types.boolean, default=True, create=True, update=True, filter=True, sort=True)

FLAVOR = Resource(
    "flavor",
    table=network_flavors,
    wording=NEUTRON,
    not_found=FlavorNotFound,
    attributes=(
        ID,
        NAME,
        DESCRIPTION,
        Attribute(
            "service_type",
            types.normalised(types.string(36), _known),
            create=True,
            required=True,
            filter=True,
            sort=True,
        ),
        ENABLED,
        Attribute("service_profiles", types.list_of(types.uuid), loader=_profiles, empty=()),
    ),
)

SERVICE_PROFILE = Resource(
    "service_profile",
    table=service_profiles,
    wording=NEUTRON,
    not_found=ServiceProfileNotFound,
    attributes=(
        ID,
        DESCRIPTION,
        Attribute("driver", TEXT, default="", create=True, update=True, filter=True, sort=True),
        Attribute("metainfo", types.string(4096), default="", create=True, update=True, sort=True),
        ENABLED,
        Attribute("flavors", types.list_of(types.uuid), loader=_flavors, empty=()),
    ),
)

RULES = rules(
    {
        "create_flavor": ADMIN,
        "get_flavor": any_of(ADMIN, "role:reader"),
        "update_flavor": ADMIN,
        "delete_flavor": ADMIN,
        "create_service_profile": ADMIN,
        "get_service_profile": ADMIN,
        "update_service_profile": ADMIN,
        "delete_service_profile": ADMIN,
        "create_flavor_service_profile": ADMIN,
        "get_flavor_service_profile": any_of(ADMIN, "role:reader"),
        "delete_flavor_service_profile": ADMIN,
        "get_flavor_next_provider": any_of(ADMIN, "role:reader"),
    }
)
