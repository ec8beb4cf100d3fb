"""The declaration of logs."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.standard import STANDARD
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, REFERENCE
from pileus.services.network.common.policy import ADMIN_OR_MANAGER, rules
from pileus.services.network.logs.tables import logs

SECURITY_GROUP = "security_group"
ACCEPT, DROP, ALL = "ACCEPT", "DROP", "ALL"


class LogResourceNotFound(NotFound):
    message = "Log resource {log_id} could not be found."


LOG = Resource(
    "log",
    table=logs,
    wording=NEUTRON,
    not_found=LogResourceNotFound,
    attributes=(
        ID,
        NAME,
        PROJECT,
        Attribute("resource_type", types.string(255), create=True, required=True, filter=True, sort=True),
        Attribute(
            "resource_id",
            REFERENCE,
            default=None,
            create=True,
            filter=True,
            sort=True,
            description="The security group whose ports are logged; without it all of the project's.",
        ),
        Attribute(
            "target_id",
            REFERENCE,
            default=None,
            create=True,
            filter=True,
            sort=True,
            description="The one port that is logged.",
        ),
        Attribute("event", types.enum(ACCEPT, DROP, ALL), default=ALL, create=True, filter=True),
        Attribute("enabled", types.boolean, default=True, create=True, update=True, filter=True, sort=True),
        *(one for one in STANDARD if one.name != "tags"),
    ),
)

RULES = rules(
    {
        "get_loggable_resource": ADMIN_OR_MANAGER,
        "create_log": ADMIN_OR_MANAGER,
        "get_log": ADMIN_OR_MANAGER,
        "update_log": ADMIN_OR_MANAGER,
        "delete_log": ADMIN_OR_MANAGER,
    }
)
