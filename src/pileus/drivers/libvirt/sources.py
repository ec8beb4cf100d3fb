"""Where the content of a machine's disk is when it is no file of the host: QEMU opens it by itself.

So no device of the kernel, no session and no multipath map is left on a host. Secrets are libvirt's: a source
names one, and its value is told to libvirt alone (``Hypervisor.ensure_secrets``).
Source: https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Literal

import msgspec


class NbdSource(msgspec.Struct, frozen=True, kw_only=True, tag="nbd"):
    """An export of an NBD server. ``tls_name``: the name that its certificate has to have; empty: no TLS."""

    address: str
    port: int
    name: str
    tls_name: str = ""


class IscsiSource(msgspec.Struct, frozen=True, kw_only=True, tag="iscsi"):
    """A unit of an iSCSI target. ``username`` with ``secret``: CHAP; empty: none."""

    address: str
    port: int
    target: str
    lun: int
    username: str = ""
    secret: str = ""


class RbdSource(msgspec.Struct, frozen=True, kw_only=True, tag="rbd"):
    """An image of a Ceph cluster. ``name``: POOL/IMAGE; ``monitors``: addresses with ports."""

    name: str
    monitors: tuple[tuple[str, int], ...]
    username: str = ""
    secret: str = ""


NetworkSource = NbdSource | IscsiSource | RbdSource


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that libvirt keeps for QEMU, in memory. ``usage``: names it for people; of one kind each."""

    uuid: str
    kind: Literal["iscsi", "ceph", "volume"]
    usage: str
    value: bytes


def render_source(source: NetworkSource) -> ET.Element:
    """The element of a disk that says where its content is."""
    match source:
        case NbdSource():
            element = ET.Element("source", protocol="nbd", name=source.name)
            if source.tls_name:
                element.set("tls", "yes")
                element.set("tlsHostname", source.tls_name)
            _host(element, source.address, source.port)
        case IscsiSource():
            element = ET.Element("source", protocol="iscsi", name=f"{source.target}/{source.lun}")
            _host(element, source.address, source.port)
            _auth(element, source.username, "iscsi", source.secret)
        case RbdSource():
            element = ET.Element("source", protocol="rbd", name=source.name)
            for address, port in source.monitors:
                _host(element, address, port)
            _auth(element, source.username, "ceph", source.secret)
    return element


def render_secret(secret: Secret) -> str:
    """The XML of a secret without its value. https://libvirt.org/formatsecret.html"""
    root = ET.Element("secret", ephemeral="yes", private="yes")
    ET.SubElement(root, "uuid").text = secret.uuid
    usage = ET.SubElement(root, "usage", type=secret.kind)
    name = {"iscsi": "target", "ceph": "name", "volume": "volume"}[secret.kind]
    ET.SubElement(usage, name).text = secret.usage
    return ET.tostring(root, encoding="unicode")


def _host(element: ET.Element, address: str, port: int) -> None:
    ET.SubElement(element, "host", name=address, port=str(port))


def _auth(element: ET.Element, username: str, kind: str, secret: str) -> None:
    if username:
        auth = ET.SubElement(element, "auth", username=username)
        ET.SubElement(auth, "secret", type=kind, uuid=secret)
