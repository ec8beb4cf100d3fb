"""The bodies of import requests, and what may be fetched.

Source: Image API v2, "Interoperable image import".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

import msgspec

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.types import BadValue
from pileus.services.image.config import IMPORT_METHODS, ImageConfig
from pileus.web.outgoing import Address, normal_address

DIRECT, WEB, GLANCE = IMPORT_METHODS

_METHOD = types.dict_of({"name": types.enum(*IMPORT_METHODS)}, required=("name",), additional=types.anything)
IMPORT_BODY = types.dict_of({"method": _METHOD}, required=("method",), additional=types.anything)


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """An import that is asked for: where from, by the method's own words."""

    method: str
    uri: str = ""
    region: str = ""
    image_id: str = ""
    interface: str = "public"


def read_import(body: Any, config: ImageConfig) -> Import:
    """Check the body of an import request. Raises Invalid in Glance's words."""
    try:
        method: Mapping[str, Any] = IMPORT_BODY.parse(body)["method"]
    except BadValue:
        given = body.get("method") if isinstance(body, dict) else None
        name = given.get("name") if isinstance(given, dict) else None
        raise Invalid(f"Unknown import method name '{name}'.") from None
    if body.get("all_stores_must_succeed", True) is False:
        raise Invalid("All_stores_must_succeed can only be set where there are several stores.")
    if method["name"] == WEB:
        return Import(method=WEB, uri=read_uri(method.get("uri"), config))
    if method["name"] == GLANCE:
        return _read_glance(method)
    return Import(method=DIRECT)


def _read_glance(method: Mapping[str, Any]) -> Import:
    for name in ("glance_region", "glance_image_id"):
        if name not in method:
            raise Invalid(f"'{name}' needs to be set for glance-download import method")
    image_id = method["glance_image_id"]
    try:
        normal = str(UUID(image_id))
    except (ValueError, TypeError, AttributeError):
        raise Invalid(f"Remote image id does not look like a UUID: {image_id}") from None
    region, interface = method["glance_region"], method.get("glance_service_interface", "public")
    if not isinstance(region, str) or not isinstance(interface, str):
        raise Invalid("'glance_region' and 'glance_service_interface' are texts")
    return Import(method=GLANCE, region=region, image_id=normal, interface=interface)


def read_uri(uri: Any, config: ImageConfig) -> str:
    """Check an address to download from, as far as it can be without a look at the network.

    Raises Invalid. A name is judged when it has been resolved (``may_ask``).
    """
    if not isinstance(uri, str) or not uri:
        raise Invalid("'uri' is required for web-download import method")
    parts = split_uri(uri, config)
    try:
        literal = normal_address(parts.hostname or "")
    except ValueError:
        return uri
    if not may_ask(literal, config):
        raise _filtered(uri)
    return uri


def split_uri(uri: str, config: ImageConfig) -> SplitResult:
    """The parts of an address that may be asked: scheme, port, no user. Raises Invalid."""
    try:
        parts = urlsplit(uri)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise _filtered(uri) from None
    if (
        len(uri) > 2000
        or parts.scheme not in config.import_schemes
        or not parts.hostname
        or parts.username is not None
        or parts.password is not None
        or port not in config.import_ports
        or any(ord(char) <= 32 or ord(char) == 127 for char in uri)
    ):
        raise _filtered(uri)
    return parts


def may_ask(address: Address, config: ImageConfig) -> bool:
    """Whether images may be fetched from an address: a public one, or one of the networks of the settings."""
    if any(address in network for network in config.import_networks):
        return True
    return address.is_global and not address.is_multicast


def _filtered(uri: str) -> Invalid:
    return Invalid(f"URI for web-download does not pass filtering: {uri}")
