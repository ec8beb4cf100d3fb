"""The long operations of servers, each a chain of steps (``pileus.flow.chain``)."""

from pileus.services.compute.servers.chains.boot import BOOT
from pileus.services.compute.servers.chains.delete import DELETE
from pileus.services.compute.servers.chains.reboot import REBOOT
from pileus.services.compute.servers.chains.rebuild import REBUILD
from pileus.services.compute.servers.chains.rescue import RESCUE, UNRESCUE
from pileus.services.compute.servers.chains.snapshot import SNAPSHOT

CHAINS = (BOOT, DELETE, REBUILD, REBOOT, SNAPSHOT, RESCUE, UNRESCUE)

__all__ = ["BOOT", "CHAINS", "DELETE", "REBOOT", "REBUILD", "RESCUE", "SNAPSHOT", "UNRESCUE"]
