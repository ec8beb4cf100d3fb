"""Image properties and extra specs at the API: checked when they are set, obeyed or refused at boot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import delete
from tests.api.compute.cloud import OTHER_IMAGE, Cloud, tell

from pileus.services.image.images.tables import image_properties
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
