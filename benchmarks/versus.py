"""``python -m benchmarks.versus CHECKOUT [WHAT]``: this checkout beside another, both asked in turn.

Two simulated clouds run at once, and each request goes to the one and then to the other (the order changes
with each round), so that whatever else the machine does meets both alike. The server's processor time for a
request (with what it does beside: reports of agents, events) says more than the clock on a busy machine.
``CHECKOUT`` has an environment of
its own in ``.venv``.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.api import NET, network, routing, unlimited
from benchmarks.client import Client
from benchmarks.cloud import Cloud, environment_note
from benchmarks.compute import COMPUTE, boot, flavor, image

STARTS = 3
Once = Callable[[], float]


@dataclass
class Side:
    """One of the two clouds: what was made in it, and its requests by what they measure."""

    cloud: Cloud
    client: Client
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def prepare(self) -> dict[str, Once]:
        """Make what the requests need; each request returns its milliseconds."""
        client = self.client
        unlimited(client)
        project = client.call("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
        quota = {"quota_set": dict.fromkeys(("instances", "cores", "ram"), -1)}
        client.call("PUT", f"{COMPUTE}/os-quota-sets/{project}", quota)
        one = network(client, "one", "10.0.0.0/16")
        listed = network(client, "two", "10.64.0.0/12")
        for _ in range(4):
            client.call("POST", f"{NET}/ports", {"ports": [{"network_id": listed} for _ in range(250)]})
        port = client.call("GET", f"{NET}/ports?network_id={listed}&limit=1")["ports"][0]["id"]
        group = client.call("POST", f"{NET}/security-groups", {"security_group": {"name": "many"}})
        server = {
            "imageRef": image(client),
            "flavorRef": flavor(client),
            "networks": [{"uuid": network(client, "servers", "10.30.0.0/16")}],
        }
        servers = boot(client, server, 20)
        password = self.cloud.password()
        return {
            "log in": lambda: self._log_in(password),
            "port create": lambda: client.timed("POST", f"{NET}/ports", {"port": {"network_id": one}}),
            "100 ports in one POST": lambda: client.timed(
                "POST", f"{NET}/ports", {"ports": [{"network_id": one} for _ in range(100)]}
            ),
            "port show": lambda: client.timed("GET", f"{NET}/ports/{port}"),
            "one page of 100 ports": lambda: client.timed(
                "GET", f"{NET}/ports?network_id={listed}&limit=100"
            ),
            "list of 1,000 ports": lambda: client.timed("GET", f"{NET}/ports?network_id={listed}"),
            "100 security group rules in one POST": lambda: self._rules(group["security_group"]["id"]),
            "router, gateway, interface, floating IP, with their networks": routing(client),
            "router create": lambda: client.timed("POST", f"{NET}/routers", {"router": {"name": "r"}}),
            "users by name": lambda: client.timed("GET", "/identity/v3/users?name=admin"),
            "image list": lambda: client.timed("GET", "/image/v2/images"),
            "flavor create": lambda: self._flavor(),
            "server show": lambda: client.timed("GET", f"{COMPUTE}/servers/{servers[0]}"),
            "list of 20 servers with details": lambda: client.timed("GET", f"{COMPUTE}/servers/detail"),
            "server order (answered with 202)": lambda: client.timed(
                "POST", f"{COMPUTE}/servers", {"server": {**server, "name": "bench"}}
            ),
        }

    def _log_in(self, password: str) -> float:
        started = time.perf_counter()
        Client(self.cloud.address).login(password)
        return (time.perf_counter() - started) * 1000

    def _flavor(self) -> float:
        body = {"name": f"f-{next(self.numbers)}", "ram": 64, "vcpus": 1, "disk": 0}
        return self.client.timed("POST", f"{COMPUTE}/flavors", {"flavor": body})

    def _rules(self, group: str) -> float:
        rules: list[dict[str, Any]] = [
            {
                "security_group_id": group,
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": "tcp",
                "port_range_min": number,
                "port_range_max": number,
            }
            for number in itertools.islice(self.numbers, 100)
        ]
        return self.client.timed("POST", f"{NET}/security-group-rules", {"security_group_rules": rules})


ROUNDS = {
    "port create": 200,
    "port show": 400,
    "server show": 200,
    "users by name": 300,
    "image list": 300,
    "list of 1,000 ports": 100,
    "100 ports in one POST": 30,
    "router, gateway, interface, floating IP, with their networks": 30,
}


def compare(other: str, only: str) -> Iterator[tuple[str, str, float, float]]:
    """What, unit, the other's figure and ours."""
    pythons = (other, sys.executable)
    starts: tuple[list[float], list[float]] = ([], [])
    sizes: tuple[list[float], list[float]] = ([], [])
    for _, side in itertools.product(range(0 if only else STARTS), range(2)):
        with Cloud("--simulated", python=pythons[side]) as cloud:
            starts[side].append(cloud.first_reply_s)
            time.sleep(3)
            sizes[side].append(sum(cloud.memory_mib(private=True).values()))
    if not only:
        yield "start to the first authenticated reply", "s", *_medians(starts)
        yield "private memory, idle, all processes", "MiB", *_medians(sizes)
    with contextlib.ExitStack() as stack:
        clouds = [stack.enter_context(Cloud("--simulated", python=python)) for python in pythons]
        asked = [Side(cloud, cloud.client()).prepare() for cloud in clouds]
        for what in (what for what in asked[0] if only in what):
            times: tuple[list[float], list[float]] = ([], [])
            used = [cloud.processor_ms() for cloud in clouds]
            for number in range(ROUNDS.get(what, 60)):
                for side in (0, 1) if number % 2 else (1, 0):
                    times[side].append(asked[side][what]())
            yield what, "ms", *_medians(times)
            before, after = (
                (cloud.processor_ms() - ms) / len(times[0]) for cloud, ms in zip(clouds, used, strict=True)
            )
            yield f"{what}, processor time of the server", "ms", before, after


def _medians(pair: tuple[list[float], list[float]]) -> tuple[float, float]:
    return statistics.median(pair[0]), statistics.median(pair[1])


def main() -> None:
    other = Path(sys.argv[1]).resolve() / ".venv" / "bin" / "python"
    lines = ["| what | before | after | after / before |", "| --- | --- | --- | --- |"]
    for what, unit, before, after in compare(str(other), sys.argv[2] if sys.argv[2:] else ""):
        lines.append(f"| {what} | {before:.3g} {unit} | {after:.3g} {unit} | {after / before:.2f} |")
        print(f"  {lines[-1]}", file=sys.stderr, flush=True)
    print(f"{environment_note()}\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
