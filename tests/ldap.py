"""A throwaway LDAP server (Debian's slapd) on loopback, in a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.certificates import make_certificate

PROGRAM = "/usr/sbin/slapd"
SUFFIX = "dc=example,dc=org"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "bind secret"

_CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
sizelimit unlimited
database mdb
maxsize 16777216
suffix "{suffix}"
rootdn "{admin}"
rootpw "{password}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{admin}" write by users read by * none
"""


class Ldap:
    """Started at once; ``stop`` ends it, ``start`` begins again on the same port.

    With ``tls`` it takes StartTLS, and listens at ``tls_url`` too; ``authority`` is what its clients trust.
    """

    def __init__(self, *, tls: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pileus-ldap-"))
        self._tls = tls
        (self._folder / "data").mkdir()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.tls_port = int(sock.getsockname()[1])
        text = _CONFIG.format(folder=self._folder, suffix=SUFFIX, admin=ADMIN, password=ADMIN_PASSWORD)
        self.authority = self._folder / "localhost.pem"
        if tls:
            certificate, key = make_certificate(self._folder, "localhost")
            text = f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n{text}"
        (self._folder / "slapd.conf").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    def start(self) -> None:
        """Start, and wait until it listens."""
        urls = f"{self.url} {self.tls_url}" if self._tls else self.url
        command = [PROGRAM, "-d", "0", "-h", urls, "-f", str(self._folder / "slapd.conf")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("slapd does not listen")

    def add(self, entries: str) -> None:
        """Add entries in LDIF."""
        command = ["ldapadd", "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        subprocess.run(command, input=entries.encode(), check=True, capture_output=True)

    def modify(self, changes: str, *, check: bool = True) -> None:
        """Change entries by LDIF; without ``check`` whatever the server says."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        subprocess.run(command, input=changes.encode(), check=check, capture_output=True)

    def stop(self) -> None:
        """End the server; what it keeps stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def close(self) -> None:
        """End, and remove everything."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
