"""Physical switches as their agent sees them: values, and a protocol; a driver for each way to reach one."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec


class SwitchFailed(Exception):
    """A switch can't be reached, or has refused something."""


class Attachment(msgspec.Struct, frozen=True, order=True):
    """A network on a port: its frames wear the tag ``vlan`` there, or none (0)."""

    port: str
    vlan: int
    network_id: str


class CarriedNetwork(msgspec.Struct, frozen=True):
    """A network on a switch: ``number`` is its VNI or its VLAN. ``ways``: hardware addresses that are behind
    tunnel endpoints of nodes; ``floods``: the endpoints that get what is for everybody."""

    network_id: str
    number: int
    ways: dict[str, str] = {}
    floods: tuple[str, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """Everything that the cloud wants of a switch."""

    networks: tuple[CarriedNetwork, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """``tunnel_ip``: where the switch takes tunnels in; None: it carries VLANs."""

    ports: tuple[str, ...]
    tunnel_ip: str | None = None


class PhysicalSwitch(Protocol):
    """All methods raise SwitchFailed. ``changed`` is set when the switch has changed by itself."""

    name: str
    kind: str
    changed: asyncio.Event

    async def facts(self) -> Facts:
        """The ports of the switch, and its endpoint."""

    async def bring(self, wanted: Wanted, *, whole: bool) -> int:
        """Make it so; how much changed. ``whole``: take nothing for granted."""

    async def learned(self) -> dict[str, frozenset[str]]:
        """The hardware addresses that it has seen at its ports, by network."""

    async def close(self) -> None:
        """Let the connection go; the switch stays as it is."""
