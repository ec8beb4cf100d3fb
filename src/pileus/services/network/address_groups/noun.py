"""Address groups as a part of the API."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.network.address_groups import work
from pileus.services.network.address_groups.handlers import address_routes, changeable
from pileus.services.network.address_groups.resource import ADDRESS_GROUP, RULES
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun

PATH = "/v2.0/address-groups"

NOUN = Noun(
    name="address_group",
    routes=(
        *crud_routes(
            Crud(
                resource=ADDRESS_GROUP,
                create=work.address_group_create,
                update=work.address_group_update,
                delete=work.address_group_delete,
                visible=changeable,
            ),
            PATH,
        ),
        *address_routes(PATH),
    ),
    rules=RULES,
    extensions=(
        Extension("address-group", "Address group", "Support address group", "2020-07-15T10:00:00-00:00"),
    ),
)
