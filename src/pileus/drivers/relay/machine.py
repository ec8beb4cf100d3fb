"""A far machine's network cards and its kernel, asked by commands: ``ip``, ``tc``, ``test``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pileus.drivers.netlink.links import Link, LinkError
from pileus.drivers.process import ProgramFailed
from pileus.drivers.relay.prefix import NotPlain, run_there

_PROBE = "plpol-probe"


class FarCards:
    """The part of ``Links`` that a host's declared network needs."""

    def __init__(self, prefix: Sequence[str]) -> None:
        self._prefix = tuple(prefix)

    async def links(self, namespace: str | None = None) -> dict[str, Link]:
        """See Links."""
        rows: list[dict[str, Any]] = msgspec.json.decode(
            await self._run("ip", "-json", "link", "show") or b"[]"
        )
        return {
            row["ifname"]: Link(
                name=row["ifname"],
                mac=row.get("address", ""),
                mtu=row["mtu"],
                label=row.get("ifalias", ""),
                up="UP" in row["flags"],
                index=row["ifindex"],
            )
            for row in rows
        }

    async def set_up(self, names: Iterable[str], namespace: str | None = None) -> None:
        """See Links."""
        for name in names:  # ip's own batches come from a file or a pipe of commands
            await self._run("ip", "link", "set", name, "up")

    async def _run(self, *words: str) -> bytes:
        try:
            return await run_there(self._prefix, *words)
        except (ProgramFailed, NotPlain) as error:
            raise LinkError(str(error)) from error


async def kernel_has_openvswitch(prefix: Sequence[str]) -> bool:
    """Whether the kernel there has Open vSwitch's datapath loaded."""
    try:
        await run_there(prefix, "test", "-e", "/sys/module/openvswitch")
    except ProgramFailed:
        return False
    return True


async def kernel_polices(prefix: Sequence[str]) -> bool:
    """Whether the kernel there can police: a policing filter is tried on a throwaway veth pair."""

    async def done(words: str) -> bool:
        try:
            await run_there(prefix, *words.split())
        except ProgramFailed:
            return False
        return True

    if not await done(f"ip link add {_PROBE} type veth peer name {_PROBE}2"):
        return False
    try:
        rate = "police rate 1mbit burst 10k drop"
        filters = f"tc filter add dev {_PROBE} parent ffff: protocol all u32 match u32 0 0 {rate}"
        return await done(f"tc qdisc add dev {_PROBE} ingress") and await done(filters)
    finally:
        await done(f"ip link del {_PROBE}")
