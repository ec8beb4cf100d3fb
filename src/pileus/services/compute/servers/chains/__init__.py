"""The long operations of servers, each a chain of steps (``pileus.flow.chain``)."""

from pileus.services.compute.servers.chains.boot import BOOT, VOLUME_BOOT
from pileus.services.compute.servers.chains.crash_dump import CRASH_DUMP
from pileus.services.compute.servers.chains.delete import DELETE
from pileus.services.compute.servers.chains.evacuate import EVACUATE
from pileus.services.compute.servers.chains.live_migration import LIVE
from pileus.services.compute.servers.chains.reboot import REBOOT
from pileus.services.compute.servers.chains.rebuild import REBUILD
from pileus.services.compute.servers.chains.rescue import RESCUE, UNRESCUE
from pileus.services.compute.servers.chains.resize import RESIZE, REVERT
from pileus.services.compute.servers.chains.shelve import OFFLOAD, SHELVE, SHELVE_VOLUMES, UNSHELVE
from pileus.services.compute.servers.chains.snapshot import SNAPSHOT
from pileus.services.compute.servers.chains.sweep import SWEEP
from pileus.services.compute.servers.chains.volumes import ATTACH, DETACH

CHAINS = (
    BOOT, VOLUME_BOOT, DELETE, REBUILD, REBOOT, SNAPSHOT, RESCUE, UNRESCUE, SHELVE, OFFLOAD, UNSHELVE,
    CRASH_DUMP, SWEEP, SHELVE_VOLUMES, RESIZE, REVERT, EVACUATE, LIVE, ATTACH, DETACH,
)  # fmt: skip

__all__ = [
    "ATTACH",
    "BOOT",
    "CHAINS",
    "CRASH_DUMP",
    "DELETE",
    "DETACH",
    "EVACUATE",
    "LIVE",
    "OFFLOAD",
    "REBOOT",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT",
    "SHELVE",
    "SHELVE_VOLUMES",
    "SNAPSHOT",
    "SWEEP",
    "UNRESCUE",
    "UNSHELVE",
    "VOLUME_BOOT",
]
