"""The commands of docs/identity.md, in order, against a simulated cloud."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import openstack_command
from tests.clouds import simulated_cloud

PAGE = Path(__file__).parents[2] / "docs" / "identity.md"
SETTINGS = '[identity]\nquota_driver = "unified_limits"\n'


def commands() -> list[tuple[str, list[str]]]:
    """Each command with the lines that stand below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    assert len(commands()) > 15
    with simulated_cloud(SETTINGS) as cloud:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        environment |= {
            "PATH": f"{openstack_command.folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds),
            "OS_CLOUD": "pileus",
            "PILEUS_STATE": str(cloud.folder.root),
            "IDENTITY": f"http://{cloud.address}/identity/v3",
        }
        for command, wanted in commands():
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
            for line in wanted:
                assert line in done.stdout, f"{command}: {line!r} is not in {done.stdout}"
