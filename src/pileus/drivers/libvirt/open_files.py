"""Files that machines of a host have open, and what is done with them while they go on."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from pathlib import Path


def target_of(definition: str, path: Path) -> str | None:
    """The name in the machine (``vdb``) of the disk that it has in a file; None: it has none there."""
    root = ET.fromstring(definition)  # noqa: S314 - from libvirt, as it wrote it
    for disk in root.findall("./devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == str(path):
            return target.get("dev")
    return None


def render_moves(overlays: Mapping[str, Path], others: Iterable[str]) -> str:
    """The XML by which disks go on, at one moment, each in a qcow2 that lies on the present one, and no other
    disk does.

    Source: https://libvirt.org/formatsnapshot.html
    """
    root = ET.Element("domainsnapshot")
    disks = ET.SubElement(root, "disks")
    for target, overlay in overlays.items():
        disk = ET.SubElement(disks, "disk", name=target, snapshot="external", type="file")
        ET.SubElement(disk, "driver", type="qcow2")
        ET.SubElement(disk, "source", file=str(overlay))
    for other in others:
        if other not in overlays:
            ET.SubElement(disks, "disk", name=other, snapshot="no")
    return ET.tostring(root, encoding="unicode")
