"""Cases of the chains of servers with volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.compute.chain_cases import BootCase, ServerCase
from tests.api.compute.chain_moves import (
    EvacuateCase,
    OffloadCase,
    ResizeCase,
    RevertCase,
    ShelveCase,
    UnshelveCase,
)
from tests.api.compute.cloud import IMAGE
from tests.api.compute.volume_cases import Volumes

from pileus.services.compute.servers.chains import (
    ATTACH,
    DETACH,
    SHELVE_VOLUMES,
    VOLUME_BOOT,
)


class VolumeBootCase(BootCase):
    """Of a server that begins from a volume made of an image, and gets one that is there."""

    chain = VOLUME_BOOT

    async def begin(self) -> None:
        await self.set_up()
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        self.volume_id = await self.volumes.make()
        body = {"port": {"network_id": self.network_id}}
        self.given = (await self.api("POST", "/networking/v2.0/ports", body)).json["port"]["id"]
        devices = [
            {
                "source_type": "image",
                "destination_type": "volume",
                "uuid": IMAGE,
                "boot_index": 0,
                "volume_size": 2,
                "delete_on_termination": True,
            },
            {"source_type": "volume", "uuid": self.volume_id},
        ]
        networks = [{"port": self.given}, {"uuid": self.network_id}]
        answer = await self.api.ask_for(imageRef="", networks=networks, block_device_mapping_v2=devices)
        self.server = answer.json["server"]

    async def answer(self) -> None:
        await self.volumes.storage.pass_()

    async def assert_done(self) -> None:
        await self.host.pass_()
        await self.api.conductor().work()
        shown = await self.api.server(self.server_id)
        assert len(shown["os-extended-volumes:volumes_attached"]) == await self.api.count("volumes") == 2
        assert (await self.volumes.shown(self.volume_id))["status"] == "in-use"
        await super().assert_done()

    async def assert_nothing_left(self) -> None:
        await super().assert_nothing_left()
        await self.volumes.storage.pass_()
        for table, rows in (("server_volumes", 0), ("volume_attachments", 0), ("volumes", 1)):
            assert await self.api.count(table) == rows, table
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"


class AttachCase(ServerCase):
    """Of a volume whose pool is on the server's host."""

    chain = ATTACH
    verb = "attach_volume"

    async def begin(self) -> None:
        await self.set_up()
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        self.volume_id = await self.volumes.make()
        self.server = await self.api.boot(self.host)
        self.clock.advance(1)
        await self.ask()

    async def ask(self) -> None:
        body = {"volumeAttachment": {"volumeId": self.volume_id}}
        answer = await self.api("POST", f"/servers/{self.server_id}/os-volume_attachments", body)
        assert answer.status == 200, answer

    async def answer(self) -> None:
        await self.volumes.storage.pass_()
        await self.host.pass_(ports=False)

    async def attached(self) -> bool:
        """Whether all say the same of it: the volume, the server, and its host is told so."""
        volume = await self.volumes.shown(self.volume_id)
        server = await self.api.server(self.server_id)
        (wanted,) = (await self.host.state()).servers
        found = {volume["status"] == "in-use", bool(server["os-extended-volumes:volumes_attached"])}
        found |= {
            bool(volume["attachments"]),
            bool(wanted.volumes),
            await self.api.count("server_volumes") == 1,
        }
        assert len(found) == 1, (volume, server, wanted)
        return bool(found.pop())

    async def assert_done(self) -> None:
        assert await self.attached()
        await self.assert_action(self.verb, None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert not await self.attached()
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"
        await self.assert_action(self.verb, reason)
        await self.host.pass_(ports=False)
        await self.api.conductor().work()
        assert not await self.attached()
        await self.ask()


class DetachCase(AttachCase):
    chain = DETACH
    verb = "detach_volume"

    async def begin(self) -> None:
        await super().begin()
        await self.volumes.go_on(self.host)
        assert await self.attached()
        self.clock.advance(1)
        path = f"/servers/{self.server_id}/os-volume_attachments/{self.volume_id}"
        assert (await self.api("DELETE", path)).status == 202

    async def assert_done(self) -> None:
        assert not await self.attached()
        assert (await self.volumes.shown(self.volume_id))["status"] == "available"
        await self.assert_action(self.verb, None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.attached()
        await self.assert_action(self.verb, reason)


class ShelveVolumesCase(ShelveCase):
    """Of a server that began from a volume: it has no image, and leaves its host at once."""

    chain = SHELVE_VOLUMES

    async def booted(self) -> Mapping[str, Any]:
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        return await self.volumes.boot(self.host)

    async def assert_done(self) -> None:
        assert await self.shown() == ("ACTIVE", "shelving_offloading", "h1")
        await self.host.pass_(ports=False)
        await self.api.conductor().work()
        assert await self.shown() == ("SHELVED_OFFLOADED", None, None)
        await self.volumes.storage.pass_()
        (one,) = await self.volumes.list()
        assert (one["status"], one["attachments"]) == ("reserved", [])
        assert await self.images() == []
        await self.assert_action("shelve", None)

    async def assert_undone(self, step: str, reason: str) -> None:
        assert await self.shown() == ("ACTIVE", None, "h1")
        await self.assert_action("shelve", reason)
        await self.assert_told("shelve", *SHELVE_VOLUMES.progress(step)[1:], reason)
        (told,) = (await self.host.state()).servers
        assert (told.wanted, told.operations, len(told.volumes)) == ("running", (), 1)


class WithVolume(ShelveCase):
    """Any of the moves, of a server that has a volume: that comes along, and goes back."""

    async def booted(self) -> Mapping[str, Any]:
        self.volumes = Volumes(self.api)
        await self.volumes.set_up()
        server = await super().booted()
        self.volume_id = await self.volumes.make()
        await self.volumes.attach(self.host, str(server["id"]), self.volume_id)
        return server

    async def answer(self) -> None:
        await self.volumes.storage.pass_()
        await super().answer()

    async def assert_volume(self) -> None:
        """It is open for the host that the server is on, and for no other."""
        host = (await self.api.as_("admin").server(self.server_id))["OS-EXT-SRV-ATTR:host"]
        for each in {self.host, getattr(self, "other", self.host)}:
            await self.volumes.storage.pass_()
            await each.pass_(ports=False)
        volume = await self.volumes.shown(self.volume_id)
        assert volume["status"] == ("reserved" if host is None else "in-use")
        assert await self.api.count("volume_attachments") == await self.api.count("server_volumes") == 1
        (exported,) = (await self.volumes.storage.state()).volumes
        assert [one.host for one in exported.exports] == ([] if host is None else [host])

    async def assert_done(self) -> None:
        await self.assert_volume()
        await super().assert_done()

    async def assert_undone(self, step: str, reason: str) -> None:
        await self.assert_volume()
        await super().assert_undone(step, reason)


class VolumeResizeCase(WithVolume, ResizeCase):
    pass


class VolumeRevertCase(WithVolume, RevertCase):
    pass


class VolumeEvacuateCase(WithVolume, EvacuateCase):
    pass


class VolumeOffloadCase(WithVolume, OffloadCase):
    pass


class VolumeUnshelveCase(WithVolume, UnshelveCase):
    pass
