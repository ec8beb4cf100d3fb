"""Connections to consoles of real machines, which listen nowhere.

A display is reached by a socket that libvirt makes and hands over (virDomainOpenGraphicsFD): it has neither
a port nor a path. A serial line is the terminal that QEMU has made for it. Two who read one would have half
of the letters each, so whoever comes takes the place of who was there.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from pileus.core.streams import ByteStream
from pileus.drivers.channel import Channel
from pileus.drivers.libvirt import domain as xml
from pileus.drivers.libvirt.connection import Connection
from pileus.drivers.libvirt.hypervisor import ConsoleKind, ConsoleMissing

_VERB = "open_console"


def _display(domain: Any) -> int:
    if not domain.isActive():
        raise ConsoleMissing(_VERB, "the machine does not run")
    if not xml.has_display(domain.XMLDesc()):
        raise ConsoleMissing(_VERB, "the machine was started without a display")
    return int(domain.openGraphicsFD(0, 0))


def _serial(domain: Any) -> int:
    path = xml.serial_line(domain.XMLDesc()) if domain.isActive() else ""
    if not path:
        raise ConsoleMissing(_VERB, "the machine does not run, or has no serial line")
    try:
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConsoleMissing(_VERB, f"its serial line can't be opened: {error}") from error


_WAYS: dict[ConsoleKind, Callable[[Any], int]] = {"vnc": _display, "serial": _serial}


class RealConsoles:
    """Opens consoles, and knows who listens to which serial line."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lines: weakref.WeakValueDictionary[str, Channel] = weakref.WeakValueDictionary()

    async def open(self, uuid: str, kind: ConsoleKind) -> ByteStream:
        """See Hypervisor.open_console."""
        way = _WAYS[kind]
        fd = await self._connection.call(_VERB, lambda libvirt: way(libvirt.lookupByUUIDString(uuid)))
        channel = Channel(fd)
        if kind == "serial":
            before, self._lines[uuid] = self._lines.get(uuid), channel
            if before is not None:
                await before.close()
        return channel
