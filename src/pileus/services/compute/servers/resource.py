"""The declaration of servers: the stored attributes that lists sort by and units work with.

What a client sees of a server depends on the microversion, the caller and other tables; ``view.py`` makes it.
"""

from __future__ import annotations

from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.nova import NOVA
from pileus.services.compute.errors import ServerNotFound
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MANAGER, ADMIN_OR_MEMBER, ADMIN_OR_READER, rules
from pileus.services.compute.servers.tables import servers

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

_ITSEC = "role:itsec"

RULES = rules(
    {
        "servers:index": ADMIN_OR_READER,
        "servers:detail": ADMIN_OR_READER,
        "servers:index:get_all_tenants": ADMIN,
        "servers:detail:get_all_tenants": ADMIN,
        "servers:show": ADMIN_OR_READER + f" or {_ITSEC}",
        "servers:show:host_status": ADMIN,
        "servers:create": ADMIN_OR_MEMBER,
        "servers:create:forced_host": ADMIN,
        "servers:create:attach_network": ADMIN_OR_MEMBER,
        "servers:create:attach_external": ADMIN,
        "servers:update": ADMIN_OR_MEMBER,
        "servers:delete": ADMIN_OR_MEMBER,
        "servers:start": ADMIN_OR_MEMBER,
        "servers:stop": ADMIN_OR_MEMBER,
        "servers:reboot": ADMIN_OR_MEMBER,
        "servers:rebuild": ADMIN_OR_MEMBER,
        "servers:resize": ADMIN_OR_MEMBER,
        "servers:confirm_resize": ADMIN_OR_MEMBER,
        "servers:revert_resize": ADMIN_OR_MEMBER,
        "servers:create_image": ADMIN_OR_MEMBER,
        "os-pause-server:pause": ADMIN_OR_MEMBER,
        "os-pause-server:unpause": ADMIN_OR_MEMBER,
        "os-suspend-server:suspend": ADMIN_OR_MEMBER,
        "os-suspend-server:resume": ADMIN_OR_MEMBER,
        "os-lock-server:lock": ADMIN_OR_MEMBER,
        "os-lock-server:unlock": ADMIN_OR_MEMBER,
        "os-lock-server:unlock:unlock_override": ADMIN,
        "os-admin-password": ADMIN_OR_MEMBER,
        "os-admin-actions:reset_state": ADMIN,
        "os-admin-actions:inject_network_info": ADMIN,
        "os-deferred-delete:force": ADMIN_OR_MEMBER,
        "os-deferred-delete:restore": ADMIN_OR_MEMBER,
        "os-migrate-server:migrate": ADMIN_OR_MANAGER,
        "os-migrate-server:migrate:host": ADMIN,
        "os-migrate-server:migrate_live": ADMIN_OR_MANAGER,
        "os-migrate-server:migrate_live:host": ADMIN,
        "os-evacuate": ADMIN,
        "os-rescue": ADMIN_OR_MEMBER,
        "os-unrescue": ADMIN_OR_MEMBER,
        "os-shelve:shelve": ADMIN_OR_MEMBER,
        "os-shelve:shelve_offload": ADMIN,
        "os-shelve:unshelve": ADMIN_OR_MEMBER,
        "servers:trigger_crash_dump": ADMIN_OR_MEMBER,
        "os-console-output": ADMIN_OR_MEMBER,
        "os-security-groups:add": ADMIN_OR_MEMBER,
        "os-security-groups:remove": ADMIN_OR_MEMBER,
        "os-security-groups:list": ADMIN_OR_READER,
        "os-attach-interfaces:list": ADMIN_OR_READER,
        "os-attach-interfaces:show": ADMIN_OR_READER,
        "os-attach-interfaces:create": ADMIN_OR_MEMBER,
        "os-attach-interfaces:delete": ADMIN_OR_MEMBER,
        "os-instance-actions:list": ADMIN_OR_READER,
        "os-instance-actions:show": ADMIN_OR_READER,
        "os-instance-actions:events": ADMIN,
        "os-instance-actions:events:details": ADMIN,
        "os-server-diagnostics": ADMIN,
        "os-server-password:show": ADMIN_OR_READER,
        "os-server-password:clear": ADMIN_OR_MEMBER,
        "os-volumes-attachments:index": ADMIN_OR_READER,
        "os-extended-server-attributes": ADMIN,
        "ips:index": ADMIN_OR_READER,
        "ips:show": ADMIN_OR_READER,
        "server-metadata:index": ADMIN_OR_READER,
        "server-metadata:show": ADMIN_OR_READER,
        "server-metadata:create": ADMIN_OR_MEMBER,
        "server-metadata:update": ADMIN_OR_MEMBER,
        "server-metadata:update_all": ADMIN_OR_MEMBER,
        "server-metadata:delete": ADMIN_OR_MEMBER,
        "os-server-tags:index": ADMIN_OR_READER,
        "os-server-tags:show": ADMIN_OR_READER,
        "os-server-tags:update": ADMIN_OR_MEMBER,
        "os-server-tags:update_all": ADMIN_OR_MEMBER,
        "os-server-tags:delete": ADMIN_OR_MEMBER,
        "os-server-tags:delete_all": ADMIN_OR_MEMBER,
        "os-pileus-timeline": ADMIN_OR_READER,
        "os-pileus-quarantine": f"rule:compute_admin or {_ITSEC}",
    }
)
