"""``completion.py``: bash's completion of ``pileus``, whose answers come from the command itself."""

from __future__ import annotations

import sys

from typer._completion_shared import get_completion_script

if __name__ == "__main__":
    script = get_completion_script(prog_name="pileus", complete_var="_PILEUS_COMPLETE", shell="bash")  # noqa: S604 - a name
    sys.stdout.write(script + "\n")
