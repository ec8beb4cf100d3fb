"""Making the state folder fit for its processes: folders, owners, first secrets, the clients' files."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path

from pileus.app import privileges
from pileus.app.state import BadStateFolder, StateFolder
from pileus.bus.node import node_secret, node_token
from pileus.core.files import write_atomically
from pileus.core.settings import Settings

LONGEST_SOCKET = 107
"""Bytes in a Unix socket's path (unix(7): 108 with the NUL at its end)."""


def prepare(folder: StateFolder, settings: Settings, hosts: tuple[str, ...]) -> None:
    """Make what is missing in ``folder``; what is there stays as it is.

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
        for path, mode, servers in (
            (folder.root / "db", 0o700, True),
            (folder.keys, 0o700, True),
            (folder.images, 0o700, True),
            (folder.run, 0o755, True),
            (folder.hosts, 0o755, True),
            (folder.logs, 0o750, False),
            (folder.agent, 0o700, False),
        ):
            path.mkdir(mode=mode, exist_ok=True)
            if user and servers:
                os.chown(path, user.pw_uid, user.pw_gid)
        secret = node_secret(folder.node_secret)
        if not folder.admin_password.exists():
            write_atomically(folder.admin_password, secrets.token_urlsafe(18).encode(), 0o600)
        if user:
            for file in folder.keys.iterdir():
                os.chown(file, user.pw_uid, user.pw_gid)
    except OSError as error:
        raise BadStateFolder(f"The state folder {folder.root} can't be used: {error}") from error
    for host in hosts:
        put(folder.node_token, node_token(secret, host), 0o600)
    password = folder.admin_password.read_text()
    url = public_url(settings)
    ca_file = settings.agent.ca_file if settings.server.tls_certificate else ""
    put(folder.openrc, openrc(url, password, settings.identity.region, ca_file), 0o600)
    put(folder.clouds, clouds(url, password, settings.identity.region, ca_file), 0o600)


def _check_length(socket: Path) -> None:
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise BadStateFolder(
            f"The path of the state folder is too long for the Unix sockets in it ({socket} has more than "
            f"{LONGEST_SOCKET} bytes). Choose a shorter one with --state."
        )


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


def openrc(url: str, password: str, region: str, ca_file: str) -> str:
    """Shell lines for the stock clients."""
    values = {
        "OS_AUTH_URL": f"{url}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": password,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": region,
        "OS_IDENTITY_API_VERSION": "3",
        **({"OS_CACERT": ca_file} if ca_file else {}),
    }
    return "".join(f"export {name}='{value}'\n" for name, value in values.items())


def clouds(url: str, password: str, region: str, ca_file: str) -> str:
    """The ``clouds.yaml`` of openstacksdk with one cloud, ``pileus``."""
    authority = f"    cacert: {ca_file}\n" if ca_file else ""
    return f"""clouds:
  pileus:
    auth:
      auth_url: {url}/identity/v3
      username: admin
      password: {password}
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: {region}
    identity_api_version: 3
{authority}"""
