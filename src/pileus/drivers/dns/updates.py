"""Dynamic updates (RFC 2136), signed by a key that both sides have (TSIG, RFC 8945).

One message a zone, over TCP; the server does all of it or nothing. One that it refuses is halved until the
culprits are alone. The zone of a name is asked of the same server, which tells its start of authority.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update

from pileus.core import log
from pileus.core.dns import DnsRecord, DnsUnreachable
from pileus.core.settings import BadSettings
from pileus.drivers.dns.section import ExternalDnsSection

MOST = 200
"""Records of one message."""

_log = log.get("dns")


class _Change(NamedTuple):
    record: DnsRecord
    wanted: bool


class DynamicUpdates:
    """Speaks to the server of the settings. Raises BadSettings for a key that can't be read."""

    def __init__(self, settings: ExternalDnsSection) -> None:
        self._settings = settings
        self._keyring: dict[dns.name.Name, dns.tsig.Key] | None = None
        if settings.tsig_name:
            self._keyring = _keyring(settings)
        self._zones: dict[dns.name.Name, dns.name.Name] = {}

    async def change(
        self, add: Collection[DnsRecord], remove: Collection[DnsRecord]
    ) -> Mapping[DnsRecord, str]:
        refused: dict[DnsRecord, str] = {}
        by_zone: dict[dns.name.Name, list[_Change]] = {}
        changes = [*(_Change(one, False) for one in remove), *(_Change(one, True) for one in add)]
        for change in changes:
            try:
                zone = await self._zone_of(dns.name.from_text(change.record.name))
            except dns.exception.DNSException as bad:
                refused[change.record] = f"{change.record.name} is no name: {bad}"
                continue
            if zone is None:
                refused[change.record] = f"the server has no zone for {change.record.name}"
            else:
                by_zone.setdefault(zone, []).append(change)
        for zone, several in by_zone.items():
            for start in range(0, len(several), MOST):
                await self._send(zone, several[start : start + MOST], refused)
        return refused

    async def _send(
        self, zone: dns.name.Name, changes: Sequence[_Change], refused: dict[DnsRecord, str]
    ) -> None:
        message = dns.update.UpdateMessage(
            zone, keyring=self._keyring, keyalgorithm=dns.name.from_text(self._settings.tsig_algorithm)
        )
        for record, wanted in changes:
            name = dns.name.from_text(record.name)
            if wanted:
                message.add(name, self._settings.ttl_s, record.kind, record.data)
            else:
                message.delete(name, record.kind, record.data)
        answer = await self._ask(message)
        if answer.rcode() == dns.rcode.NOERROR:
            return
        reason = f"the server refused the update: {dns.rcode.to_text(answer.rcode())}"
        if answer.rcode() in (dns.rcode.NOTAUTH, dns.rcode.NOTZONE, dns.rcode.NOTIMP):
            # The zone has moved away, or the key is no good there: it is so for all of them.
            self._zones.clear()
            refused.update((change.record, reason) for change in changes)
        elif len(changes) == 1:
            refused[changes[0].record] = reason
        else:
            half = len(changes) // 2
            await self._send(zone, changes[:half], refused)
            await self._send(zone, changes[half:], refused)

    async def _zone_of(self, name: dns.name.Name) -> dns.name.Name | None:
        """Find the zone that a name lies in, by the start of authority that the server tells."""
        domain = name.parent() if name != dns.name.root else name
        if domain in self._zones:
            return self._zones[domain]
        question = dns.message.make_query(name, dns.rdatatype.SOA)
        question.flags &= ~dns.flags.RD
        answer = await self._ask(question)
        for section in (answer.answer, answer.authority):
            for rrset in section:
                if rrset.rdtype == dns.rdatatype.SOA:
                    self._zones[domain] = rrset.name
                    return rrset.name
        return None

    async def _ask(self, message: dns.message.Message) -> dns.message.Message:
        settings = self._settings
        try:
            return await dns.asyncquery.tcp(
                message, settings.server, timeout=settings.timeout_s, port=settings.port
            )
        except (OSError, EOFError, dns.exception.DNSException) as error:
            what = str(error) or type(error).__name__
            raise DnsUnreachable(f"{settings.server}:{settings.port} gives no answer: {what}") from error


def _keyring(settings: ExternalDnsSection) -> dict[dns.name.Name, dns.tsig.Key]:
    key = "external_dns.tsig_secret_file"
    try:
        secret = Path(settings.tsig_secret_file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise BadSettings(f"{key}: '{settings.tsig_secret_file}' can't be read") from None
    try:
        name = dns.name.from_text(settings.tsig_name)
        algorithm = dns.name.from_text(settings.tsig_algorithm)
        return {name: dns.tsig.Key(name, base64.b64decode(secret, validate=True), algorithm)}
    except (dns.exception.DNSException, ValueError):
        raise BadSettings(f"{key}: no secret in Base64, or external_dns.tsig_name is no name") from None
