"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="PILEUS_STATE",
        help="The folder where this cloud keeps everything.",
    ),
]
Simulated = Annotated[bool, typer.Option("--simulated", help="Simulated hosts: no root, no switch.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings (pileus.toml in the state folder)."),
]
Listen = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where the API listens (127.0.0.1:8770).")
]
