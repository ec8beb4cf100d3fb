"""What a simulated switch keeps, and how a client gets through what may happen to its connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pileus.drivers.openflow.flow import Flow
from pileus.drivers.openflow.simulated import SimulatedFlows
from pileus.drivers.openflow.table import Meter, MeterBand
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.drivers.ovsdb.jsonrpc import RemoteError
from pileus.drivers.ovsdb.simulated import SimulatedSwitch


async def connected(switch: SimulatedSwitch) -> OvsdbClient:
    client = switch.client(retry_s=0.01)
    await client.connect(5)
    return client


def test_a_state_file_carries_everything_over_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        file = tmp_path / "switch.json"
        switch = SimulatedSwitch(file)
        client = await connected(switch)
        edit = Edit(client)
        edit.ensure_bridge("br-int", fail_mode="secure", external_ids={"a": "b"})
        for number in range(3):
            edit.ensure_port("br-int", f"tap{number}", tag=number + 1)
        await edit.commit(wait_s=5)
        flow, meter = Flow(1, 2, "in_port=1", "meter:4,output:2", 0xA1), Meter(MeterBand(100))
        await SimulatedFlows(switch).apply_meters("br-int", {4: meter})
        await SimulatedFlows(switch).apply("br-int", [flow])
        before = {table: dict(rows) for table, rows in client.tables.items()}
        await client.close()
        await switch.close()

        again = SimulatedSwitch(file)
        client = await connected(again)
        assert {table: dict(rows) for table, rows in client.tables.items()} == before
        assert await SimulatedFlows(again).dump("br-int") == [flow]
        assert await SimulatedFlows(again).meters("br-int") == {4: meter}
        edit = Edit(client)
        edit.ensure_port("br-int", "tap9")
        await edit.commit(wait_s=5)
        assert client.by_name("Interface")["tap9"]["ofport"] == 4
        await client.close()
        await again.close()

    asyncio.run(story())


def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    async def story() -> None:
        switch = SimulatedSwitch()
        client, other = await connected(switch), await connected(switch)
        edit = Edit(other)
        edit.ensure_bridge("br-int")
        edit.ensure_port("br-int", "tap0", external_ids={"gone": "1", "kept": "1"})
        await edit.commit(wait_s=5)
        await client.wait_until(lambda: "tap0" in client.by_name("Port"), 5)
        switch.disconnect()
        # The rows change before anybody has come back.
        port = switch.database.find("Port", name="tap0")
        assert port is not None
        where = [["_uuid", "==", ["uuid", port.uuid]]]
        mutations = [["external_ids", "delete", ["set", ["gone"]]]]
        switch.database.transact([{"op": "mutate", "table": "Port", "where": where, "mutations": mutations}])
        await client.wait_until(lambda: client.generation == 2 and client.connected, 5)
        assert client.resumed
        assert client.by_name("Port")["tap0"]["external_ids"] == {"kept": "1"}
        assert client.tables["Interface"].keys() == switch.database.tables["Interface"].keys()
        await client.close()
        await other.close()
        await switch.close()

    asyncio.run(story())


def test_a_server_without_monitor_cond_since_is_asked_for_monitor_cond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(self: Any, params: Any) -> Any:
        raise RemoteError("monitor_cond_since", {"error": "unknown method"})

    async def story() -> None:
        monkeypatch.setattr("pileus.drivers.ovsdb.server._Client._monitor_since", unknown)
        switch = SimulatedSwitch()
        client = await connected(switch)
        edit = Edit(client)
        edit.ensure_bridge("br-int", external_ids={"a": "b"})
        await edit.commit(wait_s=5)
        assert client.by_name("Bridge")["br-int"]["external_ids"] == {"a": "b"}
        switch.disconnect()
        await client.wait_until(lambda: client.generation == 2 and client.connected, 5)
        assert not client.resumed
        assert client.by_name("Interface")["br-int"]["ofport"] == 65534
        await client.close()
        await switch.close()

    asyncio.run(story())


def test_a_silent_server_is_left() -> None:
    async def story() -> None:
        switch = SimulatedSwitch()
        connections = 0

        async def connect() -> Any:
            nonlocal connections
            connections += 1
            if connections > 1:
                return await switch.connect()
            _, writer = await switch.connect()
            return asyncio.StreamReader(), writer  # what the server says is never heard

        client = OvsdbClient(connect, probe_s=0.05, retry_s=0.01)
        await client.connect(5)
        assert connections == 2
        await client.close()
        await switch.close()

    asyncio.run(story())


def test_vswitchd_takes_in_what_waited_for_it_also_while_no_loop_runs(tmp_path: Path) -> None:
    """What it put off until a loop runs would never be done: whoever waits for it would wait for ever."""
    switch = SimulatedSwitch(tmp_path / "switch.json", devices={"eth0"})
    with asyncio.Runner() as runner:
        client = runner.run(connected(switch))
        switch.stop_vswitchd()
        runner.run(write(client, "tap1"))
        switch.start_vswitchd()
        switch.add_device("tap1")
        runner.run(client.wait_until(lambda: (client.by_name("Interface")["tap1"]["ofport"] or -1) > 0, 5))
        runner.run(commit(client, "eth0"))
        assert client.by_name("Interface")["eth0"]["ofport"] > 0
        switch.remove_device("tap1")
        runner.run(client.wait_until(lambda: client.by_name("Interface")["tap1"]["link_state"] == "down", 5))
        runner.run(client.close())
        runner.run(switch.close())


async def write(client: OvsdbClient, port: str) -> None:
    """Add a port, whether or not vswitchd runs."""
    await _with_port(client, port).commit()


async def commit(client: OvsdbClient, port: str) -> None:
    """Add a port, and wait for vswitchd."""
    await _with_port(client, port).commit(wait_s=5)


def _with_port(client: OvsdbClient, port: str) -> Edit:
    edit = Edit(client)
    edit.ensure_bridge("br-int", datapath_type="netdev")
    edit.ensure_port("br-int", port)
    return edit
