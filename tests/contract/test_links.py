"""One suite about namespaces and links, asked of the kernel and of the simulated twin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace
from tests.switches import Host, eventually

from pileus.drivers.netlink.links import (
    FIRST_PRIORITY,
    FIRST_TABLE,
    Address,
    Contents,
    Hop,
    LinkError,
    PolicyRule,
    Route,
    Tap,
    Veth,
)

PREFIX = f"plt{os.getpid()}-"
GUESTS = [f"{PREFIX}g{number}" for number in range(3)]
VETHS = [
    Veth(f"tap{n}", "eth0", namespace, f"fa:16:3e:00:00:0{n}", 1400, f"pileus:{n}")
    for n, namespace in enumerate(GUESTS)
]


@pytest.fixture
def guests(host: Host) -> Iterator[Callable[[], None]]:
    host.run(host.links.ensure_namespaces(GUESTS))
    yield lambda: host.run(host.links.ensure_veths(VETHS))
    host.run(host.links.delete_namespaces(GUESTS))


def test_namespaces_come_and_go(host: Host) -> None:
    async def story() -> None:
        await host.links.ensure_namespaces(GUESTS)
        await host.links.ensure_namespaces(GUESTS)
        assert await host.links.namespaces(PREFIX) == GUESTS
        assert (await host.links.links(GUESTS[0]))["lo"].up
        await host.links.delete_namespaces([*GUESTS, "plt-never-was"])
        assert await host.links.namespaces(PREFIX) == []
        with pytest.raises(LinkError, match="no such namespace"):
            await host.links.links(GUESTS[0])

    host.run(story())


def test_pairs_are_as_they_were_asked_for(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        outside = await host.links.links()
        for veth in VETHS:
            assert (outside[veth.name].label, outside[veth.name].mtu) == (veth.label, 1400)
            inside = (await host.links.links(veth.namespace))["eth0"]
            assert (inside.mac, inside.mtu, inside.up) == (veth.mac, 1400, True)
        await host.links.ensure_veths(VETHS)
        assert {name: link.mac for name, link in (await host.links.links()).items()} == {
            name: link.mac for name, link in outside.items()
        }

    guests()
    host.run(story())


def test_a_pair_is_changed_where_it_differs(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        before = (await host.links.links())["tap0"]
        changed = Veth("tap0", "eth0", GUESTS[0], "fa:16:3e:00:00:99", 1300, "pileus:x")
        await host.links.ensure_veths([changed])
        after = (await host.links.links())["tap0"]
        assert (after.mac, after.mtu, after.label) == (before.mac, 1300, "pileus:x")
        inside = (await host.links.links(GUESTS[0]))["eth0"]
        assert (inside.mac, inside.mtu) == ("fa:16:3e:00:00:99", 1300)

    guests()
    host.run(story())


def test_a_pair_whose_peer_went_elsewhere_is_made_anew(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        await host.links.ensure_veths([Veth("tap0", "eth1", GUESTS[1], label="moved")])
        assert "eth0" not in await host.links.links(GUESTS[0])
        assert "eth1" in await host.links.links(GUESTS[1])
        assert (await host.links.links())["tap0"].label == "moved"

    guests()
    host.run(story())


def test_deleting_one_end_or_the_namespace_deletes_the_pair(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        await host.links.delete_links(["tap0", "tap0", "never-was"])
        assert "eth0" not in await host.links.links(GUESTS[0])
        await host.links.delete_namespaces([GUESTS[1]])

        async def gone() -> bool:
            return "tap1" not in await host.links.links()

        await eventually(gone)

    guests()
    host.run(story())


def test_addresses_and_routes(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        addresses = [Address(name, "eth0", f"192.0.2.{n + 1}/24") for n, name in enumerate(GUESTS)]
        addresses.append(Address(GUESTS[0], "eth0", "2001:db8::1/64"))
        for _ in range(2):
            await host.links.ensure_addresses(addresses)
            await host.links.ensure_routes(
                [
                    Route(GUESTS[0], "0.0.0.0/0", via="192.0.2.254"),
                    Route(GUESTS[0], "::/0", via="2001:db8::ff"),
                    Route(GUESTS[0], "198.51.100.0/24", device="eth0"),
                ]
            )
        held = (await host.links.links(GUESTS[0]))["eth0"].addresses
        assert {"192.0.2.1/24", "2001:db8::1/64"} <= set(held)
        assert "192.0.2.3/24" in (await host.links.links(GUESTS[2]))["eth0"].addresses

    guests()
    host.run(story())


def test_several_ways_tables_and_rules(host: Host, guests: Callable[[], None]) -> None:
    def seen(contents: Contents) -> tuple[object, ...]:
        return contents.rules, {(one.destination, one.table, one.via, one.hops) for one in contents.routes}

    async def story() -> None:
        place, second = GUESTS[0], replace(VETHS[1], name="tap9", peer="eth1", namespace=GUESTS[0])
        await host.links.ensure_veths([second])
        await host.links.ensure_addresses(
            Address(place, device, address)
            for device, address in (
                ("eth0", "10.0.0.2/24"),
                ("eth1", "10.1.0.2/24"),
                ("eth0", "fd00::2/64"),
                ("eth1", "fd01::2/64"),
            )
        )
        both = (Hop("10.0.0.1", "eth0"), Hop("10.1.0.1", "eth1"))
        six = (Hop("fd00::1", "eth0"), Hop("fd01::1", "eth1"))
        table = FIRST_TABLE + 7
        wanted = [
            Route(place, "0.0.0.0/0", hops=both),
            Route(place, "::/0", hops=six),
            Route(place, "0.0.0.0/0", "10.1.0.1", "eth1", table),
        ]
        rules = (
            PolicyRule(FIRST_PRIORITY, default_is_none=True),
            PolicyRule(FIRST_PRIORITY + 1, table, 7 << 16, 0xFFFF0000),
        )
        await host.links.ensure_routes(wanted)
        await host.links.ensure_routes(wanted)
        await host.links.set_rules({place: rules})
        await host.links.set_rules({place: rules})
        expected = {
            ("0.0.0.0/0", 0, None, both),
            ("::/0", 0, None, six),
            ("0.0.0.0/0", table, "10.1.0.1", ()),
        }
        assert seen((await host.links.read([place]))[place]) == (rules, expected)
        # One way in the place of several, and back.
        await host.links.ensure_routes([Route(place, "0.0.0.0/0", "10.0.0.1", "eth0")])
        expected = {("0.0.0.0/0", 0, "10.0.0.1", ()), *list(expected)} - {("0.0.0.0/0", 0, None, both)}
        assert seen((await host.links.read([place]))[place]) == (rules, expected)
        await host.links.ensure_routes(wanted)
        await host.links.delete_routes(wanted)
        await host.links.set_rules({place: rules[:1]})
        assert seen((await host.links.read([place]))[place]) == (rules[:1], set())
        await host.links.set_rules({place: ()})
        assert seen((await host.links.read([place]))[place]) == ((), set())
        with pytest.raises(LinkError, match=r"route to 0\.0\.0\.0/0"):
            away = (both[0], Hop("192.0.2.1", "eth1"))
            await host.links.ensure_routes([Route(place, "0.0.0.0/0", hops=away)])

    guests()
    host.run(story())


def test_refusals_name_the_thing(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        for verb, words in (
            (host.links.ensure_veths([Veth("a-name-of-20-letters", "b")]), "a-name-of-20-letters: Numerical"),
            (host.links.ensure_veths([Veth("x", "y", "plt-never-was")]), "plt-never-was: no such namespace"),
            (
                host.links.ensure_addresses([Address(None, "nothing", "192.0.2.1/24")]),
                "nothing: no such interface",
            ),
            (host.links.set_up(["nothing"]), "nothing: no such interface"),
            (
                host.links.ensure_routes([Route(GUESTS[0], "0.0.0.0/0", via="192.0.2.254")]),
                "0.0.0.0/0: Network is unreachable",
            ),
        ):
            with pytest.raises(LinkError, match=words):
                await verb

    guests()
    host.run(story())


def test_a_namespace_is_read_whole(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        place = GUESTS[0]
        await host.links.ensure_namespaces([place], "pileus-test")
        await host.links.ensure_sysctls({place: {"ipv4/ip_forward": "1", "no/such/sysctl": "1"}})
        await host.links.ensure_addresses(
            [Address(place, "eth0", "192.0.2.1/24"), Address(place, "eth0", "2001:db8::1/64")]
        )
        routes = [
            Route(place, "0.0.0.0/0", via="192.0.2.254"),
            Route(place, "::/0", via="2001:db8::ff"),
            Route(place, "198.51.100.0/24", device="eth0"),
        ]
        await host.links.ensure_routes(routes)
        found = await host.links.read([place, "plt-never-was"], ["ipv4/ip_forward"])
        assert list(found) == [place]
        contents: Contents = found[place]
        assert contents.links["lo"].label == "pileus-test"
        assert contents.links["eth0"].index > 1
        assert contents.sysctls == {"ipv4/ip_forward": "1"}
        assert {(r.destination, r.via, r.device) for r in contents.routes} == {
            ("0.0.0.0/0", "192.0.2.254", "eth0"),
            ("::/0", "2001:db8::ff", "eth0"),
            ("198.51.100.0/24", None, "eth0"),
        }
        for _ in range(2):
            await host.links.delete_routes([routes[0], routes[1]])
            await host.links.delete_addresses([Address(place, "eth0", "2001:db8::1/64")])
        contents = (await host.links.read([place]))[place]
        assert [r.destination for r in contents.routes] == ["198.51.100.0/24"]
        assert "192.0.2.1/24" in contents.links["eth0"].addresses
        assert "2001:db8::1/64" not in contents.links["eth0"].addresses
        # A route goes with the address by which it led.
        await host.links.ensure_routes([routes[0]])
        await host.links.delete_addresses([Address(place, "eth0", "192.0.2.1/24")])
        contents = (await host.links.read([place]))[place]
        assert "0.0.0.0/0" not in [r.destination for r in contents.routes]
        assert None in await host.links.read([None])

    guests()
    host.run(story())


def test_taps_stay_as_they_were_asked_for(host: Host) -> None:
    taps = [Tap(f"tapt{number}", 1450, f"pileus:{number}") for number in range(3)]

    async def story() -> None:
        await host.links.ensure_taps(taps)
        before = await host.links.links()
        for tap in taps:
            link = before[tap.name]
            assert (link.mtu, link.label, link.up, link.addresses) == (1450, tap.label, True, ())
        await host.links.ensure_taps([Tap("tapt0", 1400, "pileus:new"), *taps[1:]])
        after = await host.links.links()
        assert after["tapt0"].index == before["tapt0"].index
        assert (after["tapt0"].mtu, after["tapt0"].label) == (1400, "pileus:new")
        assert after["tapt1"] == before["tapt1"]
        with pytest.raises(LinkError, match="a-name-that-is-too-long"):
            await host.links.ensure_taps([Tap("a-name-that-is-too-long")])
        await host.links.delete_links([tap.name for tap in taps])
        assert not {tap.name for tap in taps} & (await host.links.links()).keys()

    host.run(story())


def test_a_device_that_comes_again_has_another_index(host: Host, guests: Callable[[], None]) -> None:
    async def story() -> None:
        before = (await host.links.links())["tap0"].index
        await host.links.ensure_veths(VETHS)
        assert (await host.links.links())["tap0"].index == before
        await host.links.delete_links(["tap0"])
        await host.links.ensure_veths(VETHS)
        assert (await host.links.links())["tap0"].index != before

    guests()
    host.run(story())
