"""Filters of servers by a regular expression: over names, descriptions and addresses.

A text without operators becomes a condition of the one statement that lists. For an expression, the servers
that all other conditions leave over (the caller's project among them) are read a chunk at a time in the
order of the list, and matched here, until the page is full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Boolean, ColumnElement, exists, func, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pileus.resource.listing import Listing, page_statement
from pileus.services.compute.api import COMPUTE
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.rules.patterns import (
    BadPattern,
    Literal,
    Pattern,
    read_address_pattern,
    read_pattern,
)
from pileus.services.compute.servers.attached import interfaces_of
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import server_interfaces, servers
from pileus.services.compute.uses.network import addresses_of, ip_allocations
from pileus.store.tx import Tx

CHUNK_ROWS = 1000

_c = servers.c
TEXTS: Mapping[str, ColumnElement[Any]] = {
    "name": _c.name,
    "display_name": _c.name,
    "description": func.coalesce(_c.description, ""),
    "display_description": func.coalesce(_c.description, ""),
    "hostname": _c.hostname,
    "key_name": func.coalesce(_c.key_name, ""),
    "availability_zone": func.coalesce(_c.availability_zone, ""),
    "reservation_id": _c.reservation_id,
    "node": func.coalesce(_c.node, ""),
    "hypervisor_hostname": func.coalesce(_c.node, ""),
    "locked_by": func.coalesce(_c.locked_by, ""),
}
"""Filters that are expressions, and what they look at."""

VERSIONS: Mapping[str, int] = {"ip": 4, "ip6": 6}
"""Filters by address, and the version of those that they look at."""


class Test(NamedTuple):
    """A filter by expressions, of which one must match; ``name`` is one of TEXTS or VERSIONS."""

    name: str
    patterns: tuple[Pattern, ...]


class holds(FunctionElement[bool]):
    """``holds(text, piece)``: LIKE would ignore case on SQLite."""

    name = "holds"
    type = Boolean()
    inherit_cache = True


@compiles(holds)
def _holds(element: Any, compiler: Any, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"


@compiles(holds, "postgresql")
def _holds_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f"(strpos({compiler.process(element.clauses, **options)}) > 0)"


def read_filter(name: str, texts: Sequence[str]) -> ColumnElement[bool] | Test:
    """A filter as a condition where the database can ask it, else as a test. Raises BadRequest."""
    read = read_address_pattern if name in VERSIONS else read_pattern
    patterns = []
    for text in texts:
        try:
            patterns.append(read(text))
        except BadPattern:
            raise BadRequest(
                f"Invalid input for query parameters {name}. Value: {text[:255]}. "
                f"'{text[:255]}' is not a 'regex'"
            ) from None
    literals = [one for one in patterns if isinstance(one, Literal)]
    if len(literals) < len(patterns):
        return Test(name, tuple(patterns))
    if name in VERSIONS:
        return _has_address(literals, VERSIONS[name])
    return or_(*(_is(TEXTS[name], one) for one in literals))


def _is(column: ColumnElement[Any], literal: Literal) -> ColumnElement[bool]:
    if literal.at_start and literal.at_end:
        return column == literal.text
    if literal.at_start:
        return func.substr(column, 1, len(literal.text)) == literal.text
    return holds(column, literal.text) if literal.text else column.is_not(None)


def _has_address(literals: Sequence[Literal], version: int) -> ColumnElement[bool]:
    address = ip_allocations.c.ip_address
    six = holds(address, ":")
    return exists().where(
        server_interfaces.c.server_id == _c.id,
        ip_allocations.c.port_id == server_interfaces.c.port_id,
        six if version == 6 else ~six,
        or_(*(_is(address, one) for one in literals)),
    )


def search(tx: Tx, listing: Listing, tests: Sequence[Test]) -> list[str]:
    """The ids of the page's servers in order: two statements a chunk, two more where addresses are asked."""
    most = listing.limit or 0
    found: list[str] = []
    chunk = replace(listing, limit=CHUNK_ROWS)
    columns = [_c.id, *(TEXTS[test.name].label(f"text{at}") for at, test in _texts(tests))]
    missing = COMPUTE.missing_marker(SERVER, listing.marker or "")
    while len(found) < most:
        rows = tx.rows(page_statement(tx, SERVER, columns, chunk, missing))
        left = [
            row for row in rows if all(_any(test, getattr(row, f"text{at}")) for at, test in _texts(tests))
        ]
        ids = [row.id for row in left]
        for test in tests:
            if test.name in VERSIONS:
                ids = _with_address(tx, ids, test)
        found += ids
        if len(rows) < CHUNK_ROWS:
            break
        chunk.marker = rows[-1].id
    return found[:most]


def _texts(tests: Sequence[Test]) -> list[tuple[int, Test]]:
    return [(at, test) for at, test in enumerate(tests) if test.name in TEXTS]


def _any(test: Test, text: str) -> bool:
    return any(pattern.matches(text) for pattern in test.patterns)


def _with_address(tx: Tx, ids: list[str], test: Test) -> list[str]:
    six = VERSIONS[test.name] == 6
    rows = interfaces_of(tx, ids)
    addresses = addresses_of(tx, [row.port_id for row in rows])
    having = {
        row.server_id
        for row in rows
        if any((":" in one) == six and _any(test, one) for one in addresses.get(row.port_id, ()))
    }
    return [key for key in ids if key in having]
