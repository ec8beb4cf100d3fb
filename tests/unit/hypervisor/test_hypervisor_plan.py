"""Plans for one server and for the house: values in, values out."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from pileus.drivers.libvirt.hypervisor import Power
from pileus.host.hypervisor.machine import domain_spec, port_ids, power_state, tap_name
from pileus.host.hypervisor.plan import (
    Housekeeping,
    Todo,
    View,
    in_place,
    plan_house,
    plan_server,
    power_verbs,
)
from pileus.host.hypervisor.records import Failure, Finished, Instance, Places
from pileus.host.hypervisor.settings import NodeSettings
from pileus.wire.hypervisor import PendingOperation, ServerDetails

from .bench import details, port, server_id

ONE = server_id(1)


def there(applied: str = "running", power: Power | None = Power.RUNNING, generation: int = 1) -> View:
    return View(Instance(ONE, generation, built=True, applied=applied), power)


def todo(server: ServerDetails, view: View, **more: object) -> Todo:
    return plan_server(server, view, journal={}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "applied", "power", "verbs"),
    [
        ("running", "running", Power.RUNNING, ()),
        ("running", "running", Power.OFF, ()),  # it went by itself
        ("running", "running", Power.PAUSED, ()),
        ("running", "", Power.OFF, ("start",)),
        ("running", "", Power.RUNNING, ()),  # killed between the start and the word of it
        ("running", "stopped", Power.OFF, ("start",)),
        ("running", "suspended", Power.OFF, ("start",)),
        ("running", "paused", Power.PAUSED, ("resume",)),
        ("running", "stopped", None, ("start",)),
        ("paused", "running", Power.RUNNING, ("suspend",)),
        ("paused", "stopped", Power.OFF, ("start_paused",)),
        ("paused", "paused", Power.PAUSED, ()),
        ("stopped", "running", Power.RUNNING, ("shutdown",)),
        ("stopped", "stopped", Power.RUNNING, ("shutdown",)),  # somebody started it behind our back
        ("stopped", "running", Power.OFF, ()),
        ("stopped", "suspended", Power.OFF, ("destroy",)),
        ("suspended", "running", Power.RUNNING, ("save",)),
        ("suspended", "suspended", Power.OFF, ()),
    ],
)
def test_power(wanted: str, applied: str, power: Power | None, verbs: tuple[str, ...]) -> None:
    assert power_verbs(wanted, applied, power) == verbs


def test_what_is_as_wanted_lacks_nothing() -> None:
    assert not todo(details(1), there())
    assert in_place(details(1), there())


def test_what_is_not_there_or_half_made_is_built() -> None:
    for view in (View(), View(Instance(ONE, 1)), View(Instance(ONE, 0, built=True), Power.RUNNING)):
        plan = todo(details(1), view)
        assert (plan.build, plan.define, plan.power, plan.applied) == (True, True, ("start",), "running")
    assert todo(details(1, wanted="stopped"), View()).power == ()
    assert todo(details(1, wanted="paused"), View()).power == ("start_paused",)


def test_an_older_generation_is_not_followed() -> None:
    assert not todo(details(1, generation=2, wanted="stopped"), there(generation=3))


def test_what_was_given_up_rests_until_the_goal_is_another() -> None:
    failure = Failure(1, "running", "no disk")
    assert not todo(details(1), View(), failure=failure)
    assert todo(details(1, generation=2), View(), failure=failure).build
    assert todo(details(1, wanted="stopped"), View(), failure=failure).build
    reboot = PendingOperation("o1", "reboot")
    assert todo(details(1, operations=(reboot,)), View(), failure=failure).build


def test_an_operation_that_ended_is_not_done_again() -> None:
    server = details(1, operations=(PendingOperation("o1", "reboot"), PendingOperation("o2", "reboot")))
    journal = {"o1": Finished(ONE, done=True), "o2": Finished(ONE, "starting")}
    assert [one.operation_id for one in plan_server(server, there(), journal=journal).operations] == ["o2"]


def test_a_missing_disk_is_an_error_only_of_a_machine_that_is_off() -> None:
    off = replace(there("stopped", Power.OFF), disk=False)
    assert todo(details(1), off).error
    assert not todo(details(1), replace(there(), disk=False))


def test_cards_of_a_running_machine() -> None:
    view = replace(there(), interfaces=frozenset({tap_name(port(1).port_id), tap_name(port(2).port_id)}))
    plan = todo(details(1, ports=(port(1), port(3))), view)
    assert plan.attach == (port(3),)
    assert plan.detach == (tap_name(port(2).port_id),)
    off = replace(view, power=Power.OFF, instance=Instance(ONE, 1, built=True, applied="stopped"))
    assert not todo(details(1, wanted="stopped", ports=(port(3),)), off)


def test_the_house() -> None:
    wanted = {ONE: details(1), server_id(2): details(2), server_id(3): details(3)}
    plugged = {tap_name(port(1).port_id): port(1).port_id, "tapold": "old", "tapheld": "held"}
    house = plan_house(
        wanted,
        present=[ONE, server_id(8), server_id(9)],
        busy={server_id(9)},
        given_up={server_id(3)},
        held={"tapheld"},
        plugged=plugged,
    )
    assert house == Housekeeping(plug=((server_id(2), port(2)),), unplug=("tapold",), remove=(server_id(8),))


def test_the_machine() -> None:
    places, settings = Places(folder=Path("/i/x")), NodeSettings(instances=Path("/i"), offloads=False)
    spec = domain_spec(details(1, ephemeral_gib=1), places, settings)
    assert [(disk.target, disk.path, disk.read_only) for disk in spec.disks] == [
        ("vda", "/i/x/disk", False),
        ("vdb", "/i/x/disk.eph0", False),
        ("vdz", "/i/x/disk.config", True),
    ]
    assert (spec.console_log, spec.tcg_cache_mib, spec.name) == ("/i/x/console.log", 128, f"pileus-{ONE}")
    assert [(card.tap, card.mtu, card.offloads) for card in spec.interfaces] == [
        ("tap00000001-11", 1450, False)
    ]
    plain = domain_spec(details(1, config_drive=None), places, replace(settings, kvm=True))
    assert (len(plain.disks), plain.tcg_cache_mib) == (1, None)


def test_power_as_nova_counts_it() -> None:
    assert power_state(Power.OFF, "suspended") == 7
    assert power_state(Power.OFF, "running") == 4
    assert power_state(None, "running") == 0


def test_a_card_is_found_by_its_alias() -> None:
    definition = (
        "<domain><devices><interface><alias name='ua-net-00000001-1111'/></interface></devices></domain>"
    )
    assert port_ids(definition, "tap00000001-11") == ["00000001-1111"]
    assert port_ids(definition, "tap00000002-11") == []
