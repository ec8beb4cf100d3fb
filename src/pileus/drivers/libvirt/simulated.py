"""A simulated hypervisor: libvirt's state without machines.

It keeps definitions, running and next-start devices apart as libvirt does, emits the same
events, and writes to a console's file what a small guest would say. With a state file the
machines outlive the process, as QEMU's do; a start of the *host* is a new state file.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from pileus.core.clock import Clock, SystemClock
from pileus.core.files import write_atomically
from pileus.core.streams import ByteStream
from pileus.drivers.libvirt import domain as xml
from pileus.drivers.libvirt.domain import Disk, DomainSpec, Interface
from pileus.drivers.libvirt.hypervisor import (
    NAME_PREFIX,
    Change,
    ConsoleKind,
    ConsoleMissing,
    DiskStats,
    DomainMissing,
    DomainState,
    DomainStats,
    Event,
    GuestSaid,
    GuestSilent,
    HostFacts,
    HypervisorFailed,
    HypervisorUnavailable,
    InterfaceStats,
    NotDefined,
    NotDetached,
    Power,
)
from pileus.drivers.libvirt.simulated_consoles import Consoles
from pileus.drivers.libvirt.simulated_leaving import Machine, SimulatedLeaving
from pileus.drivers.libvirt.sources import Secret

_FACTS = HostFacts(
    hostname="simulated",
    cpus=16,
    memory_mib=65536,
    hypervisor="QEMU",
    version=7002000,
    libvirt_version=9000000,
    arch="x86_64",
)


def guest_says(spec: DomainSpec) -> str:
    """Make the lines that a guest's serial console shows of its start."""
    host = spec.labels.get("hostname", spec.title or spec.name)
    lines = [
        "[    0.000000] Linux version 6.1.0 (simulated)",
        f"[    0.000000] DMI: Pileus {spec.product}",
        f"[    0.100000] smpboot: Total of {spec.vcpus} processors activated",
        f"[    0.100000] Memory: {spec.memory_mib * 1024}K available",
        *(f"[    0.200000] virtio_net: eth{i} {nic.mac}" for i, nic in enumerate(spec.interfaces)),
        "",
        f"{host} login: ",
    ]
    return "\r\n".join(lines)


async def _copy_file(source: Path, target: Path) -> None:
    await asyncio.to_thread(shutil.copyfile, source, target)


Guest = Callable[[DomainSpec, dict[str, str], Sequence[str], bytes], GuestSaid]
"""``(machine, what it keeps, command, input) -> how the command ended``: a guest with QEMU's agent."""


def no_programs(spec: DomainSpec, kept: dict[str, str], command: Sequence[str], input: bytes) -> GuestSaid:
    """A guest in which there is nothing to run."""
    return GuestSaid(127, b"not found\n")


class SimulatedHypervisor(SimulatedLeaving):
    """``Hypervisor`` without machines. ``guest``: what its machines do when they are told to run something.
    ``says``: what a machine writes on its console at each start.

    ``faults``: a verb's name to what it raises the next time, once. ``deaf``: machines that hear neither
    the power button nor requests to let go of devices. ``interrupted``: machines that were.
    ``copy``: how a disk is copied.
    """

    def __init__(
        self,
        state_file: Path | None = None,
        *,
        prefix: str = NAME_PREFIX,
        facts: HostFacts = _FACTS,
        says: Callable[[DomainSpec], str] = guest_says,
        guest: Guest = no_programs,
        clock: Clock | None = None,
        copy: Callable[[Path, Path], Awaitable[None]] = _copy_file,
    ) -> None:
        super().__init__()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.faults: dict[str, Exception] = {}
        self.deaf: set[str] = set()
        self.interrupted: list[str] = []
        self.secrets: dict[str, Secret] = {}
        self.calls = 0
        self._file = state_file
        self._prefix = prefix
        self._facts = facts
        self._says = says
        self._guest = guest
        self._clock = clock or SystemClock()
        self._copy = copy
        self._connected = False
        self._consoles = Consoles()
        self._machines: dict[str, Machine] = {}
        if state_file is not None and state_file.exists():
            self._machines = msgspec.json.decode(state_file.read_bytes(), type=dict[str, Machine])

    async def connect(self) -> None:
        """See Hypervisor."""
        self._connected = True
        self.events.put_nowait(Event(Change.CONNECTED))

    async def close(self) -> None:
        """See Hypervisor."""
        self._connected = False

    async def host(self) -> HostFacts:
        """See Hypervisor."""
        self._enter("host")
        return self._facts

    async def list_domains(self) -> list[DomainState]:
        """See Hypervisor."""
        self._enter("list_domains")
        return [DomainState(uuid, m.wanted.name, m.power) for uuid, m in self._ours()]

    async def stats(self, uuids: Collection[str] | None = None) -> dict[str, DomainStats]:
        """See Hypervisor."""
        self._enter("stats")
        return {uuid: self._stats(m) for uuid, m in self._ours() if uuids is None or uuid in uuids}

    async def definition(self, uuid: str) -> str:
        """See Hypervisor."""
        machine = self._machine("definition", uuid)
        return xml.render(machine.running or machine.wanted)

    async def ensure_defined(self, specs: Sequence[DomainSpec]) -> list[str]:
        """See Hypervisor."""
        self._enter("ensure_defined")
        touched, reasons = [], {}
        for spec in specs:
            if spec.vcpus < 1 or spec.memory_mib < 1:
                reasons[spec.uuid] = "XML error: a machine has processors and memory"
                continue
            machine = self._machines.get(spec.uuid)
            digest = xml.digest(spec)
            if machine is not None and machine.digest == digest:
                continue
            if machine is None:
                machine = self._machines[spec.uuid] = Machine(spec)
                self._post(machine, Change.DEFINED, "added")
            else:
                machine.wanted = spec
                self._post(machine, Change.DEFINED, "updated")
            machine.digest = digest
            touched.append(spec.uuid)
        self._store()
        if reasons:
            raise NotDefined(reasons)
        return touched

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """See Hypervisor."""
        machine = self._machine("start", uuid)
        if machine.running is not None:
            return
        machine.running = machine.wanted
        machine.power = Power.PAUSED if paused else Power.RUNNING
        machine.started_at = self._clock.monotonic()
        self._post(machine, Change.STARTED, "restored" if machine.saved else "booted")
        if not machine.saved and not paused:
            self._speak(machine)
        machine.saved = False
        self._store()

    async def shutdown(self, uuid: str, timeout_s: float) -> bool:
        """See Hypervisor."""
        machine = self._machine("shutdown", uuid)
        if machine.running is None:
            return True
        hears = machine.power is Power.RUNNING and uuid not in self.deaf
        self._stop(machine, "shutdown" if hears else "destroyed")
        self._store()
        return hears

    async def destroy(self, uuid: str) -> None:
        """See Hypervisor."""
        machine = self._machine("destroy", uuid)
        if machine.running is not None:
            self._stop(machine, "destroyed")
        machine.saved = False
        self._store()

    async def reboot(self, uuid: str, *, hard: bool, timeout_s: float = 60.0) -> bool:
        """See Hypervisor."""
        machine = self._machine("reboot", uuid)
        if hard:
            await self.destroy(uuid)
            went = False
        else:
            self._need_running("reboot", machine)
            went = await self.shutdown(uuid, timeout_s)
        await self.start(uuid)
        return went

    async def suspend(self, uuid: str) -> None:
        """See Hypervisor."""
        machine = self._machine("suspend", uuid)
        self._need_running("suspend", machine)
        if machine.power is not Power.PAUSED:
            machine.power = Power.PAUSED
            self._post(machine, Change.PAUSED, "paused")
            self._store()

    async def resume(self, uuid: str) -> None:
        """See Hypervisor."""
        machine = self._machine("resume", uuid)
        self._need_running("resume", machine)
        if machine.power is not Power.RUNNING:
            machine.power = Power.RUNNING
            self._post(machine, Change.RESUMED, "unpaused")
            self._store()

    async def interrupt(self, uuid: str) -> None:
        """See Hypervisor."""
        machine = self._machine("interrupt", uuid)
        self._need_running("interrupt", machine)
        self.interrupted.append(uuid)

    async def save(self, uuid: str) -> None:
        """See Hypervisor."""
        machine = self._machine("save", uuid)
        if machine.running is None:
            return
        self._stop(machine, "saved")
        machine.saved = True
        self._store()

    async def undefine(self, uuids: Collection[str]) -> None:
        """See Hypervisor."""
        self._enter("undefine")
        for uuid in uuids:
            machine = self._machines.get(uuid)
            if machine is None:
                continue
            if machine.running is not None:
                self._stop(machine, "destroyed")
            del self._machines[uuid]
            self._post(machine, Change.UNDEFINED, "removed")
        self._store()

    async def copy_disk(self, uuid: str, target: str, path: Path, *, quiesce: bool = False) -> None:
        """See Hypervisor."""
        machine = self._machine("copy_disk", uuid)
        self._need_running("copy_disk", machine)
        assert machine.running is not None
        for disk in machine.running.disks:
            if disk.target == target:
                await self._copy(Path(disk.path), path)
                return
        raise HypervisorFailed("copy_disk", f"invalid argument: no target device {target}")

    async def run_in_guest(
        self, uuid: str, command: Sequence[str], input: bytes = b"", timeout_s: float = 30.0
    ) -> GuestSaid:
        """See Hypervisor."""
        machine = self._machine("run_in_guest", uuid)
        running = machine.running
        if running is None or not running.guest_agent or machine.power is not Power.RUNNING:
            raise GuestSilent("run_in_guest", "QEMU guest agent is not connected")
        if uuid in self.deaf:
            raise GuestSilent("run_in_guest", "Guest agent is not responding")
        before = dict(machine.inside)
        said = self._guest(running, machine.inside, command, input)
        if machine.inside != before:
            self._store()
        return said

    async def open_console(self, uuid: str, kind: ConsoleKind) -> ByteStream:
        """See Hypervisor."""
        machine = self._machine("open_console", uuid)
        running = machine.running
        if running is None:
            raise ConsoleMissing("open_console", "the machine does not run")
        if kind == "vnc" and not running.display:
            raise ConsoleMissing("open_console", "the machine has no display")
        return await self._consoles.open(uuid, kind, running.title or running.name)

    async def attach_interface(self, uuid: str, interface: Interface) -> None:
        """See Hypervisor."""
        self._attach("attach_interface", uuid, interface)

    async def detach_interface(self, uuid: str, port_id: str, timeout_s: float = 20.0) -> None:
        """See Hypervisor."""
        self._detach("detach_interface", uuid, xml.interface_alias(port_id))

    async def attach_disk(self, uuid: str, disk: Disk) -> None:
        """See Hypervisor."""
        self._attach("attach_disk", uuid, disk)

    async def detach_disk(self, uuid: str, serial: str, timeout_s: float = 20.0) -> None:
        """See Hypervisor."""
        self._detach("detach_disk", uuid, xml.disk_alias(serial))

    async def resize_file(self, path: Path, size: int) -> bool:
        """See Hypervisor."""
        self._enter("resize_file")
        return self.has_open(path)

    async def move_to_overlays(self, moves: Mapping[Path, Path]) -> set[Path]:
        """See Hypervisor."""
        self._enter("move_to_overlays")
        moved = set()
        for machine in self._machines.values():
            for path, overlay in moves.items():
                if machine.running is not None and _has(machine.running, path):
                    machine.running = _moved(machine.running, path, overlay)
                    machine.wanted = _moved(machine.wanted, path, overlay)
                    moved.add(path)
        self._store()
        return moved

    def has_open(self, path: Path) -> bool:
        """Whether a running machine has a file as a disk that it writes to."""
        return any(one.running is not None and _has(one.running, path) for one in self._machines.values())

    async def resize_disk(self, uuid: str, serial: str, size: int) -> None:
        """See Hypervisor."""
        machine = self._machine("resize_disk", uuid)
        alias = xml.disk_alias(serial)
        if machine.running is not None and all(disk.alias != alias for disk in machine.running.disks):
            raise HypervisorFailed("resize_disk", f"the machine has no disk {serial}")

    async def ensure_secrets(self, secrets: Sequence[Secret]) -> None:
        """See Hypervisor."""
        self._enter("ensure_secrets")
        for secret in secrets:
            for other in self.secrets.values():
                if (other.kind, other.usage) == (secret.kind, secret.usage) and other.uuid != secret.uuid:
                    text = f"a secret with UUID {other.uuid} already defined for use with {secret.usage}"
                    raise HypervisorFailed("ensure_secrets", text)
        self.secrets |= {secret.uuid: secret for secret in secrets}

    async def drop_secrets(self, uuids: Collection[str]) -> None:
        """See Hypervisor."""
        self._enter("drop_secrets")
        for uuid in uuids:
            self.secrets.pop(uuid, None)

    def crash(self, uuid: str) -> None:
        """End a machine as a QEMU that dies does."""
        machine = self._machines[uuid]
        if machine.running is not None:
            self._stop(machine, "crashed")
            self._store()

    def power_off(self, uuid: str) -> None:
        """End a machine as ``poweroff`` within the guest does."""
        machine = self._machines[uuid]
        if machine.running is not None:
            self._stop(machine, "shutdown")
            self._store()

    def _enter(self, verb: str) -> None:
        self.calls += 1
        if not self._connected:
            raise HypervisorUnavailable(verb, "no connection to libvirt")
        if (fault := self.faults.pop(verb, None)) is not None:
            raise fault

    def _machine(self, verb: str, uuid: str) -> Machine:
        self._enter(verb)
        try:
            return self._machines[uuid]
        except KeyError:
            raise DomainMissing(verb, f"no domain with matching uuid '{uuid}'") from None

    def _need_running(self, verb: str, machine: Machine) -> None:
        if machine.running is None:
            raise HypervisorFailed(verb, "Requested operation is not valid: domain is not running")

    def _ours(self) -> list[tuple[str, Machine]]:
        return [(u, m) for u, m in self._machines.items() if m.wanted.name.startswith(self._prefix)]

    def _stop(self, machine: Machine, detail: str) -> None:
        machine.running = None
        machine.power = Power.OFF
        self._consoles.hang_up(machine.wanted.uuid)
        self._post(machine, Change.STOPPED, detail)

    def _post(self, machine: Machine, change: Change, detail: str) -> None:
        if machine.wanted.name.startswith(self._prefix):
            self.events.put_nowait(Event(change, machine.wanted.uuid, detail))

    def _speak(self, machine: Machine) -> None:
        log = machine.running.console_log if machine.running is not None else None
        if machine.running is None or log is None or not Path(log).parent.is_dir():
            return
        with Path(log).open("a", newline="") as file:
            file.write(self._says(machine.running))

    def _stats(self, machine: Machine) -> DomainStats:
        spec = machine.running
        if spec is None:
            return DomainStats(machine.wanted.uuid, machine.power)
        return DomainStats(
            uuid=spec.uuid,
            power=machine.power,
            vcpus=spec.vcpus,
            # An idle guest: a hundredth of a processor.
            cpu_time_ns=int((self._clock.monotonic() - machine.started_at) * 1e7),
            memory_mib=spec.memory_mib,
            memory_rss_mib=spec.memory_mib,
            disks=tuple(DiskStats(target=disk.target) for disk in spec.disks),
            interfaces=tuple(InterfaceStats(tap=interface.tap) for interface in spec.interfaces),
        )

    def _attach(self, verb: str, uuid: str, device: Disk | Interface) -> None:
        machine = self._machine(verb, uuid)
        if machine.running is not None:
            machine.running = _with(machine.running, device)
        changed = _with(machine.wanted, device)
        if changed != machine.wanted:
            machine.wanted, machine.digest = changed, ""
        self._store()

    def _detach(self, verb: str, uuid: str, alias: str) -> None:
        machine = self._machine(verb, uuid)
        changed = _without(machine.wanted, alias)
        if changed != machine.wanted:
            machine.wanted, machine.digest = changed, ""
        try:
            if machine.running is not None and _without(machine.running, alias) != machine.running:
                if uuid in self.deaf:
                    raise NotDetached(verb, f"the guest still holds {alias}")
                machine.running = _without(machine.running, alias)
                self._post(machine, Change.DEVICE_REMOVED, alias)
        finally:
            self._store()

    def _store(self) -> None:
        if self._file is not None:
            lasting = {uuid: machine for uuid, machine in self._machines.items() if not machine.comes}
            write_atomically(self._file, msgspec.json.encode(lasting), durable=False)


def _has(spec: DomainSpec, path: Path) -> bool:
    return any(disk.path == str(path) and not disk.read_only for disk in spec.disks)


def _moved(spec: DomainSpec, path: Path, overlay: Path) -> DomainSpec:
    disks = (
        msgspec.structs.replace(disk, path=str(overlay), format="qcow2") if disk.path == str(path) else disk
        for disk in spec.disks
    )
    return msgspec.structs.replace(spec, disks=tuple(disks))


def _with(spec: DomainSpec, device: Disk | Interface) -> DomainSpec:
    present = {disk.alias for disk in spec.disks} | {nic.alias for nic in spec.interfaces}
    if device.alias in present:
        return spec
    if isinstance(device, Disk):
        return msgspec.structs.replace(spec, disks=(*spec.disks, device))
    return msgspec.structs.replace(spec, interfaces=(*spec.interfaces, device))


def _without(spec: DomainSpec, alias: str) -> DomainSpec:
    return msgspec.structs.replace(
        spec,
        disks=tuple(disk for disk in spec.disks if disk.alias != alias),
        interfaces=tuple(nic for nic in spec.interfaces if nic.alias != alias),
    )
