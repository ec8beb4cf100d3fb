"""The boot of servers: a chain of steps that are written down, resumed by whoever takes them, and undone.

One operation is one request, for one server or many.

    schedule   choose hosts, claim room on them       undone: the room is given back, the servers have no host
    plug       make ports, bind those that were given undone: made ports go, given ones are free again
    hand       tell the hosts; the operation is done

Servers with volumes have two steps more before the last (``boot_volumes.py``).

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
from pileus.flow.chain import Chain, Step, Wait
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.services.compute.errors import PortBindingFailed
from pileus.services.compute.nodes.providers import with_providers
from pileus.services.compute.nodes.reading import hosts_for_scheduler
from pileus.services.compute.rules import states
from pileus.services.compute.rules.asks import question_of, room_of
from pileus.services.compute.rules.scheduler import Choice, Wanted, choose_many, sentence
from pileus.services.compute.servers.attached import holders_of
from pileus.services.compute.servers.chains.boot_volumes import (
    CONNECT,
    HAND,
    KIND,
    VOLUMES,
    connect,
    made_over,
    make,
    opened_over,
    servers_building,
    volumes_hand,
    wait_no_longer,
)
from pileus.services.compute.servers.chains.common import Parts, disk_timeout_s, task_timeout_s, told
from pileus.services.compute.servers.chains.placing import CLAIMS, claim_of, group_wishes, with_bandwidth
from pileus.services.compute.servers.cleanup import (
    allocations_release,
    boot_undo,
    ports_release,
    put_error,
    volumes_release,
)
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
    building = servers_building(tx, operation)
    if not building:
        return
    hosts = hosts_for_scheduler(tx, config, context.now)
    given = [one["port_id"] for one in operation.data["plugs"] if one["port_id"]]
    bandwidth = guarantees_asked(tx, given)
    hosts = with_bandwidth(tx, hosts, bandwidth)
    wanted = _wanted(tx, operation, building, bandwidth)
    if any(one.question is not None for one in wanted):
        hosts = with_providers(tx, hosts, config.manner.ratios)
    choices = choose_many(hosts, wanted, config.manner)
    placed = [pair for pair in zip(building, choices, strict=True) if pair[1].chosen is not None]
    refused = [pair for pair in zip(building, choices, strict=True) if pair[1].chosen is None]
    _place(tx, context, operation, placed)
    _refuse(tx, context, operation, refused, parts)


def unschedule(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Give the room back; the servers have no host."""
    building = servers_building(tx, operation)
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
            **room_of(server, server["flavor"]["extra_specs"]),
            question=question_of(server["flavor"]["extra_specs"], data["image"]),
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
        claims.append(claim_of(server, host.host, choice.resources))
        happened.append(
            told(
                context,
                _chain(operation),
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


def _refuse(
    tx: Tx,
    context: Context,
    operation: Operation,
    refused: Sequence[tuple[Values, Choice]],
    parts: Parts,
) -> None:
    together: dict[str, list[Values]] = {}
    for server, choice in refused:
        text = sentence(choice)
        together.setdefault(text, []).append(server)
        tx.emit(
            told(
                context,
                _chain(operation),
                operation,
                server,
                started_at=server["created_at"],
                detail=f"none of {choice.considered} hosts",
                error=text,
                refused=[refusal._asdict() for refusal in choice.refusals],
            )
        )
    for text, several in together.items():
        volumes_release(tx, context, several, parts.volumes)
        put_error(tx, context, several, text, details="NoValidHost")


def plug(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Make the servers' ports on their hosts, and bind those that were given; all of them in one unit.

    Raises what the network service refuses.
    """
    config, network = parts.config, parts.network
    data = operation.data
    building = servers_building(tx, operation)
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
    task = states.SPAWNING if _chain(operation) is BOOT else states.BLOCK_DEVICE_MAPPING
    if building:
        SERVER.change(tx, context, [Update(server, Values({"task_state": task})) for server in building])
    tx.emit_many(
        [
            told(context, _chain(operation), operation, server, "ports", detail=f"{len(data['plugs'])} ports")
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
            tx.emit(told(context, _chain(operation), operation, server, "ports", error=text))
            boot_undo(tx, context, [server], text, network=parts.network, volumes=parts.volumes)
    return [server for server in building if server["id"] not in why]


def unplug(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Made ports go, given ones are free again."""
    ports_release(tx, context, servers_building(tx, operation), network=parts.network)


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


def hand_with_volumes(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The same, of those whose volumes are open."""
    volumes_hand(tx, context, operation, parts)
    hand(tx, context, operation, parts)


def hand(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """Tell the hosts that there is something for them; the chain's work is done."""
    progress = _chain(operation).progress(operation.step)
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
            for server in servers_building(tx, operation)
        ]
    )


def _at_fault(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    building = servers_building(tx, operation)
    tx.emit_many(
        [told(context, _chain(operation), operation, server, error=operation.error) for server in building]
    )


def _failed(tx: Tx, context: Context, operation: Operation, parts: Parts) -> None:
    """The servers end in ERROR with the reason."""
    several = servers_building(tx, operation)
    volumes_release(tx, context, several, parts.volumes)
    put_error(tx, context, several, operation.error or "")


def _chain(operation: Operation) -> Chain:
    return VOLUME_BOOT if operation.kind == VOLUME_BOOT.kind else BOOT


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
VOLUME_BOOT = Chain(
    KIND,
    (
        Step("schedule", schedule, undo=unschedule),
        Step("plug", plug, undo=unplug),
        Step(VOLUMES, make, wait=Wait(disk_timeout_s, over=made_over, late=wait_no_longer, at_once=True)),
        Step(
            CONNECT, connect, wait=Wait(task_timeout_s, over=opened_over, late=wait_no_longer, at_once=True)
        ),
        Step(HAND, hand_with_volumes),
    ),
    on_fault=_at_fault,
    on_failed=_failed,
    timeout_s=lambda parts: parts.config.build_timeout_s + parts.config.disk_timeout_s,
)
