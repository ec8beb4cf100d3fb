"""``manual.py VERSION``: the manual page pileus(1), made from the commands themselves (man macros)."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from pileus.app.main import app


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "'")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.splitlines())


def _command(name: str, command: Any, lines: list[str]) -> None:
    """One command: how it is called, what it does, its options."""
    if isinstance(command, TyperGroup):
        for part, below in sorted(command.commands.items()):
            _command(f"{name} {part}", below, lines)
        return
    context = command.context_class(command, info_name=name)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    lines += [".TP", f".B {_escaped(name)} {_escaped(usage)}".rstrip()]
    lines.append(_escaped(command.help or command.short_help or ""))
    for option in command.params:
        record = option.get_help_record(context)
        if record and isinstance(option, TyperOption) and "--help" not in option.opts:
            lines += [".RS", ".TP", f".B {_escaped(record[0])}", _escaped(record[1] or ""), ".RE"]


def page(version: str) -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    lines = [
        f'.TH PILEUS 1 "" "Pileus {version}" "User Commands"',
        ".SH NAME",
        f"pileus \\- {_escaped(app.info.help or '')}",
        ".SH SYNOPSIS",
        ".B pileus",
        ".I COMMAND",
        "[options]",
        ".SH COMMANDS",
    ]
    _command("pileus", group, lines)
    lines += [
        ".SH FILES",
        ".TP",
        ".I /etc/pileus/pileus.toml",
        _escaped("Settings; 'pileus config show' prints each with its meaning."),
        ".TP",
        ".I /var/lib/pileus",
        _escaped("All that the cloud of this machine keeps, its logs too."),
        ".TP",
        ".I /var/lib/pileus/openrc",
        _escaped("For the shell of a client: the admin's name, password and project."),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
