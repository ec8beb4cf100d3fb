"""NDP proxies on a node: the kernel's entries, and who may come in, with packets."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.test_nft import Place, place, why_not_real

from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.nft.driver import Nft
from pileus.drivers.nft.ndp_proxy import PROXIED, render
from pileus.host.l3.plan import SYSCTLS

__all__ = ["place"]

GUEST, OTHER = "2001:db8:1::5", "2001:db8:1::6"


def test_the_table_comes_changes_and_goes(place: Place) -> None:
    for prefixes, proxied in ((["2001:db8:1::/64"], [GUEST]), (["2001:db8:1::/64"], []), ([], [])):
        table = render(["qg-1"], prefixes, proxied)
        assert place.apply(table)
        assert place.apply(table) == []
        found = place.read(table)
        if prefixes:
            assert found is not None and set(found.sets[PROXIED].elements) == set(proxied)
        else:
            assert found is None
    assert place.apply(render([], ["2001:db8:1::/64"], [GUEST])) == [], "nothing without a gateway"


@pytest.fixture
def names() -> Iterator[tuple[str, str, str]]:
    if (reason := why_not_real()) is not None:
        pytest.skip(reason)
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("the kernel has no IPv6")
    names = tuple(f"pl{kind}-{os.getpid()}-n" for kind in ("r", "a", "o"))
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    yield names  # type: ignore[misc]
    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=True)


def pings(namespace: str, address: str) -> bool:
    """Whether one of three comes back: a proxy waits up to 0.8 s before it answers (RFC 4861, 7.2.8)."""
    command = ["ip", "netns", "exec", namespace, "ping", "-6", "-c", "3", "-W", "1", address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.real
def test_neighbours_outside_reach_what_is_proxied_and_nothing_else(names: tuple[str, str, str]) -> None:
    router, guest, outside = names

    async def story() -> None:
        links = LinuxLinks(router)
        await links.ensure_sysctls(
            {router: {key: value for key, value in SYSCTLS.items() if key.startswith("ipv6")}}
        )
        await links.ensure_veths(
            [Veth("qg-1", "eth0", outside, mtu=1500), Veth("qr-1", "eth0", guest, mtu=1500)]
        )
        await links.ensure_addresses(
            [
                Address(None, "qg-1", "2001:db8::1/48"),
                Address(None, "qr-1", "2001:db8:1::1/64"),
                Address(outside, "eth0", "2001:db8::9/32"),
                *(Address(guest, "eth0", f"{one}/64") for one in (GUEST, OTHER)),
            ]
        )
        route = ["ip", "-n", guest, "-6", "route", "add", "default", "via", "2001:db8:1::1"]
        subprocess.run(route, check=True)
        async with asyncio.timeout(10):
            while not pings(guest, "2001:db8:1::1"):
                await asyncio.sleep(0.05)
        assert not pings(outside, GUEST), "nobody answers for it"
        both = [Address(None, "qg-1", one) for one in (GUEST, OTHER)]
        await links.ensure_proxies(both)
        await links.ensure_proxies(both)
        assert (await links.links())["qg-1"].proxied == ()
        found = (await links.read([None]))[None].links["qg-1"]
        assert found.proxied == (GUEST, OTHER)
        assert pings(outside, GUEST) and pings(outside, OTHER)
        await Nft().apply({router: [render(["qg-1"], ["2001:db8:1::/64"], [GUEST])]})
        assert pings(outside, GUEST)
        assert not pings(outside, OTHER), "the router answers, and lets nobody in"
        assert pings(guest, "2001:db8::9"), "from inside, and the answer"
        await links.delete_proxies(both)
        await links.delete_proxies(both)
        assert (await links.read([None]))[None].links["qg-1"].proxied == ()

    asyncio.run(story())
