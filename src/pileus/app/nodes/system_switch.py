"""The system's Open vSwitch where systemd has it but does not run it: started for us, and stopped again.

A package that was installed while nothing may be started (policy-rc.d) has a unit that starts with the next
boot. A switch of our own would then meet it: the kernel has one datapath, and whichever starts second takes
it over. So where there is a unit the switch is the system's from the beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from pileus.app.nodes.machines import boot_id
from pileus.core import log
from pileus.core.files import write_atomically
from pileus.drivers.process import ProgramFailed, run

UNIT = "openvswitch-switch.service"
SYSTEMD = Path("/run/systemd/system")
"""There while systemd runs the machine: sd_booted(3)."""
_STARTS_WITHIN_S = 300.0

logger = log.get("agent")


async def start(marker: Path) -> bool:
    """Start the system's switch; whether it runs now. ``marker`` remembers that it was us, in this boot."""
    if not _is_systemds():
        return False
    try:
        await run(("systemctl", "start", UNIT), timeout_s=_STARTS_WITHIN_S)
    except ProgramFailed as error:
        # 5: there is no such unit (systemctl(1)); a masked one is its administrator's word.
        if error.status != 5:
            logger.info(
                "the system's Open vSwitch is not used", unit=UNIT, reason=error.stderr.strip()[-300:]
            )
        return False
    logger.info("started the system's Open vSwitch", unit=UNIT)
    write_atomically(marker, boot_id().encode())
    return True


async def stop(marker: Path, bridges: Collection[str]) -> None:
    """Stop it if it was started for us in this boot and none of ``bridges`` is left on it."""
    if _is_of_this_boot(marker) and not bridges:
        await run(("systemctl", "stop", UNIT), timeout_s=_STARTS_WITHIN_S)
    await asyncio.to_thread(marker.unlink, missing_ok=True)


def _is_of_this_boot(marker: Path) -> bool:
    return marker.exists() and marker.read_text() == boot_id()


def _is_systemds() -> bool:
    """Whether systemd runs the machine, and this process is in the network whose switch it would start."""
    return SYSTEMD.is_dir() and _in_the_systems_network()


def _in_the_systems_network() -> bool:
    try:
        return Path("/proc/self/ns/net").stat().st_ino == Path("/proc/1/ns/net").stat().st_ino
    except OSError:
        return False
