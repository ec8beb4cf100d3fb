"""A name server of a test's own: BIND with zones that take updates signed by a key."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.reversename

from pileus.core.dns import DnsRecord
from pileus.drivers.dns.section import ExternalDnsSection

ZONES = ("example.test", "2.0.192.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa")
KEY = "pileus-test"
NAMED = shutil.which("named") or "/usr/sbin/named"
START_S = 20


def why_not_real() -> str | None:
    """Why BIND can't run here, in words for a skipped test."""
    return None if Path(NAMED).exists() else "not installed: bind9"


class NameServer:
    """Runs in ``folder`` between ``start`` and ``stop``; what it was told is kept from one to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = folder / "secret"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        secret = base64.b64encode(b"of a test's own").decode()
        self.secret.write_text(secret)
        for zone in ZONES:
            (folder / f"{zone}.zone").write_text(
                f"$TTL 60\n@ SOA ns.{zone}. root.{zone}. 1 60 60 60 1\n@ NS ns.{zone}.\nns A 127.0.0.1\n"
            )
        zones = "".join(
            f'zone "{zone}" {{ type primary; file "{zone}.zone"; allow-update {{ key "{KEY}"; }}; }};\n'
            for zone in ZONES
        )
        (folder / "named.conf").write_text(
            f'options {{ directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/session";\n'
            f"listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n"
            f"dnssec-validation no; }};\ncontrols {{ }};\n"
            f'key "{KEY}" {{ algorithm hmac-sha256; secret "{secret}"; }};\n{zones}'
        )

    def settings(self, **changes: object) -> ExternalDnsSection:
        """The settings of a cloud that publishes there."""
        values = {
            "server": "127.0.0.1",
            "port": self.port,
            "tsig_name": KEY,
            "tsig_secret_file": str(self.secret),
            "timeout_s": 2.0,
            "retry_s": 0.1,
            **changes,
        }
        return ExternalDnsSection(**values)  # type: ignore[arg-type]

    async def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            [NAMED, "-g", "-c", str(self.folder / "named.conf")],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
        )
        async with asyncio.timeout(START_S):
            while not await self._answers():
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Kill it, as a machine that dies does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    async def _answers(self) -> bool:
        try:
            return await self._ask(f"ns.{ZONES[0]}.", "A") == ["127.0.0.1"]
        except (OSError, dns.exception.DNSException):
            return False

    async def _ask(self, name: str, kind: str) -> list[str]:
        question = dns.message.make_query(name, kind)
        answer = await dns.asyncquery.udp(question, "127.0.0.1", port=self.port, timeout=2)
        assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
        return sorted(str(one) for rrset in answer.answer for one in rrset)

    async def has(self, record: DnsRecord) -> bool:
        """Whether it tells the record to those who ask for it."""
        return record.data in await self._ask(record.name, record.kind)
