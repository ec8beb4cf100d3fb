"""Brings a node's declared bridges, bonds and VLANs into its switch, first in the switch agent's pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from pileus.core import log
from pileus.drivers.interfaces.spec import OWNER, OWNER_KEY, HostNetwork
from pileus.drivers.netlink.links import Link, LinkError
from pileus.drivers.ovsdb.client import OvsdbClient, TransactionFailed
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.host.isolation import by_halves, reason
from pileus.host.uplinks.plan import Bridge, Plan, Port, Seen, WantedPort, plan

_log = log.get("host.uplinks")

_SWITCH_WITHIN_S = 15.0
_COLUMNS = ("tag", "bond_mode", "lacp", "bond_updelay", "bond_downdelay", "other_config")


class Cards(Protocol):
    """A machine's network cards; raises LinkError. ``Links`` are such."""

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        """Its interfaces by name."""
        ...

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        """Bring interfaces up."""
        ...


class Uplinks:
    """The declared network of one host. ``mapped`` are its bridges of physical networks; ``lower_owner`` is
    the label of the agent that runs this, which makes those of them that are declared nowhere."""

    def __init__(
        self,
        network: HostNetwork,
        client: OvsdbClient,
        cards: Cards,
        *,
        datapath_type: str,
        mapped: Iterable[str],
        lower_owner: str,
    ) -> None:
        self.problems: dict[str, str] = {}
        self._network = network
        self._client = client
        self._cards = cards
        self._datapath_type = datapath_type
        self._mapped = frozenset(mapped)
        self._lower_owner = lower_owner
        self._missing: dict[str, str] = {}

    def state(self) -> dict[str, Any]:
        """Return what an agent reports of it."""
        return {
            "bridges": sorted(self._network.switches()),
            "bonds": {bond.name: {"mode": bond.mode, "lacp": bond.lacp} for bond in self._network.bonds},
            "problems": dict(self.problems),
        }

    async def bring(self, *, whole: bool) -> int:
        """One pass; how many things changed. ``whole`` looks at the network cards, too, and for what is ours
        where nothing is declared any more. Raises ConnectionLost, TimeoutError."""
        if not (whole or self._network):
            return 0
        planned = plan(self._network, self._seen(), self._mapped, self._lower_owner)
        problems = dict(planned.refused)
        changes = await self._apply(planned, problems) if planned else 0
        if whole:
            self._missing = await self._bring_up()
        problems = self._missing | problems
        for name, why in problems.items():
            if self.problems.get(name) != why:
                _log.error("the host's network is not as declared", name=name, why=why)
        self.problems = problems
        return changes

    async def _apply(self, planned: Plan, problems: dict[str, str]) -> int:
        """Ports that are in the way, bridges, ports: three transactions at most."""
        try:
            await self._clear(planned)
            await self._put_bridges(planned)
        except TransactionFailed as error:
            problems["bridges"] = reason(error)
            return 0

        async def make(some: Sequence[WantedPort]) -> None:
            edit = Edit(self._client)
            for port in some:
                label = {OWNER_KEY: OWNER}
                edit.ensure_bond(port.bridge, port.name, port.interfaces, **port.columns, external_ids=label)
                if port.interface:
                    edit.set_interface(port.name, port.interface)
            await edit.commit(wait_s=_SWITCH_WITHIN_S)

        failed = await by_halves(planned.ports, make, fatal=(ConnectionLost, TimeoutError))
        problems |= {port.name: reason(error) for port, error in failed}
        gone = len(planned.first) + len(planned.removed_bridges) + len(planned.released)
        return gone + len(planned.bridges) + len(planned.ports) - len(failed)

    async def _clear(self, planned: Plan) -> None:
        edit = Edit(self._client)
        for name in planned.first:
            edit.delete_port(name)
        await edit.commit(wait_s=_SWITCH_WITHIN_S)

    async def _put_bridges(self, planned: Plan) -> None:
        edit = Edit(self._client)
        for name in planned.bridges:
            edit.ensure_bridge(name, datapath_type=self._datapath_type, external_ids={OWNER_KEY: OWNER})
        for name, owner in planned.released.items():
            edit.set_bridge(name, {"external_ids": {OWNER_KEY: owner}})
        for name in planned.removed_bridges:
            edit.delete_bridge(name)
        await edit.commit(wait_s=_SWITCH_WITHIN_S)

    async def _bring_up(self) -> dict[str, str]:
        """Set cards up that are down: a switch does not. Return those that are not there."""
        wanted = {port for bridge in self._network.switches().values() for port in bridge.ports}
        wanted |= {member for bond in self._network.bonds for member in bond.members}
        if not wanted:
            return {}
        try:
            present = await self._cards.links()
            down = [name for name in sorted(wanted) if name in present and not present[name].up]
            if down:
                await self._cards.set_up(down)
        except LinkError as error:
            return {"network cards": f"they can't be set up: {reason(error)}"}
        return dict.fromkeys(sorted(wanted - present.keys()), "the host has no such network card")

    def _seen(self) -> Seen:
        tables = self._client.tables
        ports, interfaces = tables.get("Port", {}), tables.get("Interface", {})
        bridges: dict[str, Bridge] = {}
        found: dict[str, Port] = {}
        for row in tables.get("Bridge", {}).values():
            name = row["name"]
            here = [ports[uuid] for uuid in row["ports"] if uuid in ports]
            bridges[name] = Bridge(row["external_ids"], frozenset(port["name"] for port in here))
            for port in here:
                found[port["name"]] = Port(
                    name,
                    frozenset(interfaces[uuid]["name"] for uuid in port["interfaces"] if uuid in interfaces),
                    port["external_ids"],
                    {column: port[column] for column in _COLUMNS},
                )
        return Seen(bridges, found)
