"""The lock files hold what pyproject.toml asks for, and pyproject.toml names what is imported."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FILES = ("build.txt", "run.txt", "libvirt.txt", "test.txt")


def locked(file: str) -> dict[str, tuple[Version, int]]:
    """Name to version and number of hashes; every line must be one of the two."""
    found: dict[str, tuple[Version, int]] = {}
    name = ""
    for line in (ROOT / "lock" / file).read_text().splitlines():
        if entry := re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)( ; .+?)?( \\)?", line):
            name = canonicalize_name(entry[1])
            found[name] = (Version(entry[2]), 0)
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            found[name] = (found[name][0], found[name][1] + 1)
        else:
            assert re.match(r" *#", line), f"{file}: {line}"
    return found


def wanted(requirements: list[str]) -> list[Requirement]:
    return [one for one in map(Requirement, requirements) if one.name != "pileus"]


@pytest.mark.parametrize("file", FILES)
def test_every_entry_has_its_hashes_and_no_index_is_named(file: str) -> None:
    entries = locked(file)
    assert entries
    assert all(hashes for _, hashes in entries.values())
    assert "://" not in re.sub(r"(?m)^ *#.*", "", (ROOT / "lock" / file).read_text())


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        ("run.txt", PROJECT["dependencies"]),
        ("libvirt.txt", EXTRAS["libvirt"]),
        (
            "test.txt",
            [
                *PROJECT["dependencies"],
                *(one for name in EXTRAS if name != "libvirt" for one in EXTRAS[name]),
            ],
        ),
        ("build.txt", ["hatchling", "editables", "setuptools"]),
    ],
)
def test_what_is_asked_for_is_locked_at_a_version_that_will_do(file: str, requirements: list[str]) -> None:
    entries = locked(file)
    for one in wanted(requirements):
        version, _ = entries[canonicalize_name(one.name)]
        assert one.specifier.contains(version, prereleases=True), f"{one}: run lock/update"


def test_files_that_are_installed_together_agree() -> None:
    versions: dict[str, Version] = {}
    for file in FILES:
        for name, (version, _) in locked(file).items():
            assert versions.setdefault(name, version) == version, name


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    imported = set()
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    imported -= set(sys.stdlib_module_names) | {"pileus"}
    packages = importlib.metadata.packages_distributions()
    used = {canonicalize_name(name) for module in imported for name in packages.get(module, [module])}
    extras = [one for name in ("postgresql", "mariadb", "rabbitmq", "libvirt") for one in EXTRAS[name]]
    declared = {canonicalize_name(one.name) for one in wanted([*PROJECT["dependencies"], *extras])}
    # Named in a URL, used by uvicorn's protocols that ours are made of, not there on every machine.
    drivers = {"psycopg", "pymysql", "httptools", "wsproto", "libvirt-python"}
    assert used - {"libvirt"} <= declared
    assert declared - drivers <= used
