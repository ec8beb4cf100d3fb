"""Links in memory, for a simulated host: they carry nothing and refuse what the kernel would."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable

import msgspec

from pileus.drivers.netlink.links import Address, Link, LinkError, Route, Veth
from pileus.drivers.ovsdb.simulated import SimulatedSwitch

_LOOPBACK = Link("lo", "00:00:00:00:00:00", 65536, "", True, ("127.0.0.1/8", "::1/128"))
_NAME_BYTES = 15
End = tuple[str | None, str]
"""A namespace (None: home) and an interface's name."""


class SimulatedLinks:
    """The Links of a simulated host; a simulated switch is told which devices come and go."""

    def __init__(self, switch: SimulatedSwitch | None = None) -> None:
        self._switch = switch
        self._links: dict[str | None, dict[str, Link]] = {None: {"lo": _LOOPBACK}}
        self._routes: dict[tuple[str | None, str], Route] = {}
        self._other_end: dict[End, End] = {}
        self._macs = itertools.count(1)

    async def namespaces(self, prefix: str = "") -> list[str]:
        return sorted(name for name in self._links if name is not None and name.startswith(prefix))

    async def ensure_namespaces(self, names: Iterable[str]) -> None:
        for name in names:
            self._links.setdefault(name, {"lo": _LOOPBACK})

    async def delete_namespaces(self, names: Iterable[str]) -> None:
        for name in names:
            for link in list(self._links.get(name, {})):
                self._remove((name, link))
            self._links.pop(name, None)
            self._routes = {key: route for key, route in self._routes.items() if key[0] != name}

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

    async def ensure_addresses(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            link = self._link((address.namespace, address.device))
            held = tuple(sorted({*link.addresses, address.address}))
            self._put(address.namespace, msgspec.structs.replace(link, addresses=held))

    async def ensure_routes(self, routes: Iterable[Route]) -> None:
        for route in routes:
            about = f"route to {route.destination}"
            if route.device is not None:
                self._link((route.namespace, route.device))
            if route.via is not None and not self._reaches(route):
                raise LinkError(f"{about}: Network is unreachable")
            self._routes[route.namespace, route.destination] = route

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        for name in names:
            self._put(namespace, msgspec.structs.replace(self._link((namespace, name)), up=True))

    async def delete_links(self, names: Iterable[str], namespace: str | None = None) -> None:
        for name in names:
            self._remove((namespace, name))

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
        place[link.name] = link
        if fresh and namespace is None and self._switch is not None:
            self._switch.add_device(link.name)

    def _remove(self, end: End) -> None:
        other = self._other_end.pop(end, None)
        if other is not None:
            del self._other_end[other]
        for namespace, name in (end, *([other] if other else [])):
            gone = self._links.get(namespace, {}).pop(name, None)
            if gone is not None and namespace is None and self._switch is not None:
                self._switch.remove_device(name)

    def _reaches(self, route: Route) -> bool:
        gateway = ipaddress.ip_address(route.via or "")
        return any(
            gateway in ipaddress.ip_interface(address).network
            for link in self._place(route.namespace).values()
            if link.up
            for address in link.addresses
        )

    def _mac(self) -> str:
        number = next(self._macs)
        return f"0e:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
