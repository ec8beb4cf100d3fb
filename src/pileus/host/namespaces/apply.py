"""Reads and writes an agent's namespaces: one batch of each kind for all namespaces, one transaction for
all ports.

A batch that is refused is done in halves, so that one that can't be as it is wanted keeps none of the
others waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence

import msgspec

from pileus.core import log
from pileus.drivers.netlink.links import Address, Contents, Link, LinkError, Links
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.jsonrpc import ConnectionLost
from pileus.drivers.ovsdb.rows import Row
from pileus.host.isolation import by_halves, reason
from pileus.host.namespaces.model import INDEX_KEY, OWNER_KEY, Namespace, NamespacePort
from pileus.host.namespaces.plan import NamespacePlan, plan_namespaces, stray_links, strays

_log = log.get("host.namespaces")

_SWITCH_WITHIN_S = 15.0


class Built(msgspec.Struct):
    """The outcome of bringing namespaces into force. ``failed``: key of a namespace to the kernel's reason;
    ``fresh``: addresses that are new here, and that neighbours may know elsewhere."""

    changes: int = 0
    failed: dict[str, str] = {}
    fresh: list[Address] = []


class NamespaceApplier:
    """Reads and writes the namespaces of one agent. ``owner`` is its label, ``prefix`` begins
    their names."""

    def __init__(
        self, links: Links, client: OvsdbClient, *, owner: str, prefix: str, bridge: str = "br-int"
    ) -> None:
        self._links = links
        self._client = client
        self._owner = owner
        self._label = f"pileus-{owner}"
        self._prefix = prefix
        self._bridge = bridge

    def reachable(self) -> bool:
        """Whether ports can be put on the bridge now."""
        return self._client.connected and self._bridge in self._client.by_name("Bridge")

    async def look(
        self, dirty: Collection[Namespace], wanted: Iterable[Namespace]
    ) -> tuple[dict[str | None, Contents], dict[str, str]]:
        """Read the contents of home, of the namespaces ``dirty`` and of those that nobody wants. The second
        value is those of ``dirty`` that could not be read, by their key, with the reason."""
        names = {namespace.name for namespace in wanted}
        unknown = [name for name in await self._links.namespaces(self._prefix) if name not in names]
        keys = dict.fromkeys(key for namespace in dirty for key in namespace.sysctls)
        found: dict[str | None, Contents] = {}

        async def read(some: Sequence[str | None]) -> None:
            found.update(await self._links.read(some, keys))

        places: list[str | None] = [None, *(namespace.name for namespace in dirty), *unknown]
        failed = dict(await by_halves(places, read))
        if None in failed:
            raise failed[None]
        for name, why in failed.items():
            _log.warning("a namespace can't be looked at", namespace=name, why=reason(why))
        return found, {
            namespace.key: reason(failed[namespace.name]) for namespace in dirty if namespace.name in failed
        }

    async def build(self, dirty: Collection[Namespace], found: Mapping[str | None, Contents]) -> Built:
        """Make these namespaces as they shall be."""
        built = Built()

        async def build(some: Sequence[Namespace]) -> None:
            plan = plan_namespaces(some, found, self._label)
            if len(plan):
                # Also of a batch that is refused something may have been done.
                built.changes += len(plan)
                told = (*plan.addresses, *plan.proxies)
                built.fresh += [address for address in told if address not in built.fresh]
                await self._apply(plan)

        namespaces = sorted(dirty, key=lambda namespace: namespace.key)
        built.failed = {namespace.key: reason(why) for namespace, why in await by_halves(namespaces, build)}
        if built.failed:
            _log.warning("namespaces can't be made", owner=self._owner, failed=len(built.failed))
            gone = {namespace.name for namespace in namespaces if namespace.key in built.failed}
            built.fresh = [address for address in built.fresh if address.namespace not in gone]
        return built

    async def _apply(self, plan: NamespacePlan) -> None:
        links = self._links
        if plan.namespaces:
            await links.ensure_namespaces(plan.namespaces, self._label)
        if plan.sysctls:  # before there are interfaces: they take over what is the default then
            await links.ensure_sysctls(plan.sysctls)
        await links.ensure_veths(plan.veths)
        # Away before there: an address may go from one interface to another.
        await links.delete_routes(plan.gone_routes)
        await links.delete_addresses(plan.gone_addresses)
        await links.ensure_addresses(plan.addresses)
        await links.ensure_routes(plan.routes)
        if plan.rules:
            await links.set_rules(plan.rules)
        await links.delete_proxies(plan.gone_proxies)
        await links.ensure_proxies(plan.proxies)

    async def plug(
        self, wanted: Iterable[Namespace], home: Mapping[str, Link], waiting: Container[str] = ()
    ) -> tuple[int, dict[str, str]]:
        """The ports of all these namespaces on the bridge and no others of this agent: in one transaction, or
        in two where an interface was made anew under a port that is there, or in some where the database
        refuses it. ``home`` has the interfaces as they are by now; a port whose interface could not be made
        has to wait, as have those of namespaces that are ``waiting``, by their key. Returns how many rows
        changed, and which namespaces could not be plugged, by key with the reason."""
        owners = {port.name: (namespace.key, port) for namespace in wanted for port in namespace.ports}
        home = {
            name: link for name, link in home.items() if name in owners and owners[name][0] not in waiting
        }
        rows = self._rows()
        away = [
            name
            for name, row in rows.items()
            if name in home and row["external_ids"].get(INDEX_KEY) != str(home[name].index)
        ]
        if away:
            edit = Edit(self._client)
            for name in away:
                edit.delete_port(name)
            await edit.commit(wait_s=_SWITCH_WITHIN_S)
        changes = len(away)

        async def commit(names: Sequence[str]) -> None:
            nonlocal changes
            edit = Edit(self._client)
            for name in names:
                if name in owners:
                    self._put(edit, owners[name][1], home[name].index)
                else:
                    edit.delete_port(name)
            operations = len(edit.operations())
            if operations:
                await edit.commit()
                changes += operations

        names = [*(rows.keys() - owners.keys()), *(name for name in owners if name in home)]
        failed = await by_halves(names, commit, fatal=(ConnectionLost, TimeoutError))
        for name, why in failed:
            _log.error("the switch's database refuses a port", name=name, why=reason(why))
        return changes, {owners[name][0]: reason(why) for name, why in failed if name in owners}

    def _put(self, edit: Edit, port: NamespacePort, index: int) -> None:
        ids = {"iface-id": port.port_id, "attached-mac": port.mac, "iface-status": "active"}
        labels = {OWNER_KEY: self._owner, INDEX_KEY: str(index)}
        edit.ensure_port(self._bridge, port.name, interface={"external_ids": ids}, external_ids=labels)

    def _rows(self) -> dict[str, Row]:
        return {
            name: row
            for name, row in self._client.by_name("Port").items()
            if row["external_ids"].get(OWNER_KEY) == self._owner
        }

    def plugged(self, namespaces: Iterable[Namespace]) -> set[str | None]:
        """The names of those of these namespaces all of whose ports are on the bridge."""
        ports = self._client.by_name("Port")
        return {one.name for one in namespaces if all(port.name in ports for port in one.ports)}

    def disturbed(self, wanted: Iterable[Namespace]) -> bool:
        """Whether somebody took one of these ports off the bridge, or gave it to another port's id."""
        if not self.reachable():
            return False
        ports, interfaces = self._client.by_name("Port"), self._client.by_name("Interface")
        for namespace in wanted:
            for port in namespace.ports:
                interface = interfaces.get(port.name)
                if port.name not in ports or interface is None:
                    return True
                if interface["external_ids"].get("iface-id") != port.port_id:
                    return True
        return False

    async def differing(self, namespaces: Collection[Namespace]) -> set[str]:
        """The namespaces, by key, in which something is not as it was made: interfaces, addresses, routes."""
        keys = dict.fromkeys(key for namespace in namespaces for key in namespace.sysctls)
        try:
            found = await self._links.read([None, *(namespace.name for namespace in namespaces)], keys)
        except (LinkError, OSError):
            return set()  # a pass says which it is
        return {
            namespace.key for namespace in namespaces if len(plan_namespaces([namespace], found, self._label))
        }

    async def present(self) -> set[str]:
        """The names of the namespaces that begin as ours do."""
        return set(await self._links.namespaces(self._prefix))

    async def interfaces(self) -> dict[str, Link]:
        """The interfaces at home."""
        return await self._links.links()

    async def announce(self, addresses: Sequence[Address]) -> None:
        """Tell the neighbours; what could not be told is said in the log only."""
        try:
            await self._links.announce(addresses)
        except LinkError as error:
            _log.info("an address was not announced", owner=self._owner, error=str(error))

    async def clear(self, found: Mapping[str | None, Contents], wanted: Collection[Namespace]) -> int:
        """Take away the namespaces and interfaces that are ours and in no wanted namespace; how many. One
        that can't be is said in the log, and tried again by the next full pass."""
        links = stray_links(found[None].links, wanted, self._label)
        namespaces = strays(found, wanted, self._label)
        failed = await by_halves(links, self._links.delete_links)
        failed += await by_halves(namespaces, self._links.delete_namespaces)
        for name, why in failed:
            _log.warning("what nobody wants can't be taken away", name=name, why=reason(why))
        return len(links) + len(namespaces) - len(failed)

    async def purge(self) -> None:
        """Nothing of ours is left."""
        if self._client.connected:
            await self.plug((), {})
        found, _ = await self.look((), ())
        await self.clear(found, ())
