"""The metadata tree of Amazon's EC2, as cloud-init and small guests read it: ``/latest/meta-data/…``.

Source: Nova user guide, "Metadata", EC2-compatible; Amazon's instance metadata categories.
"""

from __future__ import annotations

import zlib
from typing import Any

from pileus.services.compute.instance_metadata.facts import MetadataFacts

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
)


def ec2_id(prefix: str, key: str) -> str:
    """``i-`` and eight hexadecimal digits, from an id."""
    return f"{prefix}-{zlib.crc32(key.encode()):08x}"


def document(facts: MetadataFacts) -> dict[str, Any]:
    """The tree: dictionaries are folders, everything else is text."""
    server = facts.server
    fixed = [ip["ip_address"] for one in facts.ports for ip in one.port["fixed_ips"] or []]
    local = [address for address in fixed if ":" not in address]
    public = [
        floating for one in facts.ports for several in one.floating_ips.values() for floating in several
    ]
    tree: dict[str, Any] = {
        "ami-id": ec2_id("ami", server["image_id"] or ""),
        "ami-launch-index": str(server["launch_index"]),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": server["hostname"],
        "instance-action": "none",
        "instance-id": ec2_id("i", server["id"]),
        "instance-type": server["flavor"]["name"],
        "local-hostname": server["hostname"],
        "local-ipv4": local[0] if local else "",
        "placement": {"availability-zone": server["availability_zone"] or ""},
        "public-hostname": server["hostname"],
        "public-ipv4": public[0] if public else "",
        "reservation-id": server["reservation_id"],
        "security-groups": "\n".join(sorted({g for one in facts.ports for g in one.port["security_groups"]})),
    }
    if facts.ports:
        tree["mac"] = facts.ports[0].port["mac_address"]
    if server["key_data"]:
        tree["public-keys"] = {"0": {"openssh-key": server["key_data"]}}
    return tree


def listing(node: dict[str, Any], key_name: str | None) -> str:
    """A folder as text: one name a line, folders with a slash, keys as ``0=name``."""
    lines = []
    for name, value in sorted(node.items()):
        if name == "0" and isinstance(value, dict):
            lines.append(f"0={key_name}")
        else:
            lines.append(f"{name}/" if isinstance(value, dict) else name)
    return "\n".join(lines)


def look_up(facts: MetadataFacts, parts: list[str]) -> str | None:
    """The text at a path below ``meta-data``, or None where there is nothing."""
    node: Any = document(facts)
    for part in parts:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return listing(node, facts.server["key_name"]) if isinstance(node, dict) else str(node)
