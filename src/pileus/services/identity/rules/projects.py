"""The tree of projects: a domain at its root, projects below it and each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def children_of(parents: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """What is directly below each: from pairs of a project and its parent, in their order."""
    found: dict[str, list[str]] = {}
    for project_id, parent_id in parents:
        if parent_id is not None:
            found.setdefault(parent_id, []).append(project_id)
    return found


def subtree(children: Mapping[str, Iterable[str]], root: str) -> list[str]:
    """All that is below ``root``, nearest first; not ``root`` itself."""
    found = list(children.get(root, ()))
    for one in found:
        found.extend(children.get(one, ()))
    return found
