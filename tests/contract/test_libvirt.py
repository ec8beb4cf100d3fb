"""The same questions to libvirt with QEMU and to the simulated hypervisor."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.drivers.libvirt.console import read_console
from pileus.drivers.libvirt.daemon import LibvirtDaemon, missing_programs
from pileus.drivers.libvirt.domain import Disk, DiskBus, DomainSpec, Interface, RandomDevice
from pileus.drivers.libvirt.hypervisor import (
    Change,
    DomainMissing,
    Event,
    GuestSilent,
    Hypervisor,
    HypervisorFailed,
    HypervisorUnavailable,
    NotDefined,
    NotDetached,
    Power,
)
from pileus.drivers.libvirt.simulated import SimulatedHypervisor

SAYS = "hello from the guest"
# Writes a text, found 0x15 bytes in, to the first serial port; then sleeps for ever, deaf.
_GUEST = bytes.fromhex("31c08ed8be157cac84c07406baf803eeebf5f4ebfd")


def guest_disk(path: Path) -> None:
    path.write_bytes((_GUEST + SAYS.encode() + b"\r\n\0").ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))


def why_not_real() -> str | None:
    if os.geteuid() != 0:
        return "needs root: a libvirtd of its own, taps"
    if missing := missing_programs():
        return f"not installed: {', '.join(missing)}"
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed (the extra pileus[libvirt])"
    return None


class Bench:
    """A hypervisor, a folder for disks, a loop."""

    def __init__(self, runner: asyncio.Runner, folder: Path, make: Callable[[], Hypervisor]) -> None:
        self.run = runner.run
        self.folder = folder
        self.make = make
        self.hypervisor = make()
        self.specs: list[str] = []
        self.taps: list[str] = []
        self.is_real = not isinstance(self.hypervisor, SimulatedHypervisor)
        self.run(self.hypervisor.connect())

    def spec(self, **changes: Any) -> DomainSpec:
        """A machine that says hello on its console and sleeps."""
        name = str(uuid.uuid4())
        disk = self.folder / f"{name}.raw"
        guest_disk(disk)
        spec = DomainSpec(
            uuid=name,
            name=f"pileus-{name}",
            vcpus=1,
            memory_mib=32,
            console_log=str(self.folder / f"{name}.log"),
            disks=(Disk(path=str(disk), target="vda", serial="root", format="raw", boot=1),),
            labels={"project": "p1"},
        )
        self.specs.append(name)
        return msgspec.structs.replace(spec, **changes)

    def interface(self, number: int) -> Interface:
        tap = f"tapplt{os.getpid() % 10000}n{number}"
        if self.is_real and tap not in self.taps:
            subprocess.run(["ip", "tuntap", "add", tap, "mode", "tap"], check=True)
        self.taps.append(tap)
        return Interface(
            port_id=str(uuid.UUID(int=number)), mac=f"fa:16:3e:00:00:{number:02x}", tap=tap, offloads=False
        )

    def disk(self, serial: str) -> Disk:
        path = self.folder / f"{serial}.raw"
        path.write_bytes(bytes(1 << 20))
        return Disk(path=str(path), target="vdb", serial=serial, format="raw")

    def wait(self, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that"
            self.run(asyncio.sleep(0.05))

    def power(self, spec: DomainSpec) -> Power | None:
        states = {state.uuid: state.power for state in self.run(self.hypervisor.list_domains())}
        return states.get(spec.uuid)

    def until(self, change: Change, spec: DomainSpec | None = None) -> list[Event]:
        """The events up to and with this one."""
        found: list[Event] = []

        async def read() -> None:
            async with asyncio.timeout(30):
                while True:
                    event = await self.hypervisor.events.get()
                    if spec is None or event.uuid == spec.uuid:
                        found.append(event)
                        if event.change is change:
                            return

        self.run(read())
        return found

    def close(self) -> None:
        self.run(self.hypervisor.undefine(self.specs))
        self.run(self.hypervisor.close())
        for tap in set(self.taps) if self.is_real else ():
            subprocess.run(["ip", "link", "del", tap], check=False)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as loop:
        yield loop


@pytest.fixture(scope="module")
def daemon(runner: asyncio.Runner) -> Iterator[LibvirtDaemon]:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="plv-"))
    daemon = LibvirtDaemon(root)
    runner.run(daemon.start())
    yield daemon
    runner.run(daemon.stop())
    shutil.rmtree(root)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Bench]:
    if request.param == "real" and (reason := why_not_real()) is not None:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="plvd-"))
    folder.chmod(0o755)
    if request.param == "real":
        from pileus.drivers.libvirt.driver import LibvirtHypervisor

        uri = request.getfixturevalue("daemon").uri
        bench = Bench(runner, folder, lambda: LibvirtHypervisor(uri))
    else:
        bench = Bench(
            runner, folder, lambda: SimulatedHypervisor(folder / "state.json", says=lambda _: SAYS + "\r\n")
        )
    yield bench
    bench.close()
    shutil.rmtree(folder)


def test_a_machine_from_definition_to_its_end(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    assert bench.power(spec) is None
    assert bench.run(hypervisor.ensure_defined([spec])) == [spec.uuid]
    assert bench.power(spec) is Power.OFF
    bench.run(hypervisor.start(spec.uuid))
    assert bench.power(spec) is Power.RUNNING
    bench.run(hypervisor.start(spec.uuid))  # again: nothing
    assert spec.console_log is not None
    bench.wait(lambda: SAYS.encode() in read_console(Path(spec.console_log or ""), limit=1000).text)
    bench.run(hypervisor.destroy(spec.uuid))
    bench.run(hypervisor.destroy(spec.uuid))
    assert bench.power(spec) is Power.OFF
    bench.run(hypervisor.undefine([spec.uuid]))
    bench.run(hypervisor.undefine([spec.uuid]))
    assert bench.power(spec) is None
    events = bench.until(Change.UNDEFINED, spec)
    kinds = [event.change for event in events]
    # QEMU resumes its processors as a last step of a start; that it does is no start of its own.
    assert [kind for kind in kinds if kind is not Change.RESUMED] == [
        Change.DEFINED,
        Change.STARTED,
        Change.STOPPED,
        Change.UNDEFINED,
    ]
    assert next(event for event in events if event.change is Change.STOPPED).detail == "destroyed"


@pytest.mark.parametrize(
    ("machine", "bus", "target"),
    [("pc", "virtio", "vda"), ("pc", "ide", "hda"), ("pc", "scsi", "sda"), ("q35", "sata", "sda")],
)
def test_what_images_and_flavors_ask_for_starts(
    bench: Bench, machine: str, bus: DiskBus, target: str
) -> None:
    (disk,) = bench.spec().disks
    spec = bench.spec(
        machine=machine,
        vcpus=4,
        topology=(1, 2, 2),
        boot_menu=True,
        hpet=True,
        hide_hypervisor=True,
        guest_agent=True,
        watchdog="reset",
        random=RandomDevice(rate_bytes=1024, period_ms=1000),
        disks=(
            msgspec.structs.replace(
                disk, bus=bus, target=target, limits={"read_iops_sec": 1000, "total_bytes_sec": 1 << 20}
            ),
        ),
    )
    bench.run(bench.hypervisor.ensure_defined([spec]))
    bench.run(bench.hypervisor.start(spec.uuid))
    assert bench.power(spec) is Power.RUNNING
    bench.run(bench.hypervisor.destroy(spec.uuid))


@pytest.mark.parametrize("model", ["e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci"])
def test_models_of_cards(bench: Bench, model: str) -> None:
    card = msgspec.structs.replace(bench.interface(61), model=model, mtu=1450)
    spec = bench.spec(interfaces=(card,))
    bench.run(bench.hypervisor.ensure_defined([spec]))
    bench.run(bench.hypervisor.start(spec.uuid))
    assert bench.power(spec) is Power.RUNNING
    bench.run(bench.hypervisor.destroy(spec.uuid))


def test_only_what_differs_is_defined(bench: Bench) -> None:
    hypervisor, one, two = bench.hypervisor, bench.spec(), bench.spec()
    assert bench.run(hypervisor.ensure_defined([one, two])) == [one.uuid, two.uuid]
    assert bench.run(hypervisor.ensure_defined([one, two])) == []
    larger = msgspec.structs.replace(two, memory_mib=48)
    assert bench.run(hypervisor.ensure_defined([one, larger])) == [two.uuid]
    bench.run(hypervisor.start(two.uuid))
    assert bench.run(hypervisor.stats([two.uuid]))[two.uuid].memory_mib == 48


def test_a_description_that_is_wrong_stands_alone(bench: Bench) -> None:
    one, wrong, two = bench.spec(), bench.spec(vcpus=0), bench.spec()
    with pytest.raises(NotDefined) as caught:
        bench.run(bench.hypervisor.ensure_defined([one, wrong, two]))
    assert list(caught.value.reasons) == [wrong.uuid]
    assert (bench.power(one), bench.power(wrong), bench.power(two)) == (Power.OFF, None, Power.OFF)


def test_a_running_machine_takes_a_new_definition_at_its_next_start(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    bench.run(hypervisor.ensure_defined([msgspec.structs.replace(spec, memory_mib=48)]))
    assert bench.run(hypervisor.stats())[spec.uuid].memory_mib == 32
    bench.run(hypervisor.reboot(spec.uuid, hard=True))
    assert bench.run(hypervisor.stats())[spec.uuid].memory_mib == 48


def test_what_is_not_ours_is_not_seen(bench: Bench) -> None:
    spec = bench.spec()
    other = msgspec.structs.replace(spec, name=f"someone-{spec.uuid}")
    bench.run(bench.hypervisor.ensure_defined([other]))
    assert bench.power(spec) is None
    assert spec.uuid not in bench.run(bench.hypervisor.stats())


def test_pause_and_resume(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    bench.run(hypervisor.ensure_defined([spec]))
    with pytest.raises(HypervisorFailed, match="not running"):
        bench.run(hypervisor.suspend(spec.uuid))
    bench.run(hypervisor.start(spec.uuid, paused=True))
    assert bench.power(spec) is Power.PAUSED
    bench.run(hypervisor.resume(spec.uuid))
    bench.run(hypervisor.resume(spec.uuid))
    assert bench.power(spec) is Power.RUNNING
    bench.run(hypervisor.suspend(spec.uuid))
    bench.run(hypervisor.suspend(spec.uuid))
    assert bench.power(spec) is Power.PAUSED
    assert not bench.run(hypervisor.shutdown(spec.uuid, 5)), "it can't hear"
    assert bench.power(spec) is Power.OFF


def test_an_interrupt_reaches_machines_that_are_on(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    bench.run(hypervisor.ensure_defined([spec]))
    with pytest.raises(HypervisorFailed, match="not running"):
        bench.run(hypervisor.interrupt(spec.uuid))
    bench.run(hypervisor.start(spec.uuid, paused=True))
    bench.run(hypervisor.interrupt(spec.uuid))
    assert bench.power(spec) is Power.PAUSED
    with pytest.raises(DomainMissing):
        bench.run(hypervisor.interrupt(str(uuid.uuid4())))


def test_save_and_go_on(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    bench.wait(lambda: SAYS.encode() in read_console(Path(spec.console_log or ""), limit=1000).text)
    bench.run(hypervisor.save(spec.uuid))
    bench.run(hypervisor.save(spec.uuid))
    assert bench.power(spec) is Power.OFF
    assert bench.until(Change.STOPPED, spec)[-1].detail == "saved"
    bench.run(hypervisor.start(spec.uuid))
    assert bench.power(spec) is Power.RUNNING
    assert bench.until(Change.STARTED, spec)[-1].detail == "restored"
    # It went on and did not boot: the greeting was said once.
    assert read_console(Path(spec.console_log or ""), limit=10000).text.count(SAYS.encode()) == 1


def test_a_disk_is_copied_as_it_is_while_the_guest_goes_on(bench: Bench) -> None:
    spec = bench.spec()
    copy, raw = bench.folder / "copy.qcow2", bench.folder / "copy.raw"
    bench.run(bench.hypervisor.ensure_defined([spec]))
    with pytest.raises(HypervisorFailed, match="not running"):
        bench.run(bench.hypervisor.copy_disk(spec.uuid, "vda", copy))
    bench.run(bench.hypervisor.start(spec.uuid))

    def content() -> bytes:
        if not bench.is_real:
            return copy.read_bytes()
        convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(copy), str(raw)]
        subprocess.run(convert, check=True)
        return raw.read_bytes()

    disk = Path(spec.disks[0].path).read_bytes()
    bench.run(bench.hypervisor.copy_disk(spec.uuid, "vda", copy))
    assert content()[: len(disk)] == disk
    assert bench.power(spec) is Power.RUNNING
    # Again, of a machine that is paused, over what is there; and of a disk that there is not.
    bench.run(bench.hypervisor.suspend(spec.uuid))
    bench.run(bench.hypervisor.copy_disk(spec.uuid, "vda", copy))
    assert content()[: len(disk)] == disk
    assert bench.power(spec) is Power.PAUSED
    with pytest.raises(HypervisorFailed):
        bench.run(bench.hypervisor.copy_disk(spec.uuid, "vdz", copy))
    missing = str(uuid.uuid4())
    with pytest.raises(DomainMissing):
        bench.run(bench.hypervisor.copy_disk(missing, "vda", copy))


def test_a_deaf_guest_is_destroyed_when_its_time_is_over(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    if isinstance(hypervisor, SimulatedHypervisor):
        hypervisor.deaf.add(spec.uuid)
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    assert bench.run(hypervisor.shutdown(spec.uuid, 0.5)) is False
    assert bench.power(spec) is Power.OFF
    assert bench.run(hypervisor.shutdown(spec.uuid, 0.5)) is True, "it was off already"


def test_a_soft_reboot_of_a_deaf_guest_becomes_a_hard_one(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec()
    if isinstance(hypervisor, SimulatedHypervisor):
        hypervisor.deaf.add(spec.uuid)
    bench.run(hypervisor.ensure_defined([spec]))
    with pytest.raises(HypervisorFailed, match="not running"):
        bench.run(hypervisor.reboot(spec.uuid, hard=False))
    bench.run(hypervisor.start(spec.uuid))
    assert bench.run(hypervisor.reboot(spec.uuid, hard=False, timeout_s=0.5)) is False
    assert bench.power(spec) is Power.RUNNING
    details = [event.detail for event in bench.until(Change.STOPPED, spec)]
    assert details[-1] == "destroyed"


def test_devices_come_and_stay_for_the_next_start(bench: Bench) -> None:
    hypervisor, spec = bench.hypervisor, bench.spec(interfaces=())
    first, second, disk = bench.interface(1), bench.interface(2), bench.disk("extra")
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.attach_interface(spec.uuid, first))
    bench.run(hypervisor.start(spec.uuid))
    for _ in range(2):
        bench.run(hypervisor.attach_interface(spec.uuid, second))
        bench.run(hypervisor.attach_disk(spec.uuid, disk))

    def devices() -> tuple[list[str], list[str]]:
        stats = bench.run(hypervisor.stats([spec.uuid]))[spec.uuid]
        return [nic.tap for nic in stats.interfaces], [disk.target for disk in stats.disks]

    assert devices() == ([first.tap, second.tap], ["vda", "vdb"])
    bench.run(hypervisor.reboot(spec.uuid, hard=True))
    assert devices() == ([first.tap, second.tap], ["vda", "vdb"])
    bench.run(hypervisor.destroy(spec.uuid))
    bench.run(hypervisor.detach_interface(spec.uuid, first.port_id))
    bench.run(hypervisor.detach_interface(spec.uuid, first.port_id))
    bench.run(hypervisor.detach_disk(spec.uuid, "extra"))
    bench.run(hypervisor.start(spec.uuid))
    assert devices() == ([second.tap], ["vda"])
    # The definition was changed under its digest: the description is taken up whole again.
    assert bench.run(hypervisor.ensure_defined([spec])) == [spec.uuid]
    bench.run(hypervisor.reboot(spec.uuid, hard=True))
    assert devices() == ([], ["vda"])


def test_a_guest_may_keep_a_device(bench: Bench) -> None:
    hypervisor, nic = bench.hypervisor, bench.interface(3)
    spec = bench.spec(interfaces=(nic,))
    if isinstance(hypervisor, SimulatedHypervisor):
        hypervisor.deaf.add(spec.uuid)
    bench.run(hypervisor.ensure_defined([spec]))
    bench.run(hypervisor.start(spec.uuid))
    bench.wait(lambda: SAYS.encode() in read_console(Path(spec.console_log or ""), limit=1000).text)
    for _ in range(2):
        with pytest.raises(NotDetached):
            bench.run(hypervisor.detach_interface(spec.uuid, nic.port_id, timeout_s=0.3))
    bench.run(hypervisor.reboot(spec.uuid, hard=True))
    assert bench.run(hypervisor.stats())[spec.uuid].interfaces == ()


def test_a_guest_without_an_agent_is_silent(bench: Bench) -> None:
    spec = bench.spec(guest_agent=True)
    bench.run(bench.hypervisor.ensure_defined([spec]))
    ask = ("/bin/true",)
    with pytest.raises(GuestSilent):  # off
        bench.run(bench.hypervisor.run_in_guest(spec.uuid, ask))
    bench.run(bench.hypervisor.start(spec.uuid))
    if not bench.is_real:
        bench.hypervisor.deaf.add(spec.uuid)  # type: ignore[attr-defined]
    with pytest.raises(GuestSilent):
        bench.run(bench.hypervisor.run_in_guest(spec.uuid, ask))
    with pytest.raises(DomainMissing):
        bench.run(bench.hypervisor.run_in_guest(str(uuid.uuid4()), ask))


def test_what_is_missing_is_said(bench: Bench) -> None:
    nobody = str(uuid.uuid4())
    with pytest.raises(DomainMissing):
        bench.run(bench.hypervisor.start(nobody))
    with pytest.raises(DomainMissing):
        bench.run(bench.hypervisor.definition(nobody))
    assert bench.run(bench.hypervisor.stats([nobody])) == {}


def test_machines_outlive_the_driver(bench: Bench) -> None:
    spec = bench.spec()
    bench.run(bench.hypervisor.ensure_defined([spec]))
    bench.run(bench.hypervisor.start(spec.uuid))
    bench.run(bench.hypervisor.close())
    with pytest.raises(HypervisorUnavailable):
        bench.run(bench.hypervisor.list_domains())
    bench.hypervisor = bench.make()
    bench.run(bench.hypervisor.connect())
    assert bench.power(spec) is Power.RUNNING
    assert bench.run(bench.hypervisor.ensure_defined([spec])) == []
    assert spec.uuid in bench.run(bench.hypervisor.definition(spec.uuid))


def test_facts_of_the_host(bench: Bench) -> None:
    facts = bench.run(bench.hypervisor.host())
    assert facts.cpus >= 1 and facts.memory_mib > 100 and facts.version > 5_000_000


@pytest.mark.real
def test_a_libvirtd_that_dies_is_found_again(runner: asyncio.Runner, daemon: LibvirtDaemon) -> None:
    from pileus.drivers.libvirt.driver import LibvirtHypervisor

    folder = Path(tempfile.mkdtemp(prefix="plvd-"))
    folder.chmod(0o755)
    bench = Bench(runner, folder, lambda: LibvirtHypervisor(daemon.uri))
    spec, broken = bench.spec(), bench.spec(disks=(bench.disk("gone"),))
    bench.run(bench.hypervisor.ensure_defined([spec, broken]))
    Path(broken.disks[0].path).unlink()
    with pytest.raises(HypervisorFailed, match="No such file") as caught:
        bench.run(bench.hypervisor.start(broken.uuid))
    assert not isinstance(caught.value, HypervisorUnavailable), "that is the machine's own trouble"
    bench.run(bench.hypervisor.start(spec.uuid))
    bench.until(Change.STARTED, spec)
    bench.run(daemon.stop(kill=True))
    assert daemon.pid() is None
    with pytest.raises(HypervisorUnavailable):
        bench.run(bench.hypervisor.list_domains())
    bench.run(daemon.start())
    bench.until(Change.CONNECTED)
    assert bench.power(spec) is Power.RUNNING
    bench.run(bench.hypervisor.destroy(spec.uuid))
    bench.until(Change.STOPPED, spec)
    bench.close()
    shutil.rmtree(folder)
