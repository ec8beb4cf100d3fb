"""A host's declared bridges, bonds and VLANs in a switch, simulated and real; packets through a real bond."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.switches import Host, eventually

from pileus.drivers.interfaces.spec import Bond, Bridge, HostNetwork, Vlan
from pileus.drivers.netlink.links import Address, Veth
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.process import ProgramFailed, run
from pileus.host.uplinks.apply import Uplinks

replace = msgspec.structs.replace

BOND = Bond(name="bond0", bridge="br-ex", members=("eth1", "eth2"), mode="balance-slb", up_delay_ms=100)
NETWORK = HostNetwork(
    bridges=(Bridge(name="br-ex", ports=("eth3",)),),
    bonds=(BOND,),
    vlans=(Vlan(name="mgmt", link="br-ex", vlan_id=10),),
)


def uplinks(host: Host, client: OvsdbClient, network: HostNetwork, *mapped: str) -> Uplinks:
    return Uplinks(network, client, host.links, datapath_type="netdev", mapped=mapped, lower_owner="l2")


async def cards(host: Host, count: int) -> None:
    await host.links.ensure_veths([Veth(f"eth{n}", f"wire{n}", up=False) for n in range(1, count + 1)])


def ports(client: OvsdbClient, bridge: str) -> dict[str, set[str]]:
    """The ports of a bridge, each with its interfaces."""
    rows = [client.tables["Port"][uuid] for uuid in client.by_name("Bridge")[bridge]["ports"]]
    interfaces = client.tables["Interface"]
    return {row["name"]: {interfaces[uuid]["name"] for uuid in row["interfaces"]} for row in rows}


def test_what_is_declared_is_made_once_and_changed_in_place(host: Host) -> None:
    async def story() -> None:
        await cards(host, 4)
        client = await host.client()
        ours = uplinks(host, client, NETWORK)
        assert await ours.bring(whole=True) == 4
        expected = {"br-ex": {"br-ex"}, "eth3": {"eth3"}, "bond0": {"eth1", "eth2"}, "mgmt": {"mgmt"}}
        assert ports(client, "br-ex") == expected
        bond = client.by_name("Port")["bond0"]
        assert (bond["bond_mode"], bond["lacp"], bond["bond_updelay"]) == ("balance-slb", "off", 100)
        assert client.by_name("Port")["mgmt"]["tag"] == 10
        assert client.by_name("Interface")["mgmt"]["type"] == "internal"
        assert all(link.up for name, link in (await host.links.links()).items() if name in expected["bond0"])
        assert ours.problems == {}
        # Another agent finds it as it is; an uncomplete look costs nothing either.
        assert await uplinks(host, client, NETWORK).bring(whole=True) == 0
        assert await ours.bring(whole=False) == 0
        # Somebody changes it: it is repaired. Members change in place.
        edit = Edit(client)
        edit.set_port("bond0", {"bond_mode": "active-backup"})
        await edit.commit()
        number = client.by_name("Interface")["eth1"].uuid
        changed = replace(BOND, members=("eth1", "eth4"), mode="active-backup", primary="eth4", up_delay_ms=0)
        again = uplinks(host, client, replace(NETWORK, bonds=(changed,)))
        assert await again.bring(whole=True) == 1
        assert ports(client, "br-ex")["bond0"] == {"eth1", "eth4"}
        bond = client.by_name("Port")["bond0"]
        assert (bond["bond_mode"], bond["other_config"], bond["bond_updelay"]) == (
            *("active-backup", {"bond-primary": "eth4"}, 0),
        )
        assert client.by_name("Interface")["eth1"].uuid == number
        # A member becomes a port, the port a member.
        swapped = replace(
            NETWORK,
            bridges=(Bridge(name="br-ex", ports=("eth1",)),),
            bonds=(replace(BOND, members=("eth3", "eth4")),),
        )
        again = uplinks(host, client, swapped)
        await again.bring(whole=True)
        assert again.problems == {}
        assert ports(client, "br-ex") == {
            "br-ex": {"br-ex"},
            "eth1": {"eth1"},
            "bond0": {"eth3", "eth4"},
            "mgmt": {"mgmt"},
        }
        assert await uplinks(host, client, swapped).bring(whole=True) == 0
        # Nothing is declared any more.
        assert await uplinks(host, client, HostNetwork()).bring(whole=True) == 4
        assert not client.by_name("Bridge") and not client.by_name("Port")
        assert await uplinks(host, client, HostNetwork()).bring(whole=True) == 0

    host.run(story())


def test_what_others_made_stays_as_it_is(host: Host) -> None:
    async def story() -> None:
        await cards(host, 4)
        client = await host.client()
        edit = Edit(client)
        edit.ensure_bridge("br-ex", datapath_type="netdev")
        edit.ensure_bridge("br-own", datapath_type="netdev")
        edit.ensure_port("br-ex", "eth3")
        edit.ensure_port("br-own", "eth1")
        await edit.commit(wait_s=5)
        ours = uplinks(host, client, NETWORK)
        await ours.bring(whole=True)
        assert ours.problems == {"bond0": "eth1 is in port eth1 already, which somebody else made"}
        assert ports(client, "br-ex") == {"br-ex": {"br-ex"}, "eth3": {"eth3"}, "mgmt": {"mgmt"}}
        assert client.by_name("Port")["eth3"]["external_ids"] == {}
        assert client.by_name("Bridge")["br-ex"]["external_ids"] == {}
        # It goes, and the bond comes.
        edit = Edit(client)
        edit.delete_port("eth1")
        await edit.commit(wait_s=5)
        assert await ours.bring(whole=False) == 1 and ours.problems == {}
        # What is ours goes when it is declared no more; the rest is theirs.
        await uplinks(host, client, HostNetwork()).bring(whole=True)
        assert ports(client, "br-ex") == {"br-ex": {"br-ex"}, "eth3": {"eth3"}}
        assert ports(client, "br-own") == {"br-own": {"br-own"}}

    host.run(story())


def test_a_bridge_of_a_physical_network_goes_between_the_two_owners(host: Host) -> None:
    async def story() -> None:
        await cards(host, 3)
        client = await host.client()
        edit = Edit(client)
        edit.ensure_bridge("br-ex", datapath_type="netdev", external_ids={"pileus-owner": "l2"})
        await edit.commit(wait_s=5)

        def label() -> Any:
            return client.by_name("Bridge")["br-ex"]["external_ids"].get("pileus-owner")

        await uplinks(host, client, NETWORK, "br-ex").bring(whole=True)
        assert label() == "host"
        await uplinks(host, client, HostNetwork(), "br-ex").bring(whole=True)
        assert label() == "l2" and ports(client, "br-ex") == {"br-ex": {"br-ex"}}
        # One that somebody else uses by now is nobody's.
        await uplinks(host, client, NETWORK).bring(whole=True)
        edit = Edit(client)
        edit.ensure_port("br-ex", "theirs", interface={"type": "internal"})
        await edit.commit(wait_s=5)
        await uplinks(host, client, HostNetwork()).bring(whole=True)
        assert label() is None and ports(client, "br-ex") == {"br-ex": {"br-ex"}, "theirs": {"theirs"}}

    host.run(story())


def test_a_card_that_is_not_there_is_told(host: Host) -> None:
    async def story() -> None:
        await cards(host, 2)
        client = await host.client()
        ours = uplinks(host, client, NETWORK)
        await ours.bring(whole=True)
        assert ours.state()["problems"] == {"eth3": "the host has no such network card"}
        await cards(host, 3)
        await ours.bring(whole=True)
        assert ours.problems == {}

    host.run(story())


@pytest.mark.real
@pytest.mark.parametrize(
    ("mode", "lacp"), [("active-backup", "off"), ("balance-slb", "off"), ("balance-tcp", "active")]
)
def test_packets_pass_while_a_card_of_the_bond_is_lost(real_host: Host, mode: Any, lacp: Any) -> None:
    """The bond ends at another switch; a guest behind each. One wire is cut, then the other instead."""
    host = real_host

    async def story() -> None:
        home = host.links
        spaces = [f"{host.namespace}-{n}" for n in (1, 2)]  # type: ignore[attr-defined]
        await home.ensure_namespaces(spaces)
        try:
            await home.ensure_veths(
                [
                    *(Veth(f"eth{n}", f"wire{n}") for n in (1, 2)),
                    *(Veth(f"guest{n}", "eth0", spaces[n - 1]) for n in (1, 2)),
                ]
            )
            await home.ensure_addresses([Address(spaces[n - 1], "eth0", f"10.9.9.{n}/24") for n in (1, 2)])
            client = await host.client()
            bond = Bond(
                name="bond0", bridge="br-ex", members=("eth1", "eth2"), mode=mode, lacp=lacp, lacp_time="fast"
            )
            declared = HostNetwork(bridges=(Bridge(name="br-ex", ports=("guest1",)),), bonds=(bond,))
            ours = uplinks(host, client, declared)
            await ours.bring(whole=True)
            assert ours.problems == {}
            # An active-backup bond is to the other side no bond at all.
            edit = Edit(client)
            edit.ensure_bridge("br-far", datapath_type="netdev", other_config={"mac-aging-time": "2"})
            edit.ensure_port("br-far", "guest2")
            if lacp == "off":
                edit.ensure_port("br-far", "wire1")
                edit.ensure_port("br-far", "wire2")
            else:
                config = {"lacp-time": "fast"}
                columns = {"bond_mode": mode, "lacp": "passive", "other_config": config}
                edit.ensure_bond("br-far", "far0", ("wire1", "wire2"), **columns)
            await edit.commit(wait_s=5)

            async def reaches() -> bool:
                ping = ("ip", "netns", "exec", spaces[0], *["ping", "-c", "1", "-W", "1", "10.9.9.2"])
                try:
                    await run(ping)
                except ProgramFailed:
                    return False
                return True

            async def cut(name: str, state: str) -> None:
                namespace = host.namespace  # type: ignore[attr-defined]
                await run(("ip", "-n", namespace, "link", "set", name, state))

            await eventually(reaches, 15)
            await cut("wire1", "down")
            await eventually(reaches, 15)
            await cut("wire1", "up")
            await cut("wire2", "down")
            await eventually(reaches, 15)
        finally:
            await home.delete_namespaces(spaces)

    host.run(story())
