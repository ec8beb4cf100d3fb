"""Units of work of flavors and service profiles, and which provider a flavor leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound, Unavailable
from pileus.resource.declaration import Update, Values
from pileus.services.network.common.errors import InUse, InvalidInput
from pileus.services.network.flavors.resource import FLAVOR, SERVICE_PROFILE, FlavorNotFound
from pileus.services.network.flavors.tables import flavor_profiles, network_flavors, service_profiles
from pileus.services.network.service_providers import Provider, provider_of_driver
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx


class FlavorInUse(InUse):
    message = "Flavor {flavor_id} is used by some service instance."


class ServiceProfileInUse(InUse):
    message = "Service Profile {sp_id} is used by some service instance."


class ServiceProfileDriverNotFound(NotFound):
    message = "Service Profile driver {driver} could not be found."


class ServiceProfileEmpty(InvalidInput):
    message = "Service Profile needs either a driver or metainfo."

    def __init__(self) -> None:
        super(InvalidInput, self).__init__()


class FlavorServiceProfileBindingExists(Conflict):
    message = "Service Profile {sp_id} is already associated with flavor {fl_id}."


class FlavorServiceProfileBindingNotFound(NotFound):
    message = "Service Profile {sp_id} is not associated with flavor {fl_id}."


class FlavorDisabled(Unavailable):
    message = "Flavor is not enabled."


class ServiceProfileDisabled(Unavailable):
    message = "Service Profile is not enabled."


_PROFILES = (
    select(
        network_flavors.c.id.label("flavor_id"),
        network_flavors.c.enabled.label("flavor_enabled"),
        service_profiles.c.driver,
        service_profiles.c.enabled,
    )
    .select_from(
        network_flavors.outerjoin(
            flavor_profiles, flavor_profiles.c.flavor_id == network_flavors.c.id
        ).outerjoin(service_profiles, service_profiles.c.id == flavor_profiles.c.service_profile_id)
    )
    .where(network_flavors.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(network_flavors.c.id, flavor_profiles.c.bound_at, service_profiles.c.id)
)


def flavor_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new flavors."""
    FLAVOR.insert(tx, context, specs)
    return [Values({**spec, "service_profiles": []}) for spec in specs]


def flavor_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change flavors."""
    return FLAVOR.change(tx, context, updates)


def flavor_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete flavors: FlavorInUse while a router is of one."""
    try:
        with tx.savepoint():
            FLAVOR.remove(tx, originals)
    except Referenced:
        raise FlavorInUse(flavor_id=originals[0]["id"]) from None


def profile_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new service profiles; their drivers must be some provider's."""
    for spec in specs:
        _check_driver(spec["driver"])
        if not spec["driver"] and not spec["metainfo"]:
            raise ServiceProfileEmpty
    SERVICE_PROFILE.insert(tx, context, specs)
    return [Values({**spec, "flavors": []}) for spec in specs]


def profile_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change service profiles: ServiceProfileInUse while a flavor has one."""
    for one in updates:
        _check_driver(one.changes.get("driver", ""))
        if one.original["flavors"]:
            raise ServiceProfileInUse(sp_id=one.original["id"])
    return SERVICE_PROFILE.change(tx, context, updates)


def profile_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete service profiles: ServiceProfileInUse while a flavor has one."""
    try:
        with tx.savepoint():
            SERVICE_PROFILE.remove(tx, originals)
    except Referenced:
        raise ServiceProfileInUse(sp_id=originals[0]["id"]) from None


def profile_bind(tx: Tx, context: Context, flavor: Values, profile: Values) -> Values:
    """Give a flavor a profile: FlavorServiceProfileBindingExists."""
    row = {"flavor_id": flavor["id"], "service_profile_id": profile["id"], "bound_at": context.now}
    try:
        with tx.savepoint():
            tx.insert(flavor_profiles, [row])
    except Duplicate:
        raise FlavorServiceProfileBindingExists(sp_id=profile["id"], fl_id=flavor["id"]) from None
    return Values({**flavor, "service_profiles": [*flavor["service_profiles"], profile["id"]]})


def profile_unbind(tx: Tx, flavor: Values, profile_id: str) -> None:
    """Take a profile from a flavor: FlavorServiceProfileBindingNotFound."""
    if profile_id not in flavor["service_profiles"]:
        raise FlavorServiceProfileBindingNotFound(sp_id=profile_id, fl_id=flavor["id"])
    tx.execute(
        delete(flavor_profiles).where(
            flavor_profiles.c.flavor_id == flavor["id"], flavor_profiles.c.service_profile_id == profile_id
        )
    )


def providers_of_flavors(tx: Tx, flavor_ids: Sequence[str]) -> dict[str, Provider]:
    """The provider that each flavor leads to; one statement, none for none. FlavorNotFound, FlavorDisabled,
    FlavorServiceProfileBindingNotFound, ServiceProfileDisabled, ServiceProfileDriverNotFound."""
    if not flavor_ids:
        return {}
    first: dict[str, Row[Any]] = {}
    for row in tx.rows(_PROFILES, {"ids": sorted(set(flavor_ids))}):
        first.setdefault(row.flavor_id, row)
    return {flavor_id: _provider(flavor_id, first.get(flavor_id)) for flavor_id in flavor_ids}


def _provider(flavor_id: str, row: Row[Any] | None) -> Provider:
    if row is None:
        raise FlavorNotFound(flavor_id=flavor_id)
    if not row.flavor_enabled:
        raise FlavorDisabled
    if row.driver is None:
        raise FlavorServiceProfileBindingNotFound(sp_id="", fl_id=flavor_id)
    if not row.enabled:
        raise ServiceProfileDisabled
    provider = provider_of_driver(row.driver)
    if provider is None:
        raise ServiceProfileDriverNotFound(driver=row.driver)
    return provider


def _check_driver(driver: str) -> None:
    if driver and provider_of_driver(driver) is None:
        raise ServiceProfileDriverNotFound(driver=driver)
