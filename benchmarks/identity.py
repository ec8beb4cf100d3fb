"""Figures of identity: long lists, over HTTP, of a simulated cloud."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.api import median
from benchmarks.cloud import Cloud
from benchmarks.table import Row

USERS = 10_000


def measure() -> Iterator[Row]:
    """A list of all users, and a page of those whose names hold a text."""
    with Cloud("--simulated") as cloud:
        client = cloud.client()
        for number in range(USERS - 1):
            client.call("POST", "/identity/v3/users", {"user": {"name": f"user-{number}"}})
        for what, query in (("list", ""), ("list by a part of the name", "?name__contains=user-99")):
            yield Row(
                f"{USERS} users: {what}",
                median(10, lambda query=query: client.timed("GET", f"/identity/v3/users{query}")),
                "ms", None, 120,
            )  # fmt: skip
