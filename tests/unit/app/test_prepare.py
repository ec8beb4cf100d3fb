"""Root prepares a state folder in which the server's user has laid traps."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.clouds import PILEUS, short_folder

from pileus.app import privileges
from pileus.app.prepare import clouds, openrc, prepare
from pileus.app.sections import ServerSection
from pileus.app.serving.http import listen_unix
from pileus.app.settings import Settings
from pileus.app.state import BadStateFolder, StateFolder

USER = "nobody"
SETTINGS = Settings(server=ServerSection(user=USER))
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be tricked")


@pytest.fixture
def folder() -> Iterator[StateFolder]:
    with short_folder() as folder:
        yield StateFolder(folder / "c")


@pytest.fixture
def victim(folder: StateFolder) -> Iterator[Path]:
    """A file of root's that nobody else may read; it is as it was in the end."""
    path = folder.root.parent / "victim"
    path.write_text("root's own\n")
    path.chmod(0o600)
    before = _facts(path)
    yield path
    assert _facts(path) == before
    assert path.read_text() == "root's own\n"


def _facts(path: Path) -> tuple[int, ...]:
    state = path.lstat()
    return (state.st_uid, state.st_gid, state.st_mode, state.st_ino, state.st_nlink, state.st_mtime_ns)


def _owner(path: Path) -> str:
    return pwd.getpwuid(path.lstat().st_uid).pw_name


def _as_before(folder: StateFolder) -> None:
    """Make of a prepared folder what an earlier version left: secrets and sockets in the user's folders."""
    user = pwd.getpwnam(USER)
    for secret in (folder.node_secret, folder.admin_password):
        old = folder.keys / secret.name
        secret.replace(old)
        os.chown(old, user.pw_uid, user.pw_gid)
    folder.secrets.rmdir()
    os.chown(folder.run, user.pw_uid, user.pw_gid)


@as_root
def test_roots_secrets_and_sockets_lie_in_roots_folders(folder: StateFolder) -> None:
    prepare(folder, SETTINGS, ("n1",))
    for path in (folder.secrets, folder.node_secret, folder.admin_password, folder.agent, folder.node_token):
        assert _owner(path) == "root"
        assert not path.stat().st_mode & 0o077
    assert (_owner(folder.run), stat.S_IMODE(folder.run.stat().st_mode)) == ("root", 0o755)
    for path in (folder.keys, folder.database.parent, folder.images, folder.hosts):
        assert _owner(path) == USER
        assert list(path.iterdir()) == []


@as_root
def test_an_earlier_versions_folder_keeps_its_secrets(folder: StateFolder) -> None:
    secrets = prepare(folder, SETTINGS, ())
    _as_before(folder)
    (folder.run / "server.sock").touch()
    (folder.run / "more").mkdir()
    assert prepare(folder, SETTINGS, ()) == secrets
    assert prepare(folder, SETTINGS, ()) == secrets
    assert list(folder.keys.iterdir()) == [] == list(folder.run.iterdir())
    assert _owner(folder.run) == _owner(folder.node_secret) == "root"


def _link(trap: Path, victim: Path) -> None:
    trap.symlink_to(victim)


def _second_name(trap: Path, victim: Path) -> None:
    trap.hardlink_to(victim)


def _pipe(trap: Path, victim: Path) -> None:
    os.mkfifo(trap)


def _device(trap: Path, victim: Path) -> None:
    os.mknod(trap, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero, which has no end


def _far_too_long(trap: Path, victim: Path) -> None:
    trap.write_bytes(bytes(1 << 20))


TRAPS = (_link, _second_name, _pipe, _device, _far_too_long)


@as_root
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", ["node.secret", "admin.password"])
def test_an_earlier_versions_secret_that_is_none_is_refused(
    folder: StateFolder, victim: Path, trap: Callable[[Path, Path], None], name: str
) -> None:
    prepare(folder, SETTINGS, ())
    _as_before(folder)
    links = victim.stat().st_nlink
    (folder.keys / name).unlink()
    trap(folder.keys / name, victim)
    with pytest.raises(BadStateFolder, match=name):
        prepare(folder, SETTINGS, ("n1",))
    assert not (folder.secrets / name).exists()
    (folder.keys / name).unlink()
    prepare(folder, SETTINGS, ("n1",))
    assert victim.stat().st_nlink == links


@as_root
@pytest.mark.parametrize("trap", TRAPS)
def test_what_else_lies_in_the_users_folders_is_left_alone(
    folder: StateFolder, victim: Path, trap: Callable[[Path, Path], None]
) -> None:
    prepare(folder, SETTINGS, ())
    for place in (folder.keys, folder.database.parent, folder.images, folder.hosts):
        trap(place / "trap", victim)
        facts = _facts(place / "trap")
        prepare(folder, SETTINGS, ("n1",))
        assert _facts(place / "trap") == facts
        (place / "trap").unlink()


@as_root
@pytest.mark.parametrize("name", ["db", "keys", "images", "hosts", "secrets", "run", "log", "agent"])
def test_a_folder_that_is_a_link_is_refused(folder: StateFolder, name: str) -> None:
    elsewhere = folder.root.parent / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.root.mkdir()
    (folder.root / name).symlink_to(elsewhere)
    before = _facts(elsewhere)
    with pytest.raises(BadStateFolder, match=f"link.*{name}"):
        prepare(folder, SETTINGS, ("n1",))
    assert _facts(elsewhere) == before
    assert list(elsewhere.iterdir()) == []


@as_root
@pytest.mark.parametrize("what", ["the folder", "a folder above it", "a link above it", "anybody's"])
def test_a_state_folder_that_the_user_could_replace_is_refused(folder: StateFolder, what: str) -> None:
    user = pwd.getpwnam(USER)
    above = folder.root.parent / "above"
    above.mkdir()
    state = StateFolder(above / "c")
    if what == "the folder":
        state.root.mkdir()
        os.chown(state.root, user.pw_uid, user.pw_gid)
    elif what == "a folder above it":
        os.chown(above, user.pw_uid, user.pw_gid)
    elif what == "anybody's":
        above.chmod(0o777)
    else:
        (folder.root.parent / "link").symlink_to(above)
        os.chown(folder.root.parent / "link", user.pw_uid, user.pw_gid, follow_symlinks=False)
        state = StateFolder(folder.root.parent / "link" / "c")
    with pytest.raises(BadStateFolder, match=r"chown root|could replace"):
        prepare(state, SETTINGS, ())
    assert not (above / "c" / "keys").exists()


@as_root
def test_a_link_of_roots_own_leads_to_the_state_folder(folder: StateFolder) -> None:
    elsewhere = folder.root.parent / "elsewhere"
    elsewhere.mkdir()
    folder.root.symlink_to(elsewhere)
    prepare(folder, SETTINGS, ())
    assert _owner(elsewhere / "keys") == USER
    below = folder.root.parent / "users"
    below.mkdir()
    os.chown(below, pwd.getpwnam(USER).pw_uid, -1)
    (below / "c").mkdir()
    folder.root.unlink()
    folder.root.symlink_to(below / "c")
    with pytest.raises(BadStateFolder, match=r"could replace"):
        prepare(folder, SETTINGS, ())


@as_root
def test_a_run_folder_of_the_users_is_emptied_before_root_binds_in_it(
    folder: StateFolder, victim: Path
) -> None:
    prepare(folder, SETTINGS, ())
    _as_before(folder)
    folder.run.chmod(0o777)
    folder.socket.symlink_to(victim)
    prepare(folder, SETTINGS, ())
    listening = listen_unix(folder.socket)
    try:
        assert stat.S_ISSOCK(folder.socket.lstat().st_mode)
        assert stat.S_IMODE(folder.run.stat().st_mode) == 0o755
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder.socket))
    finally:
        listening.close()


@as_root
@pytest.mark.parametrize("trap", TRAPS[:2])
def test_the_database_is_upgraded_as_the_servers_user(
    folder: StateFolder, trap: Callable[[Path, Path], None]
) -> None:
    folder.root.mkdir()
    folder.settings.write_text(f"[server]\nuser = '{USER}'\n")
    prepare(folder, SETTINGS, ())
    empty = folder.root.parent / "empty"  # SQLite would take it for a fresh database
    empty.touch(mode=0o600)
    before = _facts(empty)[:-2]
    trap(folder.database, empty)
    done = subprocess.run(
        [*PILEUS, "db", "upgrade", "--state", str(folder.root)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert (_facts(empty)[:-2], empty.read_bytes()) == (before, b"")
    folder.database.unlink()


@as_root
def test_work_that_is_done_as_the_user_can_not_reach_what_is_roots(
    victim: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    privileges.as_user(USER, lambda: None)
    with pytest.raises(SystemExit):
        privileges.as_user(USER, lambda: print(victim.read_text()))
    out, err = capfd.readouterr()
    assert "root's own" not in out
    assert "PermissionError" in err
    assert os.geteuid() == 0


@as_root
def test_only_what_is_done_first_may_reach_what_is_roots(
    victim: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read: list[str] = []

    def first() -> None:
        read.append(victim.read_text())

    def work() -> None:
        print(f"{len(read)} read by {os.geteuid() != 0}")
        victim.read_text()

    with pytest.raises(SystemExit):
        privileges.as_user(USER, work, first=first)
    out, err = capfd.readouterr()
    assert out == "1 read by True\n"
    assert "PermissionError" in err
    assert read == [], "it was another process"


def test_a_password_is_no_command_of_the_shell_and_no_yaml() -> None:
    hostile = "a'; touch /tmp/x; '\"b: [c"
    assert f"export OS_PASSWORD='{hostile.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'\n" in (
        openrc("http://h:1", hostile, "R", "")
    )
    line = next(line for line in clouds("http://h:1", hostile, "R", "").splitlines() if "password" in line)
    assert msgspec.json.decode(line.partition(": ")[2]) == hostile
