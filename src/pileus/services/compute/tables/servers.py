"""Tables of servers.

A server is desired state: ``wanted`` and ``generation`` are what its host shall make of it, ``vm_state``,
``task_state`` and ``power_state`` are what it is, in Nova's words. ``flavor`` is a copy of the flavor it was
made of; ``vcpus``, ``memory_mib`` and ``disk_gib`` repeat the part that quotas and hosts are counted by.
A deleted server keeps its row (``deleted_at``), so that lists can tell of it. ``rested_at``: since when it is
shelved, deleted softly or resized, all of which end by themselves after a time. ``kept_host`` has the machine
that a resized one was, until that is confirmed, and is where one that is migrated live is about to be;
``carried`` says what its machine is made of, where that is not the image.

``allocations`` is what a host has promised to servers: written when a host is chosen, gone when the
server is. ``resources`` has what providers of resources give besides CPUs, memory and disk: amounts by
class, by the provider's id (None: nothing). ``server_migrations`` tells of resizes, migrations and
evacuations, finished ones too: what a server was before and is after it, what the host that it is not on
keeps free for it (``held_…``), and how far a live one has come.
``server_interfaces`` says which ports are a server's, in their order, and which of them were
made for it (and go with it). ``server_volumes`` says which volumes it has, under which name in the machine
(``target``), each by an attachment of the volume service; ``state`` is attaching, attached or detaching,
``boot_index`` 0 is the root disk's, ``bus`` None that of the machine's other disks.
``guest_passwords`` has what guests posted, apart from what lists read.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from pileus.store.schema import BigSerial, Id, JsonText, LongText, Moment, Name, metadata

servers = Table(
    "servers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", Name, nullable=False),
    Column("hostname", Name, nullable=False),
    Column("description", Name),
    Column("vm_state", String(32), nullable=False),
    Column("task_state", String(32)),
    Column("power_state", Integer, nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("in_place", Boolean, nullable=False),
    Column("host", Name, index=True),
    Column("node", Name),
    Column("availability_zone", Name),
    Column("pinned_availability_zone", Name),
    Column("image_id", Id),
    Column("flavor_id", Name, nullable=False, index=True),
    Column("flavor", JsonText, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("key_name", Name),
    Column("key_type", String(8)),
    Column("key_data", LongText),
    Column("user_data", LongText),
    Column("config_drive", Boolean, nullable=False),
    Column("metadata", JsonText, key="properties", nullable=False),
    Column("files", JsonText),
    Column("password", LongText),
    Column("random_seed", String(64)),
    Column("hardware", JsonText),
    Column("rescue_image_id", Id),
    Column("shelved_image_id", Id),
    Column("rested_at", Moment),
    Column("kept_host", Name, index=True),
    Column("carried", JsonText),
    Column("disk_config", String(8), nullable=False),
    Column("access_ip_v4", String(64)),
    Column("access_ip_v6", String(64)),
    Column("launch_index", Integer, nullable=False),
    Column("reservation_id", String(32), nullable=False, index=True),
    Column("group_id", Id, index=True),
    Column("locked_by", String(8)),
    Column("locked_reason", Name),
    Column("quarantined", JsonText),
    Column("fault", JsonText),
    Column("task_since", Moment),
    Column("launched_at", Moment),
    Column("terminated_at", Moment),
    Column("deleted_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_servers_project_id_deleted_at", "project_id", "deleted_at"),
    Index("ix_servers_task_state", "task_state"),
    Index("ix_servers_rested_at", "rested_at"),
)

allocations = Table(
    "allocations",
    metadata,
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Name, nullable=False, index=True),
    Column("project_id", Id, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("resources", JsonText),
)

server_migrations = Table(
    "server_migrations",
    metadata,
    Column("number", BigSerial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("source_host", Name, nullable=False),
    Column("source_node", Name),
    Column("dest_host", Name),
    Column("dest_node", Name),
    Column("old_values", JsonText, nullable=False),
    Column("new_values", JsonText, nullable=False),
    Column("held_host", Name, index=True),
    Column("held_vcpus", Integer, nullable=False),
    Column("held_memory_mib", Integer, nullable=False),
    Column("held_disk_gib", Integer, nullable=False),
    Column("held_resources", JsonText),
    Column("progress", JsonText),
    Column("user_id", String(64)),
    Column("project_id", Id),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False, index=True),
)

server_interfaces = Table(
    "server_interfaces",
    metadata,
    Column("port_id", Id, primary_key=True),
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("tag", String(64)),
)

server_volumes = Table(
    "server_volumes",
    metadata,
    Column("attachment_id", Id, primary_key=True),
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("volume_id", Id, nullable=False, index=True),
    Column("target", String(16), nullable=False),
    Column("bus", String(8)),
    Column("boot_index", Integer),
    Column("tag", String(64)),
    Column("delete_on_termination", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("server_id", "target"),
)

guest_passwords = Table(
    "guest_passwords",
    metadata,
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("password", LongText, nullable=False),
)

server_actions = Table(
    "server_actions",
    metadata,
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("action", String(64), nullable=False),
    Column("user_id", String(64)),
    Column("project_id", Id),
    Column("message", LongText),
    Column("started_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

server_action_events = Table(
    "server_action_events",
    metadata,
    Column("server_id", Id, ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("event", String(64), primary_key=True),
    Column("host", Name),
    Column("result", String(16)),
    Column("details", LongText),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
)

server_groups = Table(
    "server_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, nullable=False, index=True),
    Column("user_id", String(64), nullable=False),
    Column("name", Name, nullable=False),
    Column("policy", String(32), nullable=False),
    Column("rules", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
)
