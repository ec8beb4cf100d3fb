"""Links of the Linux kernel, through pyroute2: one visit to the namespaces concerned for each batch."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from pileus.drivers.netlink import visiting
from pileus.drivers.netlink.changes import (
    SYSCTLS,
    addresses_deleter,
    addresses_ensurer,
    announcer,
    delete_links,
    ensure_outer_ends,
    ensure_taps,
    loopback_up,
    peers_ensurer,
    proxies_deleter,
    proxies_ensurer,
    routes_deleter,
    routes_ensurer,
    rules_setter,
    set_up,
    sysctls_setter,
)
from pileus.drivers.netlink.dump import dump_links, dump_links_and_routes, dump_rules
from pileus.drivers.netlink.links import Address, Contents, Link, PolicyRule, Route, Tap, Veth
from pileus.drivers.netlink.visiting import Work, in_thread, make_namespaces, remove_namespaces, visit

P = TypeVar("P", Address, Route)


class LinuxLinks:
    """The Links of one namespace of this machine (None: the one the process runs in)."""

    def __init__(self, namespace: str | None = None) -> None:
        self._home = namespace

    async def namespaces(self, prefix: str = "") -> list[str]:
        return visiting.namespaces(prefix)

    async def read(
        self, namespaces: Iterable[str | None], sysctls: Iterable[str] = ()
    ) -> dict[str | None, Contents]:
        present = set(visiting.namespaces())
        wanted = [name for name in dict.fromkeys(namespaces) if name is None or name in present]
        keys = list(sysctls)
        places = [self._place(name) for name in wanted]
        found = await visit([(place, lambda netlink: _contents(keys)) for place in places])
        return dict(zip(wanted, found, strict=True))

    async def ensure_namespaces(self, names: Iterable[str], label: str = "") -> None:
        wanted = list(dict.fromkeys(names))
        await in_thread(lambda: make_namespaces(wanted))
        await visit([(name, lambda netlink: loopback_up(netlink, label)) for name in wanted])

    async def delete_namespaces(self, names: Iterable[str]) -> None:
        wanted = list(names)
        await in_thread(lambda: remove_namespaces(wanted))

    async def ensure_veths(self, veths: Iterable[Veth]) -> None:
        wanted = list(veths)
        if not wanted:
            return
        # A pair whose peer has another name or place by now can't be mended: it is made anew.
        peers: dict[str | None, list[Veth]] = defaultdict(list)
        for veth in wanted:
            peers[self._place(veth.namespace)].append(veth)
        names = list(peers)
        found = await visit([(namespace, lambda netlink: dump_links()) for namespace in names])
        present = dict(zip(names, found, strict=True))
        broken = [v.name for v in wanted if v.peer not in present[self._place(v.namespace)]]
        await visit([(self._home, lambda netlink: ensure_outer_ends(netlink, wanted, set(broken)))])
        await visit([(place, peers_ensurer(some)) for place, some in peers.items()])

    async def ensure_taps(self, taps: Iterable[Tap]) -> None:
        if wanted := list(taps):
            await visit([(self._home, lambda netlink: ensure_taps(netlink, wanted))])

    async def ensure_addresses(self, addresses: Iterable[Address]) -> None:
        await self._visit_places(addresses, addresses_ensurer)

    async def ensure_routes(self, routes: Iterable[Route]) -> None:
        await self._visit_places(routes, routes_ensurer)

    async def set_rules(self, rules: Mapping[str, Iterable[PolicyRule]]) -> None:
        await visit([(name, rules_setter(some)) for name, some in rules.items()])

    async def ensure_proxies(self, addresses: Iterable[Address]) -> None:
        await self._visit_places(addresses, proxies_ensurer)

    async def delete_proxies(self, addresses: Iterable[Address]) -> None:
        await self._visit_places(addresses, proxies_deleter)

    async def delete_addresses(self, addresses: Iterable[Address]) -> None:
        await self._visit_places(addresses, addresses_deleter)

    async def delete_routes(self, routes: Iterable[Route]) -> None:
        await self._visit_places(routes, routes_deleter)

    async def ensure_sysctls(self, values: Mapping[str, Mapping[str, str]]) -> None:
        await visit([(name, sysctls_setter(some)) for name, some in values.items()])

    async def announce(self, addresses: Iterable[Address]) -> None:
        await self._visit_places(addresses, announcer)

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        wanted = list(names)
        await visit([(self._place(namespace), lambda netlink: set_up(netlink, wanted))])

    async def delete_links(self, names: Iterable[str], namespace: str | None = None) -> None:
        wanted = list(names)
        await visit([(self._place(namespace), lambda netlink: delete_links(netlink, wanted))])

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        (found,) = await visit([(self._place(namespace), lambda netlink: dump_links())])
        return found

    def _place(self, namespace: str | None) -> str | None:
        return self._home if namespace is None else namespace

    async def _visit_places(self, things: Iterable[P], worker: Callable[[Sequence[P]], Work[None]]) -> None:
        """In each namespace what ``worker`` makes of the things there."""
        by_place: dict[str | None, list[P]] = defaultdict(list)
        for thing in things:
            by_place[self._place(thing.namespace)].append(thing)
        await visit([(place, worker(some)) for place, some in by_place.items()])


def _contents(sysctls: Sequence[str]) -> Contents:
    links, routes = dump_links_and_routes()
    return Contents(links, routes, _sysctls(sysctls), dump_rules())


def _sysctls(keys: Iterable[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        with contextlib.suppress(FileNotFoundError):
            found[key] = (SYSCTLS / key).read_text().strip()
    return found
