"""Addresses in their normal form: no scope ids, no IPv4-mapped IPv6, no control characters in DHCP options.

What can be read without its scope id is kept without it. Of two that are then the same one stays, and
what can't be read at all goes: a port without such an address is better than a node that fails on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

from pileus.core import addresses
from pileus.store import schema

_SCOPE = re.compile(r"%[^/]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _table(name: str, **columns: Any) -> Any:
    return sa.table(name, *(sa.column(key, kind) for key, kind in columns.items()))


_allocations = _table("ip_allocations", subnet_id=sa.String(), ip_address=sa.String(), port_id=sa.String())
_ports = _table(
    "ports",
    id=sa.String(),
    dns_name=sa.String(),
    fixed_ips=schema.JsonText(),
    allowed_address_pairs=schema.JsonText(),
    extra_dhcp_opts=schema.JsonText(),
)
_subnets = _table(
    "subnets",
    id=sa.String(),
    cidr=sa.String(),
    gateway_ip=sa.String(),
    dns_nameservers=schema.JsonText(),
    host_routes=schema.JsonText(),
)
_networks = _table("networks", id=sa.String(), dns_domain=sa.String())
_routers = _table("routers", id=sa.String(), routes=schema.JsonText())
_pools = _table("subnetpools", id=sa.String(), prefixes=schema.JsonText())
_rules = _table(
    "security_group_rules", id=sa.String(), remote_ip_prefix=sa.String(), normalized_cidr=sa.String()
)
_servers = _table("servers", id=sa.String(), access_ip_v4=sa.String(), access_ip_v6=sa.String())


def upgrade() -> None:
    """Go one revision up."""
    connection = op.get_bind()
    kept = _mend_allocations(connection)
    _mend(connection, _ports, lambda row: _port(row, kept))
    _mend(connection, _subnets, _subnet)
    _mend(connection, _networks, lambda row: {"dns_domain": _line(row.dns_domain)})
    _mend(connection, _routers, lambda row: {"routes": _routes(row.routes)})
    _mend(connection, _pools, lambda row: {"prefixes": _texts(row.prefixes, addresses.prefix)})
    _mend(connection, _rules, _rule)
    _mend(
        connection,
        _servers,
        lambda row: {
            name: _plain(getattr(row, name), addresses.address) for name in ("access_ip_v4", "access_ip_v6")
        },
    )


def _plain(text: Any, read: Callable[[object], str]) -> str | None:
    """The normal form of a stored text without its scope id; None where there is no reading it."""
    try:
        return read(_SCOPE.sub("", text).strip())
    except (TypeError, ValueError):
        return None


def _line(text: str) -> str:
    return "" if _CONTROL.search(text) else text


def _texts(several: Any, read: Callable[[object], str]) -> list[str]:
    return list(dict.fromkeys(one for one in (_plain(text, read) for text in several or ()) if one))


def _mend(connection: sa.Connection, table: Any, mended: Callable[[Any], dict[str, Any]]) -> None:
    """Write the rows of a table that are not as ``mended`` says."""
    for row in connection.execute(sa.select(table)).all():
        changes = {name: value for name, value in mended(row).items() if value != getattr(row, name)}
        if changes:
            connection.execute(table.update().where(table.c.id == row.id).values(changes))


def _mend_allocations(connection: sa.Connection) -> set[tuple[str, str, str]]:
    """Give taken addresses their normal form; returns which (port, subnet, address) there are then."""
    rows = connection.execute(sa.select(_allocations)).all()
    taken = {(row.subnet_id, row.ip_address): row.port_id for row in rows}
    for row in rows:
        plain = _plain(row.ip_address, addresses.address)
        if plain == row.ip_address:
            continue
        where = sa.and_(
            _allocations.c.subnet_id == row.subnet_id, _allocations.c.ip_address == row.ip_address
        )
        del taken[(row.subnet_id, row.ip_address)]
        if plain is None or (row.subnet_id, plain) in taken:
            connection.execute(_allocations.delete().where(where))
        else:
            taken[(row.subnet_id, plain)] = row.port_id
            connection.execute(_allocations.update().where(where).values(ip_address=plain))
    return {(port_id, subnet_id, address) for (subnet_id, address), port_id in taken.items()}


def _port(row: Any, kept: set[tuple[str, str, str]]) -> dict[str, Any]:
    fixed_ips = []
    for one in row.fixed_ips or ():
        address = _plain(one["ip_address"], addresses.address)
        mended = {**one, "ip_address": address}
        if (row.id, one["subnet_id"], address) in kept and mended not in fixed_ips:
            fixed_ips.append(mended)
    return {
        "fixed_ips": fixed_ips,
        "allowed_address_pairs": _unique(
            {**one, "ip_address": plain}
            for one in row.allowed_address_pairs or ()
            if (plain := _plain(one["ip_address"], addresses.address_or_prefix))
        ),
        "extra_dhcp_opts": [
            one
            for one in row.extra_dhcp_opts or ()
            if not _CONTROL.search(f"{one['opt_name']}{one['opt_value']}")
        ],
        "dns_name": _line(row.dns_name),
    }


def _subnet(row: Any) -> dict[str, Any]:
    return {
        "cidr": _plain(row.cidr, addresses.prefix) or row.cidr,
        "gateway_ip": _plain(row.gateway_ip, addresses.address),
        "dns_nameservers": _texts(row.dns_nameservers, addresses.address),
        "host_routes": _routes(row.host_routes),
    }


def _routes(several: Any) -> list[dict[str, str]]:
    return _unique(
        {"destination": destination, "nexthop": nexthop}
        for one in several or ()
        if (destination := _plain(one["destination"], addresses.prefix))
        and (nexthop := _plain(one["nexthop"], addresses.address))
    )


def _rule(row: Any) -> dict[str, Any]:
    """A rule for a prefix that can't be read stays as it is, since without the prefix it would match all."""
    return {
        "remote_ip_prefix": _plain(row.remote_ip_prefix, addresses.interface) or row.remote_ip_prefix,
        "normalized_cidr": _plain(row.normalized_cidr, addresses.prefix) or row.normalized_cidr,
    }


def _unique(several: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in several:
        if one not in found:
            found.append(one)
    return found
