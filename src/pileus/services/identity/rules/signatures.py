"""AWS signatures, versions 2 and 4, of requests that somebody else received.

Source: "Signature Version 2 signing process" and "Signature Version 4 signing process" of the AWS General
Reference. The body of a POST holds its parameters and is not part of the canonical query, as in Keystone's
``ec2tokens``. Only a time that is part of what was signed says when that was: version 2 signs its
``Timestamp`` and ``Expires``, version 4 the one ``X-Amz-Date`` that stands in the string to sign.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from pileus.core.times import parse_time

ALGORITHM = "AWS4-HMAC-SHA256"
LIFETIME = dt.timedelta(minutes=15)
"""How old a signed request may be, and how far ahead a clock: Keystone's ``[credential] auth_ttl``."""
_MOMENT = re.compile(r"[0-9]{8}T[0-9]{6}Z")


class BadSignature(Exception):
    """The request can't be verified; the text says why, for the log."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A request as an EC2 or S3 front end passes it on; ``body_hash`` is SHA-256 in hexadecimal."""

    access: str
    signature: str = ""
    verb: str = ""
    host: str = ""
    path: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body_hash: str = ""

    @property
    def version(self) -> int:
        """2 or 4. Raises BadSignature for any other."""
        stated = self.params.get("SignatureVersion")
        if str(stated) == "2":
            return 2
        by_header = (self._header("Authorization") or "").startswith(ALGORITHM)
        if stated is None and (by_header or self.params.get("X-Amz-Algorithm") == ALGORITHM):
            return 4
        raise BadSignature(f"signature version {stated} is not supported")

    @property
    def moment(self) -> str:
        """Version 4's time as it stands in the string to sign. Raises BadSignature where it is none."""
        found = self._header("X-Amz-Date") or str(self.params.get("X-Amz-Date") or "")
        if not _MOMENT.fullmatch(found):
            raise BadSignature("X-Amz-Date is not of the form 20260131T235959Z")
        return found

    def _header(self, name: str) -> str | None:
        lower = name.lower()
        return next((value for key, value in self.headers.items() if key.lower() == lower), None)

    def _stated(self, name: str) -> str:
        """A part of version 4's authorization, from the header or the query. Raises BadSignature."""
        authorization = self._header("Authorization")
        if authorization is None:
            found = self.params.get(f"X-Amz-{name}")
        else:
            parts = authorization.removeprefix(ALGORITHM).split(",")
            pairs = dict(part.strip().split("=", 1) for part in parts if "=" in part)
            found = pairs.get(name)
        if not found:
            raise BadSignature(f"there is no {name}")
        return str(found)


def verify(secret: str, signed: Signed) -> None:
    """Raise BadSignature unless the request was signed with the secret."""
    if not signed.signature:
        raise BadSignature("EC2 signature not supplied")
    hosts = [signed.host]
    if ":" in signed.host:
        # some clients sign without the port
        hosts.append(signed.host.rpartition(":")[0])
    for host in hosts:
        right = signature(secret, msgspec.structs.replace(signed, host=host))
        if hmac.compare_digest(right.encode(), signed.signature.encode()):
            return
    raise BadSignature("Invalid EC2 signature")


_S3_SERVICES = frozenset({b"s3", b"iam", b"sts"})


def verify_text(secret: str, text: bytes, given: str) -> None:
    """Raise BadSignature unless a string to sign of S3's was signed with the secret: of version 4 by how it
    begins, of version 2 otherwise."""
    if text.startswith(b"AWS4"):
        lines = text.split(b"\n")
        scope = lines[2].split(b"/") if len(lines) == 4 and lines[0] == ALGORITHM.encode() else []
        if len(scope) != 4 or scope[2] not in _S3_SERVICES or scope[3] != b"aws4_request":
            raise BadSignature("Invalid EC2 signature.")
        key = f"AWS4{secret}".encode()
        for part in (*scope, text):
            key = hmac.new(key, part, hashlib.sha256).digest()
        right = key.hex()
    else:
        right = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode("ascii")
    if not hmac.compare_digest(right.encode(), given.encode()):
        raise BadSignature("Credential signature mismatch")


def check_time(signed: Signed, now: dt.datetime) -> None:
    """Raise BadSignature for a signature (one that was verified) that is too old, or of the future.

    ``now`` is naive UTC. An expiry that was signed can only shorten the time that a signature has.
    """
    if signed.version == 4:
        age = now - _read_time(signed.moment, "%Y%m%dT%H%M%SZ")
        _check_age(age)
        expires = signed.params.get("X-Amz-Expires")
        if expires is not None and age.total_seconds() > _seconds(str(expires)):
            raise BadSignature("the signature has expired")
        return
    stamp, expires = signed.params.get("Timestamp"), signed.params.get("Expires")
    if stamp is None and expires is None:
        raise BadSignature("neither Timestamp nor Expires was signed")
    if stamp is not None:
        _check_age(now - _read_time(str(stamp)))
    if expires is not None:
        left = _read_time(str(expires)) - now
        if left < dt.timedelta():
            raise BadSignature("the signature has expired")
        if stamp is None and left > LIFETIME:
            raise BadSignature("the signature would live too long")


def _check_age(age: dt.timedelta) -> None:
    if age > LIFETIME:
        raise BadSignature("the signature is too old")
    if -age > LIFETIME:
        raise BadSignature("the signature is of the future")


def _read_time(text: str, *formats: str) -> dt.datetime:
    try:
        return parse_time(text, *formats)
    except ValueError:
        raise BadSignature(f"the time of the signature is none: {text[:64]}") from None


def _seconds(text: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", text):
        raise BadSignature("X-Amz-Expires is no number of seconds")
    return int(text)


def signature(secret: str, signed: Signed) -> str:
    """The signature that the request should have. Raises BadSignature for a version other than 2 and 4."""
    return _version_2(secret, signed) if signed.version == 2 else _version_4(secret, signed)


def _version_2(secret: str, signed: Signed) -> str:
    params = {key: value for key, value in signed.params.items() if key != "Signature"}
    query = _canonical_query({**params, "SignatureMethod": "HmacSHA256"})
    text = "\n".join((signed.verb, signed.host, signed.path, query))
    return base64.b64encode(_hmac(secret.encode(), text)).decode("ascii")


def _version_4(secret: str, signed: Signed) -> str:
    scope = signed._stated("Credential").split("/")
    if len(scope) != 5:
        raise BadSignature("the credential scope has another form")
    _, date, region, service, terminator = scope
    moment = signed.moment
    if date != moment[:8]:
        raise BadSignature("Request date mismatch error")
    names = signed._stated("SignedHeaders")
    headers = {key.lower().strip(): " ".join(value.split()) for key, value in signed.headers.items()}
    params = {key: value for key, value in signed.params.items() if key != "X-Amz-Signature"}
    request = "\n".join(
        (
            signed.verb.upper(),
            signed.path,
            "" if signed.verb.upper() == "POST" else _canonical_query(params),
            "".join(f"{name}:{headers[name]}\n" for name in names.split(";") if name in headers),
            names,
            signed.body_hash,
        )
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((ALGORITHM, moment, "/".join(scope[1:]), digest))
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, terminator):
        key = _hmac(key, part)
    return _hmac(key, text).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _canonical_query(params: Mapping[str, Any]) -> str:
    return "&".join(
        f"{quote(key, safe='-_~')}={quote(str(params[key]), safe='-_~')}" for key in sorted(params)
    )
