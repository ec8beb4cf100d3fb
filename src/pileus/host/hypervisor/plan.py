"""Plan the work on each server, from what is desired and what is observed. Pure.

A server's way is always the same: a folder with its record, taps on the switch, a definition,
disks, and then the power that is wanted. A plan names what is missing of that, and nothing
where nothing is. A machine that went off by itself is left off: that it is, is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from pileus.drivers.libvirt.hypervisor import Power
from pileus.host.hypervisor.machine import tap_name
from pileus.host.hypervisor.records import Failure, Finished, Instance
from pileus.host.hypervisor.volumes import Refusal, VolumeWork, has_boot_volume, plan_volumes
from pileus.wire.hypervisor import PendingOperation, ServerDetails, ServerPort

HOST_RESTARTED = "the host was started again"
_SET_POWER = frozenset(("rescue", "unrescue"))
"""Operations that start the machine themselves, from what it shall be started from."""
_LEAVES = "migrate"
"""The operation by which a machine goes to another host."""
_OFF = frozenset((Power.OFF, Power.CRASHED))
_ON = frozenset((Power.RUNNING, Power.SHUTDOWN, Power.PAUSED, Power.SUSPENDED))


class View(msgspec.Struct, frozen=True):
    """One server as observed. ``power`` None: no domain; ``disk``: whether the root disk is there;
    ``interfaces``: taps of the running machine, None where nobody looked."""

    instance: Instance | None = None
    power: Power | None = None
    disk: bool = True
    interfaces: frozenset[str] | None = None
    host_restarted: bool = False
    """Whether the host has been started since the machine was last seen running."""
    stale: frozenset[str] = frozenset()
    """Taps of the running machine that were made anew under its cards."""
    refused: Mapping[str, Refusal] = {}
    """Volumes that it could not get or let go of."""


class Todo(msgspec.Struct, frozen=True):
    """The work on one server. ``attach`` and ``detach``: cards of the running machine; ``renew``:
    cards that are taken out and put in again. ``forget``: the disks of the machine before a resize.
    ``power``: verbs of the hypervisor in their order. ``applied``: what to remember afterwards."""

    build: bool = False
    forget: bool = False
    define: bool = False
    attach: tuple[ServerPort, ...] = ()
    detach: tuple[str, ...] = ()
    renew: tuple[ServerPort, ...] = ()
    volumes: VolumeWork = VolumeWork()
    power: tuple[str, ...] = ()
    applied: str = ""
    operations: tuple[PendingOperation, ...] = ()
    error: str | None = None
    because: str = ""
    """The reason for work that nobody asked for."""

    def __bool__(self) -> bool:
        return bool(
            self.build
            or self.forget
            or self.define
            or self.attach
            or self.detach
            or self.renew
            or self.volumes
            or self.power
            or self.operations
        ) or (self.error is not None)


def plan_server(
    server: ServerDetails,
    view: View,
    *,
    journal: Mapping[str, Finished],
    failure: Failure | None = None,
    resume: bool = True,
) -> Todo:
    """Plan the work on one server. ``journal``: operations that were begun or ended; ``failure``: a goal that
    was given up, which a new operation takes up again; ``resume``: whether what went off with the host is
    started again."""
    operations = tuple(
        operation
        for operation in server.operations
        if operation.operation_id not in journal or not journal[operation.operation_id].done
    )
    if failure is not None and is_given_up(server, failure) and not operations:
        return Todo()
    instance = view.instance
    if instance is not None and instance.built and instance.generation > server.generation:
        return Todo()  # older than what was fulfilled
    if instance is None or not instance.built or instance.generation < server.generation:
        power = ("start_paused",) if server.wanted == "paused" else ("start",)
        return Todo(
            build=True,
            define=True,
            power=() if server.wanted in ("stopped", "suspended") else power,
            applied=server.wanted,
            operations=operations,
        )
    if (departs := leaving(server, operations, journal)) is not None:
        return departs
    if not (view.disk or has_boot_volume(server)) and view.power not in _ON:
        return Todo(error="The root disk is missing on the host.")
    verbs = power_verbs(server.wanted, instance.applied, view.power)
    if any(operation.kind in _SET_POWER for operation in operations):
        verbs = ()
    resumed = went_with_the_host(server, view) and resume
    if resumed:
        verbs = ("start",)
    attach, detach, renew = _plan_cards(server, view)
    return Todo(
        forget=instance.kept and server.carried is None,
        define=view.power is None,
        attach=attach,
        detach=detach,
        renew=renew,
        volumes=plan_volumes(server, instance, view.refused),
        power=verbs,
        applied=server.wanted if server.wanted != instance.applied else "",
        operations=operations,
        because=HOST_RESTARTED if resumed else "",
    )


def _plan_cards(
    server: ServerDetails, view: View
) -> tuple[tuple[ServerPort, ...], tuple[str, ...], tuple[ServerPort, ...]]:
    """The cards of a running machine to be put in, taken out, and put in anew."""
    if view.power not in _ON:
        return (), (), ()
    wanted = {tap_name(port.port_id): port for port in server.ports}
    present = wanted.keys() if view.interfaces is None else view.interfaces
    return (
        tuple(port for name, port in wanted.items() if name not in present),
        tuple(sorted(present - wanted.keys())),
        tuple(port for name, port in wanted.items() if name in present and name in view.stale),
    )


def leaving(
    server: ServerDetails, operations: tuple[PendingOperation, ...], journal: Mapping[str, Finished]
) -> Todo | None:
    """Plan the work on a machine that goes to another host while it runs, or has gone; None for others."""
    if any(operation.kind == _LEAVES for operation in operations):
        return Todo(operations=operations)  # whatever stands still here may run elsewhere
    ended = [journal.get(one.operation_id) for one in server.operations if one.kind == _LEAVES]
    has_gone = any(one is not None and one.done and one.error is None for one in ended)
    return Todo() if has_gone else None


def went_with_the_host(server: ServerDetails, view: View) -> bool:
    """Whether a machine that shall run is off because its host went down, and for no reason of its own."""
    return (
        view.host_restarted
        and view.instance is not None
        and server.wanted == view.instance.applied == "running"
        and view.power not in _ON
    )


def power_verbs(wanted: str, applied: str, power: Power | None) -> tuple[str, ...]:
    """Verbs that lead from ``power``, reached on the way to ``applied``, to what is ``wanted``."""
    off = power in _OFF or power is None
    fresh = wanted != applied
    match wanted:
        case "running" if fresh and off:
            return ("start",)
        case "running" if fresh and power is not Power.RUNNING:
            return ("resume",)
        case "paused" if fresh and off:
            return ("start_paused",)
        case "paused" if fresh and power is not Power.PAUSED:
            return ("suspend",)
        case "stopped" if not off:
            return ("shutdown",)
        case "stopped" if applied == "suspended":
            return ("destroy",)  # the saved memory goes
        case "suspended" if not off:
            return ("save",)
    return ()


def needs_switch(todo: Todo) -> bool:
    """Whether this can't be done without the machine's ports."""
    starts = any(verb.startswith("start") for verb in todo.power)
    return bool(todo.build or todo.attach or todo.detach or todo.renew or starts or todo.operations)


def is_given_up(server: ServerDetails, failure: Failure) -> bool:
    """Whether what failed is still what is wanted."""
    return (failure.generation, failure.wanted) == (server.generation, server.wanted)


def in_place(server: ServerDetails, view: View) -> bool:
    """Whether a server was brought to where it should be (and may have gone off by itself since)."""
    instance = view.instance
    return (
        instance is not None
        and instance.built
        and instance.generation >= server.generation
        and instance.applied == server.wanted
        and view.power is not None
    )


class Housekeeping(msgspec.Struct, frozen=True):
    """The work on the host as a whole. ``plug``: ports to be on the switch, with their server;
    ``unplug``: names of interfaces of ours that nobody wants; ``remove``: servers to be gone."""

    plug: tuple[tuple[str, ServerPort], ...] = ()
    unplug: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def plan_house(
    wanted: Mapping[str, ServerDetails],
    present: Iterable[str],
    busy: Collection[str],
    given_up: Collection[str],
    held: Collection[str],
    plugged: Mapping[str, str],
    kept: Collection[str] = (),
) -> Housekeeping:
    """``present``: servers of which something is here; ``kept``: of which it stays, although they are
    elsewhere; ``given_up``: wanted, but undone; ``held``: taps that a machine may still hold;
    ``plugged``: tap to port id, of ours on the switch."""
    remove = tuple(
        sorted(key for key in present if key not in wanted and key not in busy and key not in kept)
    )
    ports: dict[str, tuple[str, ServerPort]] = {}
    for key, server in wanted.items():
        for port in server.ports if key not in given_up else ():
            name = tap_name(port.port_id)
            # Of two ports that need one name the one that has it keeps it.
            if name not in ports or plugged.get(name) == port.port_id:
                ports[name] = key, port
    return Housekeeping(
        plug=tuple(pair for name, pair in ports.items() if plugged.get(name) != pair[1].port_id),
        unplug=tuple(sorted(name for name in plugged if name not in ports and name not in held)),
        remove=remove,
    )
