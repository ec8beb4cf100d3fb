"""``pileus lab --machine SUITE``: a shell on a fresh Debian with this checkout in it."""

from __future__ import annotations

import subprocess
import sys

from pileus.app import bootstrap
from pileus.app.lab.machine.opened import CHECKOUT, running, stories
from pileus.app.lab.machine.registries import CannotMakeMachine
from pileus.drivers.process import ProgramFailed


def shell(suite: str) -> None:
    """Boot it, log in as root, and throw it away when the shell ends."""

    def say(text: str) -> None:
        sys.stderr.write(f"machine: {text}\n")

    try:
        with running(stories(suite, say)) as machine:
            say(f"the checkout is in {CHECKOUT}; what you change is gone when you leave")
            subprocess.run([*machine.ssh("-t"), f"cd {CHECKOUT}; exec bash -l"], check=False)
    except CannotMakeMachine as error:
        bootstrap.fail(error.text)
    except (ProgramFailed, subprocess.SubprocessError) as error:
        bootstrap.fail(f"the machine failed: {error}")
