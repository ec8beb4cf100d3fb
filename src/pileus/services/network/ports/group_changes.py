"""Changes of the security groups of a host since it read them.

A group of a thousand members is a long answer, and most of what happens to it is one port that comes or goes.
The event of such a port names its addresses before and after; each of them is a member now or it is not, and
that is the answer. Whatever else concerns a group (its rules, events that are gone, too many of them) has it
read whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import msgspec
from sqlalchemy import Row, Select, bindparam, func, select

from pileus.core.ids import new_id
from pileus.services.network.ports.events import GROUP_ADDRESSES
from pileus.services.network.ports.group_state import groups_served, members_among
from pileus.services.network.ports.tables import ports
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.store.event import events
from pileus.store.narrowed import Narrowed, Only
from pileus.store.tx import Tx
from pileus.wire import scopes
from pileus.wire.switch import SecurityGroupChange

HISTORY = new_id()
"""Another for each run of a server: while it stopped its database may have been replaced by an older copy."""
FARTHEST = 2000
"""So many positions back is looked for changes: farther, a group is sooner read whole."""

_OLDEST = select(func.min(events.c.position))
_OF_GROUPS = (
    select(events.c.resource_id, events.c.scopes, events.c.payload)
    .where(
        events.c.position > bindparam("since"),
        events.c.position <= bindparam("newest"),
        events.c.scopes.like("%" + scopes.security_group("") + "%"),
    )
    .order_by(events.c.position)
)


def _ports(only: Only) -> Select[Any]:
    return (
        select(security_group_ports.c.security_group_id, ports.c.fixed_ips, ports.c.allowed_address_pairs)
        .select_from(security_group_ports.join(ports, ports.c.id == security_group_ports.c.port_id))
        .where(*only(ports.c.id))
    )


_PORTS = Narrowed(_ports)
_scopes = msgspec.json.Decoder(frozenset[str]).decode


class _Payload(msgspec.Struct):
    group_addresses: tuple[str, ...] | None = None


assert _Payload.__struct_fields__ == (GROUP_ADDRESSES,)
_payload = msgspec.json.Decoder(_Payload).decode


def group_changes(
    tx: Tx, here: Mapping[str, Any], wanted: Iterable[str], since: int, newest: int
) -> tuple[tuple[SecurityGroupChange, ...], tuple[str, ...]]:
    """Return the changes of these groups between two positions, and the groups that must be read whole.

    A group that the host does not serve is in neither.
    """
    groups = tuple(sorted(wanted))
    if not since or not newest - FARTHEST <= since <= newest:
        return (), groups
    if since < newest and not 0 < (tx.scalar(_OLDEST) or 0) <= since + 1:
        return (), groups  # some of these events are gone
    rows = tx.rows(_OF_GROUPS, {"since": since, "newest": newest})
    concerned, touched, whole = _concerned(rows, groups)
    served = [row for row in groups_served(tx, here, groups) if row.id not in whole]
    asked = {row.id: concerned[row.id] for row in served if row.has_members and row.id in concerned}
    present = _present(tx, here, asked, touched) if asked else {}
    changes = tuple(
        SecurityGroupChange(
            security_group_id=row.id,
            has_rules=bool(row.has_rules),
            has_members=bool(row.has_members),
            joined=tuple(sorted(present.get(row.id, ()))),
            left=tuple(sorted(asked.get(row.id, set()) - present.get(row.id, set()))),
        )
        for row in served
    )
    return changes, tuple(sorted(whole))


def _concerned(
    rows: Iterable[Row[Any]], groups: Iterable[str]
) -> tuple[dict[str, set[str]], set[str], set[str]]:
    """By group the addresses that may have come or gone; the ports that had something to do with it; and
    the groups of which more has changed than members."""
    by_scope = {scopes.security_group(group): group for group in groups}
    found: dict[str, set[str]] = {}
    touched: set[str] = set()
    whole: set[str] = set()
    for row in rows:
        if not (ours := _scopes(row.scopes) & by_scope.keys()):
            continue
        addresses = _payload(row.payload).group_addresses
        for scope in ours:
            if addresses is None:
                whole.add(by_scope[scope])
            else:
                found.setdefault(by_scope[scope], set()).update(addresses)
        touched.add(row.resource_id)
    return {group: addresses for group, addresses in found.items() if addresses}, touched, whole


def _present(
    tx: Tx, here: Mapping[str, Any], asked: Mapping[str, Set[str]], touched: Iterable[str]
) -> dict[str, set[str]]:
    """Which of the addresses are members: mostly of the ports that changed. Only what none of them has may
    be another port's, for which the whole group is looked through."""
    found: dict[str, set[str]] = {group: set() for group in asked}
    for row in _PORTS.rows(tx, {}, sorted(touched)):
        if row.security_group_id in found:
            found[row.security_group_id].update(ip["ip_address"] for ip in row.fixed_ips)
            found[row.security_group_id].update(pair["ip_address"] for pair in row.allowed_address_pairs)
    gone = {group: addresses - found[group] for group, addresses in asked.items()}
    if doubtful := {group: addresses for group, addresses in gone.items() if addresses}:
        for group, members in members_among(tx, here, tuple(doubtful)).items():
            found[group] |= doubtful[group] & members
    return found
