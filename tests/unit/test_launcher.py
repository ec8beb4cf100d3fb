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


def test_services_of_packages_that_are_new_do_not_start_with_the_machine(tmp_path: Path) -> None:
    text = LAUNCHER.read_text()
    function = text[text.index("leave_off() {") : text.index("# Shows how far")]
    told = tmp_path / "told"
    script = (
        f'set -euo pipefail\n{function}\nsay() {{ echo "$*"; }}\n'
        f'systemctl() {{ echo "$*" >>{told}; [[ $3 != bird.service ]]; }}\n'
    )

    def run(systemd: Path) -> str:
        command = f"{script}systemd={systemd}\nleave_off nftables tgt bird2 conntrackd\n"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        return done.stdout

    assert run(tmp_path / "missing") == "" and not told.exists()
    assert run(tmp_path) == "pileus: bird.service could not be disabled\n"
    assert told.read_text().split("\n")[:3] == [
        f"disable --quiet {unit}.service" for unit in ("tgt", "bird", "conntrackd")
    ]


def _has(folder: Path, extras: str) -> bool:
    """Whether the launcher finds these extras in the virtual environment in ``folder``."""
    text = LAUNCHER.read_text()
    begin = text.index("# The lock files of the extras")
    functions = text[begin : text.index("# The virtual environment with", begin)]
    script = (
        f"set -euo pipefail\n{functions}\nvenv={folder}\nhere={LAUNCHER.parent}\nhave_python '{extras}'\n"
    )
    return subprocess.run(["bash", "-c", script], check=False).returncode == 0


def _install(folder: Path, extras: str, *, lock: str = "") -> None:
    """Stand in for an installation with these extras."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "pileus").touch(mode=0o755)
    files = ["test.txt" if "test" in extras else "run.txt", *(["libvirt.txt"] if "libvirt" in extras else [])]
    paths = ["pyproject.toml", "lock/build.txt", "lock/assets.json", *(f"lock/{file}" for file in files)]
    sums = subprocess.run(["cksum", *paths], cwd=LAUNCHER.parent, capture_output=True, text=True, check=True)
    (folder / f".installed-{extras or 'run'}").write_text(lock or sums.stdout.rstrip("\n"))


def test_what_was_installed_with_more_is_not_installed_again(tmp_path: Path) -> None:
    assert not _has(tmp_path, "")
    _install(tmp_path, "libvirt")
    assert _has(tmp_path, "") and _has(tmp_path, "libvirt")
    assert not _has(tmp_path, "test") and not _has(tmp_path, "test,libvirt")
    _install(tmp_path, "test,libvirt")
    assert _has(tmp_path, "test") and _has(tmp_path, "test,libvirt")


def test_what_the_lock_files_say_now_counts(tmp_path: Path) -> None:
    _install(tmp_path, "libvirt", lock="1 2 pyproject.toml")
    assert not _has(tmp_path, "") and not _has(tmp_path, "libvirt")
