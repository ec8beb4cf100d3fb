"""The revisions of this code: one line of descent for each service.

``<service>/NNNN_what.py`` is a revision: a docstring and ``upgrade()``, which speaks to ``alembic.op``.
``<service>/HEAD`` lists the names of the line, newest first, so that two people who each add a revision get a
conflict when their work is merged. What is there and not listed, listed and not there, or numbered twice
raises BrokenLine: at each start, and in a test.

Up to ``LAST_SHARED`` all services had one line between them; those revisions run in the order of their
numbers, before all others. Later numbers go up within a service; services come in the order of ``SERVICES``.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import msgspec

FOLDER = Path(__file__).parent
SERVICES = ("store", "identity", "image", "network", "volume", "compute")
LAST_SHARED = "0018"

_NAME = re.compile(r"\d{4}_[a-z0-9_]+")


class BrokenLine(RuntimeError):
    """The revisions of a service are not the ones that its HEAD lists."""


class Revision(msgspec.Struct, frozen=True, order=True):
    """A revision: ``identity``, ``0003_identity``."""

    service: str
    name: str

    def __str__(self) -> str:
        return f"{self.service}/{self.name}"

    @property
    def number(self) -> str:
        return self.name[:4]


def read_lines(folder: Path = FOLDER) -> dict[str, tuple[Revision, ...]]:
    """The revisions by service, oldest first. Raises BrokenLine."""
    return {service: _read_line(folder / service) for service in SERVICES}


def _read_line(folder: Path) -> tuple[Revision, ...]:
    listed = (folder / "HEAD").read_text().split()[::-1]
    there = {path.stem for path in folder.glob("*.py")}
    if odd := sorted(name for name in {*listed, *there} if not _NAME.fullmatch(name)):
        raise BrokenLine(f"{folder}: {', '.join(odd)} is no name of a revision (NNNN_what)")
    numbers = [name[:4] for name in listed]
    if numbers != sorted(set(numbers)):
        raise BrokenLine(f"{folder}/HEAD: a number is there twice, or out of order: {' '.join(listed)}")
    if unlisted := sorted(there - {*listed}):
        raise BrokenLine(f"{folder}/HEAD does not list {', '.join(unlisted)}")
    if missing := sorted({*listed} - there):
        raise BrokenLine(f"{folder}/HEAD lists {', '.join(missing)}, which is not there")
    return tuple(Revision(folder.name, name) for name in listed)


@functools.cache
def known() -> tuple[Revision, ...]:
    """All revisions of this code, in the order in which they run. Raises BrokenLine."""
    return tuple(in_order(revision for line in read_lines().values() for revision in line))


def heads() -> tuple[Revision, ...]:
    """The newest revision of each service."""
    newest = {revision.service: revision for revision in known()}
    return tuple(newest[service] for service in SERVICES if service in newest)


def in_order(revisions: Iterable[Revision]) -> list[Revision]:
    """The same revisions in the order in which they run."""

    def key(revision: Revision) -> tuple[bool, int, str]:
        shared = revision.number <= LAST_SHARED
        known_service = revision.service in SERVICES
        place = SERVICES.index(revision.service) if known_service and not shared else -1
        return (not shared, place, revision.number)

    return sorted(revisions, key=key)


def next_name(service: str, message: str) -> str:
    """The name of the revision to come."""
    newest = max([LAST_SHARED, *(one.number for one in known() if one.service == service)])
    words = re.sub(r"[^a-z0-9]+", "_", message.lower()).strip("_")
    return f"{int(newest) + 1:04d}_{words}"


@functools.cache
def step_of(revision: Revision) -> Callable[[], None]:
    """The ``upgrade`` of a revision."""
    path = FOLDER / revision.service / f"{revision.name}.py"
    spec = importlib.util.spec_from_file_location(f"pileus_revision_{revision.service}_{revision.name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[], None]", module.upgrade)
