"""AWS signatures, versions 2 and 4, of requests that somebody else received.

Source: "Signature Version 2 signing process" and "Signature Version 4 signing process" of the AWS General
Reference. The body of a POST holds its parameters and is not part of the canonical query, as in Keystone's
``ec2tokens``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

ALGORITHM = "AWS4-HMAC-SHA256"


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
    def time(self) -> str | None:
        """When it was signed, as written: ISO 8601, with or without separators."""
        found = self.params.get("Timestamp") or self._header("X-Amz-Date") or self.params.get("X-Amz-Date")
        return None if found is None else str(found)

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


def signature(secret: str, signed: Signed) -> str:
    """The signature that the request should have. Raises BadSignature for a version other than 2 and 4."""
    version = signed.params.get("SignatureVersion")
    if str(version) == "2":
        return _version_2(secret, signed)
    by_header = (signed._header("Authorization") or "").startswith(ALGORITHM)
    if version is None and (by_header or signed.params.get("X-Amz-Algorithm") == ALGORITHM):
        return _version_4(secret, signed)
    raise BadSignature(f"signature version {version} is not supported")


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
    moment = signed._header("X-Amz-Date") or str(signed.params.get("X-Amz-Date") or "")
    if not moment.startswith(date):
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
