"""The declaration of address groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.types import Type
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.address_groups.tables import address_group_addresses, address_groups
from pileus.services.network.common.attributes import ID, MOST, NAME, PROJECT
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, any_of, rules
from pileus.services.network.sharing.targets import ADDRESS_GROUPS, seen_shared
from pileus.store.narrowed import narrowed
from pileus.store.tx import Tx


class AddressGroupNotFound(NotFound):
    message = "Address group {address_group_id} could not be found."


_TEXTS = types.list_of(types.string(64), unique=True, maximum=MOST, none_is_empty=True)


def _parse_prefixes(value: Any) -> list[str]:
    """Prefixes in their normal form; those that are alike but for their host bits are one."""
    return sorted({types.cidr.parse(text) for text in _TEXTS.parse(value)})


ADDRESSES = Type(
    "prefixes",
    _parse_prefixes,
    {"type": "array", "items": types.cidr.schema, "uniqueItems": True, "maxItems": MOST},
    accepts_none=True,
)


_ADDRESSES = narrowed(
    select(address_group_addresses.c.address_group_id, address_group_addresses.c.address).order_by(
        address_group_addresses.c.address_group_id, address_group_addresses.c.address
    ),
    address_group_addresses.c.address_group_id,
)


def addresses_load(tx: Tx, group_ids: Sequence[str]) -> dict[str, list[str]]:
    """The prefixes of each of the groups, in the order of their text; nothing for an empty one."""
    found: dict[str, list[str]] = {}
    for row in _ADDRESSES.rows(tx, {}, group_ids):
        found.setdefault(row.address_group_id, []).append(row.address)
    return found


def addresses_save(tx: Tx, context: Context, several: Mapping[str, Sequence[str]]) -> None:
    """Write the prefixes of new groups."""
    tx.insert(
        address_group_addresses,
        [
            {"address_group_id": group_id, "address": address}
            for group_id, addresses in several.items()
            for address in addresses
        ],
    )


ADDRESS_GROUP = Resource(
    "address_group",
    table=address_groups,
    wording=NEUTRON,
    not_found=AddressGroupNotFound,
    policy_columns={"shared": seen_shared(ADDRESS_GROUPS)},
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute(
            "addresses",
            ADDRESSES,
            default=[],
            empty=(),
            create=True,
            loader=addresses_load,
            saver=addresses_save,
            description="Prefixes; changed by add_addresses and remove_addresses.",
        ),
        *(one for one in STANDARD if one.name != "tags"),
    ),
)

RULES = rules(
    {
        "create_address_group": ADMIN_OR_MEMBER,
        "get_address_group": any_of(ADMIN_OR_READER, "rule:shared_address_groups"),
        "update_address_group": ADMIN_OR_MEMBER,
        "delete_address_group": ADMIN_OR_MEMBER,
        "add_addresses": ADMIN_OR_MEMBER,
        "remove_addresses": ADMIN_OR_MEMBER,
    }
)
