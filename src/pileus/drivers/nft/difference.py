"""From the table that is there to the one that shall be: the fewest commands, for one atomic load.

Sets and maps change by single elements. A chain whose rules differ is emptied and written
anew within the same load, so that packets see the old rules or the new ones. What nothing
can change in place (a set's type, a chain's hook) means the table is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pileus.drivers.nft.table import (
    Base,
    Chain,
    Command,
    Element,
    InstalledChain,
    InstalledSet,
    InstalledTable,
    NamedSet,
    Table,
    chain_body,
    elements_body,
    object_body,
    rule_body,
    set_body,
)


def difference(wanted: Table, installed: InstalledTable | None) -> list[Command]:
    """The commands that make ``installed`` (None: there is no such table) into ``wanted``; empty if it is."""
    if wanted.absent:
        return [{"delete": _table(wanted)}] if installed is not None else []
    if installed is not None and not _fits(wanted, installed):
        return [{"delete": _table(wanted)}, *difference(wanted, None)]
    present = installed if installed is not None else InstalledTable()
    commands: list[Command] = [] if installed is not None else [{"add": _table(wanted)}]
    where = (wanted.family, wanted.name)
    # Names are there before rules use them, and go after rules have let go of them.
    for declared in wanted.sets:
        commands += _set_commands(where, declared, present.sets.get(declared.name))
    commands += [
        {"add": object_body(*where, one.kind, one.name, one)}
        for one in wanted.objects
        if (one.kind, one.name) not in present.objects
    ]
    commands += [
        {"add": chain_body(*where, chain.name, chain.base)}
        for chain in wanted.chains
        if chain.name not in present.chains
    ]
    chains = {chain.name for chain in wanted.chains}
    gone = [name for name in present.chains if name not in chains]
    commands += [{"flush": chain_body(*where, name)} for name in gone]
    for chain in wanted.chains:
        commands += _rule_commands(where, chain, present.chains.get(chain.name))
    commands += [{"delete": chain_body(*where, name)} for name in gone]
    names = {declared.name for declared in wanted.sets}
    commands += [
        {"delete": set_body(*where, old.declared)} for name, old in present.sets.items() if name not in names
    ]
    objects = {(one.kind, one.name) for one in wanted.objects}
    commands += [{"delete": object_body(*where, *key)} for key in present.objects if key not in objects]
    return commands


def _fits(wanted: Table, installed: InstalledTable) -> bool:
    """Whether what is there can become what is wanted without being made anew."""
    sets = (installed.sets[s.name].declared.shape == s.shape for s in wanted.sets if s.name in installed.sets)
    chains = (
        installed.chains[c.name].base == _shown(c.base) for c in wanted.chains if c.name in installed.chains
    )
    return all(sets) and all(chains)


def _shown(base: Base | None) -> Base | None:
    return msgspec.structs.replace(base, device="") if base is not None and base.device else base


def _set_commands(where: tuple[str, str], wanted: NamedSet, present: InstalledSet | None) -> list[Command]:
    if present is None:
        return [{"add": set_body(*where, wanted, wanted.elements)}]
    by_key = {element.key: element for element in wanted.elements}
    # An element's value can't be changed in place: it goes and comes, within one load.
    gone: list[Element] = [old for key, old in present.elements.items() if by_key.get(key) != old]
    come = [new for key, new in by_key.items() if present.elements.get(key) != new]
    commands: list[Command] = []
    if gone:
        commands.append({"delete": elements_body(*where, wanted.name, gone)})
    if come:
        commands.append({"add": elements_body(*where, wanted.name, come)})
    return commands


def _rule_commands(where: tuple[str, str], wanted: Chain, present: InstalledChain | None) -> list[Command]:
    comments = [rule.comment for rule in wanted.rules]
    before: Sequence[str] = present.comments if present is not None else ()
    if comments == list(before):
        return []
    commands: list[Command] = [{"flush": chain_body(*where, wanted.name)}] if before else []
    return commands + [{"add": rule_body(*where, wanted.name, rule)} for rule in wanted.rules]


def _table(wanted: Table) -> Command:
    return {"table": {"family": wanted.family, "name": wanted.name}}
