"""A request for servers as a value."""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.resource.access import Access
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.servers.block_device_mappings import Device


class ServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A request for servers, checked in its form. ``ids`` are for as many as there may be."""

    name: str
    flavor_id: str
    image_id: str
    ids: tuple[str, ...]
    operation_id: str
    reservation_id: str
    minimum: int = 1
    networks: Any = None
    groups: tuple[str, ...] = ()
    key_name: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    user_data: str | None = None
    files: list[dict[str, str]] = msgspec.field(default_factory=list)
    config_drive: bool = False
    disk_config: str = "MANUAL"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    description: str | None = None
    hostname: str | None = None
    tags: tuple[str, ...] = ()
    password: str = ""
    zone: str | None = None
    host: str | None = None
    node: str | None = None
    forced: bool = False
    hints: dict[str, Any] = msgspec.field(default_factory=dict)
    qos_policy_id: str | None = None
    devices: tuple[Device, ...] = ()


def forced_host(access: Access, zone: str) -> tuple[str | None, str | None, str | None]:
    """``zone:host:node`` taken apart; only administrators may name more than a zone."""
    parts = zone.split(":")
    if len(parts) == 1:
        return zone, None, None
    if len(parts) > 3:
        raise BadRequest("Unable to parse availability_zone")
    access.require("os_compute_api:servers:create:forced_host")
    host, node = parts[1] or None, parts[2] if len(parts) == 3 else None
    return parts[0] or None, host, node
