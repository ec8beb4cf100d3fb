"""Hardware that an image and a flavor ask for: obeyed, or refused with a reason; nothing is passed over.

Image properties called ``hw_…`` (and a few beside them) and extra specs of flavors that Nova knows. Each has
a row in ``OPTIONS``: how its text is read, and the field of ``wire.hypervisor.Hardware`` that it becomes.
What is read and not available is refused when a server is asked for. Where both say something the image's
word counts. docs/machines.md lists what is obeyed. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pileus.resource import types
from pileus.resource.types import BadValue
from pileus.services.compute.rules.providers import OF_HOSTS
from pileus.services.compute.rules.standard_resources import CLASSES


class NotObeyed(ValueError):
    """A property or extra spec asks for something that can't be, or is not available."""


Read = Callable[[str], Any]
"""Reads a text; ValueError where it is no value, LookupError where it is one that is not available."""

NOTHING: Any = object()
"""The reading of a value that asks for what every machine has."""


class Option(NamedTuple):
    """One thing that can be asked for, by image property, by extra spec, or by either."""

    image: str
    flavor: str
    field: str
    read: Read


def _among(*available: str, plain: tuple[str, ...] = (), absent: tuple[str, ...] = ()) -> Read:
    """One of the words ``available``; of ``plain`` ones, which ask for nothing; of ``absent`` ones."""

    def read(text: str) -> Any:
        if text in available:
            return text
        if text in plain:
            return NOTHING
        raise LookupError(text) if text in absent else ValueError(text)

    return read


def _boolean(text: str) -> bool:
    try:
        return bool(types.boolean.parse(text))
    except BadValue:
        raise ValueError(text) from None


def _only_no(text: str) -> Any:
    """A boolean of which only no is available."""
    if _boolean(text):
        raise LookupError(text)
    return NOTHING


_MOST = 10**15
"""More than this QEMU takes for no limit."""


def _number(least: int = 0) -> Read:
    def read(text: str) -> int:
        number = int(text[:20])
        if not least <= number <= _MOST:
            raise ValueError(text)
        return number

    return read


def _only(*numbers: int) -> Read:
    def read(text: str) -> Any:
        if int(text[:20]) not in numbers:
            raise LookupError(text)
        return NOTHING

    return read


def _never(text: str) -> Any:
    raise LookupError(text)


def _whatever(text: str) -> Any:
    return NOTHING


def _asked(text: str) -> Any:
    """An amount of resources."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(text)
    return NOTHING


def _trait(text: str) -> Any:
    """Whether a host must have a trait, or must not."""
    if text not in ("required", "forbidden"):
        raise ValueError(text)
    return NOTHING


def _boot_file(text: str) -> Any:
    """The id of a kernel's or ramdisk's image; ``nokernel`` is how Amazon's tools say that there is none."""
    if text in ("", "nokernel"):
        return NOTHING
    return str(UUID(text))


def _arguments(text: str) -> str:
    """A kernel's command line, which no x86 takes longer."""
    if len(text) > MOST_ARGUMENTS or not text.isprintable():
        raise ValueError(text)
    return text


MOST_ARGUMENTS = 1024

_TOPOLOGY = ("sockets", "cores", "threads")
_LIMITS = tuple(f"{stat}_{metric}_sec" for stat in ("read", "write", "total") for metric in ("bytes", "iops"))

OPTIONS: tuple[Option, ...] = (
    # the machine
    Option("hw_machine_type", "", "machine_type", _among("pc", "q35", absent=())),
    Option("hw_firmware_type", "", "", _among(plain=("bios",), absent=("uefi",))),
    Option("hw_firmware_stateless", "", "", _only_no),
    Option(
        "os_secure_boot", "os:secure_boot", "", _among(plain=("disabled", "optional"), absent=("required",))
    ),
    Option("hw_boot_menu", "hw:boot_menu", "boot_menu", _boolean),
    Option("hw_ipxe_boot", "", "", _only_no),
    Option("hw_time_hpet", "", "hpet", _boolean),
    Option("hw_vm_mode", "", "", _among(plain=("hvm",), absent=("xen", "uml", "exe"))),
    Option("hw_emulation_architecture", "", "", _never),
    Option("hw_architecture", "", "", _whatever),  # chooses the host
    # processors
    *(Option(f"hw_cpu_{name}", f"hw:cpu_{name}", f"wanted_{name}", _number(1)) for name in _TOPOLOGY),
    *(Option(f"hw_cpu_max_{name}", f"hw:cpu_max_{name}", f"max_{name}", _number(1)) for name in _TOPOLOGY),
    Option("hw_cpu_policy", "hw:cpu_policy", "", _among(plain=("shared",), absent=("dedicated", "mixed"))),
    Option(
        "hw_cpu_thread_policy",
        "hw:cpu_thread_policy",
        "",
        _among(plain=("prefer",), absent=("isolate", "require")),
    ),
    Option("", "hw:cpu_realtime", "", _only_no),
    Option("hw_cpu_realtime_mask", "hw:cpu_realtime_mask", "", _never),
    Option("", "hw:cpu_dedicated_mask", "", _never),
    Option("", "hw:emulator_threads_policy", "", _never),
    Option("hw_pmu", "hw:pmu", "pmu", _boolean),
    Option("img_hide_hypervisor_id", "hw:hide_hypervisor_id", "hide_hypervisor", _boolean),
    Option("", "hide_hypervisor_id", "hide_hypervisor", _boolean),
    Option("hw_maxphysaddr_mode", "hw:maxphysaddr_mode", "", _never),
    Option("hw_maxphysaddr_bits", "hw:maxphysaddr_bits", "", _never),
    # memory
    Option("hw_mem_page_size", "hw:mem_page_size", "", _among(plain=("small", "any"), absent=("large",))),
    Option("hw_locked_memory", "hw:locked_memory", "", _only_no),
    Option("hw_mem_encryption", "hw:mem_encryption", "", _only_no),
    Option("hw_mem_encryption_model", "hw:mem_encryption_model", "", _whatever),  # of an encryption refused
    Option("", "hw:pmem", "", _never),
    Option("hw_numa_nodes", "hw:numa_nodes", "", _never),
    Option("hw_numa_cpus", "", "", _never),
    Option("hw_numa_mem", "", "", _never),
    Option("hw_pci_numa_affinity_policy", "hw:pci_numa_affinity_policy", "", _never),
    # disks
    Option(
        "hw_disk_bus",
        "",
        "disk_bus",
        _among("virtio", "scsi", "sata", "ide", absent=("fdc", "lxc", "nvme", "uml", "usb", "xen")),
    ),
    Option(
        "hw_scsi_model",
        "",
        "",
        _among(
            plain=("virtio-scsi",),
            absent=("auto", "buslogic", "ibmvscsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi"),
        ),
    ),
    Option("hw_cdrom_bus", "", "", _whatever),  # no machine has such a drive
    Option("hw_floppy_bus", "", "", _whatever),
    Option("hw_rescue_bus", "", "", _whatever),  # nothing is rescued
    Option("hw_rescue_device", "", "", _whatever),
    Option("hw_disk_type", "", "", _never),
    Option("hw_device_id", "", "", _never),
    Option("hw_auto_disk_config", "", "", _never),
    Option("hw_ephemeral_encryption", "hw:ephemeral_encryption", "", _only_no),
    Option("hw_ephemeral_encryption_format", "hw:ephemeral_encryption_format", "", _whatever),
    Option("hw_ephemeral_encryption_secret_uuid", "", "", _never),
    *(Option("", f"quota:disk_{name}", f"limit_{name}", _number()) for name in _LIMITS),
    # network cards
    Option(
        "hw_vif_model",
        "",
        "vif_model",
        _among(
            "virtio",
            "e1000",
            "e1000e",
            "rtl8139",
            "pcnet",
            "ne2k_pci",
            absent=(
                "igb",
                "lan9118",
                "netfront",
                "spapr-vlan",
                "VirtualE1000",
                "VirtualE1000e",
                "VirtualPCNet32",
                "VirtualSriovEthernetCard",
                "VirtualVmxnet",
                "VirtualVmxnet3",
            ),
        ),
    ),
    Option("hw_vif_multiqueue_enabled", "hw:vif_multiqueue_enabled", "", _only_no),
    Option("hw_virtio_packed_ring", "hw:virtio_packed_ring", "", _only_no),
    # other devices
    Option("hw_rng_model", "", "", _among(plain=("virtio",))),
    Option("", "hw_rng:allowed", "random_device", _boolean),
    Option("", "hw_rng:rate_bytes", "random_rate_bytes", _number()),
    Option("", "hw_rng:rate_period", "random_rate_period_ms", _number()),
    Option(
        "hw_watchdog_action",
        "hw:watchdog_action",
        "watchdog_action",
        _among("none", "pause", "poweroff", "reset", "disabled"),
    ),
    Option("hw_qemu_guest_agent", "", "guest_agent", _boolean),
    Option("os_require_quiesce", "", "", _only_no),
    Option("hw_serial_port_count", "hw:serial_port_count", "", _only(1)),
    Option(
        "hw_video_model",
        "",
        "",
        _among(
            plain=("none",),
            absent=(
                "bochs",
                "cirrus",
                "gop",
                "qxl",
                "vga",
                "virtio",
                "vmvga",
                "xen",
            ),
        ),
    ),
    Option("hw_video_ram", "", "", _never),
    Option("", "hw_video:ram_max_mb", "", _whatever),  # bounds what is refused
    Option("hw_pointer_model", "", "", _among(plain=("ps2mouse",), absent=("usbtablet",))),
    Option("hw_input_bus", "", "", _never),
    Option("hw_tpm_model", "hw:tpm_model", "", _never),
    Option("hw_tpm_version", "hw:tpm_version", "", _never),
    Option("", "hw:tpm_secret_security", "", _never),
    Option("hw_viommu_model", "hw:viommu_model", "", _never),
    Option("hw_sound_model", "hw:sound_model", "", _never),
    Option("hw_usb_model", "hw:usb_model", "", _among(plain=("none",), absent=("nec-xhci", "qemu-xhci"))),
    Option("hw_redirected_usb_ports", "hw:redirected_usb_ports", "", _only(0)),
    # direct kernel boot
    Option("kernel_id", "", "kernel_id", _boot_file),
    Option("ramdisk_id", "", "ramdisk_id", _boot_file),
    Option("os_command_line", "", "kernel_arguments", _arguments),
    # where it runs
    Option("", "group_policy", "", _whatever),  # chooses the host, as resources and traits do
    Option("img_config_drive", "", "config_drive", _among("mandatory", plain=("optional",))),
)

_OF_IMAGES = {option.image: option for option in OPTIONS if option.image}
_OF_FLAVORS = {option.flavor: option for option in OPTIONS if option.flavor}
_KNOWN_NAMESPACES = frozenset(
    {"accel", "hw", "hw_rng", "hw_video", "os", "pci_passthrough", "quota", "vmware"}
)
_FOR_MACHINES = frozenset(CLASSES) - {*OF_HOSTS, "IPV4_ADDRESS"}
"""The classes whose resources would have to come into the machine, which gets none of them."""


def read_hardware(image: Mapping[str, Any], extra_specs: Mapping[str, str], vcpus: int) -> dict[str, Any]:
    """The fields of ``Hardware`` that differ from the usual, and ``config_drive`` where one is demanded.

    Raises NotObeyed, with the property or extra spec and its value, for the first that can't be had.
    """
    fields: dict[str, Any] = {}
    for name, text, option in (*_flavor_options(extra_specs), *_image_options(image)):
        try:
            value = option.read(str(text))
        except LookupError:
            raise NotObeyed(f"{name}='{text}' is not available in this cloud.") from None
        except ValueError:
            raise NotObeyed(f"{name}='{text}' is not a value that it can have.") from None
        if value is not NOTHING:
            fields[option.field] = value
    _limits(fields)
    _topology(fields, vcpus)
    if "kernel_id" not in fields:  # the boot loader on the disk is asked for neither
        fields.pop("ramdisk_id", None)
        fields.pop("kernel_arguments", None)
    if fields.get("disk_bus") == "ide" and fields.get("machine_type") == "q35":
        raise NotObeyed("Image property hw_disk_bus='ide' is not available with hw_machine_type='q35'.")
    return fields


def _image_options(image: Mapping[str, Any]) -> Iterator[tuple[str, str, Option]]:
    for name, text in image.items():
        option = _OF_IMAGES.get(name)
        if option is None and name.startswith("trait:"):
            option = Option(name, "", "", _trait)
        if option is None and (name.startswith("hw_") or name.partition(":")[0].startswith("trait")):
            option = Option(name, "", "", _never)
        if option is not None:
            yield f"Image property {name}", text, option


def _flavor_options(extra_specs: Mapping[str, str]) -> Iterator[tuple[str, str, Option]]:
    for name, text in extra_specs.items():
        option = _OF_FLAVORS.get(name)
        namespace, colon, rest = name.partition(":")
        if option is None and colon and namespace.startswith("resources"):
            option = Option("", name, "", _never if rest in _FOR_MACHINES else _asked)
        elif option is None and colon and namespace.startswith("trait"):
            option = Option("", name, "", _trait)
        elif option is None and colon and namespace in _KNOWN_NAMESPACES:
            option = Option("", name, "", _never)
        if option is not None:
            yield f"Flavor extra spec {name}", text, option


def _limits(fields: dict[str, Any]) -> None:
    """The limits of disks together. A total excludes one of reads or writes, as QEMU has it."""
    limits = {name: value for name in _LIMITS if (value := fields.pop(f"limit_{name}", 0))}
    for metric in ("bytes", "iops"):
        apart = [f"{stat}_{metric}_sec" for stat in ("read", "write")]
        if f"total_{metric}_sec" in limits and any(name in limits for name in apart):
            raise NotObeyed(
                f"Flavor extra spec quota:disk_total_{metric}_sec excludes those of reads and writes."
            )
    if limits:
        fields["disk_limits"] = limits


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, math.isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})


def _topology(fields: dict[str, Any], vcpus: int) -> None:
    """Sockets, cores and threads that make up the virtual CPUs: those that have most of what is wanted."""
    wanted = [fields.pop(f"wanted_{name}", None) for name in _TOPOLOGY]
    most = [fields.pop(f"max_{name}", None) for name in _TOPOLOGY]
    if not any(wanted) and not any(most):
        return
    for name, one, limit in zip(_TOPOLOGY, wanted, most, strict=True):
        if one and limit and one > limit:
            raise NotObeyed(f"{one} {name} are wanted and {limit} are the most of a virtual machine.")
    parts = _divisors(vcpus)
    possible = [
        (sockets, cores, vcpus // (sockets * cores))
        for sockets in parts
        for cores in parts
        if vcpus % (sockets * cores) == 0
    ]
    fitting = [
        one
        for one in possible
        if all(limit is None or number <= limit for number, limit in zip(one, most, strict=True))
    ]
    if not fitting:
        shown = ":".join(str(limit or vcpus) for limit in most)
        raise NotObeyed(f"Requested vCPU limits {shown} are impossible to satisfy for vcpus count {vcpus}")

    def merit(one: tuple[int, int, int]) -> tuple[int, int, int]:
        return sum(a == b for a, b in zip(one, wanted, strict=True)), one[0], one[1]

    fields["sockets"], fields["cores"], fields["threads"] = max(fitting, key=merit)
