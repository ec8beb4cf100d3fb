"""Physical switches that the settings of a node declare, real and simulated."""

from __future__ import annotations

from pathlib import Path

from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.settings import BadSettings
from pileus.drivers.physical.simulated import SimulatedPhysicalSwitch
from pileus.drivers.physical.ssh import REFUSAL, Commands, Login, SshSwitch
from pileus.drivers.physical.switch import PhysicalSwitch
from pileus.drivers.physical.vtep import VtepSwitch
from pileus.host.physical.section import SshDeclaration

_SIMULATED_PORTS = ("port1", "port2")
_SIMULATED_ADDRESS = "198.51.100."


def real_switches(settings: Settings, folder: StateFolder) -> tuple[PhysicalSwitch, ...]:
    """The drivers of all declared switches; none is connected yet. Raises BadSettings."""
    declared = settings.physical_switches
    _check_names(settings)
    memory = folder.physical_switches
    if declared.ssh:
        memory.mkdir(mode=0o700, exist_ok=True)
    return (
        *(VtepSwitch(one.name, one.ovsdb) for one in declared.vtep),
        *(_ssh(one, memory / f"{one.name}.json") for one in declared.ssh),
    )


def _ssh(one: SshDeclaration, memory: Path) -> SshSwitch:
    if bool(one.key_file) == bool(one.password_file):
        raise BadSettings(f"physical_switches.ssh: {one.name} needs a key_file or a password_file")
    login = Login(
        address=one.address,
        port=one.port,
        user=one.user,
        host_keys=Path(one.host_keys),
        key_file=Path(one.key_file) if one.key_file else None,
        password_file=Path(one.password_file) if one.password_file else None,
    )
    several = (one.attach, one.detach, one.attach_untagged, one.detach_untagged, one.before, one.after)
    for line in (line for lines in several for line in lines):
        try:
            line.format_map({"port": "", "vlan": ""})
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise BadSettings(f"physical_switches.ssh: {one.name}: {line!r}: {error}") from None
    commands = Commands(*several, refusal=one.refusal or REFUSAL)
    return SshSwitch(one.name, login, one.ports, commands, memory)


def simulated_switches(settings: Settings) -> tuple[PhysicalSwitch, ...]:
    """Their twins."""
    declared = settings.physical_switches
    _check_names(settings)
    return (
        *(
            SimulatedPhysicalSwitch(one.name, _SIMULATED_PORTS, f"{_SIMULATED_ADDRESS}{number}")
            for number, one in enumerate(declared.vtep, 1)
        ),
        *(SimulatedPhysicalSwitch(one.name, one.ports) for one in declared.ssh),
    )


def _check_names(settings: Settings) -> None:
    declared = settings.physical_switches
    names = [*(one.name for one in declared.vtep), *(one.name for one in declared.ssh)]
    for name in names:
        if names.count(name) > 1:
            raise BadSettings(f"physical_switches: {name} is declared twice")
