"""Names of disks in a machine, as they are told to its hypervisor. Pure.

The first letter of each bus is the root disk's, the last of the machine's own bus the config drive's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
"""How disks on a bus are called."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FEW = {"sata": "abcdef", "ide": "abcd"}
"""Buses with room for few disks."""


def letters_of(bus: str, own_bus: str) -> str:
    """The letters that disks on a bus can have, without the config drive's."""
    letters = _FEW.get(bus, _LETTERS)
    return letters[:-1] if bus == own_bus else letters


def own_names(bus: str, many: int, *, volume_backed: bool) -> set[str]:
    """The names of a machine's own disks on its host, so ``many`` beside a root that is a volume or not."""
    first = 1 if volume_backed else 0
    return {PREFIXES[bus] + letter for letter in _LETTERS[first : first + many]}


def next_name(bus: str, taken: Collection[str], *, own_bus: str, root: bool = False) -> str | None:
    """The next free name on a bus of a machine whose own bus is ``own_bus``; None where there is no room."""
    letters = letters_of(bus, own_bus)
    names = (PREFIXES[bus] + letter for letter in (letters if root else letters[1:]))
    return next((name for name in names if name not in taken), None)


def target_names(
    wanted: Sequence[tuple[str, bool]], taken: Collection[str], *, own_bus: str
) -> list[str] | None:
    """Names for disks, each ``(bus, whether it is the root)``, beside those that are taken. None where there
    is no room."""
    found: list[str] = []
    for bus, root in wanted:
        name = next_name(bus, {*taken, *found}, own_bus=own_bus, root=root)
        if name is None:
            return None
        found.append(name)
    return found
