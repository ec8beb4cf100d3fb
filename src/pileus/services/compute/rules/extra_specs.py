"""The extra specs of flavors that are known, and what their values may be: checked since 2.86.

Names, forms and sentences are those of Nova's validators (nova.api.validation.extra_specs). A name without
a namespace, or in one that nobody knows, is its author's own. Pure.

The patterns are Nova's too: RE2 matches them, since an engine that backtracks can be kept busy with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import re2

from pileus.resource import types
from pileus.resource.types import BadValue


class BadExtraSpec(ValueError):
    """A known extra spec with a value that it can't have, or an unknown one of a known namespace."""


class _Form(NamedTuple):
    """A kind of values: of a ``kind`` (``str``, ``int``, ``bool``), one of ``values``, of a ``pattern``,
    within bounds."""

    kind: str = "str"
    values: tuple[str, ...] = ()
    pattern: str = ""
    least: int | None = None
    most: int | None = None


_TEXT, _BOOLEAN, _INTEGER = _Form(), _Form("bool"), _Form("int")
_POSITIVE, _COUNT = _Form("int", least=1), _Form("int", least=0)
_CPUS = _Form(pattern=r"\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*")


def _one_of(*values: str) -> _Form:
    return _Form(values=values)


def _names(template: str, *words: Iterable[str]) -> list[str]:
    found = [template]
    for several in words:
        found = [one.replace("*", word, 1) for one in found for word in several]
    return found


_HOST_FACTS = (
    "id", "uuid", "service_id", "host", "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used",
    "local_gb_used", "hypervisor_type", "hypervisor_version", "hypervisor_hostname", "free_ram_mb",
    "free_disk_gb", "current_workload", "running_vms", "disk_available_least", "host_ip", "mapped",
    "cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio", "total_usable_ram_mb",
    "total_usable_disk_gb", "disk_mb_used", "free_disk_mb", "vcpus_total", "num_instances", "num_io_ops",
    "failed_builds", "aggregates", "cell_uuid", "updated",
)  # fmt: skip
_NESTED_FACTS = (
    "cpu_info", "metrics", "stats", "numa_topology", "supported_hv_specs", "pci_device_pools", "nodename",
    "pci_stats", "supported_instances", "limits", "instances",
)  # fmt: skip
_SHARES = ("cpu", "memory", "disk_io", "vif")

_FORMS: dict[str, _Form] = {
    "accel:device_profile": _TEXT,
    **dict.fromkeys(_names("capabilities:*", _HOST_FACTS), _TEXT),
    "hw:cpu_realtime": _BOOLEAN,
    "hw:cpu_realtime_mask": _CPUS,
    "hw:hide_hypervisor_id": _BOOLEAN,
    "hw:cpu_policy": _one_of("dedicated", "shared", "mixed"),
    "hw:cpu_thread_policy": _one_of("prefer", "isolate", "require"),
    "hw:emulator_threads_policy": _one_of("isolate", "share"),
    "hw:cpu_dedicated_mask": _CPUS,
    "hw:mem_page_size": _Form(pattern=r"(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)"),
    "hw:locked_memory": _BOOLEAN,
    "hw:numa_nodes": _POSITIVE,
    "hw:pci_numa_affinity_policy": _one_of("required", "preferred", "legacy", "socket"),
    **dict.fromkeys(_names("hw:cpu_*", ("sockets", "cores", "threads")), _POSITIVE),
    **dict.fromkeys(_names("hw:cpu_max_*", ("sockets", "cores", "threads")), _POSITIVE),
    "hw:boot_menu": _BOOLEAN,
    "hw:vif_multiqueue_enabled": _BOOLEAN,
    "hw:mem_encryption": _BOOLEAN,
    "hw:mem_encryption_model": _one_of("amd-sev", "amd-sev-es", "amd-sev-snp"),
    "hw:pmem": _Form(pattern="[a-zA-Z0-9_]+(,[a-zA-Z0-9_]+)*,?"),
    "hw:pmu": _BOOLEAN,
    "hw:serial_port_count": _COUNT,
    "hw:tpm_model": _one_of("tpm-tis", "tpm-crb"),
    "hw:tpm_version": _one_of("1.2", "2.0"),
    "hw:tpm_secret_security": _one_of("user", "host", "deployment"),
    "hw:watchdog_action": _one_of("none", "pause", "poweroff", "reset", "disabled"),
    "hw:viommu_model": _one_of("intel", "smmuv3", "virtio", "auto"),
    "hw:virtio_packed_ring": _BOOLEAN,
    "hw:sound_model": _one_of("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"),
    "hw:usb_model": _one_of("none", "nec-xhci", "qemu-xhci"),
    "hw:redirected_usb_ports": _Form("int", least=0, most=15),
    "hw:ephemeral_encryption": _BOOLEAN,
    "hw:ephemeral_encryption_format": _one_of("plain", "luks", "luksv2"),
    "hw:maxphysaddr_mode": _one_of("passthrough", "emulate"),
    "hw:maxphysaddr_bits": _COUNT,
    "hw_rng:allowed": _BOOLEAN,
    "hw_rng:rate_bytes": _COUNT,
    "hw_rng:rate_period": _COUNT,
    "hw_video:ram_max_mb": _COUNT,
    "hide_hypervisor_id": _BOOLEAN,
    "group_policy": _one_of("isolate", "none"),
    "os:secure_boot": _one_of("disabled", "required"),
    "pci_passthrough:alias": _Form(pattern=r"[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*"),
    "quota:cpu_shares": _COUNT,
    "quota:cpu_period": _COUNT,
    "quota:cpu_quota": _INTEGER,
    **dict.fromkeys(_names("quota:*_limit", _SHARES), _COUNT),
    **dict.fromkeys(_names("quota:*_reservation", _SHARES), _INTEGER),
    **dict.fromkeys(_names("quota:*_shares_level", _SHARES), _one_of("custom", "high", "normal", "low")),
    **dict.fromkeys(_names("quota:*_shares_share", _SHARES), _COUNT),
    **dict.fromkeys(_names("quota:disk_*_*_sec", ("read", "write", "total"), ("bytes", "iops")), _COUNT),
    **dict.fromkeys(_names("quota:vif_*_*", ("inbound", "outbound"), ("average", "peak", "burst")), _COUNT),
    "vmware:hw_version": _TEXT,
    "vmware:storage_policy": _TEXT,
}
_GROUP = "[a-zA-Z0-9_-]{0,64}"
_CLASSES = (
    "VCPU|MEMORY_MB|DISK_GB|PCI_DEVICE|SRIOV_NET_VF|NUMA_SOCKET|NUMA_CORE|NUMA_THREAD|NUMA_MEMORY_MB|"
    "IPV4_ADDRESS|VGPU|VGPU_DISPLAY_HEAD|NET_BW_EGR_KILOBIT_PER_SEC|NET_BW_IGR_KILOBIT_PER_SEC|PCPU|"
    "MEM_ENCRYPTION_CONTEXT|FPGA|PGPU|NET_PACKET_RATE_KILOPACKET_PER_SEC|"
    "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC|NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC|CUSTOM_[A-Z0-9_]+"
)
_PATTERNS: tuple[tuple[re.Pattern[str], _Form], ...] = tuple(
    (re.compile(name), form)
    for name, form in (
        (r"hw:numa_cpus\.\d+", _CPUS),
        (r"hw:numa_mem\.\d+", _POSITIVE),
        (r"aggregate_instance_extra_specs:.+", _TEXT),
        (rf"capabilities:({'|'.join(_NESTED_FACTS)})(:\w+)*", _TEXT),
        (rf"resources{_GROUP}:({_CLASSES})", _INTEGER),
        # The library of traits grows with each release; the form of a name is all that is looked at.
        (rf"trait{_GROUP}:[A-Z][A-Z0-9_]*", _one_of("required", "forbidden")),
    )
)
_NAMESPACES = re.compile(
    "accel|aggregate_instance_extra_specs|capabilities|hw|hw_rng|hw_video|os|pci_passthrough|quota|"
    f"resources{_GROUP}|trait{_GROUP}|vmware"
)


def check_extra_spec(name: str, value: str) -> None:
    """Raise BadExtraSpec in Nova's words for a value or a name that can't be."""
    form = _FORMS.get(name)
    if form is None:
        form = next((form for pattern, form in _PATTERNS if pattern.fullmatch(name)), None)
    if form is not None:
        _check_value(form, value)
        return
    namespace, colon, _ = name.partition(":")
    if colon and _NAMESPACES.fullmatch(namespace):
        raise BadExtraSpec(
            f"Validation failed; extra spec '{name}' does not appear to be a valid extra spec."
        )


def _check_value(form: _Form, value: str) -> None:
    if form.kind == "bool":
        try:
            types.boolean.parse(value)
        except BadValue:
            raise BadExtraSpec(f"Validation failed; '{value}' is not a valid boolean-like value.") from None
    elif form.kind == "int":
        _check_integer(form, value)
    elif form.values and value not in form.values:
        raise BadExtraSpec(f"Validation failed; '{value}' is not one of: {', '.join(form.values)}.")
    elif form.pattern and not re2.fullmatch(form.pattern, value):
        raise BadExtraSpec(f"Validation failed; '{value}' is not of the format '{form.pattern}'.")


def _check_integer(form: _Form, value: str) -> None:
    try:
        number = int(value[:40])
    except ValueError:
        raise BadExtraSpec(f"Validation failed; '{value}' is not a valid integer value.") from None
    if form.most is not None and number > form.most:
        raise BadExtraSpec(f"Validation failed; '{number}' is greater than the max value of '{form.most}'.")
    if form.least is not None and number < form.least:
        raise BadExtraSpec(f"Validation failed; '{number}' is less than the min value of '{form.least}'.")
