"""Units of work of gateway machines: servers of the cloud's own, for routers that are virtual machines.

Everything is decided from what is written, under one lock, so that whoever looks goes on where another was
killed. A machine that can't be made, or came to nothing, is tried again after a pause; why is written down
with it and told by its router.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, func, select

from pileus.core import log
from pileus.core.context import Context
from pileus.core.errors import Fault, Unavailable
from pileus.core.ids import new_id
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.flavors.resource import FLAVOR
from pileus.services.compute.gateway_machines.decide import (
    Decision,
    Seen,
    Step,
    ails,
    decide,
    is_up,
    pause_s,
    place_of,
)
from pileus.services.compute.rules.boot_files import without_boot
from pileus.services.compute.servers.attached import interfaces_of
from pileus.services.compute.servers.chains.common import Parts, hosts_up
from pileus.services.compute.servers.chains.delete import begin_deletion
from pileus.services.compute.servers.checks import hardware_of, image_fits
from pileus.services.compute.servers.completion import boots_complete
from pileus.services.compute.servers.creation import Plan, servers_write
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.servers.server_spec import ServerSpec
from pileus.services.compute.tables.flavors import flavors
from pileus.services.compute.tables.servers import server_interfaces, servers
from pileus.services.compute.uses.image import image_named
from pileus.services.compute.uses.network import (
    MACHINE_BUILD,
    MACHINE_ERROR,
    machine_forget,
    machine_place,
    machine_status,
    machine_write,
    machines_known,
    machines_wanted,
)
from pileus.store.column_in import column_in
from pileus.store.tx import Tx
from pileus.wire import scopes

_log = log.get("compute.gateway_machines")
LOCK = "compute:gateway_machines"
_LONGEST_DESCRIPTION = 255

OwnProject = Callable[[Tx], str]
"""``(tx) -> id`` of the project that has the cloud's own servers; it is made where there is none."""


class CannotBeMade(Fault):
    message = "{why}"


class Looked(NamedTuple):
    """The findings of a look: machines with what is next for each, and whether something is to be done."""

    seen: list[tuple[Seen, Decision]]
    due: bool

    @property
    def servers(self) -> set[str]:
        """The machines' servers."""
        return {seen.known.server_id for seen, _ in self.seen if seen.known and seen.known.server_id}

    @property
    def routers(self) -> set[str]:
        """The routers that are machines."""
        return {seen.wanted.router_id for seen, _ in self.seen if seen.wanted}


def machines_look(tx: Tx, now: dt.datetime, parts: Parts) -> Looked:
    """See what is to be done; two statements where there are no gateway machines."""
    wanted = {one.router_id: one for one in machines_wanted(tx)}
    known = {one.router_id: one for one in machines_known(tx)}
    if not wanted and not known:
        return Looked([], due=False)
    ids = sorted(one.server_id for one in known.values() if one.server_id)
    found = fetch(tx, SERVER, ids, [servers.c.deleted_at.is_(None)]) if ids else []
    there = {server["id"]: server for server in found}
    up = hosts_up(tx, Context(now=now), parts.config) if there else set()
    attached: dict[str, list[str]] = {}
    for row in interfaces_of(tx, sorted(there)):
        attached.setdefault(row.server_id, []).append(row.port_id)
    seen = []
    for router_id in sorted({*wanted, *known}):
        written = known.get(router_id)
        server = there.get(written.server_id or "") if written is not None else None
        seen.append(
            Seen(
                wanted.get(router_id),
                written,
                server,
                tuple(attached.get(server["id"], ())) if server is not None else (),
                server is None or server["host"] is None or server["host"] in up,
            )
        )
    decided = [(one, decide(one, now, parts.config.gateway_patience_s)) for one in seen]
    return Looked(decided, any(decision.step is not Step.NOTHING for _, decision in decided))


def machines_work(tx: Tx, context: Context, parts: Parts, own_project: OwnProject) -> None:
    """Do what is to be done for all gateway machines. One for which something is refused keeps no other
    waiting."""
    tx.lock(LOCK)
    for seen, decision in machines_look(tx, context.now, parts).seen:
        if decision.step is Step.NOTHING:
            continue
        try:
            with tx.savepoint():
                _do(tx, context, seen, decision, parts, own_project)
        except Unavailable:
            raise  # the database's, and not this machine's: the unit is run again, or later
        except Fault as fault:
            named = seen.wanted or seen.known
            _log.warning("a gateway machine waits", router=named and named.router_id, why=fault.text)
            if seen.wanted is not None:
                _note_failure(tx, context, seen, fault.text)


def _do(
    tx: Tx, context: Context, seen: Seen, decision: Decision, parts: Parts, own_project: OwnProject
) -> None:
    match decision.step:
        case Step.MAKE:
            _make(tx, context, seen, parts, own_project)
        case Step.KEEP:
            _keep(tx, context, seen, parts)
        case Step.REPLACE:
            _replace(tx, context, seen, decision.reason, parts)
        case Step.DELETE:
            _delete(tx, context, seen, parts)
        case Step.FORGET:
            assert seen.known is not None
            machine_forget(tx, seen.known.router_id)
        case Step.NOTHING:
            pass


def machines_complete(tx: Tx, context: Context, server_ids: Sequence[str]) -> None:
    """Ports of gateway machines carry packets: the servers may have become ACTIVE."""
    boots_complete(tx, context, server_ids)


def _make(tx: Tx, context: Context, seen: Seen, parts: Parts, own_project: OwnProject) -> None:
    router = seen.wanted
    assert router is not None
    is_new = seen.known is None
    failures = seen.known.failures if seen.known is not None else 0
    plan = _plan(tx, parts)
    as_owner = msgspec.structs.replace(context, project_id=own_project(tx), user_id="")
    server_id = new_id()
    spec = ServerSpec(
        name=f"gateway-{router.router_id}",
        flavor_id=plan.flavor["id"],
        image_id=plan.image["id"],
        ids=(server_id,),
        operation_id=new_id(),
        reservation_id=f"r-{server_id[:8]}",
        description=f"Gateway machine of router {router.name or router.router_id}"[:_LONGEST_DESCRIPTION],
        metadata={"router_id": router.router_id},
        zone=router.zone,
    )
    servers_write(tx, as_owner, spec, plan, 1)
    _attach(tx, server_id, [port.port_id for port in router.ports], first=0)
    machine_write(
        tx, context, router.router_id, new=is_new, server_id=server_id, try_at=None, ailing_since=None
    )
    if not failures:
        machine_status(tx, context, router, MACHINE_BUILD)


def _plan(tx: Tx, parts: Parts) -> Plan:
    """Decide what machines are made of. CannotBeMade, or as compute refuses it."""
    config = parts.config
    found = fetch(tx, FLAVOR, None, [flavors.c.name == config.gateway_flavor, flavors.c.disabled.is_(False)])
    if not found:
        raise CannotBeMade(why=f"There is no flavor '{config.gateway_flavor}' for gateway machines.")
    image = image_named(tx, config.gateway_image)
    if image is None:
        raise CannotBeMade(
            why=f"There is no active public image named '{config.gateway_image}' for gateway machines."
        )
    flavor = found[0]
    image_fits(image, flavor)
    hardware = without_boot(hardware_of(image, flavor["extra_specs"], flavor["vcpus"]))
    hardware.pop("config_drive", None)
    return Plan(
        flavor=flavor,
        image=image,
        # Through its channel the machine is told what to be, and nothing else reaches it.
        hardware={**hardware, "guest_agent": True},
        keypair=None,
        config_drive=False,
        hints={},
        groups=None,
        interfaces=[],
    )


def _keep(tx: Tx, context: Context, seen: Seen, parts: Parts) -> None:
    router, server, known = seen.wanted, seen.server, seen.known
    assert router is not None and server is not None and known is not None
    wanted = [port.port_id for port in router.ports]
    missing = [port_id for port_id in wanted if port_id not in seen.attached]
    stale = [port_id for port_id in seen.attached if port_id not in wanted]
    if stale:
        of_server = server_interfaces.c.server_id == server["id"]
        tx.execute(
            delete(server_interfaces).where(of_server, column_in(tx, server_interfaces.c.port_id, stale))
        )
    if missing:
        last = tx.scalar(
            select(func.max(server_interfaces.c.position)).where(
                server_interfaces.c.server_id == server["id"]
            )
        )
        _attach(tx, server["id"], missing, first=0 if last is None else last + 1)
    changes: dict[str, Any] = {}
    if not machine_place(tx, context, router, place_of(server), parts.network):
        changes["reason"] = f"The host {server['host']} has no agent for gateway machines."
    if missing or stale:
        _wake(tx, context, server, attached=missing, detached=stale)
    if ails(seen):
        if known.ailing_since is None:
            changes["ailing_since"] = context.now
    elif is_up(seen):
        changes |= {"ailing_since": None, "failures": 0, "reason": None, "try_at": None}
    elif known.ailing_since is not None:
        changes["ailing_since"] = None
    if changes:
        machine_write(tx, context, router.router_id, new=False, **changes)


def _replace(tx: Tx, context: Context, seen: Seen, reason: str, parts: Parts) -> None:
    router = seen.wanted
    assert router is not None
    _delete(tx, context, seen, parts)
    machine_place(tx, context, router, None, parts.network)
    worked = seen.known is not None and not seen.known.failures and router.status == "ACTIVE"
    if worked:
        machine_write(tx, context, router.router_id, new=False, reason=reason, ailing_since=None)
        machine_status(tx, context, router, MACHINE_BUILD, reason)
    else:
        _note_failure(tx, context, seen, reason)


def _note_failure(tx: Tx, context: Context, seen: Seen, reason: str) -> None:
    """Write down that a machine came to nothing, and when the next is tried."""
    router, known = seen.wanted, seen.known
    assert router is not None
    failures = (known.failures if known is not None else 0) + 1
    pause = dt.timedelta(seconds=max(pause_s(failures), pause_s(2) if seen.server is None else 0.0))
    machine_write(
        tx,
        context,
        router.router_id,
        new=known is None,
        failures=failures,
        reason=reason,
        try_at=context.now + pause,
        ailing_since=None,
    )
    machine_status(tx, context, router, MACHINE_ERROR, reason)


def _delete(tx: Tx, context: Context, seen: Seen, parts: Parts) -> None:
    server = seen.server
    assert server is not None
    found = fetch(tx, SERVER, [server["id"]], [servers.c.deleted_at.is_(None)], lock=True)
    for one in found:
        action_begin(tx, context, [one["id"]], "delete")
        begin_deletion(tx, context, one, parts, at_once=one["host"] is None or not seen.host_up)


def _attach(tx: Tx, server_id: str, port_ids: Sequence[str], *, first: int) -> None:
    row = {"server_id": server_id, "made": False, "tag": None}
    tx.insert(
        server_interfaces,
        [{**row, "port_id": port_id, "position": first + n} for n, port_id in enumerate(port_ids)],
    )


def _wake(tx: Tx, context: Context, server: Any, **more: Any) -> None:
    told = [scopes.hypervisor(server["host"]), scopes.server(server["id"])] if server["host"] else []
    tx.emit(
        event(context, "server.update", server["id"], server["project_id"], told, host=server["host"], **more)
    )
