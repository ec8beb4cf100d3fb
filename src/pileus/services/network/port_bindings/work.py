"""Units of work of bindings: made on a host beside the active one, changed, made the active one, deleted.

The active binding is a part of the port's row, so that whoever asks for ports by host reads one table; here
are those that wait. To activate one exchanges the two: one change of the port, which both hosts hear of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select

from pileus.core.context import Context
from pileus.core.errors import Conflict, Fault, NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.config import NetworkConfig
from pileus.services.network.port_bindings.tables import port_bindings
from pileus.services.network.ports.binding import bind_port
from pileus.services.network.ports.facts import agents_by_host, network_facts
from pileus.services.network.ports.rules import check_profile
from pileus.services.network.ports.work import port_update
from pileus.services.network.rules.binding import BINDING_FAILED, UNBOUND
from pileus.store.tx import Tx
from pileus.wire import scopes

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
_OWNERS = ("compute:", "manila:")


class PortBindingNotFound(NotFound):
    message = "Binding for port {port_id} for host {host} could not be found."


class PortBindingAlreadyActive(Conflict):
    message = "Binding for port {port_id} on host {host} is already active."


class PortBindingAlreadyExists(Conflict):
    message = "Binding for port {port_id} on host {host} already exists."


class PortBindingError(Fault):
    message = "Binding for port {port_id} on host {host} could not be created or updated."


_WAITING = (
    select(port_bindings).where(port_bindings.c.port_id == bindparam("port")).order_by(port_bindings.c.host)
)
_DELETE = delete(port_bindings).where(
    port_bindings.c.port_id == bindparam("port"), port_bindings.c.host == bindparam("on_host")
)
_SET = (
    port_bindings.update()
    .where(port_bindings.c.port_id == bindparam("port"), port_bindings.c.host == bindparam("on_host"))
    .values(
        vnic_type=bindparam("vnic"),
        profile=bindparam("new_profile"),
        vif_type=bindparam("kind"),
        vif_details=bindparam("details"),
    )
)


def bindings_of(tx: Tx, port: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All bindings of a port by host, as they are shown. BadRequest for a port that no guest could have."""
    if not port["device_owner"].startswith(_OWNERS):
        raise BadRequest(
            resource="port",
            msg=f"Invalid port {port['id']}. Operation only valid on compute and shared filesystem ports",
        )
    found = [_view(port, ACTIVE)] if port["binding:host_id"] else []
    # where the port has been bound to such a host by a request of its own meanwhile, that is the binding now
    found.extend(
        _view({**_as_port(row), "trusted": port["trusted"]}, INACTIVE)
        for row in tx.rows(_WAITING, {"port": port["id"]})
        if row.host != port["binding:host_id"]
    )
    return sorted(found, key=lambda one: str(one["host"]))


def binding_on(tx: Tx, port: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The binding of a port on a host; PortBindingNotFound."""
    for one in bindings_of(tx, port):
        if one["host"] == host:
            return one
    raise PortBindingNotFound(port_id=port["id"], host=host)


def binding_create(
    tx: Tx, context: Context, port: Values, wanted: Mapping[str, Any], config: NetworkConfig
) -> dict[str, Any]:
    """Bind a port to one host more; the first binding is the active one."""
    host = wanted["host"]
    if any(one["host"] == host for one in bindings_of(tx, port)):
        raise PortBindingAlreadyExists(port_id=port["id"], host=host)
    if not port["binding:host_id"]:
        return _set_active(tx, context, port, wanted, config)
    decided = _decided(tx, context, port, wanted, config)
    _insert(tx, decided)
    _tell(tx, context, "create", port, host)
    return _view(decided, INACTIVE)


def binding_update(
    tx: Tx, context: Context, port: Values, host: str, changes: Mapping[str, Any], config: NetworkConfig
) -> dict[str, Any]:
    """Change a binding: another kind or profile, or, where ``host`` is among the changes, another host."""
    before = binding_on(tx, port, host)
    wanted = {"host": host, "vnic_type": before["vnic_type"], "profile": before["profile"], **changes}
    if wanted["host"] != host and any(one["host"] == wanted["host"] for one in bindings_of(tx, port)):
        raise PortBindingAlreadyExists(port_id=port["id"], host=wanted["host"])
    if before["status"] == ACTIVE:
        return _set_active(tx, context, port, wanted, config)
    decided = _decided(tx, context, port, wanted, config)
    if wanted["host"] == host:
        columns = _columns(decided)
        values = {
            "vnic": columns["vnic_type"],
            "new_profile": columns["profile"],
            "kind": columns["vif_type"],
            "details": columns["vif_details"],
        }
        tx.execute(_SET, {"port": port["id"], "on_host": host, **values})
    else:
        tx.execute(_DELETE, {"port": port["id"], "on_host": host})
        _insert(tx, decided)
    _tell(tx, context, "update", port, wanted["host"])
    return _view(decided, INACTIVE)


def binding_activate(
    tx: Tx, context: Context, port: Values, host: str, config: NetworkConfig
) -> dict[str, Any]:
    """Make a waiting binding the active one; the one that was active waits from now on."""
    if port["binding:host_id"] == host:
        bindings_of(tx, port)
        raise PortBindingAlreadyActive(port_id=port["id"], host=host)
    chosen = binding_on(tx, port, host)
    shown = _set_active(tx, context, port, chosen, config)
    tx.execute(_DELETE, {"port": port["id"], "on_host": host})
    if port["binding:host_id"]:
        _insert(tx, port)
    return shown


def binding_delete(tx: Tx, context: Context, port: Values, host: str, config: NetworkConfig) -> None:
    """Delete a binding; without the active one a port is bound to no host."""
    if binding_on(tx, port, host)["status"] == ACTIVE:
        _change_port(tx, context, port, {"binding:host_id": "", "binding:profile": {}}, config)
        return
    tx.execute(_DELETE, {"port": port["id"], "on_host": host})
    _tell(tx, context, "delete", port, host)


def _set_active(
    tx: Tx, context: Context, port: Values, wanted: Mapping[str, Any], config: NetworkConfig
) -> dict[str, Any]:
    changes = {
        "binding:host_id": wanted["host"],
        "binding:vnic_type": wanted["vnic_type"],
        "binding:profile": wanted["profile"] or {},
    }
    after = _change_port(tx, context, port, changes, config)
    if after["binding:vif_type"] == BINDING_FAILED:
        raise PortBindingError(port_id=port["id"], host=wanted["host"])
    return _view(after, ACTIVE)


def _change_port(
    tx: Tx, context: Context, port: Values, changes: Mapping[str, Any], config: NetworkConfig
) -> Values:
    return port_update(tx, context, [Update(port, Values(changes, changes))], config=config)[0]


def _decided(
    tx: Tx, context: Context, port: Values, wanted: Mapping[str, Any], config: NetworkConfig
) -> dict[str, Any]:
    """The port as if it was bound so; PortBindingError where the host can't carry it."""
    as_bound = {
        **port,
        "binding:host_id": wanted["host"],
        "binding:vnic_type": wanted["vnic_type"],
        "binding:profile": wanted["profile"] or {},
    }
    check_profile(as_bound["binding:profile"])
    agents = agents_by_host(tx, context, [wanted["host"]], config)
    binding = bind_port(as_bound, network_facts(tx, [port["network_id"]]), agents)
    if binding.vif_type == BINDING_FAILED:
        raise PortBindingError(port_id=port["id"], host=wanted["host"])
    return {**as_bound, "binding:vif_type": binding.vif_type, "binding:vif_details": binding.vif_details}


def _insert(tx: Tx, port: Mapping[str, Any]) -> None:
    """Keep the binding of a port as a waiting one, in the place of a forgotten one on the same host."""
    where = {"port": port["id"], "on_host": port["binding:host_id"]}
    tx.execute(_DELETE, where)
    tx.insert(port_bindings, [{"port_id": port["id"], "host": port["binding:host_id"], **_columns(port)}])


def _as_port(row: Any) -> dict[str, Any]:
    return {
        "binding:host_id": row.host,
        **{f"binding:{name}": getattr(row, name) for name in _COLUMNS},
    }


_COLUMNS = ("vnic_type", "profile", "vif_type", "vif_details")


def _columns(port: Mapping[str, Any]) -> dict[str, Any]:
    """The binding of a port as columns of a waiting one."""
    return {name: port[f"binding:{name}"] for name in _COLUMNS}


def _view(port: Mapping[str, Any], status: str) -> dict[str, Any]:
    profile = dict(port["binding:profile"] or {})
    if port["binding:vif_type"] != UNBOUND and port.get("trusted") is not None:
        profile["trusted"] = port["trusted"]
    return {"host": port["binding:host_id"], **_columns(port), "profile": profile, "status": status}


def _tell(tx: Tx, context: Context, verb: str, port: Values, host: str) -> None:
    tx.emit(
        event(
            context,
            f"port_binding.{verb}",
            port["id"],
            port["project_id"],
            [scopes.host(host)],
            host=host,
            network_id=port["network_id"],
            device_id=port["device_id"],
        )
    )
