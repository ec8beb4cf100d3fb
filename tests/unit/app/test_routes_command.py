"""``pileus routes`` prints each operation once, with its rule."""

from __future__ import annotations

import json
import subprocess
import sys

PILEUS = (sys.executable, "-m", "pileus.app.main")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run((*PILEUS, "routes", *arguments), capture_output=True, text=True, check=False)


def test_every_operation_is_printed() -> None:
    done = run("--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["service"] for row in rows} == {
        "identity",
        "network",
        "image",
        "compute",
        "block-storage",
        "placement",
    }
    keys = [(row["method"], row["path"], row["action"], row["versions"]) for row in rows]
    assert len(keys) == len(set(keys))
    (create,) = [row for row in rows if (row["method"], row["path"]) == ("POST", "/networking/v2.0/ports")]
    assert create["rule"] == "create_port"


def test_the_table_of_one_service() -> None:
    done = run("image")
    assert "PATCH   /image/v2/images/{image_id}" in done.stdout
    assert "/networking" not in done.stdout
    wrong = run("imge")
    assert wrong.returncode != 0 and "there is no service 'imge': identity, network" in wrong.stderr
