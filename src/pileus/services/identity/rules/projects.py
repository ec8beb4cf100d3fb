"""The tree of projects: a domain at its root, projects below it and each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def children_of(parents: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """The projects directly below each: from pairs of a project and its parent, in their order."""
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


def ancestors(parents: Mapping[str, str | None], project_id: str) -> list[str]:
    """All that is above a project, nearest first, its domain last."""
    found: list[str] = []
    at = parents.get(project_id)
    while at is not None and at not in found:
        found.append(at)
        at = parents.get(at)
    return found


def nested_above(parents: Mapping[str, str | None], project_id: str) -> dict[str, Any] | None:
    """The projects above one as a tree of ids: ``{parent: {its parent: None}}``."""
    tree: dict[str, Any] | None = None
    for one in reversed(ancestors(parents, project_id)):
        tree = {one: tree}
    return tree


def nested_below(children: Mapping[str, Iterable[str]], project_id: str) -> dict[str, Any] | None:
    """The projects below one as a tree of ids: ``{child: {its child: None}}``."""
    trees: dict[str, dict[str, Any] | None] = {}
    for one in reversed([project_id, *subtree(children, project_id)]):
        trees[one] = {child: trees[child] for child in children.get(one, ())} or None
    return trees[project_id]
