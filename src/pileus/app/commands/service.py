"""``pileus service``: the cloud of this machine as a service of systemd, from its start to its stop.

One unit runs the supervisor, as ``pileus up`` does. Stopping it ends Pileus alone: switch, DHCP and machines
are left running (``KillMode=process``). The form of a unit: systemd.unit(5), systemd.service(5).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pileus.app import bootstrap
from pileus.app.processes import launch
from pileus.app.state import StateFolder, default_root

FOLDER = Path("/etc/systemd/system")
RUNNING = Path("/run/systemd/system")
"""There while systemd runs the machine: sd_booted(3)."""
MADE_BY = "# Made by `pileus service install`."
_AFTER = (
    "network-online.target",
    "local-fs.target",
    "openvswitch-switch.service",
    "libvirtd.service",
    "virtqemud.service",
)


def unit_text(argv: list[str], state: Path, *, within_s: int = 900) -> str:
    """The unit that runs ``argv`` for the cloud in ``state``; ``within_s``: how long a start may take, which
    is long where databases are upgraded or machines emulated."""
    lines = [
        MADE_BY,
        "[Unit]",
        f"Description=Pileus, a private cloud ({_plain(str(state))})",
        "Wants=network-online.target",
        f"After={' '.join(_AFTER)}",
        f"RequiresMountsFor={_quoted(str(state))}",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(map(_quoted, argv))}",
        "# Ends Pileus only: what it built keeps running.",
        "KillMode=process",
        "Restart=on-failure",
        "RestartSec=2",
        "# A mistake in the settings is not mended by starting again (EX_CONFIG).",
        "RestartPreventExitStatus=78",
        f"TimeoutStartSec={within_s}",
        "TimeoutStopSec=60",
        "LimitNOFILE=65536",
        "TasksMax=infinity",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def install(
    simulated: bool, state: Path | None, listen: str | None, config: Path | None, *, name: str, start: bool
) -> None:
    """Write the unit, have it started at boot, and start it now unless told otherwise."""
    _need_systemd()
    folder = StateFolder((state or default_root(simulated)).absolute())
    file = _file(name)
    if file.exists() and MADE_BY not in file.read_text():
        bootstrap.fail(f"{file} is not ours: choose another --name")
    running = launch.running(folder)
    if running and start and not _is_active(name):
        bootstrap.fail(
            f"the cloud in {folder.root} runs without the service: `pileus down --state {folder.root}` first"
        )
    argv = [sys.executable, "-m", "pileus.app.main", "up", "--state", str(folder.root)]
    argv += ["--simulated"] if simulated else []
    argv += ["--listen", listen] if listen else []
    argv += ["--config", str(config.absolute())] if config else []
    file.write_text(unit_text(argv, folder.root))
    _systemctl("daemon-reload")
    _systemctl("enable", "--quiet", file.name)
    if start:
        sys.stdout.write(
            f"Starting {file.name}; `journalctl -u {name}` and {folder.logs} say how far it is.\n"
        )
        sys.stdout.flush()
        _systemctl("start", file.name)
    sys.stdout.write(f"{file} is installed: the cloud in {folder.root} starts with this machine.\n")


def uninstall(name: str) -> None:
    """Stop the service and remove its unit; the cloud's folder and what it built stay."""
    _need_systemd()
    file = _ours(name)
    _systemctl("disable", "--quiet", "--now", file.name)
    file.unlink()
    _systemctl("daemon-reload")
    sys.stdout.write(f"{file} is removed; what the cloud built keeps running.\n")


def control(verb: str, name: str) -> None:
    """``start`` or ``stop`` the service, and wait until it is done."""
    _need_systemd()
    _systemctl(verb, _ours(name).name)
    sys.stdout.write(f"{name} is {'started' if verb == 'start' else 'stopped'}.\n")


def show(name: str) -> None:
    """Print what systemd knows of the service; ends with its status (0: active)."""
    _need_systemd()
    raise SystemExit(subprocess.run(["systemctl", "--no-pager", "status", _ours(name).name]).returncode)


def remove_unit_of(folder: StateFolder) -> None:
    """Remove the unit that runs the cloud in ``folder``, where there is one: the folder is about to go."""
    if not RUNNING.exists():
        return
    for file in FOLDER.glob("*.service"):
        text = file.read_text() if file.is_file() and not file.is_symlink() else ""
        if MADE_BY in text and f"RequiresMountsFor={_quoted(str(folder.root))}\n" in text:
            uninstall(file.stem)


def _need_systemd() -> None:
    if not RUNNING.exists() or shutil.which("systemctl") is None:
        bootstrap.fail("systemd does not run this machine; `pileus up --detach` starts a cloud without it")
    if os.geteuid():
        bootstrap.fail("services of the machine are root's affair")


def _file(name: str) -> Path:
    if not name or not all(letter.isalnum() or letter in "-_" for letter in name) or not name.isascii():
        bootstrap.fail(f"{name!r} is no name for a service: letters, digits, - and _")
    return FOLDER / f"{name}.service"


def _ours(name: str) -> Path:
    file = _file(name)
    if not file.exists() or MADE_BY not in file.read_text():
        bootstrap.fail(f"there is no service {name} of ours; `pileus service install` makes it")
    return file


def _is_active(name: str) -> bool:
    return subprocess.run(["systemctl", "--quiet", "is-active", f"{name}.service"]).returncode == 0


def _systemctl(*arguments: str) -> None:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        bootstrap.fail(f"systemctl {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """A word of a unit's line, taken as it is; raises SystemExit for a line break."""
    if "\n" in text or "\r" in text:
        bootstrap.fail(f"{text!r} has a line break, which a unit can't hold")
    for letter, stands_for in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        text = text.replace(letter, stands_for)
    return f'"{text}"'
