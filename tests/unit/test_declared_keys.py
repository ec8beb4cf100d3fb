"""Values are dictionaries, so mypy proves nothing of their keys: each key that code names is declared.

Looked at are parameters annotated as Values, or several, or Updates, and what loops over them give.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pileus.services
from pileus.core.clock import ManualClock
from pileus.resource.declaration import Resource
from pileus.services.network.agents.resource import agent_resource
from pileus.services.network.service import FOLLOWERS, NetworkConfig

ROOT = Path(pileus.services.__path__[0])
SERVICES = ("identity", "network", "image", "volume", "compute")
ONE = {"Values", "Values | None"}
SEVERAL = {f"{kind}[Values]" for kind in ("list", "Sequence", "Iterable", "Collection")}
UPDATES = {f"{kind}[Update]" for kind in ("list", "Sequence", "Iterable")}


def declared(service: str) -> set[str]:
    """The attributes of all resources of a service, with the other names of their columns."""
    names: set[str] = set()
    package = f"pileus.services.{service}"
    for module in pkgutil.walk_packages([str(ROOT / service)], f"{package}."):
        for value in vars(importlib.import_module(module.name)).values():
            for resource in _resources_in(value):
                names |= resource.attributes.keys() | resource.aliases.keys()
                names |= set(resource.table.columns.keys()) if resource.table is not None else set()
    if service == "network":
        names |= agent_resource(ManualClock(), NetworkConfig(followers=FOLLOWERS)).attributes.keys()
    return names


def _resources_in(value: Any) -> list[Resource]:
    """A module's resource, or those of a table of them."""
    several = list(value.values()) if isinstance(value, dict) else value
    several = list(several) if isinstance(several, list | tuple) else [several]
    return [one for one in several if isinstance(one, Resource)]


def named(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, int]]:
    """The keys that a function names, with their lines."""
    one, several, update, updates = set(), set(), set(), set()
    for argument in (*function.args.args, *function.args.kwonlyargs):
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        for kinds, names in ((ONE, one), (SEVERAL, several), ({"Update"}, update), (UPDATES, updates)):
            if kind in kinds:
                names.add(argument.arg)
    for node in ast.walk(function):
        loops = [node] if isinstance(node, ast.For) else getattr(node, "generators", [])
        for loop in loops:
            if isinstance(loop.target, ast.Name) and isinstance(loop.iter, ast.Name):
                if loop.iter.id in several:
                    one.add(loop.target.id)
                if loop.iter.id in updates:
                    update.add(loop.target.id)
    for node in ast.walk(function):
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)):
            continue
        key, value = node.slice.value, node.value
        of_one = isinstance(value, ast.Name) and value.id in one
        of_update = (
            isinstance(value, ast.Attribute)
            and value.attr in ("original", "changes")
            and isinstance(value.value, ast.Name)
            and value.value.id in update
        )
        if isinstance(key, str) and (of_one or of_update):
            yield key, node.lineno


@pytest.mark.parametrize("service", SERVICES)
def test_each_key_is_declared(service: str) -> None:
    known, looked_at, wrong = declared(service), 0, []
    for file in sorted((ROOT / service).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for key, line in named(node):
                    looked_at += 1
                    if key not in known:
                        wrong.append(f"{file.relative_to(ROOT)}:{line}: {key!r}")
    assert looked_at > 10
    assert not wrong, "keys that no resource declares:\n" + "\n".join(wrong)
