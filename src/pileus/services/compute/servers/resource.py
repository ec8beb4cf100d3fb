"""The declaration of servers: the stored attributes that lists sort by and units work with.

What a client sees of a server depends on the microversion, the caller and other tables; ``view.py`` makes it.
"""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.errors import ServerNotFound
from pileus.services.compute.tables.servers import servers

_ALIASES = {
    "id": "uuid",
    "name": "display_name",
    "project_id": "tenant_id",
    "description": "display_description",
    "disk_config": "auto_disk_config",
    "flavor_id": "instance_type_id",
    "image_id": "image_ref",
}
_SORTS = frozenset(
    {
        "access_ip_v4", "access_ip_v6", "availability_zone", "config_drive", "created_at", "description",
        "disk_config", "flavor_id", "host", "hostname", "id", "image_id", "key_name", "launch_index",
        "launched_at", "locked_by", "name", "node", "power_state", "project_id", "task_state",
        "terminated_at", "updated_at", "user_id", "vm_state",
    }
)  # fmt: skip

SERVER = Resource(
    "server",
    table=servers,
    wording=NOVA,
    not_found=ServerNotFound,
    rules={
        "list": "os_compute_api:servers:index",
        "get": "os_compute_api:servers:show",
        "create": "os_compute_api:servers:create",
        "update": "os_compute_api:servers:update",
        "delete": "os_compute_api:servers:delete",
    },
    attributes=tuple(
        Attribute(
            column.key,
            types.anything,
            column=column,
            sort=column.key in _SORTS,
            alias=_ALIASES.get(column.key),
        )
        for column in servers.c
    ),
    default_sort=(("created_at", True), ("id", True)),
    description="A virtual machine.",
)
