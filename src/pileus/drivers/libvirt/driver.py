"""Virtual machines through libvirt (https://libvirt.org/html/index.html)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import libvirt
import libvirt_qemu

from pileus.core.streams import ByteStream
from pileus.drivers.libvirt import domain as xml
from pileus.drivers.libvirt import guest_agent
from pileus.drivers.libvirt.connection import Connection, is_gone, reason
from pileus.drivers.libvirt.disks import Disks
from pileus.drivers.libvirt.domain import Disk, DomainSpec, Interface
from pileus.drivers.libvirt.hypervisor import (
    NAME_PREFIX,
    Change,
    ConsoleKind,
    DomainState,
    DomainStats,
    Event,
    GuestSaid,
    GuestSilent,
    HostFacts,
    HypervisorFailed,
    NotDefined,
    NotDetached,
    Power,
)
from pileus.drivers.libvirt.reading import LIFECYCLE, POWER, read_stats
from pileus.drivers.libvirt.real_consoles import RealConsoles

_T = TypeVar("_T")

_LOOK_EVERY_S = 0.5
COPY_WITHIN_S = 7200
_AGENT_WITHIN_S = 5
_AGENT_AWAY = frozenset(
    (
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        libvirt.VIR_ERR_AGENT_UNSYNCED,
        libvirt.VIR_ERR_OPERATION_INVALID,
        libvirt.VIR_ERR_OPERATION_TIMEOUT,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_INTERNAL_ERROR,
    )
)
"""Not running, not listening, not able: whatever it is, the guest has done nothing."""
_LIVE, _CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
# A machine whose QEMU hangs must not make the answer for all others wait.
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_ALL_STATS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)


class LibvirtHypervisor(Disks):
    """``Hypervisor`` for real. ``uri`` says which libvirt (see ``daemon``)."""

    def __init__(self, uri: str, *, prefix: str = NAME_PREFIX) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        super().__init__(uri, Connection(uri, opened=self._register, up=self._connected), prefix)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._happened = asyncio.Condition()
        self._notifiers: set[asyncio.Task[None]] = set()
        self._consoles = RealConsoles(self._connection)

    async def connect(self) -> None:
        """See Hypervisor."""
        self._loop = asyncio.get_running_loop()
        await self._forget_ways()
        await self._connection.connect()

    async def close(self) -> None:
        """See Hypervisor."""
        await self._connection.close()

    async def host(self) -> HostFacts:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> HostFacts:
            arch, memory_mib, cpus, *_ = connection.getInfo()
            return HostFacts(
                hostname=connection.getHostname(),
                cpus=cpus,
                memory_mib=memory_mib,
                hypervisor=connection.getType(),
                version=connection.getVersion(),
                libvirt_version=connection.getLibVersion(),
                arch=arch,
            )

        return await self._connection.call("host", work)

    async def list_domains(self) -> list[DomainState]:
        """See Hypervisor."""
        rows = await self._records("list_domains", libvirt.VIR_DOMAIN_STATS_STATE)
        return [
            DomainState(uuid, name, POWER.get(values.get("state.state", 0), Power.UNKNOWN))
            for uuid, name, values in rows
        ]

    async def stats(self, uuids: Collection[str] | None = None) -> dict[str, DomainStats]:
        """See Hypervisor."""
        rows = await self._records("stats", _ALL_STATS)
        wanted = None if uuids is None else frozenset(uuids)
        return {uuid: read_stats(uuid, v) for uuid, _, v in rows if wanted is None or uuid in wanted}

    async def definition(self, uuid: str) -> str:
        """See Hypervisor."""
        return await self._domain("definition", uuid, lambda domain: str(domain.XMLDesc()))

    async def ensure_defined(self, specs: Sequence[DomainSpec]) -> list[str]:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> tuple[list[str], dict[str, str]]:
            touched, reasons = [], {}
            for spec in specs:
                try:
                    if _digest(_find(connection, spec.uuid)) == xml.digest(spec):
                        continue
                    connection.defineXMLFlags(xml.render(spec), 0)
                    touched.append(spec.uuid)
                except libvirt.libvirtError as error:
                    if is_gone(error):
                        raise
                    reasons[spec.uuid] = reason(error)
                except (ValueError, TypeError) as error:  # text that can be part of no definition
                    reasons[spec.uuid] = f"{type(error).__name__}: {error}"
            return touched, reasons

        touched, reasons = await self._connection.call("ensure_defined", work)
        if reasons:
            raise NotDefined(reasons)
        return touched

    async def start(self, uuid: str, *, paused: bool = False) -> None:
        """See Hypervisor."""

        def work(domain: libvirt.virDomain) -> None:
            if not domain.isActive():
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)

        await self._domain("start", uuid, work)

    async def shutdown(self, uuid: str, timeout_s: float) -> bool:
        """See Hypervisor."""

        def press(domain: libvirt.virDomain) -> bool:
            if _power(domain) is Power.RUNNING:
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
            return _power(domain) in (Power.RUNNING, Power.SHUTDOWN)

        hears = await self._domain("shutdown", uuid, press)
        went = True
        if hears:
            went = await self._wait(lambda: self._is_off(uuid), timeout_s)
        elif not await self._is_off(uuid):
            went = False
        if not went:
            await self.destroy(uuid)
        return went

    async def destroy(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(domain: libvirt.virDomain) -> None:
            if domain.isActive():
                _destroy(domain)
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

        await self._domain("destroy", uuid, work)

    async def reboot(self, uuid: str, *, hard: bool, timeout_s: float = 60.0) -> bool:
        """See Hypervisor."""
        if hard:
            await self.destroy(uuid)
            went = False
        elif await self._is_off(uuid):
            raise HypervisorFailed("reboot", "Requested operation is not valid: domain is not running")
        else:
            went = await self.shutdown(uuid, timeout_s)
        await self.start(uuid)
        return went

    async def suspend(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(domain: libvirt.virDomain) -> None:
            if _power(domain) is not Power.PAUSED:
                domain.suspend()

        await self._domain("suspend", uuid, work)

    async def resume(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(domain: libvirt.virDomain) -> None:
            if _power(domain) is Power.SUSPENDED:
                domain.pMWakeup()
            elif _power(domain) is not Power.RUNNING:
                domain.resume()

        await self._domain("resume", uuid, work)

    async def interrupt(self, uuid: str) -> None:
        """See Hypervisor."""
        await self._domain("interrupt", uuid, lambda domain: domain.injectNMI(0))

    async def save(self, uuid: str) -> None:
        """See Hypervisor."""

        def work(domain: libvirt.virDomain) -> None:
            if domain.isActive():
                domain.managedSave(0)

        await self._domain("save", uuid, work)

    async def undefine(self, uuids: Collection[str]) -> None:
        """See Hypervisor."""

        def work(connection: libvirt.virConnect) -> None:
            for uuid in uuids:
                domain = _find(connection, uuid)
                if domain is None:
                    continue
                lasts = domain.isPersistent()  # one that has just come is gone when it is off
                if domain.isActive():
                    _destroy(domain)
                if lasts:
                    domain.undefineFlags(_UNDEFINE)

        await self._connection.call("undefine", work)

    async def copy_disk(self, uuid: str, target: str, path: Path, *, quiesce: bool = False) -> None:
        """See Hypervisor."""

        def begin(domain: libvirt.virDomain) -> None:
            if domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
                domain.abortJob()  # of a process that ended before its copy did
            path.unlink(missing_ok=True)
            disks = xml.disk_targets(domain.XMLDesc())
            if quiesce:
                domain.fsFreeze()
            try:
                domain.backupBegin(xml.render_backup(disks, target, path), None)
            finally:
                if quiesce:
                    domain.fsThaw()

        async def is_over() -> bool:
            return await self._domain(
                "copy_disk", uuid, lambda domain: domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE
            )

        def end(domain: libvirt.virDomain) -> None:
            said = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
            if said.get("type") != libvirt.VIR_DOMAIN_JOB_COMPLETED:
                why = said.get(libvirt.VIR_DOMAIN_JOB_ERRMSG, "the copy did not come to its end")
                raise HypervisorFailed("copy_disk", str(why))

        await self._domain("copy_disk", uuid, begin)
        try:
            over = await self._wait(is_over, COPY_WITHIN_S)
        except asyncio.CancelledError:
            with contextlib.suppress(HypervisorFailed):
                await self._domain("copy_disk", uuid, lambda domain: domain.abortJob())
            raise
        if not over:
            await self._domain("copy_disk", uuid, lambda domain: domain.abortJob())
            raise HypervisorFailed("copy_disk", f"the copy took longer than {COPY_WITHIN_S} s")
        await self._domain("copy_disk", uuid, end)

    async def run_in_guest(
        self, uuid: str, command: Sequence[str], input: bytes = b"", timeout_s: float = 30.0
    ) -> GuestSaid:
        """See Hypervisor."""
        ask = partial(self._ask_guest, uuid)
        started = await ask(guest_agent.start(command, input))
        pid, deadline = guest_agent.pid(started), asyncio.get_running_loop().time() + timeout_s
        while (said := guest_agent.said(await ask(guest_agent.status(pid)))) is None:
            if asyncio.get_running_loop().time() >= deadline:
                raise GuestSilent("run_in_guest", f"{command[0]} has not ended after {timeout_s:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)
        return said

    async def _ask_guest(self, uuid: str, question: str) -> str:
        def work(domain: libvirt.virDomain) -> str:
            try:
                return str(libvirt_qemu.qemuAgentCommand(domain, question, _AGENT_WITHIN_S, 0))
            except libvirt.libvirtError as error:
                if error.get_error_code() in _AGENT_AWAY:
                    raise GuestSilent("run_in_guest", reason(error)) from error
                raise

        return await self._domain("run_in_guest", uuid, work)

    async def open_console(self, uuid: str, kind: ConsoleKind) -> ByteStream:
        """See Hypervisor."""
        return await self._consoles.open(uuid, kind)

    async def attach_interface(self, uuid: str, interface: Interface) -> None:
        """See Hypervisor."""
        await self._attach("attach_interface", uuid, interface.alias, xml.render_interface(interface))

    async def detach_interface(self, uuid: str, port_id: str, timeout_s: float = 20.0) -> None:
        """See Hypervisor."""
        await self._detach("detach_interface", uuid, xml.interface_alias(port_id), timeout_s)

    async def attach_disk(self, uuid: str, disk: Disk) -> None:
        """See Hypervisor."""
        await self._attach("attach_disk", uuid, disk.alias, xml.render_disk(disk))

    async def detach_disk(self, uuid: str, serial: str, timeout_s: float = 20.0) -> None:
        """See Hypervisor."""
        await self._detach("detach_disk", uuid, xml.disk_alias(serial), timeout_s)

    async def _attach(self, verb: str, uuid: str, alias: str, device: str) -> None:
        def work(domain: libvirt.virDomain) -> None:
            if domain.isActive() and alias not in _devices(domain, live=True):
                domain.attachDeviceFlags(device, _LIVE)
            if alias not in _devices(domain, live=False):
                domain.attachDeviceFlags(device, _CONFIG)
                _forget_digest(domain)

        await self._domain(verb, uuid, work)

    async def _detach(self, verb: str, uuid: str, alias: str, timeout_s: float) -> None:
        def ask(domain: libvirt.virDomain) -> None:
            if alias in _devices(domain, live=False):
                domain.detachDeviceAlias(alias, _CONFIG)
                _forget_digest(domain)
            if domain.isActive() and alias in _devices(domain, live=True):
                # An earlier request that the guest has yet to answer is as good as a new one.
                with _already_asked():
                    domain.detachDeviceAlias(alias, _LIVE)

        async def gone() -> bool:
            return await self._domain(
                verb, uuid, lambda domain: not domain.isActive() or alias not in _devices(domain, live=True)
            )

        await self._domain(verb, uuid, ask)
        if not await self._wait(gone, timeout_s):
            raise NotDetached(verb, f"the guest still holds {alias} after {timeout_s:g} s")

    async def _domain(self, verb: str, uuid: str, work: Callable[[libvirt.virDomain], _T]) -> _T:
        return await self._connection.call(verb, lambda connection: work(connection.lookupByUUIDString(uuid)))

    async def _records(self, verb: str, kinds: int) -> list[tuple[str, str, dict[str, Any]]]:
        def work(connection: libvirt.virConnect) -> list[tuple[str, str, dict[str, Any]]]:
            records = connection.getAllDomainStats(kinds, _NOWAIT)
            rows = ((domain.UUIDString(), domain.name(), values) for domain, values in records)
            return [row for row in rows if row[1].startswith(self._prefix)]

        return await self._connection.call(verb, work)

    async def _is_off(self, uuid: str) -> bool:
        return await self._domain("list_domains", uuid, lambda domain: not domain.isActive())

    async def _wait(self, condition: Callable[[], Any], timeout_s: float) -> bool:
        """Wait until the condition holds, looking after each event and now and then in between."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not await condition():
                    async with self._happened:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._happened.wait(), _LOOK_EVERY_S)
                return True
        return bool(await condition())

    def _register(self, connection: libvirt.virConnect) -> None:
        for kind, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._rebooted),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self._removed),
        ):
            connection.domainEventRegisterAny(None, kind, callback, None)

    def _lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        change, details = LIFECYCLE.get(event, (None, ()))
        if change is not None:
            self._post(domain, change, details[detail] if detail < len(details) else "")

    def _rebooted(self, _connection: Any, domain: Any, _opaque: Any) -> None:
        self._post(domain, Change.REBOOTED, "")

    def _removed(self, _connection: Any, domain: Any, alias: str, _opaque: Any) -> None:
        self._post(domain, Change.DEVICE_REMOVED, alias)

    def _post(self, domain: Any, change: Change, detail: str) -> None:
        """Called in libvirt's event thread."""
        if domain.name().startswith(self._prefix) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, Event(change, domain.UUIDString(), detail))

    def _connected(self) -> None:
        self._take(Event(Change.CONNECTED))

    def _take(self, event: Event) -> None:
        self.events.put_nowait(event)
        task = asyncio.get_running_loop().create_task(self._notify())
        self._notifiers.add(task)
        task.add_done_callback(self._notifiers.discard)

    async def _notify(self) -> None:
        async with self._happened:
            self._happened.notify_all()


def _find(connection: libvirt.virConnect, uuid: str) -> libvirt.virDomain | None:
    try:
        return connection.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _power(domain: libvirt.virDomain) -> Power:
    return POWER.get(domain.state()[0], Power.UNKNOWN)


def _destroy(domain: libvirt.virDomain) -> None:
    try:
        domain.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_DEFAULT)
    except libvirt.libvirtError as error:
        # It may have stopped by itself in between.
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _digest(domain: libvirt.virDomain | None) -> str | None:
    if domain is None or not domain.isPersistent():
        return None
    try:
        return xml.read_digest(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml.NAMESPACE, _CONFIG))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise


def _forget_digest(domain: libvirt.virDomain) -> None:
    """The definition is no longer what its digest says: the next ``ensure_defined`` writes it anew."""
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, None, "pileus", xml.NAMESPACE, _CONFIG)


def _devices(domain: libvirt.virDomain, *, live: bool) -> set[str]:
    return xml.device_aliases(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE))


@contextlib.contextmanager
def _already_asked() -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        if "already in the process of unplug" not in str(error):
            raise
