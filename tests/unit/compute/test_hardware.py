"""What images and flavors ask of machines: each known name is obeyed or refused, none is passed over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.drivers.libvirt.domain import DomainSpec, render
from pileus.host.hypervisor.machine import domain_spec
from pileus.host.hypervisor.records import Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.services.compute.rules.hardware import OPTIONS, NotObeyed, read_hardware
from pileus.wire.hypervisor import Hardware, ServerDetails, ServerPort

DOCS = Path(__file__).parents[3] / "docs" / "machines.md"

# A value that is obeyed, for each option that changes a machine, and what it does to the domain.
OBEYED: dict[str, tuple[str, str]] = {
    "hw_machine_type": ("q35", 'machine="q35"'),
    "hw_boot_menu": ("yes", '<bootmenu enable="yes" />'),
    "hw:boot_menu": ("true", '<bootmenu enable="yes" />'),
    "hw_time_hpet": ("true", '<timer name="hpet" present="yes" />'),
    "hw_cpu_sockets": ("1", 'sockets="1" cores="4" threads="1"'),
    "hw:cpu_sockets": ("2", 'sockets="2" cores="2" threads="1"'),
    "hw_cpu_cores": ("2", 'sockets="2" cores="2" threads="1"'),
    "hw:cpu_cores": ("4", 'sockets="1" cores="4" threads="1"'),
    "hw_cpu_threads": ("2", 'sockets="2" cores="1" threads="2"'),
    "hw:cpu_threads": ("4", 'sockets="1" cores="1" threads="4"'),
    "hw_cpu_max_sockets": ("2", 'sockets="2" cores="2" threads="1"'),
    "hw:cpu_max_sockets": ("1", 'sockets="1" cores="4" threads="1"'),
    "hw_pmu": ("true", '<pmu state="on" />'),
    "hw:pmu": ("false", '<pmu state="off" />'),
    "img_hide_hypervisor_id": ("true", '<hidden state="on" />'),
    "hw:hide_hypervisor_id": ("true", '<hidden state="on" />'),
    "hide_hypervisor_id": ("true", '<hidden state="on" />'),
    "hw_disk_bus": ("scsi", 'dev="sda" bus="scsi"'),
    "hw_vif_model": ("e1000", '<model type="e1000" />'),
    "hw_rng:allowed": ("False", ""),
    "hw_rng:rate_bytes": ("1024", '<rate bytes="1024" />'),
    "hw_watchdog_action": ("reset", 'action="reset"'),
    "hw:watchdog_action": ("pause", 'action="pause"'),
    "hw_qemu_guest_agent": ("yes", "org.qemu.guest_agent.0"),
    **{
        f"quota:disk_{name}": ("1000", f"<{name}>1000</{name}>")
        for name in (
            "read_bytes_sec", "read_iops_sec", "write_bytes_sec", "write_iops_sec", "total_bytes_sec",
            "total_iops_sec",
        )
    },
}  # fmt: skip
# Options that say something only together with others.
BOUNDS = {
    "kernel_id", "ramdisk_id", "os_command_line",
    "hw_cpu_max_cores", "hw_cpu_max_threads", "hw:cpu_max_cores", "hw:cpu_max_threads", "hw_rng:rate_period",
}  # fmt: skip


def domain(image: dict[str, Any], specs: dict[str, str]) -> str:
    """The XML of a machine of four virtual CPUs."""
    fields = read_hardware(image, specs, 4)
    fields.pop("config_drive", None)
    server = ServerDetails(
        server_id="1" * 36,
        name="vm",
        generation=1,
        wanted="running",
        vcpus=4,
        memory_mib=64,
        root_gib=1,
        image=None,
        ports=(ServerPort("2" * 36, "fa:16:3e:00:00:01"),),
        hardware=msgspec.convert(fields, Hardware),
    )
    places = Places(Path("/instances/1"))
    return render(domain_spec(server, places, SETTINGS))


SETTINGS = NodeSettings(instances=Path("/instances"), kvm=True)
PLAIN = domain({}, {})
NAMES = sorted({name for option in OPTIONS for name in (option.image, option.flavor) if name})


def ask(name: str, text: str) -> tuple[dict[str, Any], dict[str, str]]:
    is_image = any(option.image == name for option in OPTIONS)
    return ({name: text}, {}) if is_image else ({}, {name: text})


@pytest.mark.parametrize("name", sorted(OBEYED))
def test_what_is_obeyed_is_in_the_domain(name: str) -> None:
    text, part = OBEYED[name]
    xml = domain(*ask(name, text))
    assert xml != PLAIN
    assert part in xml
    assert name == "hw_rng:allowed" or part not in PLAIN


def test_the_list_is_whole() -> None:
    """Every option with a field is tried above; the others read as nothing, or are refused."""
    with_field = {
        name
        for option in OPTIONS
        if option.field and option.field != "config_drive"
        for name in (option.image, option.flavor)
        if name
    }
    assert with_field == {*OBEYED, *BOUNDS}
    for name in set(NAMES) - with_field - {"img_config_drive"}:
        for text in ("yes", "1", "0", "2", "none", "large", "bios", "uefi", "required", "dedicated", "smth"):
            try:
                assert domain(*ask(name, text)) == PLAIN, (name, text)
            except NotObeyed as refused:
                assert name in str(refused)


def test_the_page_names_each() -> None:
    named = set(re.findall(r"`([a-z_]+(?::[a-z_]+)?)`", DOCS.read_text()))
    assert set(NAMES) - named == set()


@pytest.mark.parametrize(
    ("image", "specs"),
    [
        ({"hw_disk_bus": "usb"}, {}),
        ({"hw_disk_bus": "tape"}, {}),
        ({"hw_disk_bus": "ide", "hw_machine_type": "q35"}, {}),
        ({"hw_machine_type": "pc-i440fx-2.1"}, {}),
        ({"hw_firmware_type": "uefi"}, {}),
        ({"hw_typing_error": "1"}, {}),
        ({"trait:HW_CPU_X86_AVX": "wanted"}, {}),
        ({"trait1:HW_CPU_X86_AVX": "required"}, {}),
        ({"hw_cpu_cores": "many"}, {}),
        ({"hw_cpu_cores": "0"}, {}),
        ({"hw_cpu_sockets": "3"}, {"hw:cpu_max_sockets": "2"}),
        ({}, {"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "1", "hw:cpu_max_threads": "3"}),
        ({}, {"hw:cpu_policy": "dedicated"}),
        ({}, {"hw:numa_nodes": "2"}),
        ({}, {"hw:numa_cpus.0": "1"}),
        ({}, {"hw:unheard_of": "1"}),
        ({}, {"trait:HW_CPU_X86_AVX": "preferred"}),
        ({}, {"trait1:CUSTOM_GOLD": ""}),
        ({}, {"resources:VGPU": "1"}),
        ({}, {"resources2:VGPU": "1"}),
        ({}, {"resources:PCPU": "1"}),
        ({}, {"resources:CUSTOM_GOLD": "-1"}),
        ({}, {"resources:CUSTOM_GOLD": "many"}),
        ({}, {"pci_passthrough:alias": "a:1"}),
        ({}, {"quota:cpu_quota": "1000"}),
        ({}, {"quota:vif_inbound_average": "1000"}),
        ({}, {"quota:disk_total_iops_sec": "5", "quota:disk_read_iops_sec": "5"}),
        ({}, {"hw_rng:rate_bytes": "-1"}),
        ({}, {"hw_rng:rate_bytes": "9" * 19}),
        ({}, {"quota:disk_read_bytes_sec": "9" * 40}),
    ],
)
def test_what_is_refused(image: dict[str, Any], specs: dict[str, str]) -> None:
    with pytest.raises(NotObeyed):
        read_hardware(image, specs, 4)


@pytest.mark.parametrize(
    ("image", "specs"),
    [
        ({"trait:HW_CPU_X86_AVX": "required"}, {}),
        ({}, {"trait:HW_CPU_X86_AVX": "required"}),
        ({}, {"trait1:CUSTOM_GOLD": "forbidden"}),
        ({}, {"resources:CUSTOM_GOLD": "2", "resources:VCPU": "0"}),
        ({}, {"capabilities:cpu_info:arch": "x86_64"}),
        ({}, {"aggregate_instance_extra_specs:ssd": "true"}),
    ],
)
def test_what_chooses_the_host_makes_no_machine(image: dict[str, Any], specs: dict[str, str]) -> None:
    assert read_hardware(image, specs, 4) == {}


KERNEL, RAMDISK = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))


def _started_by(image: dict[str, Any]) -> str:
    found = re.search("<os>.*</os>", domain(image, {}), re.DOTALL)
    assert found is not None
    return found[0]


def test_a_kernel_of_its_own_is_started_with_what_the_image_says() -> None:
    image = {"kernel_id": KERNEL, "ramdisk_id": RAMDISK, "os_command_line": "root=/dev/vda quiet <&>"}
    started = _started_by(image)
    assert (
        "<kernel>/instances/1/kernel</kernel>" in started
        and "<initrd>/instances/1/ramdisk</initrd>" in started
    )
    assert "<cmdline>root=/dev/vda quiet &lt;&amp;&gt;</cmdline>" in started
    alone = _started_by({"kernel_id": KERNEL, "hw_disk_bus": "scsi"})
    assert "initrd" not in alone and "<cmdline>root=/dev/sda console=tty0 console=ttyS0</cmdline>" in alone


def test_no_kernel_is_started_where_the_image_names_none() -> None:
    for image in (
        {"ramdisk_id": RAMDISK, "os_command_line": "quiet"},
        {"kernel_id": "nokernel"},
        {"kernel_id": ""},
    ):
        assert read_hardware(image, {}, 1) == {}
        assert "kernel" not in _started_by(image)


@pytest.mark.parametrize(
    "image",
    [
        {"kernel_id": "/etc/shadow"},
        {"kernel_id": KERNEL, "ramdisk_id": "../x"},
        {"kernel_id": KERNEL, "os_command_line": "a\nb"},
        {"kernel_id": KERNEL, "os_command_line": "a" * 1025},
    ],
)
def test_a_kernel_is_an_image_and_its_arguments_one_line(image: dict[str, Any]) -> None:
    with pytest.raises(NotObeyed):
        read_hardware(image, {}, 1)


def test_what_is_nobodys_business() -> None:
    others = {"os_distro": "debian", "owner_specified.x": "y", "img_hv_type": "kvm", "os_type": "linux"}
    assert read_hardware(others, {"ssd": "true", "mine:own": "1"}, 4) == {}


def test_the_images_word_counts() -> None:
    assert read_hardware({"hw_boot_menu": "no"}, {"hw:boot_menu": "yes"}, 4)["boot_menu"] is False
    fields = read_hardware({"hw_cpu_max_sockets": "1"}, {"hw:cpu_sockets": "1"}, 6)
    assert (fields["sockets"], fields["cores"], fields["threads"]) == (1, 6, 1)


def test_the_topology_of_a_huge_flavor_is_found_at_once() -> None:
    assert read_hardware({"hw_cpu_max_sockets": "1"}, {}, 2**31 - 2)["sockets"] == 1


def test_where_nothing_is_asked_nothing_changes() -> None:
    assert msgspec.convert({}, Hardware) == Hardware()
    assert DomainSpec(uuid="u", name="n", vcpus=1, memory_mib=1).random is not None
