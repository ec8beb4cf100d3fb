"""``pileus image build``: the small guest image, or that of gateway machines, as a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import typer

from pileus.app import bootstrap
from pileus.drivers.guestimage import CannotBuildImage, build_image


def build(output: Path | None = None, cache: Path | None = None, kind: str = "guest") -> Path:
    """Build the image of a kind at ``output`` (default: pileus-KIND.qcow2 here) and give back where it is.

    Progress goes to standard error, the file's path to standard output; ``cache`` keeps the packages
    (default: the user's cache folder). Ends the program with a message where it can't be built.
    """
    started = time.monotonic()
    file = (output or Path(f"pileus-{kind}.qcow2")).absolute()
    try:
        image = build_image(file, (cache or default_cache()).absolute(), _say, kind=kind)
    except CannotBuildImage as error:
        bootstrap.fail(error.text)
    _say(f"{image.size / 2**20:.1f} MiB in {time.monotonic() - started:.1f} s")
    typer.echo(str(image.file))
    return image.file


def default_cache() -> Path:
    """The folder for downloaded packages: pileus/guest-image below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus" / "guest-image"


def _say(text: str) -> None:
    typer.echo(f"guest image: {text}", err=True)
