"""Changes of links, addresses, routes and sysctls in the namespace that a thread is in.

Each takes pyroute2's IPRoute, compares with what is there and asks the kernel for the difference; functions
called ``…er`` give back such a piece of work for given things, to be run in several namespaces in one visit.
Raises LinkError, which names the thing that the kernel refuses.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pileus.core.names import path_part
from pileus.drivers.netlink.announce import announcement
from pileus.drivers.netlink.dump import MAIN_TABLE, PROXY, SET_BY_SOMEBODY, dump_links, dump_rules
from pileus.drivers.netlink.links import Address, LinkError, PolicyRule, Route, Tap, Veth
from pileus.drivers.netlink.visiting import NAMESPACES, Work

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
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
SYSCTLS = Path("/proc/sys/net")
"""Shows the namespace of the thread that looks."""


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


def loopback_up(netlink: Any, label: str) -> None:
    """Set the loopback interface up; with ``label`` it bears that."""
    more: dict[str, Any] = {"IFLA_IFALIAS": label} if label else {}
    _ask("lo", netlink.link, "set", index=1, state="up", **more)


def ensure_outer_ends(netlink: Any, veths: Iterable[Veth], broken: set[str]) -> None:
    """Make pairs that are missing or ``broken`` (their peer is elsewhere by now); set their outer ends."""
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
                peer["net_ns_fd"] = str(NAMESPACES / path_part(veth.namespace))
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


def ensure_taps(netlink: Any, taps: Sequence[Tap]) -> None:
    """Make taps that are missing, silent towards the machine, and set them."""
    present = dump_links()
    if fresh := [tap for tap in taps if tap.name not in present]:
        for tap in fresh:
            _make_tap(tap.name)
        # Before they are up: an address of the machine's own would let the guest talk to it.
        silent = {key.format(tap.name): value for tap in fresh for key, value in _SILENT.items()}
        sysctls_setter(silent)(netlink)
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


def peers_ensurer(veths: Iterable[Veth]) -> Work[None]:
    """Sets the inner ends of pairs, in the namespace where they are."""

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
    """Turn the checksum offload off, as ``ethtool -K NAME tx off`` does (linux/ethtool.h,
    ETHTOOL_STXCSUM)."""
    value = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(value)).ljust(40, b"\0")
    try:
        fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError as error:
        raise LinkError(f"{name}: turning the checksum offload off: {error.strerror}") from error


def addresses_ensurer(addresses: Iterable[Address]) -> Work[None]:
    """Adds addresses that are missing."""

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


def addresses_deleter(addresses: Iterable[Address]) -> Work[None]:
    """Removes addresses that are there."""

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


def proxies_ensurer(addresses: Iterable[Address]) -> Work[None]:
    """Adds neighbours to answer for that are missing."""

    def work(netlink: Any) -> None:
        indexes = _indexes()
        for address in addresses:
            neighbour = _proxied(address, _index(indexes, address.device))
            _ask(f"{address.address} on {address.device}", netlink.neigh, "replace", **neighbour)

    return work


def proxies_deleter(addresses: Iterable[Address]) -> Work[None]:
    """Removes neighbours to answer for that are there."""

    def work(netlink: Any) -> None:
        indexes = _indexes()
        for address in addresses:
            if address.device in indexes:
                neighbour = _proxied(address, indexes[address.device])
                about = f"{address.address} on {address.device}"
                _ask(about, netlink.neigh, "del", missing_is_fine=True, **neighbour)

    return work


def _proxied(address: Address, index: int) -> dict[str, Any]:
    return {"dst": address.address, "ifindex": index, "family": socket.AF_INET6, "flags": PROXY}


def routes_deleter(routes: Iterable[Route]) -> Work[None]:
    """Removes routes that are there."""

    def work(netlink: Any) -> None:
        indexes = _indexes()
        for route in routes:
            family = socket.AF_INET6 if ":" in route.destination else socket.AF_INET
            way: dict[str, Any] = {"gateway": route.via} if route.via is not None else {}
            if route.hops:
                way["multipath"] = _hops(route, indexes)
            if route.table:
                way["table"] = route.table
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


def sysctls_setter(values: Mapping[str, str]) -> Work[None]:
    """Writes sysctls; those that this kernel does not have are skipped."""

    def work(netlink: Any) -> None:
        for key, value in values.items():
            try:
                (SYSCTLS / key).write_text(value)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LinkError(f"sysctl {key}: {error.strerror}") from error

    return work


def announcer(addresses: Iterable[Address]) -> Work[None]:
    """Sends a gratuitous ARP or an unsolicited neighbour advertisement for each address whose link is up."""

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


def routes_ensurer(routes: Iterable[Route]) -> Work[None]:
    """Adds routes or replaces those to the same destination."""

    def work(netlink: Any) -> None:
        indexes = _indexes()
        for route in routes:
            way: dict[str, Any] = {}
            if route.via is not None:
                way["gateway"] = route.via
            if route.device is not None:
                way["oif"] = _index(indexes, route.device)
            if route.hops:
                way["multipath"] = _hops(route, indexes)
            if route.table:
                way["table"] = route.table
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


def _hops(route: Route, indexes: dict[str, int]) -> list[dict[str, Any]]:
    return [{"gateway": hop.via, "oif": _index(indexes, hop.device), "hops": 0} for hop in route.hops]


def rules_setter(rules: Iterable[PolicyRule]) -> Work[None]:
    """Makes our rules these; others stay."""
    wanted = set(rules)

    def work(netlink: Any) -> None:
        present = set(dump_rules())
        for verb, some in (("add", wanted - present), ("del", present - wanted)):
            for rule in sorted(some):
                for family in (socket.AF_INET, socket.AF_INET6):
                    _change_rule(netlink, verb, rule, family)

    return work


def _change_rule(netlink: Any, verb: str, rule: PolicyRule, family: int) -> None:
    from pyroute2 import NetlinkError

    more: dict[str, Any] = {"table": rule.table or MAIN_TABLE, "priority": rule.priority, "family": family}
    if rule.mask:
        more |= {"fwmark": rule.mark, "fwmask": rule.mask}
    if rule.default_is_none:
        more["FRA_SUPPRESS_PREFIXLEN"] = 0
    try:
        netlink.rule(verb, **more)
    except NetlinkError as error:
        # There already for one of the families, or gone; or the kernel has none of this family.
        if error.code not in (errno.EEXIST, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
            raise LinkError(f"rule {rule.priority}: {os.strerror(error.code)}") from error


def set_up(netlink: Any, names: Iterable[str]) -> None:
    """Set links up."""
    indexes = _indexes()
    for name in names:
        _ask(name, netlink.link, "set", index=_index(indexes, name), state="up")


def delete_links(netlink: Any, names: Iterable[str]) -> None:
    """Delete links that are there."""
    indexes = _indexes()
    for name in names:
        # The other end of a pair may have gone with one before it.
        if name in indexes:
            _ask(name, netlink.link, "del", index=indexes[name], missing_is_fine=True)
