"""``pileus demo`` beside somebody else's things, and ``--clean``, which leaves the machine as it was."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.machine.conftest import CHECKOUT, Inside

pytestmark = pytest.mark.machine

THEIRS = f"{CHECKOUT}/tests/machine/theirs.sh"


STAYS = {"pileus", "virtlogd", "virtlogd.service"}
"""The server's user, which the command names, and libvirt's log daemon, which libvirt starts by itself."""


@pytest.fixture(scope="module")
def before(inside: Inside) -> Iterator[tuple[str, dict[str, Any]]]:
    """Somebody else's things as they are shown, and what the machine is like with them."""
    inside.run("systemctl start openvswitch-switch", 60)
    inside.run(f"{THEIRS} make")
    yield inside.run(f"{THEIRS} show"), without(STAYS, inside.facts())
    inside.run(f"{THEIRS} remove")


def test_the_demo_ends_with_a_guests_prompt(inside: Inside, before: tuple[str, dict[str, Any]]) -> None:
    began = time.monotonic()
    shown = inside.pileus("demo", 300)
    inside.timed("pileus demo", time.monotonic() - began)
    for step, seconds in re.findall(r"✓ (.*) \(([\d.]+) s\)", shown):
        inside.timed(f"  {step[:60]}", float(seconds))
    assert "Done in" in shown and "✗" not in shown
    assert "pileus" not in inside.run("pgrep -a ovs-vswitchd; pgrep -a libvirtd"), "systemd's own are used"
    assert inside.run("ovs-appctl dpif/show").startswith("system@"), "the kernel's datapath"
    log = inside.run("cat /var/lib/pileus/log/*.log")
    assert "Traceback" not in log, "nothing is wrong, and nothing says so"


def test_what_it_made_goes_and_nothing_else(inside: Inside, before: tuple[str, dict[str, Any]]) -> None:
    theirs, was = before
    inside.pileus("demo --clean", 120)
    assert inside.run(f"{THEIRS} show") == theirs
    assert differences(was, without(STAYS, inside.facts())) == {}
    inside.run("! ls /var/lib/pileus")


def without(names: set[str], facts: dict[str, Any]) -> dict[str, Any]:
    """Facts in which these are not told, whatever they are."""
    kept: dict[str, Any] = {}
    for kind, told in facts.items():
        if isinstance(told, dict):
            kept[kind] = {name: value for name, value in told.items() if name not in names}
        else:
            kept[kind] = [name for name in told if name not in names]
    return kept


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What came and what went, kind by kind."""
    found = {}
    for kind, was in before.items():
        now = after[kind]
        if isinstance(was, dict):
            names = {*was, *now}
            changed = {
                name: (was.get(name), now.get(name)) for name in names if was.get(name) != now.get(name)
            }
            if changed:
                found[kind] = changed
        else:
            came = [one for one in now if one not in was]
            went = [one for one in was if one not in now]
            if came or went:
                found[kind] = {"came": came, "went": went}
    return found
