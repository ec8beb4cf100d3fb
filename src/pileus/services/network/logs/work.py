"""Units of work of logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select

from pileus.core.context import Context
from pileus.core.errors import Invalid, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.network.logs.resource import LOG, SECURITY_GROUP
from pileus.services.network.ports.tables import ports
from pileus.services.network.security_groups.membership import SecurityGroupNotFound, check_groups
from pileus.services.network.security_groups.tables import security_group_ports
from pileus.store.errors import Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes


class InvalidLogResourceType(Invalid):
    message = "Invalid log resource_type: {resource_type}."


class ResourceNotFound(NotFound):
    message = "Resource {resource_id} could not be found."


class TargetResourceNotFound(NotFound):
    message = "Target resource {target_id} could not be found."


class InvalidResourceConstraint(Invalid):
    message = (
        "Invalid resource constraint between resource (security_group {resource_id}) and target resource "
        "(port {target_id})."
    )


def log_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new logs; refuse what can't be logged and what the caller may not see."""
    for spec in specs:
        _check(tx, context, spec)
    try:
        with tx.savepoint():
            LOG.insert(tx, context, specs)
    except Referenced:  # it has gone meanwhile
        raise ResourceNotFound(resource_id=specs[0]["resource_id"] or specs[0]["target_id"]) from None
    _emit(tx, context, "log.create", [(spec, spec["enabled"]) for spec in specs])
    return list(specs)


def log_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change logs; nodes look again where one is turned on or off."""
    after = LOG.change(tx, context, updates)
    turned = [
        one.changes.get("enabled", one.original["enabled"]) != one.original["enabled"] for one in updates
    ]
    _emit(tx, context, "log.update", list(zip(after, turned, strict=True)))
    return after


def log_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Delete logs."""
    LOG.remove(tx, originals)
    _emit(tx, context, "log.delete", [(log, log["enabled"]) for log in originals])


def _check(tx: Tx, context: Context, spec: Values) -> None:
    if spec["resource_type"] != SECURITY_GROUP:
        raise InvalidLogResourceType(resource_type=spec["resource_type"])
    group_id, port_id = spec["resource_id"], spec["target_id"]
    if group_id is not None:
        try:
            check_groups(tx, context, [group_id])
        except SecurityGroupNotFound:
            raise ResourceNotFound(resource_id=group_id) from None
    port = _port(tx, port_id) if port_id is not None else None
    if port_id is not None and not (
        port is not None and (context.is_admin or port.project_id == context.project_id)
    ):
        raise TargetResourceNotFound(target_id=port_id)
    if port is not None and group_id is not None and group_id not in port.security_groups:
        raise InvalidResourceConstraint(resource_id=group_id, target_id=port_id)


def _port(tx: Tx, port_id: str) -> Row[Any] | None:
    return tx.first(select(ports.c.project_id, ports.c.security_groups).where(ports.c.id == port_id))


def _emit(tx: Tx, context: Context, kind: str, several: Sequence[tuple[Mapping[str, Any], bool]]) -> None:
    """Events of logs; with the hosts of the ports concerned where nodes have to look again."""
    tx.emit_many(
        [
            event(
                context,
                kind,
                log["id"],
                log["project_id"],
                [scopes.host(host) for host in _hosts(tx, log)] if told else (),
                name=log["name"],
            )
            for log, told in several
        ]
    )


def _hosts(tx: Tx, log: Mapping[str, Any]) -> list[str]:
    statement = select(ports.c.host).where(ports.c.host != "").distinct()
    if log["target_id"] is not None:
        statement = statement.where(ports.c.id == log["target_id"])
    elif log["resource_id"] is not None:
        members = select(security_group_ports.c.port_id).where(
            security_group_ports.c.security_group_id == log["resource_id"]
        )
        statement = statement.where(ports.c.id.in_(members))
    else:
        statement = statement.where(ports.c.project_id == log["project_id"])
    return [row.host for row in tx.rows(statement)]
