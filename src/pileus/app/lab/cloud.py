"""``pileus lab N``: a cloud of several hosts on one machine.

One server as everywhere, a :class:`~pileus.app.lab.lab.Lab` of N hosts, and an agent process for each.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec

from pileus.app import bootstrap
from pileus.app.lab.lab import PHYSICAL_BRIDGE, PHYSICAL_NETWORK, Lab
from pileus.app.nodes import guests
from pileus.app.nodes.switch import DatapathType, datapath_of_this_kernel
from pileus.app.prepare import prepare, put
from pileus.app.processes import launch
from pileus.app.state import StateFolder
from pileus.bus.node import node_secret, node_token
from pileus.core.errors import Fault
from pileus.drivers.netlink.links import LinkError
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.process import ProgramFailed


class _Remembered(msgspec.Struct):
    """The content of ``lab.json``."""

    name: str
    hosts: int
    datapath_type: DatapathType = "netdev"


def bring_up_lab(hosts: int, state: Path | None, listen: str | None, detach: bool) -> None:
    """``pileus lab N``: a server, and an agent for each host of a lab on this machine."""
    folder = StateFolder((state or Path("/var/lib/pileus-lab")).absolute())
    # Labs in different folders have different names, and so their namespaces do.
    name = "p" + hashlib.blake2s(bytes(folder.root), digest_size=2).hexdigest()
    options = {"server.listen": listen} if listen else {}
    settings = bootstrap.read_settings(folder, None, options).settings
    if os.geteuid() != 0:
        bootstrap.fail("a lab of real switches needs root; without it: pileus up --simulated")
    if launch.running(folder):
        bootstrap.fail(f"the cloud in {folder.root} is running already")
    known = _remembered(folder)
    if known is not None and (known.name, known.hosts) != (name, hosts):
        bootstrap.fail(f"{folder.root} holds a lab of {known.hosts} hosts: take it down with --purge first")
    try:
        prepare(folder, settings, ())
        datapath_type = known.datapath_type if known else datapath_of_this_kernel()
        remembered = _Remembered(name, hosts, datapath_type)
        put(folder.lab, msgspec.json.encode(remembered).decode(), 0o644)
        lab = Lab(hosts, folder.root / "lab", name, datapath_type)
        asyncio.run(lab.open())
    except (Fault, ProgramFailed, LinkError) as error:
        bootstrap.fail(str(error))
    secret = node_secret(folder.node_secret)
    server = {"PILEUS_" + key.upper().replace(".", "_"): value for key, value in options.items()}
    processes = [launch.process(folder, "server", "", server)]
    for host in lab.hosts.values():
        token = folder.agent / f"{host.name}.token"
        put(token, node_token(secret, host.name, settings.server.node_token_lifetime_s), 0o600)
        environment = server | {
            "PILEUS_AGENT_HOST": host.name,
            "PILEUS_AGENT_TOKEN_FILE": str(token),
            # A lab is about switching: DHCP, routers and machines of several hosts would meet each
            # other in the one machine's namespaces.
            "PILEUS_AGENT_DUTIES": "",
            "PILEUS_HYPERVISOR_DRIVER": "none",
            "PILEUS_SWITCH_OVSDB": host.daemons.address,
            "PILEUS_SWITCH_NETNS": host.namespace,
            "PILEUS_SWITCH_DATAPATH_TYPE": host.datapath_type,
            "PILEUS_SWITCH_TUNNELING_IP": host.underlay_ip,
            "PILEUS_SWITCH_BRIDGE_MAPPINGS": f"{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}",
        }
        processes.append(launch.process(folder, "agent", "", environment, host=host.name))
    launch.launch(folder, settings, {"config": "", "options": options, "processes": processes}, detach)


def lab_of(folder: StateFolder) -> Lab | None:
    """The lab in a state folder, if there is one."""
    known = _remembered(folder)
    return None if known is None else Lab(known.hosts, folder.root / "lab", known.name, known.datapath_type)


def close_lab(folder: StateFolder) -> None:
    """Remove the lab in a state folder from the machine."""
    lab = lab_of(folder)
    if lab is not None:
        asyncio.run(_close(lab))


async def _close(lab: Lab) -> None:
    home = LinuxLinks()
    present = await home.namespaces()
    for host in lab.hosts.values():
        if host.namespace in present:
            inside = LinuxLinks(host.namespace)
            plugged = guests.labelled(await inside.links())
            await guests.remove_guests(home, inside, list(plugged.values()), list(plugged))
    await lab.close()


def _remembered(folder: StateFolder) -> _Remembered | None:
    try:
        return msgspec.json.decode(folder.lab.read_bytes(), type=_Remembered)
    except FileNotFoundError:
        return None
