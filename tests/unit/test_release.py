"""What Debian packages are made from: pins for their Python, a manual page, bash's completion."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

RELEASE = Path(__file__).parents[2] / "release"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"release_{name}", RELEASE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_a_package_has_what_runs_and_every_driver_with_hashes(python: str) -> None:
    pins = load("pins")
    found = {pins.requirement(pin).name.lower(): pin for pin in pins.wanted(python)}
    run = {
        pins.requirement(pin).name.lower() for pin in pins.pins((RELEASE.parent / "lock/run.txt").read_text())
    }
    assert found.keys() >= {"sqlalchemy", "uvloop", "psycopg", "psycopg-binary", "pymysql", "aio-pika"}
    assert "pytest" not in found and "libvirt-python" not in found
    assert {name for name in run if name not in found} <= {"colorama", "win32-setctime"}
    assert all("--hash=sha256:" in pin for pin in found.values())


def test_the_manual_page_has_every_command() -> None:
    page = load("manual").page("1.2.3")
    commands = set(re.findall(r"^\.B pileus ([a-z]+)", page, re.M))
    assert commands >= {"up", "down", "status", "demo", "service", "agent", "server", "node", "image"}
    assert '"Pileus 1.2.3"' in page
    if shutil.which("man"):
        done = subprocess.run(
            ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"],
            input=page, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.stderr


def test_bash_completes_commands(tmp_path: Path) -> None:
    script = subprocess.run(
        [sys.executable, RELEASE / "completion.py"], capture_output=True, text=True, check=True
    ).stdout
    assert "complete" in script and "_PILEUS_COMPLETE" in script
    pileus = tmp_path / "pileus"
    pileus.write_text(f'#!/bin/sh\nexec {sys.executable} -m pileus.app.main "$@"\n')
    pileus.chmod(0o755)
    asked = (
        f"{script}\nPATH={tmp_path}:$PATH\nCOMP_WORDS=(pileus dem); COMP_CWORD=1\n"
        f"_pileus_completion pileus dem\necho ${{COMPREPLY[@]}}"
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["demo"], done.stderr


@pytest.mark.parametrize("script", sorted(RELEASE.glob("debian/*.p*")), ids=lambda path: path.name)
def test_maintainer_scripts_are_sound_shell(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\nset -e\n")
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
