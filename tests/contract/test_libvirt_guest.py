"""What only a guest with an operating system answers: the power button, and letting go of devices."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract.test_libvirt import Bench, why_not_real

from pileus.app.commands.image import default_cache
from pileus.drivers.guestimage.build import build_image
from pileus.drivers.guestimage.errors import CannotBuildImage
from pileus.drivers.libvirt.console import read_console
from pileus.drivers.libvirt.daemon import LibvirtDaemon
from pileus.drivers.libvirt.domain import Disk, DomainSpec, Interface
from pileus.drivers.libvirt.hypervisor import Change, Power
from pileus.drivers.qemu_img.driver import QemuImg

pytestmark = [pytest.mark.real, pytest.mark.slow]
_UP = b"pileus-guest: host-key"


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A libvirtd in a network namespace of its own, whose taps it uses."""
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    from pileus.drivers.libvirt.driver import LibvirtHypervisor

    root = Path(tempfile.mkdtemp(prefix="plg-"))
    namespace = f"plg-{os.getpid()}"
    daemon = LibvirtDaemon(root, namespace=namespace)
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    for tap in ("tap1", "tap2"):
        subprocess.run(["ip", "-n", namespace, "tuntap", "add", tap, "mode", "tap"], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", tap, "up"], check=True)
    (root / "disks").mkdir()
    with asyncio.Runner() as runner:
        try:
            build_image(root / "disks" / "base.qcow2", default_cache(), lambda text: None)
        except CannotBuildImage as error:
            pytest.skip(str(error))
        runner.run(daemon.start())
        bench = Bench(runner, root / "disks", lambda: LibvirtHypervisor(daemon.uri))
        yield bench
        bench.close()
        runner.run(daemon.stop())
    subprocess.run(["ip", "netns", "del", namespace], check=True)
    shutil.rmtree(root)


def started(bench: Bench, spec: DomainSpec, boots: int = 1) -> None:
    bench.wait(
        lambda: read_console(Path(spec.console_log or ""), limit=1 << 20).text.count(_UP) >= boots,
        timeout_s=90,
    )


def guest(bench: Bench, **changes: Any) -> DomainSpec:
    """A machine that begins from the guest image."""
    base, root = bench.folder / "base.qcow2", bench.folder / "root.qcow2"
    bench.run(QemuImg().create_overlay(root, base, "qcow2"))
    first = Interface(port_id="p1", mac="fa:16:3e:00:00:01", tap="tap1", mtu=1450, offloads=False)
    return replace(
        bench.spec(memory_mib=192, interfaces=(first,), tcg_cache_mib=128, **changes),
        disks=(Disk(path=str(root), target="vda", serial="root", boot=1),),
    )


def test_power_button_and_devices(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, guest(bench)
    second = replace(spec.interfaces[0], port_id="p2", mac="fa:16:3e:00:00:02", tap="tap2")
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    started(bench, spec)

    bench.run(hypervisor.attach_interface(spec.uuid, second))
    bench.run(hypervisor.attach_disk(spec.uuid, bench.disk("extra")))
    bench.run(asyncio.sleep(1))  # the guest has to see them come before it can let them go
    stats = bench.run(hypervisor.stats([spec.uuid]))[spec.uuid]
    assert [nic.tap for nic in stats.interfaces] == ["tap1", "tap2"]
    assert [disk.target for disk in stats.disks] == ["vda", "vdb"]
    assert stats.disks[0].read_bytes > 1 << 20 and stats.cpu_time_ns > 0
    bench.run(hypervisor.detach_interface(spec.uuid, "p2"))
    bench.run(hypervisor.detach_disk(spec.uuid, "extra"))
    stats = bench.run(hypervisor.stats([spec.uuid]))[spec.uuid]
    assert ([nic.tap for nic in stats.interfaces], len(stats.disks)) == (["tap1"], 1)

    assert bench.run(hypervisor.reboot(spec.uuid, hard=False, timeout_s=60)) is True
    started(bench, spec, boots=2)
    assert bench.run(hypervisor.shutdown(spec.uuid, 60)) is True
    assert bench.power(spec) is Power.OFF
    bench.run(hypervisor.undefine([spec.uuid]))
    events = bench.until(Change.UNDEFINED, spec)
    stops = [event.detail for event in events if event.change is Change.STOPPED]
    assert stops == ["shutdown", "shutdown"], "twice it went by itself"
