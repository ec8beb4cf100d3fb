"""One suite about the switch's database, asked of Open vSwitch and of the simulated switch."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.switches import Host

from pileus.drivers.netlink.links import Veth
from pileus.drivers.ovsdb.client import ConnectionLost, OvsdbClient, TransactionFailed
from pileus.drivers.ovsdb.edit import Edit, UnknownRow
from pileus.drivers.process import run

BRIDGE = {"datapath_type": "netdev", "fail_mode": "secure"}
TUNNEL = {"type": "vxlan", "options": {"remote_ip": "192.0.2.1", "key": "flow"}}


async def with_bridge(host: Host) -> OvsdbClient:
    client = await host.client()
    edit = Edit(client)
    edit.ensure_bridge("br-int", **BRIDGE)
    assert await edit.commit(wait_s=5)
    return client


def interface(client: OvsdbClient, name: str) -> Mapping[str, Any]:
    return client.by_name("Interface")[name]


def test_a_bridge_and_its_ports_are_made_in_one_go(host: Host) -> None:
    async def story() -> None:
        client = await host.client()

        def wanted() -> Edit:
            edit = Edit(client)
            edit.ensure_bridge("br-int", external_ids={"owner": "us"}, protocols=("OpenFlow14",), **BRIDGE)
            for number in range(40):
                edit.ensure_port(
                    "br-int",
                    f"tun{number}",
                    tag=number + 1,
                    other_config={"tag": number + 1},
                    interface={
                        "type": "vxlan",
                        "options": {"remote_ip": f"192.0.2.{number}", "key": "flow"},
                        "external_ids": {"iface-id": f"port-{number}"},
                    },
                )
            return edit

        assert await wanted().commit(wait_s=5)
        numbers = [interface(client, f"tun{n}")["ofport"] for n in range(40)]
        assert len(set(numbers)) == 40 and min(numbers) > 0
        assert interface(client, "tun7")["external_ids"] == {"iface-id": "port-7"}
        assert interface(client, "tun7")["error"] is None
        assert client.by_name("Port")["tun7"]["tag"] == 8
        assert interface(client, "br-int")["ofport"] == 65534
        assert wanted().operations() == []
        assert not await wanted().commit()

    host.run(story())


def test_a_port_without_its_device_says_so_until_the_device_comes(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        edit = Edit(client)
        edit.ensure_port("br-int", "tap1")
        await edit.commit(wait_s=5)
        assert interface(client, "tap1")["ofport"] == -1
        assert interface(client, "tap1")["error"] == "could not open network device tap1 (No such device)"
        await host.links.ensure_veths([Veth("tap1", "guest1")])
        await client.wait_until(lambda: interface(client, "tap1")["error"] is None, 5)
        await client.wait_until(lambda: interface(client, "tap1")["ofport"] > 0, 5)
        await client.wait_until(lambda: interface(client, "tap1")["link_state"] == "up", 5)
        await client.wait_until(lambda: interface(client, "tap1")["ifindex"] is not None, 5)
        index = interface(client, "tap1")["ifindex"]
        await host.links.delete_links(["tap1"])
        await client.wait_until(lambda: interface(client, "tap1")["link_state"] == "down", 5)
        assert interface(client, "tap1")["mac_in_use"] is None
        assert interface(client, "tap1")["error"] is None
        await host.links.ensure_veths([Veth("tap1", "guest1")])
        await client.wait_until(lambda: interface(client, "tap1")["link_state"] == "up", 5)
        # A userspace switch still listens on the device that is gone: who wired it must see that.
        await client.wait_until(lambda: interface(client, "tap1")["ifindex"] not in (None, index), 5)

    host.run(story())


def test_keys_of_others_stay(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        edit = Edit(client)
        edit.ensure_port("br-int", "t", interface=TUNNEL | {"external_ids": {"theirs": "1", "ours": "1"}})
        edit.set_switch({"external_ids": {"system-id": "somebody"}})
        await edit.commit()
        edit = Edit(client)
        edit.set_interface("t", {"external_ids": {"ours": "2", "more": "3"}})
        edit.set_switch({"external_ids": {"ours": "x"}})
        await edit.commit()
        assert interface(client, "t")["external_ids"] == {"theirs": "1", "ours": "2", "more": "3"}
        edit = Edit(client)
        edit.set_interface("t", {"external_ids": {"ours": None, "absent": None}})
        await edit.commit()
        assert interface(client, "t")["external_ids"] == {"theirs": "1", "more": "3"}
        (switch,) = client.tables["Open_vSwitch"].values()
        assert switch["external_ids"] == {"system-id": "somebody", "ours": "x"}

    host.run(story())


def test_asked_for_port_numbers_are_given(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        edit = Edit(client)
        edit.ensure_port("br-int", "t", interface=TUNNEL | {"ofport_request": 77})
        await edit.commit(wait_s=5)
        assert interface(client, "t")["ofport"] == 77

    host.run(story())


def test_a_port_moves_and_goes_and_leaves_nothing(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        edit = Edit(client)
        edit.ensure_bridge("br-two", **BRIDGE)
        await host.links.ensure_veths([Veth("tap1", "guest1")])
        edit.ensure_port("br-int", "tap1")
        edit.ensure_port("br-int", "u", interface=TUNNEL)
        edit.set_controllers("br-two", ["punix:nothing.sock"])
        await edit.commit(wait_s=5)
        edit = Edit(client)
        edit.ensure_port("br-two", "tap1")
        edit.delete_port("u")
        edit.delete_port("never-was")
        await edit.commit(wait_s=5)
        moved = client.by_name("Port")["tap1"].uuid
        assert moved in client.by_name("Bridge")["br-two"]["ports"]
        assert moved not in client.by_name("Bridge")["br-int"]["ports"]
        assert interface(client, "tap1")["ofport"] > 0
        assert "u" not in client.by_name("Interface")
        edit = Edit(client)
        edit.delete_bridge("br-int")
        edit.delete_bridge("br-two")
        await edit.commit(wait_s=5)
        left = {table: dict(rows) for table, rows in client.tables.items() if rows}
        assert left.keys() == {"Open_vSwitch"}

    host.run(story())


def test_a_refused_transaction_changes_nothing_and_names_the_operation(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        where: list[Any] = [["name", "==", "br-int"]]
        good = {"op": "update", "table": "Bridge", "where": where, "row": {"fail_mode": "standalone"}}
        bad = {"op": "update", "table": "Bridge", "where": where, "row": {"fail_mode": "perhaps"}}
        with pytest.raises(TransactionFailed) as failure:
            await client.transact([good, bad])
        assert failure.value.index == 1
        assert failure.value.error == "constraint violation"
        assert "update Bridge (#1)" in str(failure.value)
        (row,) = (await client.transact([{"op": "select", "table": "Bridge", "where": where}]))[0]["rows"]
        assert row["fail_mode"] == "secure"

    host.run(story())


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ({"op": "insert", "table": "Nothing", "row": {}}, "syntax error"),
        ({"op": "insert", "table": "Bridge", "row": {"nothing": 1}}, "unknown column"),
        ({"op": "insert", "table": "Open_vSwitch", "row": {}}, "constraint violation"),
        ({"op": "update", "table": "Bridge", "where": [], "row": {"name": "x"}}, "constraint violation"),
        ({"op": "update", "table": "Port", "where": [], "row": {"tag": 5000}}, "constraint violation"),
        ({"op": "update", "table": "Port", "where": [], "row": {"tag": "five"}}, "syntax error"),
        (
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [["bridges", "insert", ["uuid", "12345678-1234-1234-1234-123456789abc"]]],
            },
            "referential integrity violation",
        ),
        (
            {
                "op": "wait",
                "table": "Bridge",
                "where": [],
                "columns": ["name"],
                "rows": [{"name": "other"}],
                "until": "==",
                "timeout": 0,
            },
            "timed out",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(host: Host, operation: Mapping[str, Any], error: str) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        before = (seen(client), client.by_name("Port")["br-int"])
        with pytest.raises(TransactionFailed) as failure:
            await client.transact([operation])
        assert failure.value.error == error
        assert (seen(client), client.by_name("Port")["br-int"]) == before

    host.run(story())


def test_a_name_is_there_once(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        ports = client.by_name("Bridge")["br-int"]["ports"]
        operations = [
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "br-int"}},
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": "p",
                "row": {"name": "other", "interfaces": ["named-uuid", "i"]},
            },
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", "br-int"]],
                "mutations": [["ports", "insert", ["named-uuid", "p"]]],
            },
        ]
        with pytest.raises(TransactionFailed) as failure:
            await client.transact(operations)
        assert (failure.value.index, failure.value.error) == (-1, "constraint violation")
        assert client.by_name("Bridge")["br-int"]["ports"] == ports

    host.run(story())


def test_verbs_about_unknown_rows_say_so(host: Host) -> None:
    async def story() -> None:
        client = await host.client()
        for verb in (
            lambda edit: edit.ensure_port("br-none", "t"),
            lambda edit: edit.set_interface("none", {"type": "internal"}),
        ):
            with pytest.raises(UnknownRow):
                verb(Edit(client))

    host.run(story())


def test_a_client_comes_back_after_the_database_did(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        other = await host.client()
        client.changed.clear()
        await host.restart_database()
        await client.wait_until(lambda: client.generation == 2 and client.connected, 5)
        assert client.changed.is_set()
        assert "br-int" in client.by_name("Bridge")
        await other.wait_until(lambda: other.generation == 2 and other.connected, 5)
        edit = Edit(other)
        edit.ensure_port("br-int", "t", interface=TUNNEL)
        await edit.commit(wait_s=10)
        await client.wait_until(lambda: "t" in client.by_name("Interface"), 5)
        await client.wait_until(lambda: interface(client, "t")["ofport"] is not None, 5)

    host.run(story())


def test_vswitchd_dies_and_comes_back(host: Host) -> None:
    async def story() -> None:
        client = await with_bridge(host)
        edit = Edit(client)
        edit.ensure_port("br-int", "t", interface=TUNNEL)
        await edit.commit(wait_s=5)
        number = interface(client, "t")["ofport"]
        incarnation = host.flows.incarnation("br-int")
        watch = asyncio.create_task(host.flows.until_gone("br-int"))
        await asyncio.sleep(0.05)
        assert not watch.done()
        await host.kill_vswitchd()
        await asyncio.wait_for(watch, 5)
        edit = Edit(client)
        edit.ensure_port("br-int", "u", interface=TUNNEL | {"options": {"remote_ip": "192.0.2.9"}})
        with pytest.raises(TimeoutError):
            await edit.commit(wait_s=0.1)
        assert "u" in client.by_name("Interface")  # the database has it, nobody acted on it
        assert interface(client, "u")["ofport"] is None
        await host.start_vswitchd()
        (switch,) = client.tables["Open_vSwitch"]
        await client.wait_until(
            lambda: (
                client.tables["Open_vSwitch"][switch]["cur_cfg"]
                >= client.tables["Open_vSwitch"][switch]["next_cfg"]
            ),
            5,
        )
        assert interface(client, "u")["ofport"] > 0
        assert interface(client, "t")["ofport"] == number
        assert host.flows.incarnation("br-int") not in (None, incarnation)

    host.run(story())


def test_a_lost_connection_is_told_to_who_waits(host: Host) -> None:
    async def story() -> None:
        client = await host.client()
        await client.close()
        with pytest.raises(ConnectionLost):
            await client.transact([{"op": "comment", "comment": "nobody hears it"}])

    host.run(story())


@pytest.mark.skipif(shutil.which("ovs-vsctl") is None, reason="ovs-vsctl is not installed")
def test_ovs_vsctl_is_understood(host: Host) -> None:
    async def vsctl(*arguments: str) -> str:
        return (
            (await run(("ovs-vsctl", f"--db=unix:{host.socket}", "--timeout=5", *arguments))).decode().strip()
        )

    async def story() -> None:
        client = await host.client()
        await vsctl("add-br", "br-x", "--", "set", "bridge", "br-x", "datapath_type=netdev")
        await vsctl(
            "--may-exist", "add-port", "br-x", "t", "tag=4", "--", "set", "interface", "t", "type=gre"
        )
        await vsctl("set", "interface", "t", "options:remote_ip=192.0.2.7", "external_ids:a=b")
        assert interface(client, "t")["options"] == {"remote_ip": "192.0.2.7"}
        assert await vsctl("get", "interface", "t", "ofport") == str(interface(client, "t")["ofport"])
        assert await vsctl("list-ports", "br-x") == "t"
        assert await vsctl("--columns=tag", "--bare", "list", "port", "t") == "4"
        await vsctl("remove", "interface", "t", "external_ids", "a")
        assert interface(client, "t")["external_ids"] == {}
        await vsctl("--no-wait", "del-br", "br-x")
        assert await vsctl("list-br") == ""
        await client.wait_until(lambda: not client.tables["Interface"], 5)

    host.run(story())


BRIDGES = ("br-a", "br-b")
PORTS = ("p0", "p1", "p2", "p3")
STEPS = st.one_of(
    st.tuples(st.just("bridge"), st.sampled_from(BRIDGES), st.sampled_from(("x", "y"))),
    st.tuples(st.just("port"), st.sampled_from(BRIDGES), st.sampled_from(PORTS), st.integers(1, 3)),
    st.tuples(st.just("no port"), st.sampled_from(PORTS)),
    st.tuples(st.just("no bridge"), st.sampled_from(BRIDGES)),
)
Model = dict[str, tuple[str, dict[str, int]]]


def step_taken(edit: Edit, model: Model, step: tuple[Any, ...]) -> None:
    """Do a step to an edit and to a model of what shall be: bridge to (a key's value, port to tag)."""
    match step:
        case ("bridge", bridge, value):
            edit.ensure_bridge(bridge, datapath_type="netdev", external_ids={"key": value})
            model[bridge] = (value, model.get(bridge, ("", {}))[1])
        case ("port", bridge, port, tag) if bridge in model:
            number = PORTS.index(port)
            options = {"remote_ip": f"192.0.2.{number}"}
            edit.ensure_port(bridge, port, tag=tag, interface={"type": "vxlan", "options": options})
            for _, ports in model.values():
                ports.pop(port, None)
            model[bridge][1][port] = tag
        case ("no port", port):
            edit.delete_port(port)
            for _, ports in model.values():
                ports.pop(port, None)
        case ("no bridge", bridge):
            edit.delete_bridge(bridge)
            model.pop(bridge, None)


def seen(client: OvsdbClient) -> Model:
    ports = client.tables["Port"]
    return {
        row["name"]: (
            row["external_ids"].get("key", ""),
            {ports[p]["name"]: ports[p]["tag"] for p in row["ports"] if ports[p]["name"] != row["name"]},
        )
        for row in client.tables["Bridge"].values()
    }


def test_after_any_edits_reading_back_plans_nothing(host: Host) -> None:
    async def begin() -> OvsdbClient:
        return await host.client()

    client = host.run(begin())

    async def story(batches: list[list[tuple[Any, ...]]]) -> None:
        clean = Edit(client)
        for bridge in BRIDGES:
            clean.delete_bridge(bridge)
        await clean.commit()
        model: Model = {}
        for batch in batches:
            edit = Edit(client)
            for step in batch:
                step_taken(edit, model, step)
            await edit.commit(wait_s=5)
            assert seen(client) == model
            assert {row["name"] for row in client.tables["Interface"].values()} == {
                *model,
                *(port for _, ports in model.values() for port in ports),
            }
            again = Edit(client)
            for bridge, (value, ports) in list(model.items()):
                step_taken(again, model, ("bridge", bridge, value))
                for port, tag in list(ports.items()):
                    step_taken(again, model, ("port", bridge, port, tag))
            assert again.operations() == []

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.lists(STEPS, max_size=6), min_size=1, max_size=4))
    def check(batches: list[list[tuple[Any, ...]]]) -> None:
        host.run(story(batches))

    check()
