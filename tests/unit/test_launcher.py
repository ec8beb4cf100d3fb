"""The launcher keeps packages from starting services while it installs them, and leaves no trace of that."""

from __future__ import annotations

import subprocess
from pathlib import Path

LAUNCHER = Path(__file__).parents[2] / "pileus"


def _run(policy: Path, commands: str) -> subprocess.CompletedProcess[str]:
    text = LAUNCHER.read_text()
    begin = text.index("# Packages start the services")
    functions = text[begin : text.index("\n\n", begin)]
    script = f"set -euo pipefail\n{functions}\npolicy={policy}\n{commands}\n"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


def test_nothing_is_started_while_packages_are_installed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    done = _run(policy, f'keep_services_off; "{policy}" && echo allowed || echo "$?"; let_services_on')
    assert done.stdout == "101\n", done.stderr
    assert done.returncode == 0
    assert not policy.exists()


def test_the_policy_goes_however_the_installation_ends(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    for end in ("exit 3", "false", "kill -TERM $$; sleep 9"):
        done = _run(policy, f"keep_services_off; test -x {policy}; {end}")
        assert done.returncode != 0
        assert not policy.exists(), end


def test_a_policy_of_somebody_else_stays_as_it_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    assert _run(policy, "keep_services_off; let_services_on").returncode == 0
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    policy.unlink()
    policy.symlink_to(tmp_path / "elsewhere")
    assert _run(policy, "keep_services_off; let_services_on").returncode == 0
    assert policy.is_symlink()
    assert not (tmp_path / "elsewhere").exists()
