"""This machine's way into the external network: an address on the physical network's bridge.

A veth pair, one end on the bridge, the other with the address: an internal port of the userspace
datapath would die with vswitchd. Without it floating IPs could be reached from outside only.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from pileus.core import log
from pileus.core.files import write_atomically
from pileus.core.recurring import Recurring
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit

ON_BRIDGE, AT_HOST = "pileus-ex", "pileus-host"
LABEL = "pileus-external"
WITHIN_S = 15.0
AGAIN_S = 5.0

logger = log.get("agent")


class ExternalAddress(msgspec.Struct, frozen=True):
    """Which address (with prefix length) on which bridge."""

    bridge: str
    address: str


def remember(memory: Path, wanted: ExternalAddress | None) -> None:
    """Keep what is wanted for the next start of this machine; None: nothing any more."""
    if wanted is None:
        memory.unlink(missing_ok=True)
    else:
        write_atomically(memory, msgspec.json.encode(wanted))


def recall(memory: Path) -> ExternalAddress | None:
    """Return what was remembered; None also for a file that can't be read, which is logged."""
    try:
        return msgspec.json.decode(memory.read_bytes(), type=ExternalAddress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        logger.error("this machine's external address is not known", file=str(memory), error=str(error))
        return None


async def restore(memory: Path, client: OvsdbClient, datapath_type: str) -> None:
    """Make what was remembered, which a reboot has taken away; again until it is there."""
    wanted = recall(memory)
    if wanted is None:
        return
    away = Recurring(logger, "this machine's external address can't be made", address=wanted.address)
    while True:
        try:
            await client.connect(WITHIN_S)
            await ensure_external_address(client, wanted.bridge, datapath_type, wanted.address)
        except Exception as error:
            away.happened("failed", error=str(error) or type(error).__name__)
            await asyncio.sleep(AGAIN_S)
        else:
            away.over()
            return
        finally:
            await client.close()


async def ensure_external_address(client: OvsdbClient, bridge: str, datapath_type: str, address: str) -> None:
    """Give this machine ``address`` (with prefix length) on ``bridge``; ``client`` is connected."""
    links = LinuxLinks()
    if ON_BRIDGE not in await links.links() and ON_BRIDGE in client.by_name("Interface"):
        # The switch holds on to the device that has gone, not to the next one of that name.
        gone = Edit(client)
        gone.delete_port(ON_BRIDGE)
        await gone.commit(wait_s=WITHIN_S)
    await links.ensure_veths([Veth(ON_BRIDGE, AT_HOST, label=LABEL)])
    await links.ensure_addresses([Address(None, AT_HOST, address)])
    edit = Edit(client)
    edit.ensure_bridge(bridge, datapath_type=datapath_type)
    edit.ensure_port(bridge, ON_BRIDGE, external_ids={LABEL: "true"})
    await edit.commit(wait_s=WITHIN_S)


async def remove_external_address(client: OvsdbClient) -> None:
    """Take it away again."""
    edit = Edit(client)
    edit.delete_port(ON_BRIDGE)
    await edit.commit(wait_s=WITHIN_S)
    await LinuxLinks().delete_links([ON_BRIDGE])
