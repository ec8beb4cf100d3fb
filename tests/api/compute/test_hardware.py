"""Image properties and extra specs at the API: checked when they are set, obeyed or refused at boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import delete, update
from tests.api.compute.cloud import OTHER_IMAGE, P1, P2, Cloud, an_image, tell

from pileus.services.image.images.tables import image_properties, images
from pileus.store.tx import Tx
from pileus.wire.hypervisor import Hardware


async def _properties(api: Cloud, **values: Any) -> None:
    def write(tx: Tx) -> None:
        tx.execute(delete(image_properties).where(image_properties.c.image_id == OTHER_IMAGE))
        rows = [{"image_id": OTHER_IMAGE, "name": name, "value": value} for name, value in values.items()]
        tx.insert(image_properties, rows)

    await api.store.write(write)


def test_extra_specs_are_checked_since_2_86(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        admin = api.as_("admin")
        path = "/flavors/1/os-extra_specs"
        bad = {"extra_specs": {"hw:cpu_policy": "none"}}
        answer = await admin("POST", path, bad)
        assert (answer.status, answer.message) == (
            400,
            "Validation failed; 'none' is not one of: dedicated, shared, mixed.",
        )
        answer = await admin("PUT", f"{path}/hw:cpu_plicy", {"hw:cpu_plicy": "shared"})
        assert (answer.status, answer.message) == (
            400,
            "Validation failed; extra spec 'hw:cpu_plicy' does not appear to be a valid extra spec.",
        )
        assert (await admin("GET", path)).json == {"extra_specs": {}}
        assert (await admin("POST", path, {"extra_specs": {"hw:cpu_policy": "dedicated"}})).status == 200
        assert (await admin.at("2.85")("POST", path, bad)).status == 200

    tell(story, tmp_path)


def test_obeyed_or_refused_at_boot(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        admin = api.as_("admin")
        asked = {"imageRef": OTHER_IMAGE, "networks": "none"}
        await _properties(api, hw_firmware_type="uefi")
        answer = await api.ask_for(**asked)
        assert (answer.status, answer.message) == (
            400,
            "Image property hw_firmware_type='uefi' is not available in this cloud.",
        )
        await _properties(api, hw_disk_bus="scsi", hw_vif_model="e1000", img_config_drive="mandatory")
        specs = {"extra_specs": {"hw:watchdog_action": "reset", "hw:numa_nodes": "2"}}
        assert (await admin("POST", "/flavors/1/os-extra_specs", specs)).status == 200
        answer = await api.ask_for(**asked)
        assert answer.message == "Flavor extra spec hw:numa_nodes='2' is not available in this cloud."
        assert await api.count("servers") == 0
        assert (await admin("DELETE", "/flavors/1/os-extra_specs/hw:numa_nodes")).status == 200
        server = await api.boot(host, **asked)
        assert server["config_drive"] == "True"
        (wanted,) = (await host.state()).servers
        expected = Hardware(disk_bus="scsi", vif_model="e1000", watchdog_action="reset")
        assert wanted.hardware == expected

        # what it was made with stays with it, until it is rebuilt
        await _properties(api, hw_disk_bus="usb")
        (wanted,) = (await host.state()).servers
        assert wanted.hardware == expected
        assert (await api.act(server["id"], "rebuild", {"imageRef": OTHER_IMAGE})).status == 400
        await _properties(api, hw_disk_bus="sata")
        assert (await api.act(server["id"], "rebuild", {"imageRef": OTHER_IMAGE})).status == 202
        (wanted,) = (await host.state()).servers
        assert wanted.hardware == Hardware(disk_bus="sata", watchdog_action="reset")
        await host.pass_()
        plain = await api.boot(host, "plain", flavorRef="2", networks="none")
        state = {one.server_id: one for one in (await host.state()).servers}
        assert state[plain["id"]].hardware == Hardware()

    tell(story, tmp_path)


KERNEL, RAMDISK = (f"10000000-0000-4000-8000-0000000000a{number}" for number in (1, 2))


async def _boot_images(api: Cloud, **changes: Any) -> None:
    """A kernel and a ramdisk, private images of the caller's project unless said otherwise."""
    now = api.clock.now()
    rows = [
        {
            **an_image(key, key, now),
            "owner": P1,
            "visibility": "private",
            "disk_format": format,
            "container_format": format,
            **changes,
        }
        for key, format in ((KERNEL, "aki"), (RAMDISK, "ari"))
    ]
    await api.store.write(lambda tx: tx.insert(images, rows))


async def _now(api: Cloud, key: str, **values: Any) -> None:
    await api.store.write(lambda tx: tx.execute(update(images).where(images.c.id == key).values(values)))


def test_a_kernel_and_ramdisk_that_are_images(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        asked = {"imageRef": OTHER_IMAGE, "networks": "none"}
        await _properties(api, kernel_id=KERNEL, ramdisk_id=RAMDISK, os_command_line="root=/dev/vda quiet")
        missing = await api.ask_for(**asked)
        assert (missing.status, missing.message) == (400, f"Image {KERNEL} could not be found.")
        await _boot_images(api)
        await _now(api, OTHER_IMAGE, disk_format="ami", container_format="ami")
        server = await api.boot(host, **asked)
        (told,) = (await host.state()).servers
        assert (told.image.disk_format, told.kernel.image_id, told.ramdisk.image_id) == (
            "raw",
            KERNEL,
            RAMDISK,
        )
        assert {told.kernel.disk_format, told.ramdisk.disk_format} == {"raw"}
        assert told.hardware.kernel_arguments == "root=/dev/vda quiet"
        shown = (await api.as_("admin")("GET", f"/servers/{server['id']}")).json["server"]
        attributes = [shown[f"OS-EXT-SRV-ATTR:{name}_id"] for name in ("kernel", "ramdisk")]
        assert attributes == [KERNEL, RAMDISK]
        # One whose images are gone starts what it has.
        await api.store.write(lambda tx: tx.execute(delete(images).where(images.c.id.in_([KERNEL, RAMDISK]))))
        (told,) = (await host.state()).servers
        assert (told.kernel, told.ramdisk, told.hardware.kernel_id) == (None, None, KERNEL)

    tell(story, tmp_path)


def test_whoever_owns_an_image_lends_nobody_elses_kernel(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host(memory_mib=8192)
        asked = {"imageRef": OTHER_IMAGE, "networks": "none"}
        await _boot_images(api, owner=P2)  # whose it is, and which is private
        await _properties(api, kernel_id=KERNEL)
        refused = await api.ask_for(**asked)
        assert (refused.status, refused.message) == (400, f"Image {KERNEL} could not be found.")
        await _properties(api)
        server = await api.boot(host, **asked)
        await _properties(api, kernel_id=KERNEL)
        refused = await api.act(server["id"], "rebuild", {"imageRef": OTHER_IMAGE})
        assert (refused.status, refused.message) == (400, f"Image {KERNEL} could not be found.")
        await _now(api, KERNEL, owner=P1, size=4 << 30)
        for refused in (
            await api.ask_for(**asked),
            await api.act(server["id"], "rebuild", {"imageRef": OTHER_IMAGE}),
        ):
            assert refused.status == 400 and "memory is" in refused.message, refused
        await _now(api, KERNEL, owner=P2, size=1 << 20)
        assert (await api.act(server["id"], "resize", {"flavorRef": "2"})).status == 202
        await api.conductor().work()
        await host.pass_()
        await api.conductor().work()
        (told,) = (await host.state()).servers
        assert (told.memory_mib, told.hardware.kernel_id, told.kernel) == (2048, None, None)
        for status in ("queued", "deactivated"):
            await _now(api, KERNEL, owner=P1, status=status)
            refused = await api.ask_for(**asked)
            assert (refused.status, refused.message) == (400, f"Image {KERNEL} is not active.")

    tell(story, tmp_path)
