"""The certificate with which a client shows who he is: of its TLS connection, or as a trusted proxy tells it.

This server asks for one where ``server.tls_client_ca`` names who signs them. Behind a proxy that ends TLS the
header of ``server.client_certificate_header`` holds it, as PEM in percent-encoding (nginx's
``$ssl_client_escaped_cert``); it counts from trusted proxies only.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from pileus.web.client import peer_address
from pileus.web.settings import WebSettings

EXTENSION = "tls_client_certificate"
"""The key of the ASGI scope's extensions under which the DER form of the connection's certificate lies."""


def client_certificate(scope: Mapping[str, Any], settings: WebSettings) -> bytes | None:
    """The certificate in DER form, which whoever ended TLS has verified; None where there is none."""
    if settings.certificate_header and settings.proxies.trusts(peer_address(scope)):
        name = settings.certificate_header.lower().encode("latin-1")
        values = [value for header, value in scope["headers"] if header == name]
        if len(values) != 1 or not values[0]:
            return None
        try:
            return ssl.PEM_cert_to_DER_cert(unquote(values[0].decode("latin-1")).strip())
        except ValueError:
            return None
    found: bytes | None = (scope.get("extensions") or {}).get(EXTENSION)
    return found


def thumbprint(certificate: bytes) -> str:
    """The ``x5t#S256`` of a certificate as Keystone makes it and keystonemiddleware compares it.

    That is the SHA-256 of the PEM form, in Base64 for URLs with its padding, where RFC 8705 has that of the
    DER form without padding.
    """
    pem = ssl.DER_cert_to_PEM_cert(certificate)
    return base64.urlsafe_b64encode(hashlib.sha256(pem.encode("ascii")).digest()).decode()
