"""Domain XML: what is rendered, and what of it can be read back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from pileus.drivers.libvirt.domain import (
    NAMESPACE,
    Disk,
    DomainSpec,
    Interface,
    device_aliases,
    digest,
    read_digest,
    render,
    render_disk,
    render_interface,
)

PLAIN = DomainSpec(
    uuid="6a1f6f0e-8a51-4c0e-9d57-2f1c5f0e8a51",
    name="pileus-6a1f6f0e",
    title="web & <one>",
    vcpus=2,
    memory_mib=512,
    tcg_cache_mib=128,
    console_log="/var/lib/pileus/servers/6a1f6f0e/console.log",
    disks=(
        Disk(path="/var/lib/pileus/servers/6a1f6f0e/root.qcow2", target="vda", serial="root", boot=1),
        Disk(
            path="/var/lib/pileus/servers/6a1f6f0e/config.iso",
            target="hda",
            serial="config",
            format="raw",
            device="cdrom",
            bus="ide",
        ),
    ),
    interfaces=(
        Interface(
            port_id="0b3e2a64-7a1e-4b7e-8a39-3f3d5d7c1a11",
            mac="fa:16:3e:00:00:01",
            tap="tap0b3e2a64-7a",
            mtu=1450,
            offloads=False,
        ),
    ),
    labels={"project": "p1", "hostname": "web"},
)

RICH = msgspec.structs.replace(
    PLAIN,
    kvm=True,
    machine="q35",
    cpu="host-model",
    display=True,
    disks=(
        Disk(
            path="/dev/vg/volume",
            target="sda",
            serial="v1",
            format="raw",
            bus="scsi",
            block=True,
            cache="none",
        ),
    ),
    interfaces=(
        Interface(port_id="p2", mac="fa:16:3e:00:00:02", tap="tapp2", queues=4, boot=1),
        Interface(port_id="p3", mac="fa:16:3e:00:00:03", tap="tapp3", model="e1000"),
    ),
    labels={},
    console_log=None,
)


@pytest.mark.parametrize(("name", "spec"), [("plain", PLAIN), ("rich", RICH)])
def test_rendering(name: str, spec: DomainSpec, golden: Callable[[str, str], None]) -> None:
    golden(f"libvirt/{name}.xml", render(spec))


@pytest.mark.parametrize(
    "change",
    [
        {"vcpus": 3},
        {"labels": {"project": "p2"}},
        {"interfaces": ()},
        {"kvm": True},
        {"title": "other"},
        {"console_log": None},
    ],
)
def test_the_digest_changes_with_the_definition(change: dict[str, object]) -> None:
    assert digest(msgspec.structs.replace(PLAIN, **change)) != digest(PLAIN)


def test_the_digest_is_read_back_from_the_metadata() -> None:
    metadata = f'<p:server xmlns:p="{NAMESPACE}" digest="{digest(PLAIN)}"/>'
    assert read_digest(metadata) == digest(PLAIN)
    assert digest(PLAIN) in render(PLAIN)
    assert read_digest("<other/>") == ""
    assert read_digest("no XML at all") == ""


def test_devices_are_found_again_by_their_aliases() -> None:
    assert device_aliases(render(PLAIN)) == {
        "ua-disk-root",
        "ua-disk-config",
        "ua-net-0b3e2a64-7a1e-4b7e-8a39-3f3d5d7c1a11",
    }
    assert "ua-disk-root" in render_disk(PLAIN.disks[0])
    assert PLAIN.interfaces[0].alias in render_interface(PLAIN.interfaces[0])
