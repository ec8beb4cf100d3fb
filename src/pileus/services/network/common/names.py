"""Names as the Network API takes them: of resources, and of the domain name system.

The sentences are those of neutron-lib's validators ``name_string``, ``dns_host_name``, ``fip_dns_host_name``
and ``dns_domain_name``, where RFC 952 and RFC 1123 are followed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from pileus.resource import types
from pileus.resource.types import BadValue, Type

FQDN = 255
"""The most characters that a name with all its domains may have."""

KEYWORDS = ("project_id", "project_name", "user_id", "user_name")
"""Labels of a domain that stand for what a port's maker is, as ``<project_id>``."""

_LABEL = re.compile(r"[a-z0-9-]{1,63}")


def _printable(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] != "C" and (category[0] != "Z" or category == "Zs")


def _plain(name: str) -> str:
    """Printable characters, and none that can't be seen at either end."""
    if not all(map(_printable, name)) or name != name.strip():
        raise BadValue(f"'{name}' is not a valid string", value=name)
    return name


def name_type(minimum: int = 0) -> Type:
    """The name of a resource."""
    return types.normalised(types.string(255, minimum=minimum), _plain)


def is_host_name(name: str) -> bool:
    """Whether ports take a name for their ``dns_name``."""
    try:
        HOST_NAME.parse(name)
    except BadValue:
        return False
    return True


def _check_room(name: str, room: int, addition: str) -> None:
    if len(name) > FQDN - room:
        raise BadValue(
            f"'{name}' contains {len(name)} characters. Adding a {addition} will cause it to exceed the "
            f"maximum length of a FQDN of '{FQDN}'",
            value=name,
        )


def _check_labels(name: str, keywords: Collection[str] = ()) -> None:
    plain = name.removesuffix(".")
    labels = plain.split(".")
    reason = ""
    if len(plain) > FQDN:
        reason = f"'{plain}' exceeds the {FQDN} character FQDN limit"
    for label in labels if not reason else ():
        if not label:
            reason = "Encountered an empty component"
        elif label.startswith("-") or label.endswith("-"):
            reason = f"Name '{label}' must not start or end with a hyphen"
        elif label not in keywords and not _LABEL.fullmatch(label):
            reason = (
                f"Name '{label}' must be 1-63 characters long, each of which can only be alphanumeric or a "
                "hyphen"
            )
        if reason:
            break
    if not reason and len(labels) > 1 and labels[-1].isdecimal():
        reason = f"TLD '{labels[-1]}' must not be all numeric"
    if reason:
        raise BadValue(f"'{name}' not a valid PQDN or FQDN. Reason: {reason}", value=name)


def _host_name(name: str) -> str:
    lower = name.lower()
    if lower:
        _check_labels(lower)
    return lower


def _relative_name(name: str) -> str:
    lower = name.lower()
    if lower.endswith("."):
        raise BadValue(f"'{lower}' is a FQDN. It should be a relative domain name", value=name)
    if lower:
        _check_labels(lower)
    _check_room(lower, 3, "domain name")
    return lower


def _domain_name(name: str) -> str:
    """Check a domain; a label may be a keyword that stands for what a port's maker is."""
    lower = name.lower()
    if lower and not lower.endswith("."):
        raise BadValue(f"'{lower}' is not a FQDN", value=name)
    if lower:
        _check_labels(lower, [f"<{keyword}>" for keyword in KEYWORDS])
    _check_room(lower, 2, "sub-domain")
    return lower


HOST_NAME = types.normalised(types.line(FQDN + 1), _host_name)
RELATIVE_NAME = types.normalised(types.line(FQDN), _relative_name)
DOMAIN_NAME = types.normalised(types.line(FQDN), _domain_name)
