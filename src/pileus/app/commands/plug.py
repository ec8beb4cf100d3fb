"""``pileus plug`` and ``unplug``: give a port of the API a guest on this machine.

The guest is a network namespace, or, on a simulated host, only the interface on its switch. The
port is bound to the host if it is bound to none; ``unplug`` undoes what ``plug`` did.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from pileus.app import bootstrap, privileges
from pileus.app.lab.cloud import lab_of
from pileus.app.local import NETWORK, LocalApi
from pileus.app.nodes import guests
from pileus.app.nodes.switch import RealSwitch
from pileus.app.settings import Settings
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.ovsdb.client import OvsdbClient

PREFIX = "guest-"
ACTIVE_WITHIN_S = 30.0


def plug(port: str, host: str | None, simulated: bool, state: Path | None) -> None:
    """Plug ``port`` (name or id) and wait until it is ACTIVE."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    settings = bootstrap.settings_in_force(folder)
    try:
        with LocalApi(folder) as api:
            found = _port(api, port)
            target = host or found["binding:host_id"] or _default_host(folder, settings, simulated)
            if found["binding:host_id"] not in ("", target):
                bootstrap.fail(f"port {port} is bound to {found['binding:host_id']}, not to {target}")
            if not found["binding:host_id"]:
                change = {"port": {"binding:host_id": target}}
                found = api.call("PUT", f"{NETWORK}/ports/{found['id']}", change)["port"]
            if found["binding:vif_type"] == "binding_failed":
                bootstrap.fail(
                    f"port {port} can't be bound to {target}: no living agent there carries its network"
                )
            wanted = _plug(api, found)
            _on_the_switch(settings, simulated, _plug_guest(folder, settings, target, wanted, simulated))
            status = _until_active(api, found["id"])
    except Fault as fault:
        bootstrap.fail(fault.text)
    inside = "" if simulated else f", its guest is the namespace {wanted.namespace}"
    sys.stdout.write(f"Port {port} is {status} on {target}{inside}.\n")
    if status != "ACTIVE":
        raise SystemExit(1)


def unplug(port: str, simulated: bool, state: Path | None) -> None:
    """Remove the guest of ``port`` and unbind it."""
    folder = StateFolder((state or default_root(simulated)).absolute())
    settings = bootstrap.settings_in_force(folder)
    try:
        with LocalApi(folder) as api:
            found = _port(api, port)
            target = found["binding:host_id"]
            if not target:
                bootstrap.fail(f"port {port} is not plugged")
            work = _unplug_guest(folder, settings, target, _namespace(found), found["id"], simulated)
            _on_the_switch(settings, simulated, work)
            api.call("PUT", f"{NETWORK}/ports/{found['id']}", {"port": {"binding:host_id": ""}})
    except Fault as fault:
        bootstrap.fail(fault.text)
    sys.stdout.write(f"Port {port} has no guest any more.\n")


def _on_the_switch(settings: Settings, simulated: bool, work: Coroutine[Any, Any, None]) -> None:
    """Do ``work``: a simulated switch's socket lies in a folder of the server's user, so as that user."""
    if simulated:
        privileges.as_user(settings.server.user, lambda: asyncio.run(work))
        work.close()
    else:
        asyncio.run(work)


def _port(api: LocalApi, name: str) -> dict[str, Any]:
    if not re.fullmatch(r"[\w.-]+", name):
        bootstrap.fail(f"{name!r} is neither a port's id nor a name that can be looked up")
    found: list[dict[str, Any]] = []
    for key in ("id", "name"):
        found = found or api.get(f"{NETWORK}/ports?{key}={name}")["ports"]
    if not found:
        bootstrap.fail(f"there is no port {name}")
    if len(found) > 1:
        bootstrap.fail(f"{len(found)} ports are called {name}: say which by its id")
    return found[0]


def _default_host(folder: StateFolder, settings: Settings, simulated: bool) -> str:
    if folder.lab.exists():
        return "n1"
    return "host-1" if simulated else bootstrap.host_name(settings.agent.host)


def _namespace(port: dict[str, Any]) -> str:
    name: str = port["name"]
    return PREFIX + (name if re.fullmatch(r"[\w.-]{1,32}", name) else port["id"][:11])


def _plug(api: LocalApi, port: dict[str, Any]) -> guests.Plug:
    """Describe the guest of a port."""
    subnets = {s["id"]: s for s in api.get(f"{NETWORK}/subnets?network_id={port['network_id']}")["subnets"]}
    network = api.get(f"{NETWORK}/networks/{port['network_id']}")["network"]
    ips, gateways = [], []
    for fixed in port["fixed_ips"]:
        subnet = subnets[fixed["subnet_id"]]
        ips.append(f"{fixed['ip_address']}/{ipaddress.ip_network(subnet['cidr']).prefixlen}")
        if subnet["gateway_ip"]:
            gateways.append(subnet["gateway_ip"])
    return guests.Plug(
        port_id=port["id"],
        namespace=_namespace(port),
        mac=port["mac_address"],
        ips=tuple(ips),
        gateways=tuple(gateways),
        device_id=port["device_id"],
        mtu=network["mtu"],
    )


class _Place(msgspec.Struct):
    """Where a guest goes: the switch's database, and where its links are made (None: nowhere)."""

    client: OvsdbClient
    datapath_type: str
    links: LinuxLinks | None


async def _plug_guest(
    folder: StateFolder, settings: Settings, host: str, wanted: guests.Plug, simulated: bool
) -> None:
    async with _place(folder, settings, host, simulated) as place:
        if place.links is not None:
            await guests.make_guests(LinuxLinks(), place.links, [wanted])
        bridge = settings.switch.integration_bridge
        await guests.plug_interfaces(place.client, bridge, place.datapath_type, [wanted])


async def _unplug_guest(
    folder: StateFolder, settings: Settings, host: str, namespace: str, port_id: str, simulated: bool
) -> None:
    async with _place(folder, settings, host, simulated) as place:
        await guests.unplug_interfaces(place.client, [port_id])
        if place.links is not None:
            interfaces = [guests.tap_name(port_id)]
            await guests.remove_guests(LinuxLinks(), place.links, [namespace], interfaces)


@asynccontextmanager
async def _place(
    folder: StateFolder, settings: Settings, host: str, simulated: bool
) -> AsyncIterator[_Place]:
    """The host's switch, connected."""
    if not simulated and os.geteuid() != 0:
        bootstrap.fail("a guest is a network namespace: that needs root")
    lab = lab_of(folder)
    if simulated:
        socket = folder.hosts / host / "db.sock"
        if not socket.exists():
            bootstrap.fail(f"there is no simulated host {host} in {folder.root}")
        place = _Place(OvsdbClient(f"unix:{socket}"), "netdev", None)
    elif lab is not None:
        if host not in lab.hosts:
            bootstrap.fail(f"there is no host {host} in this lab; there are {', '.join(lab.hosts)}")
        there = lab.hosts[host]
        place = _Place(there.client(), there.datapath_type, LinuxLinks(there.namespace))
    else:
        if host != bootstrap.host_name(settings.agent.host):
            bootstrap.fail(f"{host} is another machine: plug there")
        switch = await RealSwitch.open(folder, settings)
        place = _Place(switch.client(), switch.datapath_type, LinuxLinks())
    await place.client.connect(guests.SWITCH_WITHIN_S)
    try:
        yield place
    finally:
        await place.client.close()


def _until_active(api: LocalApi, port_id: str) -> str:
    deadline = time.monotonic() + ACTIVE_WITHIN_S
    while True:
        status: str = api.get(f"{NETWORK}/ports/{port_id}?fields=status")["port"]["status"]
        if status == "ACTIVE" or time.monotonic() > deadline:
            return status
        time.sleep(0.02)
