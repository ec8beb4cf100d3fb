"""Imports go one way: each must be drawn in docs/architecture.md."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pileus"
PAGE = ROOT / "docs" / "architecture.md"


def arrows() -> dict[str, set[str]]:
    block = re.search(r"```arrows\n(.*?)```", PAGE.read_text(), re.S)
    assert block, "docs/architecture.md has a block of arrows"
    drawn = {}
    for line in block[1].splitlines():
        room, _, others = line.partition("->")
        drawn[room.strip()] = set(others.split())
    return drawn


def room_of(module: str, rooms: set[str]) -> str | None:
    """The room of ``pileus.services.network.ports``: the longest drawn folder that holds it."""
    parts = module.split(".")[1:]
    for length in (2, 1):
        name = "/".join(parts[:length])
        if name in rooms:
            return name
    return None


@functools.cache
def imports(file: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_every_import_is_drawn() -> None:
    drawn = arrows()
    wrong = []
    for file in sorted(SOURCE.rglob("*.py")):
        module = "pileus." + str(file.relative_to(SOURCE).with_suffix("")).replace("/", ".")
        room = room_of(module, set(drawn))
        if room is None:
            assert file.parent == SOURCE or not file.read_text().strip(), f"{file} is in no drawn room"
            continue
        for line, name in imports(file):
            if not name.startswith("pileus."):
                continue
            other = room_of(name, set(drawn))
            if other is not None and other != room and other not in drawn[room]:
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {room} -> {other} ({name})")
    assert not wrong, "arrows that docs/architecture.md does not draw:\n" + "\n".join(wrong)


def test_every_arrow_is_used() -> None:
    drawn = arrows()
    used: dict[str, set[str]] = {room: set() for room in drawn}
    for name, file in modules().items():
        room = room_of(name, set(drawn))
        if room is not None:
            used[room] |= {
                other
                for _, target in imports(file)
                if target.startswith("pileus.") and (other := room_of(target, set(drawn)))
            }
    unused = [f"{room} -> {other}" for room in drawn for other in sorted(drawn[room] - used[room])]
    assert not unused, "arrows in docs/architecture.md that no import uses"


def test_arrows_go_one_way() -> None:
    drawn = arrows()
    order: list[str] = []

    def visit(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, f"a circle: {' -> '.join((*path, room))}"
        for other in drawn[room]:
            assert other in drawn, f"{room} -> {other}: there is no such room"
            visit(other, (*path, room))
        if room not in order:
            order.append(room)

    for room in drawn:
        visit(room, ())
    assert set(order) == set(drawn)


def test_agents_can_not_reach_the_database_and_services_no_host() -> None:
    drawn = arrows()
    for room in ("host", "drivers", "wire", "core"):
        assert not drawn[room] & {"store", "web", "bus"}
    for room in drawn:
        if room.startswith("services/"):
            assert not drawn[room] & {"drivers", "host", "bus"}


# -- circles, sizes


KNOTTED: set[str] = set()
"""Packages in which there are circles still. It only gets shorter."""

GROUND = ("tables", "targets")
"""Files of nouns on which every noun of a service may stand: tables, and what policy rules look at."""

LONG_FUNCTIONS: set[str] = set()
"""Functions that are too long still. It only gets shorter."""

LONG_TABLES = {
    "web/tags.py: tag_routes",
}
"""Long functions that are one table and hold no decision."""

LONGEST_FILE, LONGEST_FUNCTION = 500, 60


def modules() -> dict[str, Path]:
    """Every module by its name; a package is named without ``__init__``."""
    found = {}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = ["pileus", *file.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Sets of more than one node in which each leads to each (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(set(stack[at:]))
            del stack[at:]

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a", "g"}, "g": set()}
    assert sorted(map(sorted, circles(edges))) == [["a", "b", "c"], ["d", "e"]]


def test_no_package_has_a_circle_inside() -> None:
    """Neither folders nor files beside each other import each other, not even round a corner or for types."""
    known = modules()
    packages = [name for name, file in known.items() if file.name == "__init__.py"]
    edges: dict[str, dict[str, set[str]]] = {package: {} for package in packages}
    reasons: dict[tuple[str, str, str], str] = {}
    for name, file in known.items():
        for line, target in imports(file):
            while target not in known and "." in target:
                target = target.rpartition(".")[0]
            if target.rpartition(".")[2] in GROUND:
                continue
            for package in packages:
                here, there = (
                    one.removeprefix(package + ".").partition(".")[0] if one.startswith(package + ".") else ""
                    for one in (name, target)
                )
                if here and there and here != there:
                    edges[package].setdefault(here, set()).add(there)
                    reasons.setdefault((package, here, there), f"{file.relative_to(ROOT)}:{line}")
    wrong = []
    for package in packages:
        found = circles(edges[package])
        if package in KNOTTED:
            if not found:
                wrong.append(f"{package} has no circle any more: take it out of KNOTTED")
            continue
        for circle in found:
            wrong.append(f"{package}: a circle of {', '.join(sorted(circle))}:")
            wrong += [
                f"    {here} -> {there} ({reasons[package, here, there]})"
                for here in sorted(circle)
                for there in sorted(edges[package][here] & circle)
            ]
    assert not wrong, "\n".join(wrong)


def floors(service: str) -> dict[str, int]:
    """The floor of each folder and file of a service, lowest first, as docs/architecture.md draws them."""
    block = re.search(rf"```floors {service}\n(.*?)```", PAGE.read_text(), re.S)
    assert block, f"docs/architecture.md has a block of the floors of {service}"
    return {name: floor for floor, line in enumerate(block[1].splitlines()) for name in line.split()}


@pytest.mark.parametrize("service", re.findall(r"```floors (\S+)\n", PAGE.read_text()))
def test_nouns_stand_on_floors(service: str) -> None:
    """Folders and files of a service import lower floors only; tables and targets are the ground of all."""
    drawn = floors(service)
    prefix = f"pileus.{service.replace('/', '.')}."
    wrong, seen = [], set()
    for name, file in modules().items():
        if not name.startswith(prefix):
            continue
        here, _, rest = name.removeprefix(prefix).partition(".")
        seen.add(here)
        for line, target in imports(file):
            if not target.startswith(prefix):
                continue
            parts = target.removeprefix(prefix).split(".")
            ground = len(parts) > 1 and parts[1] in GROUND
            if rest in GROUND:
                allowed = ground or parts[0] == "common"
            else:
                allowed = ground or parts[0] == here or drawn[parts[0]] < drawn[here]
            if not allowed:
                wrong.append(f"{file.relative_to(ROOT)}:{line}: {here} -> {target.removeprefix(prefix)}")
    assert not wrong, "imports that go upwards:\n" + "\n".join(wrong)
    assert seen == set(drawn), "the floors that are drawn, and the folders that are there"


def test_no_file_and_no_function_is_too_long() -> None:
    files, functions = [], set()
    for file in modules().values():
        text, place = file.read_text(), file.relative_to(SOURCE).as_posix()
        if text.count("\n") > LONGEST_FILE:
            files.append(place)
        if place.startswith("store/migrations/"):
            continue  # tables, and never changed
        for node in ast.walk(ast.parse(text)):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                functions.add(f"{place}: {node.name}")
    assert not files, f"more than {LONGEST_FILE} lines"
    allowed = LONG_FUNCTIONS | LONG_TABLES
    assert not functions - allowed, f"more than {LONGEST_FUNCTION} lines"
    assert not allowed - functions, "no longer too long: take them out of the lists"


# -- roles


READS_ROLES = {
    "core/context.py",  # hands them to the policy
    "services/identity/sessions/session.py",  # where the context of a token is made
    "services/identity/rules/standing.py",  # roles are what is compared: whose are above whose
    "services/identity/standing/guard.py",  # hands them to those rules
}
"""Files other than the policy's own that look at the roles of a caller."""

ROLE_NAMES = {"admin", "itsec", "manager", "member", "netadmin", "projectmanager", "reader", "service"}


def role_readings(tree: ast.AST) -> Iterator[int]:
    """The lines where a caller's roles are read, or a role is looked for among some."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "roles":
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name in ("context", "caller", "self"):
                yield node.lineno
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            named = isinstance(node.left, ast.Constant) and node.left.value in ROLE_NAMES
            among = isinstance(node.ops[0], ast.In | ast.NotIn)
            inside = any(isinstance(one, ast.Attribute) and one.attr == "roles" for one in map_walk(sides))
            if inside or (named and among):
                yield node.lineno


def map_walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


@pytest.mark.parametrize(
    "text",
    [
        '"admin" in context.roles',
        '"admin" not in request.context.roles',
        'set(context.roles) & {"admin"}',
        'any(role == "admin" for role in self.context.roles)',
        "is_admin(context.roles)",
        '"service" in names',
        "wanted <= set(session.roles)",
    ],
)
def test_role_readings_are_found(text: str) -> None:
    assert list(role_readings(ast.parse(text)))


def test_no_role_is_compared_outside_of_the_policy() -> None:
    """Who may do what is asked of the policy, so that an operator's rules count everywhere."""
    found = {}
    for file in modules().values():
        place = file.relative_to(SOURCE).as_posix()
        lines = list(role_readings(ast.parse(file.read_text())))
        if lines and not place.startswith("policy/"):
            found[place] = lines
    wrong = {place: lines for place, lines in found.items() if place not in READS_ROLES}
    assert not wrong, f"roles that are compared inline: {wrong}"
    assert not READS_ROLES - found.keys(), "no longer there: take them out of the list"
