"""Decisions about taps, of values alone; and what is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

from pileus.core.context import Context
from pileus.core.errors import Conflict, Forbidden, NotFound
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.taps.resource import GREATEST_KEY


class InvalidSourcePort(NotFound):
    message = "Source Port  {port} does not exist"


class PortDoesNotBelongToProject(Forbidden):
    message = "The specified port does not belong to the project"


class TapServiceNotBelongToProject(Forbidden):
    message = "Specified Tap Service does not belong to the project"


class TapMirrorTunnelConflict(Conflict):
    message = "Tap Mirror with tunnel_id {tunnel_id} already exists"


def may_see(context: Context, project_id: str) -> bool:
    """Whether the caller may see something of a project's."""
    return context.is_admin or context.project_id == project_id


def check_mirror(spec: Mapping[str, Any], taken: Collection[int], nodes: Collection[str]) -> None:
    """Refuse keys that are taken or too large for their tunnel, and receivers that are no collector.
    ``nodes``: the addresses at which nodes take tunnels in; a mirror to one could bring frames into another
    project's network."""
    most = GREATEST_KEY[spec["mirror_type"]]
    for key in spec["directions"].values():
        if key > most:
            kind = spec["mirror_type"]
            raise InvalidInput(
                f"directions: '{key}' is too large for {kind} - must be no larger than '{most}'"
            )
        if key in taken:
            raise TapMirrorTunnelConflict(tunnel_id=key)
    address = ipaddress.ip_address(spec["remote_ip"])
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        raise InvalidInput(f"remote_ip: '{address}' is not the address of a host")
    if address in {ipaddress.ip_address(one) for one in nodes}:
        raise InvalidInput(f"remote_ip: '{address}' is a node of this cloud")
