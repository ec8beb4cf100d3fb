"""Routers of a flavor: they are of the kind that its provider makes."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.resource.declaration import Update, Values
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.flavors.work import providers_of_flavors
from pileus.services.network.routers.in_machine import begin_in_machine
from pileus.store.tx import Tx


def take_flavors(tx: Tx, specs: Sequence[Values]) -> None:
    """Give new routers the kind of their flavor: InvalidInput where they ask for another."""
    providers = providers_of_flavors(tx, [spec["flavor_id"] for spec in specs])
    for spec in specs:
        provider = providers[spec["flavor_id"]]
        for key, made in (("distributed", provider.distributed), ("ha", provider.ha)):
            asked = spec[key] if key in spec.given else None
            if asked not in (None, made):
                raise InvalidInput(f"Provider {provider.name} does not support {key}={asked}")
            spec[key] = made
        spec["gateway_vm"] = provider.gateway_vm
        if provider.gateway_vm:
            begin_in_machine(spec)


def refuse_other_kinds(updates: Sequence[Update]) -> None:
    """Refuse to make routers of a flavor ones of another kind than their provider's."""
    if any(one.original["flavor_id"] for one in updates):
        raise InvalidInput(
            "Changing the 'ha' and 'distributed' attributes on a router associated with a flavor is not "
            "supported"
        )
