"""The machines' taps: made in one batch, put on the integration bridge in one transaction.

A port of ours bears our name and the index of the interface that it was made for: Open vSwitch
goes on holding an interface that is gone, so under one that was made anew its port is, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pileus.drivers.netlink.links import Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.host.hypervisor.machine import LABEL, tap, tap_name
from pileus.host.isolation import by_halves, reason
from pileus.host.switch import SwitchUnreachable
from pileus.wire.hypervisor import ServerPort

OWNER_KEY, OWNER = "pileus-owner", "hypervisor"
INDEX_KEY = "pileus-ifindex"
_SWITCH_WITHIN_S = 15.0


class Taps:
    """Hands for ``links`` and for the ``bridge`` of the switch behind ``client``."""

    def __init__(self, links: Links, client: OvsdbClient, bridge: str) -> None:
        self._links = links
        self._client = client
        self._bridge = bridge
        self.lost: set[str] = set()
        """Taps that were not there when it was last looked."""

    def plugged(self) -> dict[str, str]:
        """Ports of ours: the tap's name to the port's id. Raises SwitchUnreachable."""
        self._check()
        interfaces = self._client.by_name("Interface")
        return {
            name: interfaces[name]["external_ids"].get("iface-id", "") if name in interfaces else ""
            for name, row in self._client.by_name("Port").items()
            if row["external_ids"].get(OWNER_KEY) == OWNER
        }

    def of(self, server_ids: Collection[str]) -> set[str]:
        """Ports of ours that belong to these servers. Raises SwitchUnreachable."""
        self._check()
        interfaces = self._client.by_name("Interface")
        return {
            name
            for name in self.plugged()
            if name in interfaces and interfaces[name]["external_ids"].get("vm-uuid") in server_ids
        }

    def broken(self) -> set[str]:
        """Ports of ours that the switch can't open, or whose device it has lost: somebody may have deleted
        their tap. (The userspace datapath keeps a lost one's number and shows no address for it.)"""
        interfaces = self._client.by_name("Interface")
        return {
            name
            for name, row in self._client.by_name("Port").items()
            if row["external_ids"].get(OWNER_KEY) == OWNER
            and name in interfaces
            and _is_broken(interfaces[name])
        }

    async def loose(self) -> set[str]:
        """Ports of ours whose interface is gone (``lost``) or is another one by now."""
        self._check()
        links = await self._links.links()
        self.lost = {name for name in self.plugged() if name not in links}
        return {
            name
            for name, row in self._client.by_name("Port").items()
            if row["external_ids"].get(OWNER_KEY) == OWNER
            and (name not in links or row["external_ids"].get(INDEX_KEY) != str(links[name].index))
        }

    async def plug(
        self, wanted: Sequence[tuple[str, ServerPort]], loose: Collection[str] = ()
    ) -> tuple[int, dict[str, str]]:
        """Taps with their ports on the bridge, each with its server; ``loose`` ones anew. How many, and the
        servers of those that could not be, with the reason."""
        if not wanted and not loose:
            return 0, {}
        self._check()
        if loose:
            edit = Edit(self._client)
            for name in loose:
                edit.delete_port(name)
            await edit.commit(wait_s=_SWITCH_WITHIN_S)
        failed = await by_halves(wanted, self._plug, fatal=(ConnectionLost, TimeoutError, SwitchUnreachable))
        changed = {*loose, *(tap_name(port.port_id) for _, port in wanted)}
        return len(changed) - len(failed), {
            server_id: f"port {port.port_id}: {reason(error)}" for (server_id, port), error in failed
        }

    async def _plug(self, wanted: Sequence[tuple[str, ServerPort]]) -> None:
        await self._links.ensure_taps(tap(port) for _, port in wanted)
        indexes = {name: link.index for name, link in (await self._links.links()).items()}
        edit = Edit(self._client)
        for server_id, port in wanted:
            name = tap_name(port.port_id)
            external_ids = {
                "iface-id": port.port_id,
                "attached-mac": port.mac_address,
                "iface-status": "active",
                "vm-uuid": server_id,
            }
            edit.ensure_port(
                self._bridge,
                name,
                interface={"external_ids": external_ids},
                external_ids={OWNER_KEY: OWNER, INDEX_KEY: str(indexes.get(name, 0))},
            )
        await edit.commit()

    async def unplug(self, names: Iterable[str]) -> int:
        """No such ports on the bridge (of ours), in one transaction, and no such taps; how many."""
        gone = sorted(set(names))
        if not gone:
            return 0
        self._check()
        edit = Edit(self._client)
        ports = self._client.by_name("Port")
        for name in gone:
            if name in ports and ports[name]["external_ids"].get(OWNER_KEY) == OWNER:
                edit.delete_port(name)
        await edit.commit()
        await self._links.delete_links(gone)
        return len(gone)

    async def delete(self, names: Iterable[str]) -> None:
        """No such taps, whatever the switch says."""
        await self._links.delete_links(names)

    async def made(self) -> set[str]:
        """Taps of ours, by their label."""
        return {name for name, link in (await self._links.links()).items() if link.label.startswith(LABEL)}

    def _check(self) -> None:
        if not self._client.connected:
            raise SwitchUnreachable(reason="no connection to ovsdb-server")
        if self._bridge not in self._client.by_name("Bridge"):
            raise SwitchUnreachable(reason=f"there is no bridge {self._bridge}")


def _is_broken(interface: Mapping[str, Any]) -> bool:
    number = interface["ofport"]
    return number is not None and (number < 0 or interface["mac_in_use"] is None)
