"""``python -m benchmarks.soak [--requests 200000]``: make and delete for long, and see that nothing stays.

One client asks a simulated cloud for tokens, networks, ports, groups, routers, images and servers, looks at
them, changes and deletes them. What is kept by age (events, deleted servers) is kept for seconds. At each
tenth a line tells the private memory of each process, the database's rows and size, files and descriptors.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.cloud import Cloud, environment_note
from benchmarks.compute import COMPUTE, IMAGE, flavor
from benchmarks.compute import image as image_made

NETWORK, IDENTITY = "/networking/v2.0", "/identity/v3"
KEPT_DAYS = 20 / 86400
SETTINGS = f"""
[server]
keep_events_days = {KEPT_DAYS}
[compute]
keep_deleted_servers_days = {KEPT_DAYS}
"""


class Soak:
    """One client, and how many requests it has sent."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.client = cloud.client()
        self.requests = 0
        self._numbers = itertools.count(1)
        self._image = image_made(self.client)
        self._flavor = flavor(self.client)
        self._home = self._network("soak", "10.60.0.0/16")
        self._rounds = itertools.cycle(
            (
                self.ports,
                self.networks,
                self.ports,
                self.tokens,
                self.images,
                self.ports,
                self.groups,
                self.servers,
            )
        )

    def run(self, until: int) -> None:
        """Rounds until so many requests were sent."""
        while self.requests < until:
            next(self._rounds)()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self.requests += 1
        return self.client.call(method, path, body)

    def ports(self) -> None:
        """Create, show, list in ways that differ, update, delete."""
        port = {"network_id": self._home, "name": f"p{next(self._numbers)}"}
        made = [self.ask("POST", f"{NETWORK}/ports", {"port": port})["port"] for _ in range(5)]
        for number, one in enumerate(made):
            path = f"{NETWORK}/ports/{one['id']}"
            self.ask("GET", path)
            self.ask("PUT", path, {"port": {"name": "q"}})
            self.ask("GET", f"{NETWORK}/ports?name=q&limit={number + 1}&fields=id&fields=name")
            self.ask("GET", f"{NETWORK}/ports?mac_address={one['mac_address']}&sort_key=name&sort_dir=asc")
            self.ask("PUT", f"{path}/tags", {"tags": [f"t{next(self._numbers)}"]})
        for one in made:
            self.ask("DELETE", f"{NETWORK}/ports/{one['id']}")

    def networks(self) -> None:
        network = self._network("n", "10.61.0.0/24")
        router = self.ask("POST", f"{NETWORK}/routers", {"router": {"name": "r"}})["router"]["id"]
        subnet = self.ask("GET", f"{NETWORK}/subnets?network_id={network}")["subnets"][0]["id"]
        self.ask("PUT", f"{NETWORK}/routers/{router}/add_router_interface", {"subnet_id": subnet})
        self.ask("GET", f"{NETWORK}/networks?shared=false&limit=5")
        self.ask("PUT", f"{NETWORK}/routers/{router}/remove_router_interface", {"subnet_id": subnet})
        self.ask("DELETE", f"{NETWORK}/routers/{router}")
        self.ask("DELETE", f"{NETWORK}/networks/{network}")

    def groups(self) -> None:
        body = {"security_group": {"name": f"g{next(self._numbers)}"}}
        group = self.ask("POST", f"{NETWORK}/security-groups", body)["security_group"]["id"]
        for port in range(5):
            rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
            rule |= {"port_range_min": port + 1, "port_range_max": port + 1}
            self.ask("POST", f"{NETWORK}/security-group-rules", {"security_group_rule": rule})
        self.ask("GET", f"{NETWORK}/security-groups/{group}")
        self.ask("DELETE", f"{NETWORK}/security-groups/{group}")

    def tokens(self) -> None:
        """A token, used, checked and taken back."""
        own = self.client.token
        self.requests += 2
        token = self.client.login(self.cloud.password())
        self.client.call("GET", f"{NETWORK}/networks?limit=1")
        self.client.token = own
        head = {"X-Subject-Token": token}
        for method in ("GET", "DELETE"):
            self.requests += 1
            self.client.call(method, f"{IDENTITY}/auth/tokens", headers=head)

    def images(self) -> None:
        body = {"name": f"i{next(self._numbers)}", "disk_format": "raw", "container_format": "bare"}
        path = f"{IMAGE}/images/{self.ask('POST', f'{IMAGE}/images', body)['id']}"
        self.requests += 1
        self.client.raw("PUT", f"{path}/file", bytes(100_000), "application/octet-stream")
        self.ask("GET", path)
        self.ask("GET", f"{IMAGE}/images?name={body['name']}&sort=name:asc")
        self.ask("DELETE", path)

    def servers(self) -> None:
        """A server until it runs, looked at, and until it is gone."""
        spec = {
            "name": f"s{next(self._numbers)}",
            "imageRef": self._image,
            "flavorRef": self._flavor,
            "networks": [{"uuid": self._home}],
        }
        path = f"{COMPUTE}/servers/{self.ask('POST', f'{COMPUTE}/servers', {'server': spec})['server']['id']}"
        self._until(lambda: self.ask("GET", path)["server"]["status"] == "ACTIVE")
        self.ask("POST", f"{path}/action", {"reboot": {"type": "HARD"}})
        self.ask("GET", f"{path}/os-instance-actions")
        self.ask("GET", f"{COMPUTE}/servers/detail?name={spec['name']}")
        self.ask("DELETE", path)
        self._until(lambda: self.client.raw("GET", path)[0] == 404)

    def _network(self, name: str, cidr: str) -> str:
        made = self.ask("POST", f"{NETWORK}/networks", {"network": {"name": name}})["network"]["id"]
        subnet = {"network_id": made, "cidr": cidr, "ip_version": 4}
        self.ask("POST", f"{NETWORK}/subnets", {"subnet": subnet})
        return str(made)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("a server did not come or go within a minute")
            time.sleep(0.05)


def rows_of(database: Path) -> dict[str, int]:
    """How many rows each table has."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in names
            if not name.startswith("sqlite_")
        }


def line_of(soak: Soak, seconds: float) -> dict[str, Any]:
    """What there is now."""
    state = soak.cloud.state
    rows = rows_of(state / "db" / "pileus.db")
    memory = soak.cloud.memory_mib(private=True)
    server = soak.cloud.pids()["server"]
    return {
        "requests": soak.requests,
        "seconds": round(seconds),
        **{f"{name} MiB": round(mib) for name, mib in memory.items() if name != "supervisor"},
        "rows": sum(rows.values()),
        "most": ", ".join(f"{name} {count}" for name, count in sorted(rows.items(), key=lambda x: -x[1])[:4]),
        "database KiB": sum(file.stat().st_size for file in (state / "db").iterdir()) >> 10,
        "files": sum(1 for path in state.rglob("*") if path.is_file()),
        "descriptors": len(list(Path(f"/proc/{server}/fd").iterdir())),
        "threads": len(list(Path(f"/proc/{server}/task").iterdir())),
    }


def measure(requests: int, tenths: int = 10) -> Iterator[dict[str, Any]]:
    """A line at the beginning and at each tenth."""
    with Cloud("--simulated", settings=SETTINGS) as cloud:
        soak = Soak(cloud)
        started = time.monotonic()
        yield line_of(soak, 0)
        for tenth in range(1, tenths + 1):
            soak.run(requests * tenth // tenths)
            yield line_of(soak, time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--requests", type=int, default=200_000)
    wanted = parser.parse_args().requests
    print(f"{environment_note()}\n", flush=True)
    for number, line in enumerate(measure(wanted)):
        if number == 0:
            print("| " + " | ".join(line) + " |\n|" + " --- |" * len(line), flush=True)
        print("| " + " | ".join(str(value) for value in line.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
