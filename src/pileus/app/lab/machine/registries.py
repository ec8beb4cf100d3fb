"""How this machine reaches package registries, so that one made of them reaches them the same way.

Sources, proxies, indexes and trusted authorities are read from apt, pip and the environment. A machine
under QEMU's user networking reaches this one's loopback under another address; nothing else differs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pileus.core.errors import Unavailable
from pileus.drivers.guestimage.program import is_installed, run
from pileus.drivers.process import ProgramFailed

HOST_INSIDE, NAMES_INSIDE = "10.0.2.2", "10.0.2.3"
"""This machine's loopback and its name servers as a machine with QEMU's user networking sees them."""
_LOOPBACK = re.compile(r"(?<=//)(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")
_PROXY = re.compile(r'^(Acquire::[\w:]*Proxy\S*) "(.*)";$', re.M | re.I)
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.S)
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
_DEBIAN = frozenset({"bookworm", "trixie", "stable", "testing", "sid", "unstable"})
SUITES = ("bookworm", "trixie")


class CannotMakeMachine(Unavailable):
    """A machine can't be made or started here."""

    message = "No machine of Debian packages: {reason}"


@dataclass(frozen=True)
class Registries:
    """``mirror``: of Debian's packages; ``apt``: settings with proxies, name by name; ``pip``: of its
    ``[global]`` section; ``environment``: proxies as programs look for them; ``authorities``: PEM blocks."""

    mirror: str
    apt: tuple[tuple[str, str], ...]
    pip: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    authorities: tuple[str, ...]

    def apt_lines(self, *, inside: bool) -> list[str]:
        """The settings as apt.conf(5) has them, here or inside of the machine."""
        return [f'{name} "{from_inside(value) if inside else value}";' for name, value in self.apt]

    def pip_lines(self, *, inside: bool) -> list[str]:
        """The same for pip.conf(5)."""
        return [f"{name} = {from_inside(value) if inside else value}" for name, value in self.pip]


def of_this_machine() -> Registries:
    """Read them. Raises CannotMakeMachine where apt knows no source of Debian's packages."""
    if not is_installed("apt-get"):
        raise CannotMakeMachine(reason="apt-get is not here")
    try:
        targets = run(("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)")).decode()
        dump = run(("apt-config", "dump")).decode()
    except ProgramFailed as error:
        raise CannotMakeMachine(reason=error.stderr.strip()[-600:]) from error
    return Registries(
        mirror=mirror_among(targets),
        apt=tuple((match[1], match[2]) for match in _PROXY.finditer(dump)),
        pip=tuple(pip_indexes(_pip_says())),
        environment=tuple(
            (name, value)
            for name in _PROXY_VARIABLES
            if (value := os.environ.get(name) or os.environ.get(name.upper()))
        ),
        authorities=tuple(certificates(_AUTHORITIES)),
    )


def mirror_among(targets: str) -> str:
    """The first source of Debian's main archive in ``URI RELEASE COMPONENT`` lines."""
    for line in targets.splitlines():
        uri, release, component = [*line.split(), "", "", ""][:3]
        if release in _DEBIAN and component == "main":
            return uri.rstrip("/")
    raise CannotMakeMachine(reason="apt has no source of Debian's packages here (see sources.list(5))")


def from_inside(url: str) -> str:
    """A URL of this machine's as one that it runs reaches it."""
    return _LOOPBACK.sub(HOST_INSIDE, url)


def certificates(file: Path) -> list[str]:
    """The PEM blocks of a bundle; none where there is no such file."""
    return _CERTIFICATE.findall(file.read_text()) if file.exists() else []


def _pip_says() -> str:
    done = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def pip_indexes(listed: str) -> list[tuple[str, str]]:
    """Settings from what ``pip config list`` prints, as far as they are reached over the network: folders of
    this machine are none of the other's."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^\S*?\.(index-url|extra-index-url|proxy)='(.*)'$", listed, re.M):
        urls = [url for url in value.split() if url.startswith(("http://", "https://"))]
        if urls:
            found[name] = " ".join(urls)
    return list(found.items())
