"""Bodies of requests about servers, by microversion. Source: Compute API reference, "Servers"."""

from __future__ import annotations

import re
import secrets
from typing import Any

from pileus.resource import types
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import Version
from pileus.services.compute.api import NAME, at_least
from pileus.services.compute.rules.base64 import decode
from pileus.services.compute.servers.block_device_mappings import OLD_TYPE, new_type

USER_DATA_LIMIT = 65535
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_PASSWORD_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # noqa: S105 - no password
TAG_LIMIT = 60
TAGS_LIMIT = 50


def _parse_metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadValue("not a dictionary", f"{value!r} is not of type 'object'", value=value)
    for key, text in value.items():
        if not _KEY.fullmatch(key):
            raise BadValue(
                f"'{key}' is not a valid key",
                f"Additional properties are not allowed ({key!r} was unexpected)",
                value=value,
            )
        types.string(255).parse(text)
    return dict(value)


METADATA = Type("metadata", _parse_metadata, {"type": "object", "additionalProperties": {"type": "string"}})


def _base64(maximum: int | None) -> Type:
    text_type = types.string(maximum)

    def parse(value: Any) -> str:
        text: str = text_type.parse(value)
        try:
            decode(text)
        except ValueError:
            raise BadValue(f"'{value}' is not base64", f"{value!r} is not a 'base64'", value=value) from None
        return text

    return Type("base64", parse, {**text_type.schema, "format": "base64"})


BASE64 = _base64(USER_DATA_LIMIT)
_CONTENTS = _base64(None)
"""Quotas bound how long a file is."""


def _parse_reference(value: Any) -> str:
    """A flavor's id: text, or a number, or the end of an address, as clients of old sent it."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text: str = types.string(2048, minimum=1).parse(value)
    return text.rstrip("/").rsplit("/", 1)[-1]


FLAVOR_REF = Type("reference", _parse_reference, {"type": ["string", "integer"]})


def _parse_image(value: Any) -> str:
    if value == "":
        return ""
    return str(types.uuid.parse(value))


_IMAGE_REF = Type("image reference", _parse_image, {"type": "string"})
_ADDRESS4 = Type("ipv4", lambda value: _address(value, 4), {"type": "string", "format": "ipv4"})
_ADDRESS6 = Type("ipv6", lambda value: _address(value, 6), {"type": "string", "format": "ipv6"})


def _address(value: Any, version: int) -> str:
    if value == "" or value is None:
        return ""
    text = str(types.ip_address.parse(value))
    if (":" in text) != (version == 6):
        raise BadValue(
            f"'{value}' is not an IPv{version} address", f"{value!r} is not a 'ipv{version}'", value=value
        )
    return text


def _parse_hostname(value: Any) -> str:
    if not isinstance(value, str) or not _HOSTNAME.fullmatch(value):
        raise BadValue("not a hostname", f"{value!r} is not a valid hostname", value=value)
    return value


def _parse_fqdn(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255 or not all(map(_HOSTNAME.fullmatch, value.split("."))):
        raise BadValue("not a hostname", f"{value!r} is not a valid hostname", value=value)
    return value


def _parse_tag(value: Any) -> str:
    text: str = types.string(TAG_LIMIT, minimum=1).parse(value)
    if "/" in text or "," in text:
        raise BadValue(f"'{value}' is not a valid tag", f"{value!r} does not match '^[^,/]*$'", value=value)
    return text


TAG = Type("tag", _parse_tag, {"type": "string", "minLength": 1, "maxLength": TAG_LIMIT})
TAGS = types.list_of(TAG, unique=True, maximum=TAGS_LIMIT)
_DEVICE_TAG = types.nullable(types.string(60, minimum=1, pattern=r"[^,/]*"))
DESCRIPTION = types.nullable(types.string(255))
_FILES = types.list_of(
    types.dict_of({"path": types.string(None), "contents": _CONTENTS}, required=("path", "contents"))
)
_DISK_CONFIG = types.enum("AUTO", "MANUAL")
_HOSTNAME_TYPE = Type("hostname", _parse_hostname, {"type": "string"})
_FQDN_TYPE = Type("hostname", _parse_fqdn, {"type": "string"})
_CONFIG_DRIVE = types.nullable(
    types.one_of(types.boolean, types.normalised(types.string(0), lambda _: False))
)
_COUNT = types.integer(1)
_GROUP_NAMES = types.list_of(types.dict_of({"name": NAME}))
_ZONE = types.nullable(types.string(255, minimum=1))
_PASSWORD = types.string(255)


def _networks(version: Version) -> Type:
    fields: dict[str, Type] = {
        "uuid": types.nullable(types.uuid),
        "port": types.nullable(types.uuid),
        "fixed_ip": types.ip_address,
    }
    if at_least(version, "2.42") or version.minor == 32:
        fields["tag"] = _DEVICE_TAG
    several = types.list_of(types.dict_of(fields))
    if at_least(version, "2.37"):
        return types.one_of(types.enum("none", "auto"), several)
    return several


_HINT_SERVERS = types.one_of(types.list_of(types.uuid), types.normalised(types.uuid, lambda one: [one]))
_FIRST = types.normalised(types.list_of(types.uuid, minimum=1), lambda several: several[0])
_TEXTS_OF_ONE = types.list_of(types.string(4096, minimum=1), minimum=1, maximum=1)
_HINTS = types.dict_of(
    {
        "group": types.one_of(_FIRST, types.uuid),
        "different_host": _HINT_SERVERS,
        "same_host": _HINT_SERVERS,
        "interface_qos": types.uuid,
        "query": types.one_of(
            types.string(4096, minimum=1), types.normalised(_TEXTS_OF_ONE, lambda one: one[0])
        ),
        "build_near_host_ip": types.ip_address,
        "cidr": types.string(4, pattern=r"/?[0-9]{1,3}"),
    },
    additional=types.anything,
)


def create_body(version: Version) -> Type:
    """The body of POST /servers."""
    fields: dict[str, Type] = {
        "name": NAME,
        "imageRef": _IMAGE_REF,
        "flavorRef": FLAVOR_REF,
        "adminPass": _PASSWORD,
        "metadata": METADATA,
        "networks": _networks(version),
        "OS-DCF:diskConfig": _DISK_CONFIG,
        "accessIPv4": _ADDRESS4,
        "accessIPv6": _ADDRESS6,
        "availability_zone": _ZONE,
        "block_device_mapping": OLD_TYPE,
        "block_device_mapping_v2": new_type(version),
        "config_drive": _CONFIG_DRIVE,
        "key_name": types.nullable(types.string(255, minimum=1)),
        "min_count": _COUNT,
        "max_count": _COUNT,
        "return_reservation_id": types.boolean,
        "security_groups": _GROUP_NAMES,
        "user_data": types.nullable(BASE64),
        # The seed's: a rule set of QoS for the ports that are made.
        "interface_qos": types.uuid,
    }
    required: tuple[str, ...] = ("name", "flavorRef")
    if not at_least(version, "2.57"):
        fields["personality"] = _FILES
    if at_least(version, "2.19"):
        fields["description"] = DESCRIPTION
    if at_least(version, "2.37"):
        required += ("networks",)
    if at_least(version, "2.52"):
        fields["tags"] = TAGS
    if at_least(version, "2.63"):
        fields["trusted_image_certificates"] = types.nullable(types.list_of(types.string(255), maximum=50))
    if at_least(version, "2.74"):
        fields["host"] = types.string(255, minimum=1)
        fields["hypervisor_hostname"] = types.string(255, minimum=1)
    if at_least(version, "2.90"):
        fields["hostname"] = _FQDN_TYPE if at_least(version, "2.94") else _HOSTNAME_TYPE
    return types.dict_of(
        {
            "server": types.dict_of(fields, required=required),
            "os:scheduler_hints": _HINTS,
            "OS-SCH-HNT:scheduler_hints": _HINTS,
        },
        required=("server",),
    )


def update_body(version: Version) -> Type:
    """The body of PUT /servers/{id}."""
    fields: dict[str, Type] = {
        "name": NAME,
        "OS-DCF:diskConfig": _DISK_CONFIG,
        "accessIPv4": _ADDRESS4,
        "accessIPv6": _ADDRESS6,
    }
    if at_least(version, "2.19"):
        fields["description"] = DESCRIPTION
    if at_least(version, "2.90"):
        fields["hostname"] = _FQDN_TYPE if at_least(version, "2.94") else _HOSTNAME_TYPE
    return types.dict_of({"server": types.dict_of(fields)}, required=("server",))


def rebuild_argument(version: Version) -> Type:
    """The argument of the action ``rebuild``."""
    fields: dict[str, Type] = {
        "imageRef": types.uuid,
        "name": NAME,
        "adminPass": _PASSWORD,
        "metadata": METADATA,
        "preserve_ephemeral": types.boolean,
        "OS-DCF:diskConfig": _DISK_CONFIG,
        "accessIPv4": _ADDRESS4,
        "accessIPv6": _ADDRESS6,
    }
    if not at_least(version, "2.57"):
        fields["personality"] = _FILES
    else:
        fields["user_data"] = types.nullable(BASE64)
    if at_least(version, "2.19"):
        fields["description"] = DESCRIPTION
    if at_least(version, "2.54"):
        fields["key_name"] = types.nullable(types.string(255, minimum=1))
    if at_least(version, "2.63"):
        fields["trusted_image_certificates"] = types.nullable(types.list_of(types.string(255), maximum=50))
    if at_least(version, "2.90"):
        fields["hostname"] = _FQDN_TYPE if at_least(version, "2.94") else _HOSTNAME_TYPE
    return types.dict_of(fields, required=("imageRef",))


def renamed(asked: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the API as columns."""
    names = {
        "name": "name",
        "description": "description",
        "hostname": "hostname",
        "OS-DCF:diskConfig": "disk_config",
        "accessIPv4": "access_ip_v4",
        "accessIPv6": "access_ip_v6",
    }
    changes = {names[name]: value for name, value in asked.items() if name in names}
    for name in ("access_ip_v4", "access_ip_v6"):
        if name in changes:
            changes[name] = changes[name] or None
    return changes


def new_password() -> str:
    """A new password for a guest's administrator, as Nova makes it up."""
    return "".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(12))
