"""Making the state folder fit for its processes: folders, owners, first secrets, the clients' files.

Root acts by names only in folders that are root's. What the server's user keeps in its own folders may be
anything: a link, a pipe, a second name of a stranger's file. So root gives such a folder away by its
descriptor, and what goes into it is made by the server, as that user.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import re
import secrets as random
import shutil
from pathlib import Path

import msgspec

from pileus.app import privileges
from pileus.app.settings import Settings
from pileus.app.state import BadStateFolder, StateFolder
from pileus.bus.node import SECRET_BYTES, node_token
from pileus.core.files import keep_first, open_folder, read_own_file, write_atomically

LONGEST_SOCKET = 107
"""Bytes in a Unix socket's path (unix(7): 108 with the NUL at its end)."""
_LONGEST_PASSWORD = 1024


class Secrets(msgspec.Struct, frozen=True):
    """The contents of the folder ``secrets``: the servers' node secret and the admin's first password."""

    node: bytes
    admin_password: str


def prepare(folder: StateFolder, settings: Settings, hosts: tuple[str, ...]) -> Secrets:
    """Make what is missing in ``folder``; what is there stays as it is. Returns the secrets.

    Run as root it makes the server's user and gives it the folders that the server writes to;
    otherwise everything belongs to the caller. ``hosts`` are the nodes of this machine, whose
    token is put where their agents look for it. Raises BadStateFolder.
    """
    as_root = os.geteuid() == 0 and settings.server.user != "root"
    try:
        _check_length(folder.hosts / f"host-{settings.simulation.hosts}" / "db.sock")
        user: pwd.struct_passwd | None = None
        if as_root:
            user = privileges.ensure_user(settings.server.user)
            present = next(path for path in (folder.root, *folder.root.parents) if path.is_dir())
            privileges.check_reachable(present / "x", settings.server.user)
        folder.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        if as_root:
            privileges.check_reachable(folder.root / "db", settings.server.user)
            privileges.check_not_writable(folder.root, settings.server.user)
        # A link of root's own may lead to it.
        root = open_folder(folder.root.resolve())
        try:
            if user:
                _check_owner(folder.root, root, user)
            _make_folders(root, user)
            secrets = _secrets(folder, root)
        finally:
            os.close(root)
    except OSError as error:
        raise BadStateFolder(f"The state folder {folder.root} can't be used: {error}") from error
    for host in hosts:
        token = node_token(secrets.node, host, settings.server.node_token_lifetime_s)
        put(folder.node_token, token, 0o600)
    write_clients_files(folder, settings, secrets.admin_password, known_project(folder))
    return secrets


def write_clients_files(folder: StateFolder, settings: Settings, password: str, project_id: str) -> None:
    """``openrc`` and ``clouds.yaml``; the id of the admin's project is empty before the first start."""
    ca_file = settings.agent.ca_file if settings.server.tls_certificate else ""
    where = (public_url(settings), password, settings.identity.region, ca_file)
    put(folder.openrc, openrc(*where, project_id), 0o600)
    put(folder.clouds, clouds(*where), 0o600)


def known_project(folder: StateFolder) -> str:
    """The id of the admin's project, as ``openrc`` has it since an earlier start."""
    try:
        found = re.search(r"(?m)^export OS_PROJECT_ID='([0-9a-f]{32})'$", folder.openrc.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _check_length(socket: Path) -> None:
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise BadStateFolder(
            f"The path of the state folder is too long for the Unix sockets in it ({socket} has more than "
            f"{LONGEST_SOCKET} bytes). Choose a shorter one with --state."
        )


def _check_owner(path: Path, descriptor: int, user: pwd.struct_passwd) -> None:
    state = os.fstat(descriptor)
    if state.st_uid != 0 or state.st_mode & 0o002 or (state.st_mode & 0o020 and state.st_gid != 0):
        raise BadStateFolder(
            f"The state folder {path} is not root's alone (user {state.st_uid}, group {state.st_gid}, mode "
            f"{state.st_mode & 0o777:o}), and the server runs as user {user.pw_name}. "
            f"If you trust what is in it: chown root and chmod go-w it."
        )


def _make_folders(root: int, user: pwd.struct_passwd | None) -> None:
    """Folders of the server's user, and those of root."""
    owners = None if user is None else (user.pw_uid, user.pw_gid)
    for name, mode in (("db", 0o700), ("keys", 0o700), ("images", 0o700), ("hosts", 0o755)):
        os.close(_folder(root, name, mode, owners))
    for name, mode in (("secrets", 0o700), ("run", 0o755), ("log", 0o751), ("agent", 0o700)):
        descriptor = _folder(root, name, mode, None if user is None else (0, 0))
        try:
            if name == "log":
                # The server passes to its own folder in it; what an administrator opened further stays so.
                os.fchmod(descriptor, os.fstat(descriptor).st_mode & 0o777 | 0o001)
                os.close(_folder(descriptor, "server", 0o750, owners))
        finally:
            os.close(descriptor)


def _folder(root: int, name: str, mode: int, owner: tuple[int, int] | None) -> int:
    """A descriptor of the folder ``name`` in ``root``, which is made where it is missing and given to
    ``owner``. One that root takes back (``run`` was the server's once) is emptied: who had it chose the
    names in it."""
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=root)
        made = True
    try:
        descriptor = open_folder(name, root)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OSError(error.errno, "is a link or no folder", name) from error
        raise
    try:
        state = os.fstat(descriptor)
        if owner is not None and (state.st_uid, state.st_gid) != owner:
            os.fchown(descriptor, *owner)
            if owner[0] == 0 and state.st_uid != 0:
                os.fchmod(descriptor, mode)
                _empty(descriptor)
        if made or (owner == (0, 0) and state.st_mode & 0o022):
            os.fchmod(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _empty(descriptor: int) -> None:
    for entry in os.listdir(descriptor):
        try:
            os.unlink(entry, dir_fd=descriptor)
        except IsADirectoryError:
            shutil.rmtree(entry, dir_fd=descriptor)


def _secret(path: Path, root: int, fresh: bytes) -> bytes:
    """The secret at ``path``; where there is none, that of the same name which an earlier version kept in
    the server's folder ``keys``, else ``fresh``."""
    keys = open_folder("keys", root)
    try:
        if not path.exists():
            with contextlib.suppress(FileNotFoundError):
                fresh = read_own_file(path.name, keys, limit=_LONGEST_PASSWORD)
            keep_first(path, fresh)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path.name, dir_fd=keys)
    finally:
        os.close(keys)
    return path.read_bytes()


def _secrets(folder: StateFolder, root: int) -> Secrets:
    node = _secret(folder.node_secret, root, random.token_bytes(SECRET_BYTES))
    if len(node) < SECRET_BYTES:
        raise BadStateFolder(f"The secret in {folder.node_secret} is shorter than {SECRET_BYTES} bytes.")
    password = _secret(folder.admin_password, root, random.token_urlsafe(18).encode())
    text = password.decode("utf-8", "replace").strip()
    if not text or not text.isprintable():
        raise BadStateFolder(f"The password in {folder.admin_password} is none that can be printed.")
    return Secrets(node, text)


def put(path: Path, text: str, mode: int) -> None:
    """Write ``text`` to ``path`` unless it says that already."""
    try:
        if path.read_text() == text and path.stat().st_mode & 0o777 == mode:
            return
    except OSError:
        pass
    write_atomically(path, text.encode(), mode)


def public_url(settings: Settings) -> str:
    """The URL that clients are told, without a slash at the end."""
    if settings.server.public_url:
        return settings.server.public_url.rstrip("/")
    host, _, port = settings.server.listen.rpartition(":")
    if host in ("0.0.0.0", "[::]", "::", ""):  # noqa: S104 - compared, not bound
        host = os.uname().nodename
    return f"http{'s' if settings.server.tls_certificate else ''}://{host}:{port}"


def openrc(url: str, password: str, region: str, ca_file: str, project_id: str = "") -> str:
    """Shell lines for the stock clients."""
    values = {
        "OS_AUTH_URL": f"{url}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "admin",
        **({"OS_PROJECT_ID": project_id} if project_id else {}),
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": region,
        "OS_INTERFACE": "public",
        "OS_IDENTITY_API_VERSION": "3",
        **({"OS_CACERT": ca_file} if ca_file else {}),
    }
    return "".join(f"export {name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    """For a shell, which takes nothing in it for a command."""
    return "'" + value.replace("'", "'\\''") + "'"


def clouds(url: str, password: str, region: str, ca_file: str) -> str:
    """The ``clouds.yaml`` of openstacksdk with one cloud, ``pileus``.

    It names the project, not the project's id: an id would stay in force beside ``--os-project-name``.
    """
    authority = f"    cacert: {json.dumps(ca_file)}\n" if ca_file else ""
    return f"""clouds:
  pileus:
    auth:
      auth_url: {json.dumps(url + "/identity/v3")}
      username: admin
      password: {json.dumps(password)}
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: {json.dumps(region)}
    interface: public
    identity_api_version: 3
{authority}"""
