"""Bridges of the Linux kernel, through pyroute2: one visit to the namespace for each read and each change."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

from pileus.drivers.linuxbridge.bridges import (
    LABEL,
    Bridge,
    Change,
    Device,
    Entry,
    Seen,
    Vlan,
    Vxlan,
)
from pileus.drivers.netlink.changes import sysctls_setter
from pileus.drivers.netlink.dump import dump_links
from pileus.drivers.netlink.links import LinkError
from pileus.drivers.netlink.visiting import visit

_SILENT = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/arp_ignore": "8"}
"""A bridge of ours has no address, and answers for none of the machine's."""


class LinuxBridges:
    """The Bridges of one namespace of this machine (None: the one the process runs in)."""

    def __init__(self, namespace: str | None = None) -> None:
        self._home = namespace

    async def read(self) -> Seen:
        """See Bridges."""
        (seen,) = await visit([(self._home, _read)])
        return seen

    async def apply(self, change: Change) -> dict[str, str]:
        """See Bridges."""
        (failed,) = await visit([(self._home, lambda netlink: _apply(netlink, change))])
        return failed


def _read(netlink: Any) -> Seen:
    plain = dump_links()
    rows = {row.get_attr("IFLA_IFNAME"): row for row in netlink.get_links()}
    names = {row["index"]: name for name, row in rows.items()}
    devices = {}
    for name, row in rows.items():
        link = plain.get(name)
        if link is None:
            continue
        devices[name] = Device(
            name=name,
            index=link.index,
            label=link.label,
            master=names.get(row.get_attr("IFLA_MASTER") or 0),
            up=link.up,
            mtu=link.mtu,
            addresses=link.addresses,
            made=_made(name, link.mtu, row, names),
        )
    tunnels = {device.index: name for name, device in devices.items() if isinstance(device.made, Vxlan)}
    return Seen(devices, _entries(netlink, tunnels))


def _made(name: str, mtu: int, row: Any, names: dict[int, str]) -> Bridge | Vxlan | Vlan | None:
    info = row.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info is not None else None
    if data is None:
        return None
    match info.get_attr("IFLA_INFO_KIND"):
        case "bridge":
            return Bridge(name, bool(data.get_attr("IFLA_BR_NF_CALL_IPTABLES")))
        case "vxlan":
            local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6") or ""
            return Vxlan(name, data.get_attr("IFLA_VXLAN_ID"), local, data.get_attr("IFLA_VXLAN_PORT"), mtu)
        case "vlan":
            return Vlan(name, names.get(row.get_attr("IFLA_LINK"), ""), data.get_attr("IFLA_VLAN_ID"), mtu)
    return None


def _entries(netlink: Any, tunnels: dict[int, str]) -> dict[str, frozenset[Entry]]:
    found: dict[str, set[Entry]] = {name: set() for name in tunnels.values()}
    for row in netlink.fdb("dump") if tunnels else ():
        end = row.get_attr("NDA_DST")
        if end and row["ifindex"] in tunnels:
            found[tunnels[row["ifindex"]]].add((row.get_attr("NDA_LLADDR"), end))
    return {name: frozenset(entries) for name, entries in found.items()}


def _apply(netlink: Any, change: Change) -> dict[str, str]:
    failed: dict[str, str] = {}
    indexes = _Indexes()
    for name in change.removed:
        with _noting(failed, name), contextlib.suppress(KeyError):
            netlink.link("del", index=indexes[name])
    indexes.forget()
    for wanted in change.made:
        with _noting(failed, wanted.name):
            _make(netlink, wanted, indexes)
    for name, master in change.masters:
        with _noting(failed, name):
            index = indexes[name]
            # Out of the old one first: the kernel moves none from bridge to bridge.
            netlink.link("set", index=index, master=0)
            if master is not None:
                netlink.link("set", index=index, master=indexes[master], state="up")
    for device, (mac, end) in change.dropped:
        with _noting(failed, device):
            netlink.fdb("del", ifindex=indexes[device], lladdr=mac, dst=end)
    for device, (mac, end) in change.added:
        with _noting(failed, device):
            netlink.fdb("append", ifindex=indexes[device], lladdr=mac, dst=end)
    return failed


class _Indexes:
    """Names to the kernel's numbers, read when they are needed."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        if name not in self._known:
            self._known = {name: link.index for name, link in dump_links().items()}
        return self._known[name]

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except KeyError:
            return False
        return True

    def forget(self) -> None:
        self._known = {}


@contextlib.contextmanager
def _noting(failed: dict[str, str], name: str) -> Iterator[None]:
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.EEXIST,):
            failed.setdefault(name, f"{name}: {os.strerror(error.code)}")
    except KeyError as error:
        failed.setdefault(name, f"{error.args[0]}: no such interface")
    except LinkError as error:
        failed.setdefault(name, str(error))


def _make(netlink: Any, wanted: Bridge | Vxlan | Vlan, indexes: _Indexes) -> None:
    """Make it if it is not there; set what can be set of one that is."""
    fresh = wanted.name not in indexes
    common: dict[str, Any] = {"ifname": wanted.name}
    sized = {} if isinstance(wanted, Bridge) else {"mtu": wanted.mtu}
    if fresh:
        match wanted:
            case Bridge():
                settings: dict[str, Any] = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}
                netlink.link("add", kind="bridge", **common, **settings)
            case Vxlan():
                local = {"vxlan_local6" if ":" in wanted.local else "vxlan_local": wanted.local}
                netlink.link(
                    "add",
                    kind="vxlan",
                    vxlan_id=wanted.segment,
                    vxlan_port=wanted.port,
                    vxlan_learning=False,
                    **local,
                    **common,
                    **sized,
                )
            case Vlan():
                where = {"link": indexes[wanted.link], "vlan_id": wanted.vlan_id}
                netlink.link("add", kind="vlan", **where, **common, **sized)
        indexes.forget()
    index = indexes[wanted.name]
    if isinstance(wanted, Bridge):
        if fresh:
            sysctls_setter({key.format(wanted.name): value for key, value in _SILENT.items()})(netlink)
        called = int(wanted.tracked)
        netlink.link(
            "set", index=index, kind="bridge", br_nf_call_iptables=called, br_nf_call_ip6tables=called
        )
    netlink.link("set", index=index, state="up", IFLA_IFALIAS=LABEL, **sized)
