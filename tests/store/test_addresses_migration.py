"""The revision that gives stored addresses their normal form: it ends whatever is there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, DateTime, Integer, MetaData, Numeric, select
from tests import databases

from pileus.store import migrations

LAST = "0010"


@pytest.fixture
def database(kind: str, tmp_path: Path) -> Iterator[str]:
    with databases.fresh(kind, tmp_path) as url:
        with migrations.locked(url) as connection:
            assert connection is not None
            migrations.begin(connection, ())
            migrations.run(connection, [one for one in migrations.known() if one.number <= LAST])
        yield url


def upgrade(url: str) -> None:
    """Run this revision alone: later ones change the tables."""
    with migrations.locked(url) as connection:
        assert connection is not None
        migrations.run(connection, [one for one in migrations.known() if one.number == "0011"])


def write(connection: Connection, table: str, **values: Any) -> None:
    """A row of a table as it was then, with something in every column that needs it."""
    there = MetaData()
    there.reflect(connection, only=[table], resolve_fks=False)
    row = dict(values)
    for column in there.tables[table].columns:
        if column.name not in row and not column.nullable:
            kind = column.type
            if isinstance(kind, DateTime):
                row[column.name] = dt.datetime(2026, 1, 1)
            elif kind.python_type is bool:
                row[column.name] = False
            elif isinstance(kind, Integer | Numeric):
                row[column.name] = 0
            else:
                row[column.name] = "" if getattr(kind, "length", None) else "[]"  # JSON is kept as text
    connection.execute(there.tables[table].insert().values(row))


def read(connection: Connection, table: str) -> list[Any]:
    there = MetaData()
    there.reflect(connection, only=[table], resolve_fks=False)
    return list(connection.execute(select(there.tables[table])).all())


def fill(connection: Connection) -> None:
    write(connection, "networks", id="n", dns_domain="a\nb")
    write(
        connection,
        "subnets",
        id="s",
        network_id="n",
        cidr="fd00::%x/64",
        gateway_ip="fd00::1%a b\n",
        dns_nameservers=json.dumps(["fd00::2%y", "fd00::2", "2001:db8::1"]),
        host_routes=json.dumps([{"destination": "fd01::%z/64", "nexthop": "fd00::1%q"}]),
    )
    for number, address in enumerate(("fd00::5", "fd00::5%x", "fd00::6%y", "::ffff:a00:1")):
        pair = {"ip_address": address, "mac_address": "fa:16:3e:00:00:01"}
        write(
            connection,
            "ports",
            id=f"p{number}",
            network_id="n",
            mac_address=f"fa:16:3e:00:00:0{number}",
            fixed_ips=json.dumps([{"subnet_id": "s", "ip_address": address}]),
            allowed_address_pairs=json.dumps([pair, {**pair, "ip_address": "fe80::1%a b\n"}]),
            extra_dhcp_opts=json.dumps(
                [
                    {"opt_name": "server-ip-address", "opt_value": "10.0.0.1\nevil", "ip_version": 4},
                    {"opt_name": "mtu", "opt_value": "1400", "ip_version": 4},
                ]
            ),
            profile="{}",
            vif_details="{}",
            qos_policy_id=None,
        )
        write(connection, "ip_allocations", subnet_id="s", ip_address=address, port_id=f"p{number}")
    write(connection, "servers", id="v", access_ip_v6="fd00::7%x")


def test_stored_addresses_get_their_normal_form(database: str) -> None:
    with migrations.locked(database) as connection:
        assert connection is not None
        fill(connection)
    upgrade(database)
    with migrations.connected(database) as connection:
        taken = {(row.port_id, row.ip_address) for row in read(connection, "ip_allocations")}
        assert taken == {("p0", "fd00::5"), ("p2", "fd00::6")}
        ports = {row.id: row for row in read(connection, "ports")}
        shown = {key: [ip["ip_address"] for ip in json.loads(port.fixed_ips)] for key, port in ports.items()}
        assert shown == {"p0": ["fd00::5"], "p1": [], "p2": ["fd00::6"], "p3": []}
        pairs = [one["ip_address"] for one in json.loads(ports["p2"].allowed_address_pairs)]
        assert pairs == ["fd00::6", "fe80::1"]
        assert [one["opt_name"] for one in json.loads(ports["p0"].extra_dhcp_opts)] == ["mtu"]
        (subnet,) = read(connection, "subnets")
        assert (subnet.cidr, subnet.gateway_ip) == ("fd00::/64", "fd00::1")
        assert json.loads(subnet.dns_nameservers) == ["fd00::2", "2001:db8::1"]
        assert json.loads(subnet.host_routes) == [{"destination": "fd01::/64", "nexthop": "fd00::1"}]
        assert read(connection, "networks")[0].dns_domain == ""
        assert read(connection, "servers")[0].access_ip_v6 == "fd00::7"


def test_rows_that_are_as_they_should_be_stay(database: str) -> None:
    fixed_ips = [{"subnet_id": "s", "ip_address": "10.0.0.5"}]
    with migrations.locked(database) as connection:
        assert connection is not None
        write(connection, "networks", id="n")
        write(connection, "subnets", id="s", network_id="n", cidr="10.0.0.0/24", gateway_ip="10.0.0.1")
        write(
            connection, "ports", id="p", network_id="n", fixed_ips=json.dumps(fixed_ips), profile="{}",
            vif_details="{}",
        )  # fmt: skip
        write(connection, "ip_allocations", subnet_id="s", ip_address="10.0.0.5", port_id="p")
        before = {name: read(connection, name) for name in ("ports", "subnets", "ip_allocations")}
    upgrade(database)
    with migrations.connected(database) as connection:
        assert {name: read(connection, name) for name in before} == before
