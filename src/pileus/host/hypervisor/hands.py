"""The tools of a step of an operation on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pileus.drivers.libvirt.hypervisor import Hypervisor
from pileus.drivers.qemu_img.images import Images
from pileus.host.hypervisor.images import Downloads
from pileus.host.hypervisor.records import Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.wire.hypervisor import PendingOperation, ServerDetails


class ImageServer(Downloads, Protocol):
    """Where images come from and go to: the bus's client."""

    async def upload(self, path: str, file: Path) -> None: ...

    async def holds(self, path: str) -> bool: ...


class Departures(Protocol):
    """Servers that leave the host while they run."""

    async def leave(self, server: ServerDetails, operation: PendingOperation, hands: Hands) -> None: ...


class Hands(Protocol):
    """The executor, as steps see it."""

    @property
    def hypervisor(self) -> Hypervisor: ...

    @property
    def images(self) -> Images: ...

    @property
    def server(self) -> ImageServer: ...

    @property
    def settings(self) -> NodeSettings: ...

    @property
    def departures(self) -> Departures: ...

    def places(self, server_id: str) -> Places: ...

    async def put_config_drive(self, server: ServerDetails) -> None: ...

    async def put_rescue_disk(self, server: ServerDetails) -> None: ...

    async def drop_rescue_disk(self, server: ServerDetails) -> None: ...

    async def define(self, server: ServerDetails) -> None: ...
