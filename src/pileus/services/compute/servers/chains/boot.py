"""The boot of servers: a chain of steps that are written down, resumed by whoever takes them, and undone.

One operation is one request, for one server or many.

    schedule   choose hosts, claim room on them       undone: the room is given back, the servers have no host
    plug       make ports, bind those that were given undone: made ports go, given ones are free again
    hand       tell the hosts; the operation is done

From there on nothing is in anyone's memory: a server is building until its host has reported it in place
and its ports carry packets (``completion.py``), or until its time is over. A chain is for a fixed list of
steps; what each server has to become by itself is for a loop. A server whose deletion was asked for meanwhile
is left out of each further step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.flow.chain import Chain, Step
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.errors import PortBindingFailed
from pileus.services.compute.nodes.reading import hosts_for_scheduler
from pileus.services.compute.rules import states
from pileus.services.compute.rules.scheduler import Choice, Wanted, choose_many, sentence
from pileus.services.compute.servers.attached import holders_of
from pileus.services.compute.servers.chains.common import Parts, told
from pileus.services.compute.servers.chains.placing import CLAIMS, claim_of, group_wishes, with_bandwidth
from pileus.services.compute.servers.cleanup import allocations_release, boot_undo, ports_release, put_error
from pileus.services.compute.servers.resource import SERVER
from pileus.services.compute.tables.servers import allocations, server_interfaces, servers
from pileus.services.compute.uses.network import (
    as_update,
    bindings_refused,
    guarantees_asked,
    is_host_name,
    new_port,
    port_create,
    port_update,
    ports_by_id,
)
from pileus.store.column_in import column_in
from pileus.store.operations import Operation
from pileus.store.tx import Tx
from pileus.wire import scopes


class PortGone(NotFound):
    message = "Port {port_id} could not be found."


class PortTaken(Conflict):
    message = "Port {port_id} is still in use."


def schedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Choose hosts and claim room there; a server that fits nowhere ends in ERROR with the reasons."""
    config = parts.config
    tx.lock(CLAIMS)
    building = _building(tx, operation)
    if not building:
        return
    hosts = hosts_for_scheduler(tx, config, context.now)
    given = [one["port_id"] for one in operation.data["plugs"] if one["port_id"]]
    bandwidth = guarantees_asked(tx, given)
    hosts = with_bandwidth(tx, hosts, bandwidth)
    wanted = _wanted(tx, operation, building, bandwidth)
    choices = choose_many(hosts, wanted, config.manner)
    placed = [pair for pair in zip(building, choices, strict=True) if pair[1].chosen is not None]
    refused = [pair for pair in zip(building, choices, strict=True) if pair[1].chosen is None]
    _place(tx, context, operation, placed)
    _refuse(tx, context, operation, refused)


def unschedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Give the room back; the servers have no host."""
    building = _building(tx, operation)
    allocations_release(tx, building)
    SERVER.change(tx, context, [Update(server, Values({"host": None, "node": None})) for server in building])


def _wanted(
    tx: Tx, operation: Operation, building: Sequence[Values], bandwidth: Mapping[str, int]
) -> list[Wanted]:
    data = operation.data
    hints = data["hints"]
    same, different = hints.get("same_host") or [], hints.get("different_host") or []
    named = sorted({*same, *different})
    hosts: dict[str, str] = {}
    if named:
        columns = servers.c
        rows = tx.rows(
            select(columns.id, columns.host).where(
                column_in(tx, columns.id, named), columns.host.is_not(None), columns.deleted_at.is_(None)
            )
        )
        hosts = {row.id: row.host for row in rows}
    group = group_wishes(tx, hints.get("group"))
    return [
        Wanted(
            vcpus=server["vcpus"],
            memory_mib=server["memory_mib"],
            disk_gib=server["disk_gib"],
            zone=server["availability_zone"],
            host=data["host"],
            node=data["node"],
            forced=data["forced"],
            same_host=tuple(sorted({hosts[key] for key in same if key in hosts}))
            if "same_host" in hints
            else None,
            different_host=tuple(sorted({hosts[key] for key in different if key in hosts})),
            policy=group.policy,
            per_host=group.per_host,
            group_hosts=group.hosts,
            image=data["image"],
            project_id=server["project_id"],
            flavor=server["flavor"]["name"],
            extra_specs=server["flavor"]["extra_specs"],
            query=hints.get("query"),
            near=hints.get("near", ""),
            bandwidth=bandwidth,
        )
        for server in building
    ]


def _place(tx: Tx, context: Context, operation: Operation, placed: Sequence[tuple[Values, Choice]]) -> None:
    updates, claims, happened = [], [], []
    for server, choice in placed:
        host = choice.chosen
        assert host is not None
        updates.append(
            Update(
                server,
                Values(
                    {
                        "host": host.host,
                        "node": host.node,
                        "availability_zone": host.zone,
                        "task_state": states.NETWORKING,
                    }
                ),
            )
        )
        claims.append(claim_of(server, host.host))
        happened.append(
            told(
                context,
                BOOT,
                operation,
                server,
                host=host.host,
                started_at=server["created_at"],
                detail=f"{host.host} of {choice.considered} hosts",
                refused=[refusal._asdict() for refusal in choice.refusals],
            )
        )
    SERVER.change(tx, context, updates)
    tx.insert(allocations, claims)
    tx.emit_many(happened)


def _refuse(tx: Tx, context: Context, operation: Operation, refused: Sequence[tuple[Values, Choice]]) -> None:
    together: dict[str, list[Values]] = {}
    for server, choice in refused:
        text = sentence(choice)
        together.setdefault(text, []).append(server)
        tx.emit(
            told(
                context,
                BOOT,
                operation,
                server,
                started_at=server["created_at"],
                detail=f"none of {choice.considered} hosts",
                error=text,
                refused=[refusal._asdict() for refusal in choice.refusals],
            )
        )
    for text, several in together.items():
        put_error(tx, context, several, text, details="NoValidHost")


def plug(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Make the servers' ports on their hosts, and bind those that were given; all of them in one unit.

    Raises what the network service refuses.
    """
    config, network = parts.config, parts.network
    data = operation.data
    building = _building(tx, operation)
    given = ports_by_id(tx, [one["port_id"] for one in data["plugs"] if one["port_id"]], lock=True)
    held = holders_of(tx, given)
    specs, bindings, rows = [], [], []
    for server in building:
        owned = f"compute:{server['availability_zone'] or config.default_zone}"
        for position, one in enumerate(data["plugs"]):
            row = {"server_id": server["id"], "position": position, "tag": one["tag"]}
            if one["port_id"]:
                port = given.get(one["port_id"])
                if port is None:
                    raise PortGone(port_id=one["port_id"])
                if port["device_id"] not in ("", server["id"]) or one["port_id"] in held:
                    raise PortTaken(port_id=one["port_id"])
                bindings.append(
                    as_update(
                        port,
                        device_id=server["id"],
                        device_owner=owned,
                        binding__host_id=server["host"],
                        quarantined=server["quarantined"] is not None,
                        **({"dns_name": server["hostname"]} if _dns(server) and not port["dns_name"] else {}),
                    )
                )
                rows.append({**row, "port_id": port["id"], "made": False})
            else:
                spec = new_port(
                    context,
                    project_id=server["project_id"],
                    network_id=one["network_id"],
                    device_id=server["id"],
                    device_owner=owned,
                    **_given(one, data, server),
                )
                spec["quarantined"] = server["quarantined"] is not None
                specs.append(spec)
                rows.append({**row, "port_id": spec["id"], "made": True})
    bound = port_update(tx, context, bindings, config=network) if bindings else []
    if specs:
        bound += port_create(tx, context, specs, config=network)
    tx.insert(server_interfaces, rows)
    building = _plugged(tx, context, operation, building, bound, parts)
    if building:
        SERVER.change(
            tx, context, [Update(server, Values({"task_state": states.SPAWNING})) for server in building]
        )
    tx.emit_many(
        [
            told(context, BOOT, operation, server, "ports", detail=f"{len(data['plugs'])} ports")
            for server in building
        ]
    )


def _plugged(
    tx: Tx,
    context: Context,
    operation: Operation,
    building: list[Values],
    ports: Sequence[Values],
    parts: Parts,
) -> list[Values]:
    """The servers whose hosts carry their ports; the others end in ERROR at once, with the reason."""
    refused = bindings_refused(tx, context, ports, parts.network)
    if not refused:
        return building
    why = {port["device_id"]: (port["id"], refused[port["id"]]) for port in ports if port["id"] in refused}
    for server in building:
        if server["id"] in why:
            port_id, reason = why[server["id"]]
            text = str(PortBindingFailed(port_id=port_id, reason=reason))
            tx.emit(told(context, BOOT, operation, server, "ports", error=text))
            boot_undo(tx, context, [server], text, network=parts.network, volumes=parts.volumes)
    return [server for server in building if server["id"] not in why]


def unplug(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Made ports go, given ones are free again."""
    ports_release(tx, context, _building(tx, operation), network=parts.network)


def _given(plug: dict[str, Any], data: dict[str, Any], server: Values) -> dict[str, Any]:
    values: dict[str, Any] = {"binding:host_id": server["host"]}
    if plug["fixed_ip"]:
        values["fixed_ips"] = [{"ip_address": plug["fixed_ip"]}]
    if data["groups"] is not None:
        values["security_groups"] = data["groups"]
    if data["qos_policy_id"]:
        values["qos_policy_id"] = data["qos_policy_id"]
    if _dns(server):
        values["dns_name"] = server["hostname"]
    return values


def _dns(server: Values) -> bool:
    """Whether guests are found by the server's name; one that can't be a host's is left to the server."""
    return is_host_name(server["hostname"])


def hand(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Tell the hosts that there is something for them; the chain's work is done."""
    progress = BOOT.progress(operation.step)
    tx.emit_many(
        [
            event(
                context,
                "server.handed",
                server["id"],
                server["project_id"],
                [scopes.hypervisor(server["host"]), scopes.server(server["id"])],
                host=server["host"],
                position=progress.position,
                of=progress.of,
            )
            for server in _building(tx, operation)
        ]
    )


def _at_fault(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    building = _building(tx, operation)
    tx.emit_many([told(context, BOOT, operation, server, error=operation.error) for server in building])


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The servers end in ERROR with the reason."""
    put_error(tx, context, _building(tx, operation), operation.error or "")


def _building(tx: Tx, operation: Operation) -> list[Values]:
    """The operation's servers that are still wanted, held until the unit ends, in the request's order."""
    ids = list(operation.data["servers"])
    found = fetch(
        tx,
        SERVER,
        ids,
        [servers.c.vm_state == states.BUILDING, servers.c.wanted != states.WANT_GONE],
        lock=True,
    )
    order = {key: position for position, key in enumerate(ids)}
    return sorted(found, key=lambda one: order[one["id"]])


BOOT = Chain(
    "server.boot",
    (
        Step("schedule", schedule, undo=unschedule),
        Step("plug", plug, undo=unplug),
        Step("hand", hand),
    ),
    on_fault=_at_fault,
    on_failed=_failed,
    timeout_s=lambda parts: parts.config.build_timeout_s,
)
