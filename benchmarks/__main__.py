"""``python -m benchmarks [api|postgresql|node …]``: measure, and print one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from benchmarks import api
from benchmarks.cloud import environment_note
from benchmarks.table import Row, markdown


def _postgresql() -> Iterator[Row]:
    from tests.databases import durable_postgresql

    with durable_postgresql() as url:
        yield from api.measure(url, "PostgreSQL", lists=False)


def _node() -> Iterator[Row]:
    from benchmarks import node

    yield from node.measure()


def _compute() -> Iterator[Row]:
    from benchmarks import compute

    yield from compute.measure()


def _identity() -> Iterator[Row]:
    from benchmarks import identity

    yield from identity.measure()


def _directory() -> Iterator[Row]:
    from benchmarks import directory

    yield from directory.measure()


GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "api": lambda: api.measure("", "SQLite", lists=True),
    "postgresql": _postgresql,
    "node": _node,
    "compute": _compute,
    "identity": _identity,
    "directory": _directory,
}


def main() -> None:
    wanted = sys.argv[1:] or list(GROUPS)
    rows = []
    for name in wanted:
        for row in GROUPS[name]():
            print(f"  {row.what}: {row.value:.4g} {row.unit}", file=sys.stderr, flush=True)
            rows.append(row)
    print(f"{environment_note()}\n")
    print(markdown(rows))


main()
