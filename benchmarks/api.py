"""Figures of the API: one simulated cloud, clients in processes of their own beside it."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.client import Client
from benchmarks.cloud import Cloud, second_server
from benchmarks.floors import sqlite_commit_ms
from benchmarks.table import Row

NET = "/networking/v2.0"


def network(client: Client, name: str, cidr: str) -> str:
    """A network with a subnet; DHCP on."""
    made = client.call("POST", f"{NET}/networks", {"network": {"name": name}})
    network_id: str = made["network"]["id"]
    body = {"subnet": {"network_id": network_id, "cidr": cidr, "ip_version": 4, "enable_dhcp": True}}
    client.call("POST", f"{NET}/subnets", body)
    return network_id


def unlimited(client: Client) -> None:
    """Lift the quotas of the admin's project."""
    project = client.call("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    names = ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
    client.call("PUT", f"{NET}/quotas/{project}", {"quota": dict.fromkeys(names, -1)})


def _create_ports(address: str, token: str, network_id: str, count: int, start: object, done: object) -> None:
    client = Client(address, token)
    body = {"port": {"network_id": network_id}}
    start.wait()  # type: ignore[attr-defined]
    done.put([client.timed("POST", f"{NET}/ports", body) for _ in range(count)])  # type: ignore[attr-defined]


def rate(
    addresses: Sequence[str], token: str, network_id: str, clients: int, each: int
) -> tuple[float, float]:
    """Ports a second and p95 in ms with so many clients at once, of these servers in turn."""
    context = multiprocessing.get_context("spawn")
    start, done = context.Event(), context.Queue()
    workers = [
        context.Process(
            target=_create_ports,
            args=(addresses[number % len(addresses)], token, network_id, each, start, done),
        )
        for number in range(clients)
    ]
    for worker in workers:
        worker.start()
    time.sleep(1.5 + 0.15 * clients)  # they import; the clock starts with the event
    begun = time.perf_counter()
    start.set()
    times = sorted(ms for _ in workers for ms in done.get(timeout=120))
    elapsed = time.perf_counter() - begun
    for worker in workers:
        worker.join()
    return clients * each / elapsed, times[int(len(times) * 0.95)]


def median(count: int, once: Callable[[], float]) -> float:
    once()
    return statistics.median(once() for _ in range(count))


def measure(database: str, label: str, lists: bool) -> Iterator[Row]:
    """All API figures on one database (``server.database``; empty for SQLite)."""
    settings = f'[server]\ndatabase = "{database}"\n' if database else ""
    with Cloud("--simulated", settings=settings) as cloud:
        client = cloud.client()
        token = client.token
        unlimited(client)
        if lists:
            yield Row("start to the first authenticated reply", cloud.first_reply_s, "s", 2.7, 1.5, gate=True)
            time.sleep(3)
            memory = cloud.memory_mib()
            parts = ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items())
            yield Row(f"memory, idle ({parts})", sum(memory.values()), "MiB", 3063, 150, gate=True)
            password = cloud.password()
            yield Row(
                "password to token",
                median(10, lambda: _timed(lambda: Client(cloud.address).login(password))),
                "ms", 225, 50,
            )  # fmt: skip
        first = network(client, "one", "10.0.0.0/16")
        create = {"port": {"network_id": first}}
        yield Row(
            f"port create, one client, p50 ({label})",
            median(200, lambda: client.timed("POST", f"{NET}/ports", create)),
            "ms", 116, 6 if database else 4, gate=not database,
            floor=None if database else sqlite_commit_ms(),
        )  # fmt: skip
        for clients, peer, goal in ((1, None, None), (4, None, None), (16, 7.9, 300)):
            ports, p95 = rate([cloud.address], token, first, clients, 960 // clients // 2)
            what = f"ports per second, {clients} clients ({label}; p95 {p95:.0f} ms)"
            yield Row(what, ports, "/s", peer, goal, more_is_better=True)
        if database:
            with second_server(cloud) as address:
                ports, p95 = rate([cloud.address, address], token, first, 16, 60)
            what = f"ports per second, 16 clients, two servers ({label}; p95 {p95:.0f} ms)"
            yield Row(what, ports, "/s", 7.9, 800, more_is_better=True)
        bulk = {"ports": [{"network_id": first} for _ in range(100)]}
        yield Row(
            f"100 ports in one POST ({label})",
            median(5, lambda: client.timed("POST", f"{NET}/ports", bulk)),
            "ms", 9700, 80,
        )  # fmt: skip
        if lists:
            value = median(20, routing(client))
            yield Row("router, gateway, interface, floating IP (four requests)", value, "ms", 1535, 15)
            yield from _reading(client)


def routing(client: Client) -> Callable[[], float]:
    """Make an external network. Returned is a function that makes a project's way out of it, of which four
    requests count: a router, its gateway, its interface, and a floating IP."""
    public = client.call(
        "POST",
        f"{NET}/networks",
        {"network": {"name": "outside", "router:external": True, "provider:network_type": "flat",
                     "provider:physical_network": "bench"}},
    )["network"]["id"]  # fmt: skip
    subnet = {"network_id": public, "cidr": "198.51.100.0/22", "ip_version": 4, "enable_dhcp": False}
    client.call("POST", f"{NET}/subnets", {"subnet": subnet})
    numbers = iter(range(1, 200))

    def once() -> float:
        number = next(numbers)
        inside = network(client, f"in-{number}", f"10.200.{number}.0/24")
        subnet_id = client.call("GET", f"{NET}/subnets?network_id={inside}")["subnets"][0]["id"]
        port = client.call("POST", f"{NET}/ports", {"port": {"network_id": inside}})["port"]["id"]

        def four() -> None:
            router = client.call("POST", f"{NET}/routers", {"router": {"name": f"r-{number}"}})["router"][
                "id"
            ]
            gateway = {"router": {"external_gateway_info": {"network_id": public}}}
            client.call("PUT", f"{NET}/routers/{router}", gateway)
            client.call("PUT", f"{NET}/routers/{router}/add_router_interface", {"subnet_id": subnet_id})
            floating = {"floating_network_id": public, "port_id": port}
            client.call("POST", f"{NET}/floatingips", {"floatingip": floating})

        return _timed(four)

    return once


def _timed(once: Callable[[], object]) -> float:
    started = time.perf_counter()
    once()
    return (time.perf_counter() - started) * 1000


def _reading(client: Client) -> Iterator[Row]:
    known = client.call("GET", f"{NET}/ports?fields=id&limit=1")["ports"]
    port = known[0]["id"]
    yield Row(
        "show port, p50", median(200, lambda: client.timed("GET", f"{NET}/ports/{port}")), "ms", 11, 1.5
    )
    second = network(client, "two", "10.64.0.0/12")
    held = 0
    for size, peer, goal in ((1000, None, None), (5000, 2783, 80), (10000, None, None)):
        while held < size:
            client.call("POST", f"{NET}/ports", {"ports": [{"network_id": second} for _ in range(500)]})
            held += 500
        path = f"{NET}/ports?network_id={second}"
        assert size <= len(client.call("GET", path)["ports"]) <= size + 2, "DHCP has ports of its own"
        value = median(7, partial(client.timed, "GET", path))
        yield Row(f"list {size:,} ports, to the last byte", value, "ms", peer, goal, gate=size == 5000)
    page = f"{NET}/ports?network_id={second}&limit=100"
    yield Row("one page of 100", median(30, lambda: client.timed("GET", page)), "ms", 51, 5)
    group = client.call("POST", f"{NET}/security-groups", {"security_group": {"name": "many"}})
    group_id = group["security_group"]["id"]
    port_numbers = iter(range(1, 60000))

    def rules(count: int = 100) -> float:
        body = [
            {
                "security_group_id": group_id,
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": "tcp",
                "port_range_min": number,
                "port_range_max": number,
            }
            for number in (next(port_numbers) for _ in range(count))
        ]
        return client.timed("POST", f"{NET}/security-group-rules", {"security_group_rules": body})

    yield Row("100 security group rules in one POST", median(5, rules), "ms", 2900, 40)
    value = median(5, lambda: rules(1000))
    yield Row("1,000 security group rules in one POST", value, "ms", None, 150)
