"""The declaration of local IPs (extension ``local_ip``)."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, REFERENCE
from pileus.services.network.common.policy import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    PARENT_OWNER_READER,
    any_of,
    rules,
)
from pileus.services.network.local_ips.tables import local_ips

TRANSLATE, PASSTHROUGH = "translate", "passthrough"


class LocalIPNotFound(NotFound):
    message = "Local IP {id} could not be found."


LOCAL_IP = Resource(
    "local_ip",
    table=local_ips,
    wording=NEUTRON,
    not_found=LocalIPNotFound,
    attributes=(
        ID,
        NAME,
        Attribute(
            "description",
            types.string(1024),
            default="",
            create=True,
            update=True,
            filter=True,
            sort=True,
        ),
        PROJECT,
        Attribute("local_port_id", REFERENCE, default=None, create=True, filter=True, sort=True),
        Attribute("network_id", REFERENCE, default=None, create=True, filter=True, sort=True),
        Attribute(
            "local_ip_address",
            types.nullable(types.ip_address),
            default=None,
            create=True,
            filter=True,
            sort=True,
        ),
        Attribute(
            "ip_mode",
            types.enum(TRANSLATE, PASSTHROUGH),
            default=TRANSLATE,
            create=True,
            filter=True,
            sort=True,
            description="Whether packets get the port's own address, or keep the local one.",
        ),
    ),
)

_PARENT_MEMBER = any_of(ADMIN, "role:member and rule:ext_parent_owner")
RULES = rules(
    {
        "create_local_ip": ADMIN_OR_MEMBER,
        "get_local_ip": ADMIN_OR_READER,
        "update_local_ip": ADMIN_OR_MEMBER,
        "delete_local_ip": ADMIN_OR_MEMBER,
        "create_local_ip_port_association": _PARENT_MEMBER,
        "get_local_ip_port_association": any_of(ADMIN, PARENT_OWNER_READER),
        "delete_local_ip_port_association": _PARENT_MEMBER,
    }
)
