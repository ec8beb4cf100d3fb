"""Limits of volumes, as QEMU keeps them: measured by reads that QEMU itself makes of the machine's disk."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from pileus.drivers.libvirt.daemon import LibvirtDaemon
from pileus.drivers.libvirt.domain import Disk, DomainSpec

from .test_libvirt import Bench, bench, daemon, runner

__all__ = ["bench", "daemon", "runner"]
pytestmark = [pytest.mark.real, pytest.mark.alone]

KIB = 1 << 10
MIB = 1 << 20


def _disk(bench: Bench, serial: str, **limits: int) -> Disk:
    path = bench.folder / f"{serial}.raw"
    path.write_bytes(bytes(16 * MIB))
    return Disk(path=str(path), target="vdb", serial=serial, format="raw", limits=limits)


def _read_s(daemon: LibvirtDaemon, spec: DomainSpec, device: str, times: int, size: int) -> float:
    """How long a machine's disk takes for reads one after the other."""
    import libvirt
    import libvirt_qemu

    connection = libvirt.open(daemon.uri)
    try:
        domain = connection.lookupByUUIDString(spec.uuid)
        began = time.monotonic()
        for number in range(times):
            command = f'qemu-io -d {device} "read {number * size % (8 * MIB)} {size}"'
            said = libvirt_qemu.qemuMonitorCommand(
                domain, command, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
            )
            assert "rror" not in said, said
        return time.monotonic() - began
    finally:
        connection.close()


def _device(daemon: LibvirtDaemon, spec: DomainSpec) -> str:
    """QEMU's name of the second disk."""
    import libvirt
    import libvirt_qemu

    connection = libvirt.open(daemon.uri)
    try:
        domain = connection.lookupByUUIDString(spec.uuid)
        said = libvirt_qemu.qemuMonitorCommand(domain, '{"execute": "query-block"}', 0)
    finally:
        connection.close()
    found = [one["qdev"] for one in msgspec.json.decode(said)["return"] if one.get("qdev")]
    return str(found[-1])


@pytest.mark.parametrize(
    ("limits", "times", "size", "least_s"),
    [({"total_iops_sec": 20}, 40, KIB, 1.5), ({"read_bytes_sec": 2 * MIB}, 8, MIB, 3.0)],
)
def test_a_volume_is_no_faster_than_its_limits(
    bench: Bench, daemon: LibvirtDaemon, limits: dict[str, int], times: int, size: int, least_s: float
) -> None:
    if not bench.is_real:
        pytest.skip("the twin reads nothing")
    took = {}
    for name, kept in (("free", {}), ("limited", limits)):
        spec = bench.spec()
        bench.run(bench.hypervisor.ensure_defined([spec]))
        bench.run(bench.hypervisor.start(spec.uuid))
        bench.run(bench.hypervisor.attach_disk(spec.uuid, _disk(bench, name, **kept)))
        bench.run(asyncio.sleep(0.2))
        took[name] = _read_s(daemon, spec, _device(daemon, spec), times, size)
        bench.run(bench.hypervisor.destroy(spec.uuid))
    assert took["limited"] > least_s
    assert took["free"] < took["limited"] / 2
