"""Links in memory, for a simulated host: they carry nothing and refuse what the kernel would."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from pileus.core.files import write_atomically
from pileus.drivers.netlink.links import Address, Contents, Link, LinkError, PolicyRule, Route, Tap, Veth
from pileus.drivers.ovsdb.simulated import SimulatedSwitch

_LOOPBACK = Link("lo", "00:00:00:00:00:00", 65536, "", True, ("127.0.0.1/8", "::1/128"), 1)
_NAME_BYTES = 15
End = tuple[str | None, str]
"""A namespace (None: home) and an interface's name."""


class Saved(msgspec.Struct):
    """All that a state file holds; home is the namespace with the empty name."""

    number: int
    links: dict[str, dict[str, Link]]
    routes: list[Route]
    pairs: list[tuple[End, End]]
    sysctls: dict[str, dict[str, str]]
    rules: dict[str, tuple[PolicyRule, ...]] = {}


class SimulatedLinks:
    """The Links of a simulated host; a simulated switch is told which devices come and go. With a
    state file they outlive the process, as the kernel's do. ``announced`` has what was announced."""

    def __init__(self, switch: SimulatedSwitch | None = None, state_file: Path | None = None) -> None:
        self.announced: list[Address] = []
        self.on_gone: Callable[[str], None] = lambda namespace: None
        """Is told of each namespace that goes, for twins of other parts that live in it."""
        self._switch = switch
        self._file = state_file
        self._links: dict[str | None, dict[str, Link]] = {None: {"lo": _LOOPBACK}}
        self._routes: dict[tuple[str | None, str, int], Route] = {}
        self._rules: dict[str, tuple[PolicyRule, ...]] = {}
        self._other_end: dict[End, End] = {}
        self._sysctls: dict[str, dict[str, str]] = {}
        self._number = 1
        if state_file is not None and state_file.exists():
            self._restore(msgspec.json.decode(state_file.read_bytes(), type=Saved))

    def _restore(self, saved: Saved) -> None:
        self._number = saved.number
        self._links = {name or None: links for name, links in saved.links.items()}
        self._routes = {(route.namespace, route.destination, route.table): route for route in saved.routes}
        self._rules = saved.rules
        self._other_end = dict(saved.pairs)
        self._sysctls = saved.sysctls

    def _store(self) -> None:
        if self._file is not None:
            saved = Saved(
                self._number,
                {name or "": links for name, links in self._links.items()},
                list(self._routes.values()),
                list(self._other_end.items()),
                self._sysctls,
                self._rules,
            )
            write_atomically(self._file, msgspec.json.encode(saved), durable=False)

    async def namespaces(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self._links if name is not None and name.startswith(prefix))

    async def read(
        self, namespaces: Iterable[str | None], sysctls: Iterable[str] = ()
    ) -> dict[str | None, Contents]:
        keys = list(sysctls)
        return {
            name: Contents(
                dict(self._links[name]),
                tuple(
                    msgspec.structs.replace(
                        route, namespace=None, device=None if route.hops else self._way_out(route)
                    )
                    for (place, *_), route in self._routes.items()
                    if place == name
                ),
                {key: self._sysctls.get(name or "", {}).get(key, "0") for key in keys},
                self._rules.get(name or "", ()),
            )
            for name in dict.fromkeys(namespaces)
            if name in self._links
        }

    async def ensure_namespaces(self, names: Iterable[str], label: str = "") -> None:
        for name in names:
            place = self._links.setdefault(name, {"lo": _LOOPBACK})
            place["lo"] = msgspec.structs.replace(place["lo"], label=label or place["lo"].label)
        self._store()

    async def delete_namespaces(self, names: Iterable[str]) -> None:
        for name in names:
            for link in list(self._links.get(name, {})):
                self._remove((name, link))
            if self._links.pop(name, None) is not None:
                self.on_gone(name)
            self._sysctls.pop(name, None)
            self._rules.pop(name, None)
            self._routes = {key: route for key, route in self._routes.items() if key[0] != name}
        self._store()

    async def ensure_veths(self, veths: Iterable[Veth]) -> None:
        for veth in veths:
            outer, inner = (None, veth.name), (veth.namespace, veth.peer)
            if self._other_end.get(outer) != inner:
                if veth.name in self._links[None] and outer not in self._other_end:
                    raise LinkError(f"{veth.name}: File exists")
                self._remove(outer)
                if veth.peer in self._place(veth.namespace):
                    raise LinkError(f"{veth.name}: File exists")
                for name in (veth.name, veth.peer):
                    if not 0 < len(name.encode()) <= _NAME_BYTES:
                        raise LinkError(f"{name}: Numerical result out of range")
                self._other_end[outer], self._other_end[inner] = inner, outer
                self._put(None, Link(veth.name, self._mac(), veth.mtu, "", veth.up))
                self._put(veth.namespace, Link(veth.peer, self._mac(), veth.mtu, "", veth.up))
            near, far = self._link(outer), self._link(inner)
            label = veth.label or near.label
            self._put(None, msgspec.structs.replace(near, mtu=veth.mtu, label=label, up=veth.up))
            mac = veth.mac.lower() if veth.mac else far.mac
            self._put(veth.namespace, msgspec.structs.replace(far, mtu=veth.mtu, mac=mac, up=veth.up))
        self._store()

    async def ensure_taps(self, taps: Iterable[Tap]) -> None:
        changed = False
        for tap in taps:
            if not 0 < len(tap.name.encode()) <= _NAME_BYTES:
                raise LinkError(f"{tap.name}: Numerical result out of range")
            present = self._links[None].get(tap.name)
            link = present or Link(tap.name, self._mac(), tap.mtu, "", True)
            link = msgspec.structs.replace(link, mtu=tap.mtu, label=tap.label or link.label, up=True)
            if link != present:
                self._put(None, link)
                changed = True
        if changed:
            self._store()

    async def ensure_addresses(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            link = self._link((address.namespace, address.device))
            held = tuple(sorted({*link.addresses, address.address}))
            self._put(address.namespace, msgspec.structs.replace(link, addresses=held))
        self._store()

    async def ensure_proxies(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            link = self._link((address.namespace, address.device))
            proxied = tuple(sorted({*link.proxied, address.address}))
            self._put(address.namespace, msgspec.structs.replace(link, proxied=proxied))
        self._store()

    async def delete_proxies(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            link = self._place(address.namespace).get(address.device)
            if link is not None:
                proxied = tuple(one for one in link.proxied if one != address.address)
                self._put(address.namespace, msgspec.structs.replace(link, proxied=proxied))
        self._store()

    async def delete_addresses(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            link = self._place(address.namespace).get(address.device)
            if link is not None:
                kept = tuple(held for held in link.addresses if held != address.address)
                self._put(address.namespace, msgspec.structs.replace(link, addresses=kept))
                self._drop_unreachable(address.namespace)
        self._store()

    async def delete_routes(self, routes: Iterable[Route]) -> None:
        for route in routes:
            key = route.namespace, route.destination, route.table
            present = self._routes.get(key)
            if present is not None and route.via in (None, present.via):
                del self._routes[key]
        self._store()

    async def ensure_sysctls(self, values: Mapping[str, Mapping[str, str]]) -> None:
        for name, some in values.items():
            self._place(name)
            self._sysctls.setdefault(name, {}).update(some)
        self._store()

    async def announce(self, addresses: Iterable[Address]) -> None:
        self.announced += addresses

    async def ensure_routes(self, routes: Iterable[Route]) -> None:
        for route in routes:
            about = f"route to {route.destination}"
            for one in _ways(route):
                if one.device is not None:
                    self._link((one.namespace, one.device))
                if one.via is not None and not self._reaches(one):
                    raise LinkError(f"{about}: Network is unreachable")
            route = msgspec.structs.replace(route, hops=tuple(sorted(route.hops)))
            self._routes[route.namespace, route.destination, route.table] = route
        self._store()

    async def set_rules(self, rules: Mapping[str, Iterable[PolicyRule]]) -> None:
        for name, some in rules.items():
            self._place(name)
            self._rules[name] = tuple(sorted(set(some)))
        self._store()

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        for name in names:
            self._put(namespace, msgspec.structs.replace(self._link((namespace, name)), up=True))
        self._store()

    async def delete_links(self, names: Iterable[str], namespace: str | None = None) -> None:
        for name in names:
            self._remove((namespace, name))
        self._store()

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        return dict(self._place(namespace))

    def _place(self, namespace: str | None) -> dict[str, Link]:
        try:
            return self._links[namespace]
        except KeyError:
            raise LinkError(f"{namespace}: no such namespace") from None

    def _link(self, end: End) -> Link:
        try:
            return self._place(end[0])[end[1]]
        except KeyError:
            raise LinkError(f"{end[1]}: no such interface") from None

    def _put(self, namespace: str | None, link: Link) -> None:
        place = self._place(namespace)
        fresh = link.name not in place
        place[link.name] = msgspec.structs.replace(link, index=self._next()) if fresh else link
        if fresh and namespace is None and self._switch is not None:
            self._switch.add_device(link.name)

    def _remove(self, end: End) -> None:
        other = self._other_end.pop(end, None)
        if other is not None:
            del self._other_end[other]
        for namespace, name in (end, *([other] if other else [])):
            gone = self._links.get(namespace, {}).pop(name, None)
            self._drop_unreachable(namespace)
            if gone is not None and namespace is None and self._switch is not None:
                self._switch.remove_device(name)

    def _drop_unreachable(self, namespace: str | None) -> None:
        """Routes go with the address or the device that they led by."""
        for key, route in list(self._routes.items()):
            if key[0] == namespace and all(self._way_out(one) is None for one in _ways(route)):
                del self._routes[key]

    def _reaches(self, route: Route) -> bool:
        return self._way_out(route) is not None

    def _way_out(self, route: Route) -> str | None:
        """The device by which a route leads; None: there is no way."""
        place = self._links.get(route.namespace, {})
        if route.via is None:
            return route.device if route.device in place else None
        gateway = ipaddress.ip_address(route.via)
        for link in place.values():
            if not link.up or route.device not in (None, link.name):
                continue
            if any(gateway in ipaddress.ip_interface(address).network for address in link.addresses):
                return link.name
        return None

    def _mac(self) -> str:
        number = self._next()
        return f"0e:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"

    def _next(self) -> int:
        self._number += 1
        return self._number


def _ways(route: Route) -> list[Route]:
    """A route of several hops as one for each of them."""
    if not route.hops:
        return [route]
    return [Route(route.namespace, route.destination, hop.via, hop.device) for hop in route.hops]
