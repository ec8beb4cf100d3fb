"""Figures of servers: what a boot costs the control plane (simulated hypervisors); a node's memory."""

from __future__ import annotations

import datetime as dt
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.api import network, unlimited
from benchmarks.client import Client
from benchmarks.cloud import Cloud
from benchmarks.table import Row

COMPUTE, IMAGE = "/compute/v2.1", "/image/v2"


def measure() -> Iterator[Row]:
    with Cloud("--simulated") as cloud:
        client = cloud.client()
        unlimited(client)
        project = client.call("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
        quota = {"quota_set": dict.fromkeys(("instances", "cores", "ram"), -1)}
        client.call("PUT", f"{COMPUTE}/os-quota-sets/{project}", quota)
        body = {
            "imageRef": image(client),
            "flavorRef": flavor(client),
            "networks": [{"uuid": network(client, "servers", "10.30.0.0/16")}],
        }
        boot(client, body, 4)  # both hosts have the image now
        servers = [boot(client, body, 1)[0] for _ in range(15)]
        starts = [_seconds_until(client, server, "domain.start") for server in servers]
        what = "boot request to the hypervisor's start call, image cached"
        yield Row(what, statistics.median(starts) * 1000, "ms", None, 300)
        active = [_seconds_until(client, server, "active") for server in servers]
        yield Row("boot request to ACTIVE, simulated hypervisor", statistics.median(active) * 1000, "ms")
        started = time.perf_counter()
        boot(client, body, 60)
        rate = 60 / (time.perf_counter() - started)
        what = "servers booted a second, simulated hypervisors, 60 at once"
        yield Row(what, rate, "/s", 1.5, 20, more_is_better=True)
    if os.geteuid() == 0:
        with Cloud() as cloud:
            time.sleep(5)
            memory = cloud.memory_mib()
            parts = ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items())
            what = f"memory, idle, all services and agents of a real node ({parts})"
            yield Row(what, sum(memory.values()), "MiB", 3063, 150, gate=True)


def image(client: Client) -> str:
    body = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
    image: str = client.call("POST", f"{IMAGE}/images", body)["id"]
    status, reply = client.raw(
        "PUT", f"{IMAGE}/images/{image}/file", bytes(1 << 20), "application/octet-stream"
    )
    if status != 204:
        raise RuntimeError(f"upload: {status} {reply[:200]!r}")
    return image


def flavor(client: Client) -> str:
    flavor = {"name": "bench", "ram": 64, "vcpus": 1, "disk": 0}
    made: str = client.call("POST", f"{COMPUTE}/flavors", {"flavor": flavor})["flavor"]["id"]
    return made


def boot(client: Client, body: dict[str, Any], count: int) -> list[str]:
    """Ids of ``count`` new servers, when all are ACTIVE; each by a request of its own."""
    names = [f"bench-{time.monotonic_ns()}" for _ in range(count)]
    ids = [
        client.call("POST", f"{COMPUTE}/servers", {"server": {**body, "name": name}})["server"]["id"]
        for name in names
    ]
    waiting = set(ids)
    deadline = time.monotonic() + 120
    while waiting:
        listed = client.call("GET", f"{COMPUTE}/servers?status=ACTIVE&limit=1000")["servers"]
        waiting -= {server["id"] for server in listed}
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} servers did not become ACTIVE")
        if waiting:
            time.sleep(0.05)
    return ids


def _seconds_until(client: Client, server: str, step: str) -> float:
    """From the request to the end of a step (to the beginning of ``domain.start``: the call itself)."""
    entries = client.call("GET", f"{COMPUTE}/servers/{server}/os-pileus-timeline")["timeline"]
    begin = dt.datetime.fromisoformat(entries[0]["started_at"])
    found = next(entry for entry in entries if entry["step"] == step)
    moment = found["started_at"] if step == "domain.start" else found["finished_at"]
    return (dt.datetime.fromisoformat(moment) - begin).total_seconds()
