"""Links of the Linux kernel, through pyroute2.

A thread can enter a network namespace, a process with other threads should not fork: so each
batch runs in one new thread, which enters the namespaces concerned one after the other and
ends. (pyroute2 is imported there for the first time: it costs a quarter of a second.)
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pileus.core.names import path_part
from pileus.drivers.netlink.announce import announcement
from pileus.drivers.netlink.dump import SET_BY_SOMEBODY, dump_links, dump_links_and_routes
from pileus.drivers.netlink.links import Address, Contents, Link, LinkError, Route, Tap, Veth

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_IFF_UP = 1
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_SILENT = {
    "ipv6/conf/{}/disable_ipv6": "1",
    "ipv4/conf/{}/arp_ignore": "8",
    "ipv4/conf/{}/rp_filter": "1",
}
"""Sysctls of a tap: no IPv6 address, no answer to ARP, and no source to which a way leads by it, so that
IPv4 packets that reach the machine's stack are dropped there (RFC 3704, strict)."""
_IFA_F_NODAD = 2
_SYSCTLS = Path("/proc/sys/net")
"""Shows the namespace of the thread that looks."""

T = TypeVar("T")
Work = Callable[[Any], T]


class LinuxLinks:
    """The Links of one namespace of this machine (None: the one the process runs in)."""

    def __init__(self, namespace: str | None = None) -> None:
        self._home = namespace

    async def namespaces(self, prefix: str = "") -> list[str]:
        return _namespaces(prefix)

    async def read(
        self, namespaces: Iterable[str | None], sysctls: Iterable[str] = ()
    ) -> dict[str | None, Contents]:
        present = set(_namespaces(""))
        wanted = [name for name in dict.fromkeys(namespaces) if name is None or name in present]
        keys = list(sysctls)
        places = [self._place(name) for name in wanted]
        found = await self._visit([(place, lambda netlink: _contents(keys)) for place in places])
        return dict(zip(wanted, found, strict=True))

    async def ensure_namespaces(self, names: Iterable[str], label: str = "") -> None:
        wanted = list(dict.fromkeys(names))

        def create() -> None:
            from pyroute2 import netns

            present = set(_namespaces(""))
            for name in wanted:
                if name not in present:
                    _check(_libc().unshare(_CLONE_NEWNET), name)
                    netns.attach(name, "thread-self")

        await _in_thread(create)
        await self._visit([(name, lambda netlink: _loopback_up(netlink, label)) for name in wanted])

    async def delete_namespaces(self, names: Iterable[str]) -> None:
        wanted = list(names)

        def delete() -> None:
            from pyroute2 import netns

            present = set(_namespaces(""))
            for name in wanted:
                if name in present:
                    netns.remove(name)

        await _in_thread(delete)

    async def ensure_veths(self, veths: Iterable[Veth]) -> None:
        wanted = list(veths)
        if not wanted:
            return
        # A pair whose peer has another name or place by now can't be mended: it is made anew.
        peers: dict[str | None, list[Veth]] = defaultdict(list)
        for veth in wanted:
            peers[self._place(veth.namespace)].append(veth)
        names = list(peers)
        found = await self._visit([(namespace, lambda netlink: dump_links()) for namespace in names])
        present = dict(zip(names, found, strict=True))
        broken = [v.name for v in wanted if v.peer not in present[self._place(v.namespace)]]
        await self._visit([(self._home, lambda netlink: _ensure_outer(netlink, wanted, set(broken)))])
        await self._visit([(place, _ensurer_of_peers(some)) for place, some in peers.items()])

    async def ensure_taps(self, taps: Iterable[Tap]) -> None:
        if wanted := list(taps):
            await self._visit([(self._home, lambda netlink: _ensure_taps(netlink, wanted))])

    async def ensure_addresses(self, addresses: Iterable[Address]) -> None:
        by_place: dict[str | None, list[Address]] = defaultdict(list)
        for address in addresses:
            by_place[self._place(address.namespace)].append(address)
        await self._visit([(place, _ensurer_of_addresses(some)) for place, some in by_place.items()])

    async def ensure_routes(self, routes: Iterable[Route]) -> None:
        by_place: dict[str | None, list[Route]] = defaultdict(list)
        for route in routes:
            by_place[self._place(route.namespace)].append(route)
        await self._visit([(place, _ensurer_of_routes(some)) for place, some in by_place.items()])

    async def delete_addresses(self, addresses: Iterable[Address]) -> None:
        by_place: dict[str | None, list[Address]] = defaultdict(list)
        for address in addresses:
            by_place[self._place(address.namespace)].append(address)
        await self._visit([(place, _deleter_of_addresses(some)) for place, some in by_place.items()])

    async def delete_routes(self, routes: Iterable[Route]) -> None:
        by_place: dict[str | None, list[Route]] = defaultdict(list)
        for route in routes:
            by_place[self._place(route.namespace)].append(route)
        await self._visit([(place, _deleter_of_routes(some)) for place, some in by_place.items()])

    async def ensure_sysctls(self, values: Mapping[str, Mapping[str, str]]) -> None:
        await self._visit([(name, _setter_of_sysctls(some)) for name, some in values.items()])

    async def announce(self, addresses: Iterable[Address]) -> None:
        by_place: dict[str | None, list[Address]] = defaultdict(list)
        for address in addresses:
            by_place[self._place(address.namespace)].append(address)
        await self._visit([(place, _announcer(some)) for place, some in by_place.items()])

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        wanted = list(names)

        def work(netlink: Any) -> None:
            indexes = _indexes()
            for name in wanted:
                _ask(name, netlink.link, "set", index=_index(indexes, name), state="up")

        await self._visit([(self._place(namespace), work)])

    async def delete_links(self, names: Iterable[str], namespace: str | None = None) -> None:
        wanted = list(names)

        def work(netlink: Any) -> None:
            indexes = _indexes()
            for name in wanted:
                # The other end of a pair may have gone with one before it.
                if name in indexes:
                    _ask(name, netlink.link, "del", index=indexes[name], missing_is_fine=True)

        await self._visit([(self._place(namespace), work)])

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        (found,) = await self._visit([(self._place(namespace), lambda netlink: dump_links())])
        return found

    def _place(self, namespace: str | None) -> str | None:
        return self._home if namespace is None else namespace

    @staticmethod
    async def _visit(jobs: Sequence[tuple[str | None, Work[T]]]) -> list[T]:
        """Run each job in its namespace, with what changes things there."""

        def visit() -> list[T]:
            results = []
            own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            try:
                for namespace, job in jobs:
                    _enter(namespace, own)
                    with contextlib.closing(_Changer()) as netlink:
                        results.append(job(netlink))
            finally:
                os.close(own)
            return results

        return await _in_thread(visit) if jobs else []


class _Changer:
    """pyroute2's IPRoute of the namespace that the thread is in, opened when there is something to change."""

    def __init__(self) -> None:
        self._route: Any = None

    def __getattr__(self, name: str) -> Any:
        from pyroute2 import IPRoute

        if self._route is None:
            self._route = IPRoute()
        return getattr(self._route, name)

    def close(self) -> None:
        if self._route is not None:
            self._route.close()


def _namespaces(prefix: str) -> list[str]:
    if not _NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in _NAMESPACES.iterdir() if path.name.startswith(prefix))


async def _in_thread(work: Callable[[], T]) -> T:
    """Run in a thread that nobody uses afterwards: its namespace may not be the process's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def body() -> None:
        try:
            result = work()
        except BaseException as error:  # handed to who waits
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, result, None)

    threading.Thread(target=body, name="links", daemon=True).start()
    return await done


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(status: int, about: str) -> None:
    if status != 0:
        raise LinkError(f"{about}: {os.strerror(ctypes.get_errno())}")


def _enter(namespace: str | None, own: int) -> None:
    if namespace is None:
        _check(_libc().setns(own, _CLONE_NEWNET), "the own namespace")
        return
    try:
        descriptor = os.open(_NAMESPACES / path_part(namespace), os.O_RDONLY)
    except FileNotFoundError:
        raise LinkError(f"{namespace}: no such namespace") from None
    try:
        _check(_libc().setns(descriptor, _CLONE_NEWNET), namespace)
    finally:
        os.close(descriptor)


def _ask(
    about: str, call: Callable[..., Any], *arguments: Any, missing_is_fine: bool = False, **more: Any
) -> None:
    """One netlink request; the kernel's refusal becomes a LinkError that names the thing."""
    from pyroute2 import NetlinkError

    try:
        call(*arguments, **more)
    except NetlinkError as error:
        if missing_is_fine and error.code in (errno.ENODEV, errno.ENOENT, errno.ESRCH):
            return
        raise LinkError(f"{about}: {os.strerror(error.code)}") from error


def _indexes() -> dict[str, int]:
    return {name: link.index for name, link in dump_links().items()}


def _index(indexes: dict[str, int], name: str) -> int:
    try:
        return indexes[name]
    except KeyError:
        raise LinkError(f"{name}: no such interface") from None


def _contents(sysctls: Sequence[str]) -> Contents:
    links, routes = dump_links_and_routes()
    return Contents(links, routes, _sysctls(sysctls))


def _sysctls(keys: Iterable[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        with contextlib.suppress(FileNotFoundError):
            found[key] = (_SYSCTLS / key).read_text().strip()
    return found


def _loopback_up(netlink: Any, label: str) -> None:
    more: dict[str, Any] = {"IFLA_IFALIAS": label} if label else {}
    _ask("lo", netlink.link, "set", index=1, state="up", **more)


def _ensure_outer(netlink: Any, veths: Iterable[Veth], broken: set[str]) -> None:
    present, indexes = dump_links(), _indexes()
    fresh = []
    for veth in veths:
        if veth.name in broken and veth.name in present:
            _ask(veth.name, netlink.link, "del", index=indexes[veth.name], missing_is_fine=True)
            del present[veth.name]
        if veth.name not in present:
            peer: dict[str, Any] = {"ifname": veth.peer, "mtu": veth.mtu}
            if veth.mac is not None:
                peer["address"] = veth.mac
            if veth.namespace is not None:
                peer["net_ns_fd"] = str(_NAMESPACES / path_part(veth.namespace))
            _ask(veth.name, netlink.link, "add", ifname=veth.name, kind="veth", mtu=veth.mtu, peer=peer)
            fresh.append(veth.name)
    if fresh:
        indexes = _indexes()
    for veth in veths:
        link = present.get(veth.name)
        changes: dict[str, Any] = {}
        if veth.label and (link is None or link.label != veth.label):
            changes["IFLA_IFALIAS"] = veth.label
        if link is not None and link.mtu != veth.mtu:
            changes["mtu"] = veth.mtu
        if veth.up != (link is not None and link.up):
            changes["state"] = "up" if veth.up else "down"
        if changes:
            _ask(veth.name, netlink.link, "set", index=indexes[veth.name], **changes)


def _ensure_taps(netlink: Any, taps: Sequence[Tap]) -> None:
    present = dump_links()
    if fresh := [tap for tap in taps if tap.name not in present]:
        for tap in fresh:
            _make_tap(tap.name)
        # Before they are up: an address of the machine's own would let the guest talk to it.
        silent = {key.format(tap.name): value for tap in fresh for key, value in _SILENT.items()}
        _setter_of_sysctls(silent)(netlink)
        present = dump_links()
    for tap in taps:
        link = present[tap.name]
        changes: dict[str, Any] = {}
        if tap.label and link.label != tap.label:
            changes["IFLA_IFALIAS"] = tap.label
        if link.mtu != tap.mtu:
            changes["mtu"] = tap.mtu
        if not link.up:
            changes["state"] = "up"
        if changes:
            _ask(tap.name, netlink.link, "set", index=link.index, **changes)


def _make_tap(name: str) -> None:
    """A tap that stays (linux/if_tun.h; Documentation/networking/tuntap.rst)."""
    if len(name.encode()) > 15:
        raise LinkError(f"{name}: {os.strerror(errno.ERANGE)}")  # the kernel would shorten it
    request = struct.pack("16sH", name.encode(), _IFF_TAP | _IFF_NO_PI).ljust(40, b"\0")
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, request)
            fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LinkError(f"{name}: {error.strerror}") from error


def _ensurer_of_peers(veths: Iterable[Veth]) -> Work[None]:
    def work(netlink: Any) -> None:
        present, indexes = dump_links(), _indexes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            for veth in veths:
                index, link = _index(indexes, veth.peer), present[veth.peer]
                changes: dict[str, Any] = {}
                if veth.mac is not None and link.mac != veth.mac.lower():
                    changes["address"] = veth.mac
                if link.mtu != veth.mtu:
                    changes["mtu"] = veth.mtu
                if link.up != veth.up:
                    changes["state"] = "up" if veth.up else "down"
                if changes:
                    _ask(veth.peer, netlink.link, "set", index=index, **changes)
                _checksums_complete(control, veth.peer)

    return work


def _checksums_complete(control: socket.socket, name: str) -> None:
    """What ``ethtool -K NAME tx off`` does (linux/ethtool.h, ETHTOOL_STXCSUM)."""
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(value)).ljust(40, b"\0")
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        raise LinkError(f"{name}: turning the checksum offload off: {error.strerror}") from error


def _ensurer_of_addresses(addresses: Iterable[Address]) -> Work[None]:
    def work(netlink: Any) -> None:
        present, indexes = dump_links(), _indexes()
        for address in addresses:
            index = _index(indexes, address.device)
            if address.address in present[address.device].addresses:
                continue
            host, _, length = address.address.partition("/")
            flags: dict[str, Any] = {"flags": _IFA_F_NODAD} if ":" in host else {}
            about = f"{address.address} on {address.device}"
            _ask(about, netlink.addr, "replace", index=index, address=host, prefixlen=int(length), **flags)

    return work


def _deleter_of_addresses(addresses: Iterable[Address]) -> Work[None]:
    def work(netlink: Any) -> None:
        present = dump_links()
        for address in addresses:
            link = present.get(address.device)
            if link is None or address.address not in link.addresses:
                continue
            host, _, length = address.address.partition("/")
            about = f"{address.address} on {address.device}"
            _ask(about, netlink.addr, "del", index=link.index, address=host, prefixlen=int(length))

    return work


def _deleter_of_routes(routes: Iterable[Route]) -> Work[None]:
    def work(netlink: Any) -> None:
        for route in routes:
            family = socket.AF_INET6 if ":" in route.destination else socket.AF_INET
            way: dict[str, Any] = {"gateway": route.via} if route.via is not None else {}
            _ask(
                f"route to {route.destination}",
                netlink.route,
                "del",
                missing_is_fine=True,
                dst=route.destination,
                family=family,
                proto=SET_BY_SOMEBODY,
                **way,
            )

    return work


def _setter_of_sysctls(values: Mapping[str, str]) -> Work[None]:
    def work(netlink: Any) -> None:
        for key, value in values.items():
            try:
                (_SYSCTLS / key).write_text(value)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LinkError(f"sysctl {key}: {error.strerror}") from error

    return work


def _announcer(addresses: Iterable[Address]) -> Work[None]:
    def work(netlink: Any) -> None:
        present = dump_links()
        for address in addresses:
            link = present.get(address.device)
            if link is None or not link.up:
                continue  # gone again since, and what does not exist needs no word
            frame = announcement(link.mac, address.address.partition("/")[0])
            try:
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
                    sender.bind((address.device, 0))
                    sender.send(frame)
            except OSError as error:
                raise LinkError(f"announcing {address.address} on {address.device}: {error}") from error

    return work


def _ensurer_of_routes(routes: Iterable[Route]) -> Work[None]:
    def work(netlink: Any) -> None:
        indexes = _indexes()
        for route in routes:
            way: dict[str, Any] = {}
            if route.via is not None:
                way["gateway"] = route.via
            if route.device is not None:
                way["oif"] = _index(indexes, route.device)
            family = socket.AF_INET6 if ":" in route.destination else socket.AF_INET
            about = f"route to {route.destination}"
            _ask(
                about,
                netlink.route,
                "replace",
                dst=route.destination,
                family=family,
                proto=SET_BY_SOMEBODY,
                **way,
            )

    return work
