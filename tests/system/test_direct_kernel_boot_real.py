"""A real guest whose kernel and ramdisk are images: the hypervisor starts them as the image says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.clouds import until
from tests.system import test_demo
from tests.system.demo_guests import BOOTED_WITHIN_S, COMPUTE, IMAGE, Guests, guests, state

from pileus.drivers.guestimage.contents import COMMAND_LINE

__all__ = ["guests", "state"]

pytestmark = [*test_demo.pytestmark, pytest.mark.nightly]

BOOT_PARTITION = 1 << 20  # where the guest image has its FAT file system, in bytes


def boot_files(disk: Path, folder: Path) -> dict[str, Path]:
    """The kernel and ramdisk on a guest's disk."""
    raw = folder / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(disk), str(raw)], check=True)
    found = {"vmlinuz": folder / "vmlinuz", "initrd": folder / "initrd"}
    for name, path in found.items():
        subprocess.run(["mcopy", "-i", f"{raw}@@{BOOT_PARTITION}", f"::/{name}", str(path)], check=True)
    return found


def upload(guests: Guests, file: Path, format: str, container: str, **properties: str) -> str:
    body = {"name": file.name, "disk_format": format, "container_format": container, **properties}
    image = str(guests.api.call("POST", f"{IMAGE}/images", body)["id"])
    kind = {"Content-Type": "application/octet-stream"}
    answer = guests.api.ask("PUT", f"{IMAGE}/images/{image}/file", file.read_bytes(), kind)
    assert answer.status == 204, answer
    return image


def test_a_guest_is_started_by_a_kernel_that_is_an_image(guests: Guests, tmp_path: Path) -> None:
    server = guests.server("demo-1")
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(guests.api.ask("GET", f"{IMAGE}/images/{server['image']['id']}/file").body)
    files = boot_files(disk, tmp_path)
    kernel = upload(guests, files["vmlinuz"], "aki", "aki")
    ramdisk = upload(guests, files["initrd"], "ari", "ari")
    line = f"{COMMAND_LINE} started.by=pileus"
    image = upload(guests, disk, "qcow2", "bare", kernel_id=kernel, ramdisk_id=ramdisk, os_command_line=line)
    assert "started.by" not in guests.shell("cat /proc/cmdline"), "it had a boot loader"
    guests.api.call("POST", f"{COMPUTE}/servers/{server['id']}/action", {"rebuild": {"imageRef": image}})
    until(lambda: guests.server("demo-1")["status"] == "ACTIVE", BOOTED_WITHIN_S)
    until(lambda: "started.by=pileus" in guests.shell("cat /proc/cmdline"), BOOTED_WITHIN_S)
    # Off and on again, without the images: its files are its own.
    for one in (kernel, ramdisk):
        guests.api.call("DELETE", f"{IMAGE}/images/{one}")
    for verb, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE")):
        guests.api.call("POST", f"{COMPUTE}/servers/{server['id']}/action", {verb: None})
        until(lambda status=status: guests.server("demo-1")["status"] == status, BOOTED_WITHIN_S)
    assert "started.by=pileus" in guests.shell("cat /proc/cmdline")
