"""Imports go one way: each must be drawn in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

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


def imports(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


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
