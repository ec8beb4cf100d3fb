"""The reader of settings: one TOML file over good defaults, each value knowing where it came from.

Rooms declare sections (``section.py``), ``app.settings`` puts them together.

Precedence: command line, environment (``PILEUS_SERVER_LISTEN``), file, default.
An error names the key and the line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from pileus.core.errors import Invalid

Description = msgspec.Meta


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the settings file, or all of them: a field for each table."""


S = TypeVar("S", bound=Section)


class BadSettings(Invalid):
    """A settings file, variable or option that can't be used; the text names key and place."""


class Origin(msgspec.Struct, frozen=True):
    """One setting as it is in force: ``section.key``, its value, where it came from, what it means."""

    key: str
    value: Any
    source: str
    meaning: str


class Loaded(msgspec.Struct, Generic[S], frozen=True):
    """Settings and where each value came from (keys without an entry are defaults)."""

    settings: S
    sources: dict[str, str]

    def origins(self) -> Iterator[Origin]:
        """Every setting, in the order of the declaration."""
        for section in msgspec.structs.fields(type(self.settings)):
            table = getattr(self.settings, section.name)
            for field in msgspec.structs.fields(type(table)):
                key = f"{section.name}.{field.name}"
                yield Origin(
                    key, getattr(table, field.name), self.sources.get(key, "default"), _meaning(field.type)
                )


def load(
    kind: type[S],
    file: Path | None,
    environment: Mapping[str, str] = os.environ,
    options: Mapping[str, Any] | None = None,
) -> Loaded[S]:
    """Read ``kind`` of ``file`` (which may be absent), environment and options (``{"server.listen": …}``).

    Raises BadSettings.
    """
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    text = ""
    if file is not None and file.exists():
        text = file.read_text()
        values = _tables(kind, file, text, sources)
    for key, declared in _keys(kind):
        raw = environment.get("PILEUS_" + key.upper().replace(".", "_"))
        if raw is not None:
            section, name = key.split(".")
            values.setdefault(section, {})[name] = _from_text(raw, declared)
            sources[key] = "environment"
    for key, value in (options or {}).items():
        section, name = key.split(".")
        values.setdefault(section, {})[name] = value
        sources[key] = "command line"
    try:
        return Loaded(msgspec.convert(values, kind, strict=True), sources)
    except msgspec.ValidationError as error:
        raise BadSettings(_explain(error, sources)) from None


def _keys(kind: type[Section]) -> Iterator[tuple[str, Any]]:
    for section in msgspec.structs.fields(kind):
        for field in msgspec.structs.fields(section.type):
            yield f"{section.name}.{field.name}", field.type


def _meaning(kind: Any) -> str:
    for part in getattr(kind, "__metadata__", ()):
        if part.description:
            return str(part.description)
    return ""


def _from_text(raw: str, kind: Any) -> Any:
    """A value of the environment in the type of its setting; lists are separated by commas."""
    plain = getattr(kind, "__origin__", kind)
    if plain is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            raw.lower(), raw
        )
    if plain in (int, float):
        try:
            return plain(raw)
        except ValueError:
            return raw
    if getattr(plain, "__origin__", None) is tuple:
        parts = tuple(part.strip() for part in raw.split(",") if part.strip())
        return tuple(_from_text(part, plain.__args__[0]) for part in parts)
    return raw


def _tables(kind: type[Section], file: Path, text: str, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{file}: {error}") from None
    known = {key for key, _ in _keys(kind)}
    sections = {key.split(".")[0] for key in known}
    lines = dict(_lines(text))
    for section, table in document.items():
        place = f"{file}, line {lines.get(section, 1)}"
        if section not in sections:
            raise BadSettings(
                f"{place}: there is no section [{section}]; there are {', '.join(sorted(sections))}"
            )
        if not isinstance(table, dict):
            raise BadSettings(f"{place}: {section} is a section: write [{section}] and its keys below")
        for name in table:
            key = f"{section}.{name}"
            place = f"{file}, line {lines.get(key, 1)}"
            if key not in known:
                raise BadSettings(f"{place}: there is no setting {key}")
            sources[key] = place
    return document


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Line numbers of sections and keys (tomllib tells none)."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[?\s*([\w-]+)(?:\s*\.\s*([\w-]+))?\s*\]", line):
            section = header[1] if header[2] is None else f"{header[1]}.{header[2]}"
            yield section, number
        elif key := re.match(r"\s*(?:([\w-]+)\s*\.\s*)?([\w-]+)\s*=", line):
            yield f"{key[1] or section}.{key[2]}", number


def _explain(error: msgspec.ValidationError, sources: Mapping[str, str]) -> str:
    text = str(error)
    if found := re.search(r" - at `\$\.(\w+(?:\.\w+)?)([^`]*)", text):
        key, inside = found[1], found[2].replace("[...]", "")
        return f"{sources.get(key, 'settings')}: {key}{inside}: {text[: found.start()]}"
    return text
