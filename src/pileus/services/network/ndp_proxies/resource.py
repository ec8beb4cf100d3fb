"""The declaration of NDP proxies."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT
from pileus.services.network.common.policy import ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.network.ndp_proxies.tables import ndp_proxies


class NDPProxyNotFound(NotFound):
    message = "Ndp proxy {id} could not be found."


NDP_PROXY = Resource(
    "ndp_proxy",
    plural="ndp_proxies",
    collection="ndp_proxies",
    table=ndp_proxies,
    wording=NEUTRON,
    not_found=NDPProxyNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("router_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute("port_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute(
            "ip_address",
            types.nullable(types.ip_address),
            default=None,
            create=True,
            filter=True,
            sort=True,
        ),
        *(one for one in STANDARD if one.name != "tags"),
    ),
)

RULES = rules(
    {
        "create_ndp_proxy": ADMIN_OR_MEMBER,
        "get_ndp_proxy": ADMIN_OR_READER,
        "update_ndp_proxy": ADMIN_OR_MEMBER,
        "delete_ndp_proxy": ADMIN_OR_MEMBER,
    }
)
