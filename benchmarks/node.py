"""Figures of one real node: ports plugged until ACTIVE, and an agent's restart. Needs root.

The interfaces are veth pairs that are there before the clock starts, as a hypervisor's taps would
be; what is timed is one OVSDB transaction that puts them on br-int (the hypervisor's part),
and then the agent's and the server's work until the API says ACTIVE for all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from benchmarks.api import NET, network, unlimited
from benchmarks.client import Client
from benchmarks.cloud import Cloud
from benchmarks.table import Row
from pileus.app.nodes.guests import Plug, plug_interfaces, unplug_interfaces
from pileus.drivers.netlink.links import Veth
from pileus.drivers.netlink.linux import LinuxLinks
from pileus.drivers.openflow.flow import parse_flow
from pileus.drivers.openflow.table import OpenFlow, SwitchAbsent
from pileus.drivers.ovsdb.client import OvsdbClient
from pileus.drivers.ovsdb.edit import Edit
from pileus.host.l2.tables import GROUP_COOKIE

HOST = os.uname().nodename
GUESTS = "pileus-bench"


def measure() -> Iterator[Row]:
    if os.geteuid():
        raise SystemExit("a real node needs root")
    with Cloud() as cloud:
        client = cloud.client()
        unlimited(client)
        network_id = network(client, "node", "10.8.0.0/16")
        yield from _members(cloud, client, network_id)
        for count, peer, goal in ((50, None, None), (200, 23.7, 1.0), (500, None, None)):
            with _ports(cloud, client, network_id, count) as plugs:
                floor = statistics.median(_floor(cloud, plugs) for _ in range(3))
                seconds = statistics.median(_plug_and_unplug(cloud, client, plugs) for _ in range(3))
                what = f"{count} ports plugged on one real node until ACTIVE"
                yield Row(what, seconds, "s", peer, goal, gate=count == 200, floor=floor)
                if count == 200:
                    _plug(cloud, client, plugs)
                    yield Row(
                        "agent killed with 200 ports, until it is in sync again",
                        statistics.median(_restart(cloud) for _ in range(3)),
                        "s", 15.9, 1.0,
                    )  # fmt: skip
                    _unplug(cloud, client, plugs)


@contextmanager
def _ports(
    cloud: Cloud, client: Client, network_id: str, count: int, groups: list[str] | None = None
) -> Iterator[list[Plug]]:
    one = {"network_id": network_id, "binding:host_id": HOST, "device_id": GUESTS}
    wanted = [one | ({"security_groups": groups} if groups else {}) for _ in range(count)]
    made = client.call("POST", f"{NET}/ports", {"ports": wanted})["ports"]
    plugs = [Plug(port_id=port["id"], namespace="", mac=port["mac_address"]) for port in made]
    links = LinuxLinks()

    async def lay() -> None:
        await links.ensure_namespaces([GUESTS])
        await links.ensure_veths(
            Veth(plug.interface, f"g{plug.port_id[:11]}", GUESTS, mac=plug.mac, label=GUESTS)
            for plug in plugs
        )

    async def clear() -> None:
        await links.delete_links([plug.interface for plug in plugs])
        await links.delete_namespaces([GUESTS])

    asyncio.run(lay())
    try:
        yield plugs
    finally:
        asyncio.run(clear())
        for plug in plugs:
            client.call("DELETE", f"{NET}/ports/{plug.port_id}")


def _plug_and_unplug(cloud: Cloud, client: Client, plugs: list[Plug]) -> float:
    seconds = _plug(cloud, client, plugs)
    _unplug(cloud, client, plugs)
    return seconds


def _plug(cloud: Cloud, client: Client, plugs: list[Plug]) -> float:
    async def main() -> float:
        switch = OvsdbClient(f"unix:{cloud.state}/agent/ovs/db.sock")
        await switch.connect(10)
        started = time.perf_counter()
        await plug_interfaces(switch, "br-int", "netdev", plugs)
        _until(client, "ACTIVE")
        elapsed = time.perf_counter() - started
        await switch.close()
        return elapsed

    return asyncio.run(main())


def _unplug(cloud: Cloud, client: Client, plugs: list[Plug]) -> None:
    async def main() -> None:
        switch = OvsdbClient(f"unix:{cloud.state}/agent/ovs/db.sock")
        await switch.connect(10)
        await unplug_interfaces(switch, [plug.port_id for plug in plugs])
        await switch.close()

    asyncio.run(main())
    _until(client, "DOWN")


def _until(client: Client, status: str) -> None:
    """Wait until all guests' ports have a status. One that has another is asked for: the server hardly
    notices."""
    deadline = time.monotonic() + 120
    other = {"ACTIVE": "DOWN", "DOWN": "ACTIVE"}[status]
    path = f"{NET}/ports?device_id={GUESTS}&status={other}&fields=id&limit=1"
    while client.call("GET", path)["ports"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all ports became {status}")
        time.sleep(0.02)


def _restart(cloud: Cloud) -> float:
    """Seconds from the kill to the supervisor's word that the new agent is ready (a full pass done)."""
    before = cloud.pids()["agent"]
    started = time.perf_counter()
    os.kill(before, signal.SIGKILL)
    while cloud.pids()["agent"] in (None, before) or not cloud.ready("agent"):
        time.sleep(0.005)
    return time.perf_counter() - started


def _floor(cloud: Cloud, plugs: list[Plug]) -> float:
    """What the switch itself needs for these interfaces, on a bridge of their own: one transaction, and one
    bundle of 20 flows each."""
    run_dir = cloud.state / "agent" / "ovs"
    flows = [
        parse_flow(f"table=200,priority=9,cookie=0xf100,reg5={port},reg6={rule},actions=drop")
        for port in range(len(plugs))
        for rule in range(20)
    ]

    async def main() -> float:
        client = OvsdbClient(f"unix:{run_dir}/db.sock")
        await client.connect(10)
        base = Edit(client)
        base.ensure_bridge("br-floor", datapath_type="netdev")
        await base.commit(wait_s=10)
        table = OpenFlow(run_dir)
        await _answers(table, "br-floor")
        started = time.perf_counter()
        edit = Edit(client)
        for plug in plugs:
            edit.ensure_port("br-floor", plug.interface)
        await edit.commit(wait_s=30)
        await table.apply("br-floor", flows)
        elapsed = time.perf_counter() - started
        await table.close()
        away = Edit(client)
        away.delete_bridge("br-floor")
        await away.commit(wait_s=30)
        await client.close()
        return elapsed

    return asyncio.run(main())


async def _answers(table: OpenFlow, bridge: str) -> None:
    """Until a new bridge speaks OpenFlow."""
    async with asyncio.timeout(30):
        while True:
            with suppress(SwitchAbsent):
                await table.count(bridge, 0, 0)
                return
            await asyncio.sleep(0.1)


def _members(cloud: Cloud, client: Client, network_id: str) -> Iterator[Row]:
    """One member more in a group of 1,000 to which a port here refers, from the request to the flow."""
    rule = {"direction": "ingress", "ethertype": "IPv4"}
    group = client.call("POST", f"{NET}/security-groups", {"security_group": {"name": "many"}})
    group_id = group["security_group"]["id"]
    rule |= {"security_group_id": group_id, "remote_group_id": group_id}
    client.call("POST", f"{NET}/security-group-rules", {"security_group_rule": rule})
    member = {"network_id": network_id, "security_groups": [group_id]}
    client.call("POST", f"{NET}/ports", {"ports": [member for _ in range(1000)]})
    with _ports(cloud, client, network_id, 1, [group_id]) as plugs:
        _plug(cloud, client, plugs)
        yield Row(
            "one member more in a group of 1,000, request to flow",
            asyncio.run(_one_more(cloud, client, member)) * 1000,
            "ms", None, 10.0,
        )  # fmt: skip
        _unplug(cloud, client, plugs)


async def _one_more(cloud: Cloud, client: Client, member: Mapping[str, object]) -> float:
    flows, taken = OpenFlow(cloud.state / "agent" / "ovs"), []

    async def count() -> int:
        return await flows.count("br-int", GROUP_COOKIE, (1 << 64) - 1)

    for _ in range(20):
        before = await count()
        started = time.perf_counter()
        port = await asyncio.to_thread(client.call, "POST", f"{NET}/ports", {"port": member})
        while await count() <= before:
            await asyncio.sleep(0.0005)
        taken.append(time.perf_counter() - started)
        await asyncio.to_thread(client.call, "DELETE", f"{NET}/ports/{port['port']['id']}")
        while await count() > before:
            await asyncio.sleep(0.002)
    await flows.close()
    return statistics.median(taken)
