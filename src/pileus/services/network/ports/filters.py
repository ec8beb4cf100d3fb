"""Filters of port lists that look into other tables: ``fixed_ips`` and ``security_groups``.

``fixed_ips=ip_address=10.0.0.5``, ``fixed_ips=subnet_id=…`` and ``fixed_ips=ip_address_substr=10.0.``
(Networking API reference, "List ports"; extension ip-substring-filtering).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select

from pileus.core.addresses import canonical
from pileus.resource.types import BadValue
from pileus.services.network.ports.tables import ports
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.services.network.subnets.tables import ip_allocations


def with_fixed_ips(texts: Sequence[str]) -> ColumnElement[bool]:
    """Ports with an address that fulfils every kind of condition named, and any of those of one kind."""
    exact: dict[str, list[str]] = {}
    like = []
    for text in texts:
        name, separator, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not separator or not name:
            raise BadValue(f"'{text}' is not of the form <key>=[value]", value=text, conversion=True)
        match name:
            case "ip_address":
                exact.setdefault(name, []).append(canonical(value) or value)
            case "subnet_id":
                exact.setdefault(name, []).append(value)
            case "ip_address_substr":
                like.append(ip_allocations.c.ip_address.contains(value, autoescape=True))
            case _:
                raise BadValue(f"'{name}' is not a key of fixed_ips", value=text)
    # IN lists: a database takes thousands of values, and fewer conditions
    wanted: list[ColumnElement[bool]] = [ip_allocations.c[name].in_(values) for name, values in exact.items()]
    if like:
        wanted.append(or_(*like))
    return ports.c.id.in_(select(ip_allocations.c.port_id).where(*wanted))


def in_security_groups(texts: Sequence[str]) -> ColumnElement[bool]:
    """Ports that are in any of the groups."""
    return ports.c.id.in_(
        select(security_group_ports.c.port_id).where(security_group_ports.c.security_group_id.in_(texts))
    )
