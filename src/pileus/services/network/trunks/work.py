"""Units of work of trunks: what is in one follows the parent port, wherever that goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select, update

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.common.errors import PortNotFound
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.common.revisions import next_revision
from pileus.services.network.config import NetworkConfig
from pileus.services.network.networks.tables import networks
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.work import port_update
from pileus.services.network.trunks import rules
from pileus.services.network.trunks.resource import TRUNK, subports_load, subports_save
from pileus.services.network.trunks.tables import subports, trunks
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate
from pileus.store.event import Event
from pileus.store.tx import Tx
from pileus.wire import scopes

TRUNK_QUOTA = network_quota("trunk", -1, trunks.c.project_id)


class SubPortNotFound(NotFound):
    message = "SubPort on trunk {trunk_id} with parent port {port_id} could not be found."


def trunk_create(tx: Tx, context: Context, specs: Sequence[Values], *, config: NetworkConfig) -> list[Values]:
    """Write new trunks with their subports, which are bound where the parent is."""
    spend(tx, specs, TRUNK_QUOTA)
    facts = _Facts(tx, context, specs)
    made = []
    for spec in specs:
        parent = facts.port(spec["port_id"])
        if parent["id"] in facts.children:
            raise rules.TrunkPortInUse(port_id=parent["id"])
        if parent["id"] in facts.parents:
            raise rules.ParentPortInUse(port_id=parent["id"])
        wanted = facts.checked(parent, spec["sub_ports"])
        made.append(Values({**spec, "sub_ports": wanted, "status": rules.DOWN}, given=spec.given))
        facts.parents.add(parent["id"])
        facts.children.update(one["port_id"] for one in wanted)
    _written(made, lambda: TRUNK.insert(tx, context, made))
    for trunk in made:
        _carry(tx, context, trunk, trunk["sub_ports"], facts, config)
    tx.emit_many([_event(context, "trunk.create", trunk) for trunk in made])
    return recalculated(tx, context, made)


def trunk_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Change names, and whether trunks may be changed."""
    after = TRUNK.change(tx, context, updates)
    tx.emit_many([_event(context, "trunk.update", trunk) for trunk in after])
    return after


def trunk_delete(tx: Tx, context: Context, originals: Sequence[Values], *, config: NetworkConfig) -> None:
    """Delete trunks; their subports stay, and are bound to nothing. TrunkDisabled for one switched off."""
    for trunk in originals:
        rules.check_manageable(trunk)
    several = subports_load(tx, [trunk["id"] for trunk in originals])
    TRUNK.remove(tx, originals)
    released(tx, context, [one["port_id"] for found in several.values() for one in found], config)
    tx.emit_many([_event(context, "trunk.delete", trunk) for trunk in originals])


def subports_add(
    tx: Tx, context: Context, trunk: Values, wanted: Sequence[Mapping[str, Any]], config: NetworkConfig
) -> Values:
    """Put subports into a trunk."""
    facts = _Facts(tx, context, [Values({"port_id": trunk["port_id"], "sub_ports": wanted})])
    added = facts.checked(facts.port(trunk["port_id"], mine=True), wanted)
    rules.check_manageable(trunk)
    if added:
        _written(
            [Values({**trunk, "sub_ports": added})], lambda: subports_save(tx, context, {trunk["id"]: added})
        )
        _carry(tx, context, trunk, added, facts, config)
    return _changed(tx, context, trunk, "trunk.subports_add", added)


def subports_remove(
    tx: Tx, context: Context, trunk: Values, wanted: Sequence[Mapping[str, Any]], config: NetworkConfig
) -> Values:
    """Take subports out of a trunk; SubPortNotFound where it has not all of them."""
    rules.check_manageable(trunk)
    present = {one["port_id"] for one in trunk["sub_ports"]}
    for one in wanted:
        if one["port_id"] not in present:
            raise SubPortNotFound(trunk_id=trunk["id"], port_id=one["port_id"])
    ids = [one["port_id"] for one in wanted]
    if ids:
        tx.execute(
            delete(subports).where(subports.c.trunk_id == trunk["id"], column_in(tx, subports.c.port_id, ids))
        )
        released(tx, context, ids, config)
    return _changed(tx, context, trunk, "trunk.subports_remove", wanted)


class _Facts:
    """The ports of some trunks that are wished for, their networks, and which are in trunks already."""

    def __init__(self, tx: Tx, context: Context, specs: Sequence[Mapping[str, Any]]) -> None:
        self._context = context
        ids = {spec["port_id"] for spec in specs} | {
            one["port_id"] for spec in specs for one in spec["sub_ports"]
        }
        self.ports = {port["id"]: port for port in fetch(tx, PORT, sorted(ids), lock=True)}
        found = select(networks.c.id, networks.c.mtu, networks.c.network_type, networks.c.segmentation_id)
        there = sorted({port["network_id"] for port in self.ports.values()})
        rows = tx.rows(found.where(column_in(tx, networks.c.id, there)))
        self._networks: dict[str, dict[str, Any]] = {row.id: dict(row._mapping) for row in rows}
        parents = select(trunks.c.port_id).where(column_in(tx, trunks.c.port_id, sorted(ids)))
        children = select(subports.c.port_id).where(column_in(tx, subports.c.port_id, sorted(ids)))
        self.parents = {row[0] for row in tx.rows(parents)}
        self.children = {row[0] for row in tx.rows(children)}

    def port(self, port_id: str, *, mine: bool = False) -> Values:
        """A port that the caller may see; PortNotFound."""
        found = self.ports.get(port_id)
        context = self._context
        if found is None or not (mine or context.is_admin or found["project_id"] == context.project_id):
            raise PortNotFound(port_id=port_id)
        return found

    def checked(self, parent: Values, wanted: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Subports with their numbers, when each may be one of this parent's."""
        mtus = {network_id: row["mtu"] for network_id, row in self._networks.items()}
        of_ports = {one["port_id"]: self._networks[self.port(one["port_id"])["network_id"]] for one in wanted}
        numbered = rules.segmented(wanted, of_ports)
        for one in numbered:
            rules.check_subport(self.port(one["port_id"]), parent, mtus, self.parents, self.children)
        return numbered


def _written(several: Sequence[Mapping[str, Any]], write: Any) -> None:
    """Write; what another request took meanwhile, or two of one trunk claim, is refused by the keys."""
    for trunk in several:
        numbers: set[int] = set()
        for one in trunk["sub_ports"]:
            if one["segmentation_id"] in numbers:
                raise _duplicate(trunk, one)
            numbers.add(one["segmentation_id"])
    try:
        write()
    except Duplicate:
        trunk = several[0]
        first = next(iter(trunk["sub_ports"]), None)
        if first is None:
            raise rules.ParentPortInUse(port_id=trunk["port_id"]) from None
        raise _duplicate(trunk, first) from None


def _duplicate(trunk: Mapping[str, Any], one: Mapping[str, Any]) -> rules.DuplicateSubPort:
    return rules.DuplicateSubPort(
        segmentation_type=one["segmentation_type"],
        segmentation_id=one["segmentation_id"],
        trunk_id=trunk["id"],
    )


def _carry(
    tx: Tx,
    context: Context,
    trunk: Mapping[str, Any],
    added: Iterable[Mapping[str, Any]],
    facts: _Facts,
    config: NetworkConfig,
) -> None:
    """Subports belong to their trunk, and are where its parent is."""
    host = facts.ports[trunk["port_id"]]["binding:host_id"]
    owned = {"device_id": trunk["id"], "device_owner": rules.SUBPORT_OWNER, "binding:host_id": host}
    changes = [Update(facts.ports[one["port_id"]], Values(owned)) for one in added]
    if changes:
        port_update(tx, context, changes, config=config)


def released(tx: Tx, context: Context, port_ids: Sequence[str], config: NetworkConfig) -> None:
    """Ports that were subports are nobody's, and nowhere."""
    nobody = Values({"device_id": "", "device_owner": "", "binding:host_id": ""})
    changes = [Update(port, Values(nobody)) for port in fetch(tx, PORT, list(port_ids), lock=True)]
    if changes:
        port_update(tx, context, changes, config=config)


def _changed(
    tx: Tx, context: Context, trunk: Values, kind: str, changed: Sequence[Mapping[str, Any]]
) -> Values:
    (after,) = TRUNK.change(tx, context, [Update(trunk, Values())])
    after["sub_ports"] = subports_load(tx, [trunk["id"]]).get(trunk["id"], [])
    tx.emit_many([_event(context, kind, after, ports=[one["port_id"] for one in changed])])
    return recalculated(tx, context, [after])[0]


def recalculated(
    tx: Tx, context: Context, several: Sequence[Values], failed: frozenset[str] = frozenset()
) -> list[Values]:
    """Trunks with the states that follow from their ports; written where they differ."""
    states = _states(tx, [trunk["id"] for trunk in several])
    done = []
    for trunk in several:
        parent, children = states[trunk["id"]]
        wanted = [status for status, up, _ in children.values() if up]
        broken = any(port_id in failed for port_id in children)
        done.append(Values({**trunk, "status": rules.trunk_status(trunk["status"], parent, wanted, broken)}))
    for new in {trunk["status"] for trunk in done}:
        moved = [
            now["id"]
            for before, now in zip(several, done, strict=True)
            if now["status"] == new != before["status"]
        ]
        if moved:
            values = {"status": new, **next_revision(trunks, context.now)}
            tx.execute(update(trunks).where(column_in(tx, trunks.c.id, moved)).values(**values))
            tx.emit_many(
                [_event(context, "trunk.status", trunk, status=new) for trunk in done if trunk["id"] in moved]
            )
    return [
        Values({**now, "revision_number": now["revision_number"] + (now["status"] != before["status"])})
        for before, now in zip(several, done, strict=True)
    ]


def _states(tx: Tx, trunk_ids: Sequence[str]) -> dict[str, tuple[str, dict[str, tuple[str, bool, str]]]]:
    """By trunk: the parent's state, and of each subport state, whether it shall be up, and host."""
    parent = ports.alias("parent")
    statement = (
        select(
            trunks.c.id,
            parent.c.status.label("parent_status"),
            ports.c.id.label("port_id"),
            ports.c.status,
            ports.c.admin_state_up,
            ports.c.host,
        )
        .select_from(
            trunks.join(parent, parent.c.id == trunks.c.port_id)
            .outerjoin(subports, subports.c.trunk_id == trunks.c.id)
            .outerjoin(ports, ports.c.id == subports.c.port_id)
        )
        .where(column_in(tx, trunks.c.id, trunk_ids))
    )
    found: dict[str, tuple[str, dict[str, tuple[str, bool, str]]]] = {}
    for row in tx.rows(statement):
        _, children = found.setdefault(row.id, (row.parent_status, {}))
        if row.port_id is not None:
            children[row.port_id] = (row.status, row.admin_state_up, row.host)
    return found


def _event(context: Context, kind: str, trunk: Mapping[str, Any], **payload: Any) -> Event:
    # The host of the parent listens to no subport that it does not know yet.
    told = [scopes.port(trunk["port_id"])] if kind in ("trunk.create", "trunk.subports_add") else ()
    return event(context, kind, trunk["id"], trunk["project_id"], told, port_id=trunk["port_id"], **payload)
