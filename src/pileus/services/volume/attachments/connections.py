"""How a volume is opened: connectors as they come, connections as agents report them and as Cinder shows
them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.services.volume.errors import AttachmentNotFound, ConnectionLate, ConnectionRefused
from pileus.services.volume.events import CONNECTED
from pileus.services.volume.tables.volumes import volume_attachments
from pileus.store import Published, Store
from pileus.store.tx import Tx
from pileus.wire.volume import BLOCK, FILE, ISCSI, NBD, PROTOCOLS, RBD, VolumeConnection, VolumeExport

_LOOK_AGAIN_S = 2.0


def protocols_of(connector: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of connections that whoever has a connector can open, best first."""
    named = connector.get("protocols")
    if isinstance(named, list):
        return tuple(one for one in dict.fromkeys(map(str, named)) if one in PROTOCOLS)
    return (RBD, *((ISCSI,) if connector.get("initiator") else ()), NBD)


def export_of(attachment_id: str, connector: Mapping[str, Any], *, read_only: bool) -> VolumeExport:
    """An attachment as its volume's node is told of it."""
    return VolumeExport(
        export_id=attachment_id,
        host=str(connector.get("host") or ""),
        read_only=read_only,
        protocols=protocols_of(connector),
        initiator=str(connector.get("initiator") or ""),
        address=connector.get("ip") or None,
    )


def is_answer(connection: VolumeConnection, connector: Mapping[str, Any], host: str) -> bool:
    """Whether a connection is what ``host`` may say to a connector.

    A path is one of the host itself: on another it would be that one's file or disk. What comes over the
    network is raw: a qcow2 names files that whoever opens it would read.
    """
    if connection.kind not in protocols_of(connector):
        return False
    if connection.kind in (FILE, BLOCK):
        return connector.get("host") == host and connection.disk_format in ("raw", "qcow2")
    return connection.disk_format == "raw"


def connection_info(
    attachment_id: str,
    volume_id: str,
    read_only: bool,
    connection: Mapping[str, Any],
    qos_specs: Mapping[str, str] | None,
) -> dict[str, Any]:
    """A connection in Cinder's form: ``driver_volume_type`` and ``data``, with the limits that whoever opens
    it is to keep."""
    one = msgspec.convert(connection, VolumeConnection)
    kind, data = _FORMS[one.kind](one)
    common = {
        "access_mode": "ro" if read_only else "rw",
        "volume_id": volume_id,
        "encrypted": False,
        "qos_specs": qos_specs or None,
        "discard": True,
    }
    return {"driver_volume_type": kind, "data": {**common, **data}, "attachment_id": attachment_id}


def _local(one: VolumeConnection) -> tuple[str, dict[str, Any]]:
    return "local", {"device_path": one.path, "format": one.disk_format}


def _nbd(one: VolumeConnection) -> tuple[str, dict[str, Any]]:
    return "nbd", {
        "host": one.address,
        "port": one.port,
        "export": one.name,
        "tls": bool(one.certificate),
        "certificate": one.certificate,
        "format": one.disk_format,
    }


def _iscsi(one: VolumeConnection) -> tuple[str, dict[str, Any]]:
    auth = {}
    if one.username:
        auth = {"auth_method": "CHAP", "auth_username": one.username, "auth_password": one.password}
    return "iscsi", {
        "target_discovered": False,
        "target_portal": f"{one.address}:{one.port}",
        "target_iqn": one.name,
        "target_lun": one.lun,
        **auth,
    }


def _rbd(one: VolumeConnection) -> tuple[str, dict[str, Any]]:
    monitors = [text.rpartition(":") for text in one.monitors]
    return "rbd", {
        "name": one.name,
        "hosts": [address for address, _, _ in monitors],
        "ports": [port for _, _, port in monitors],
        "auth_enabled": bool(one.username),
        "auth_username": one.username,
        "secret_type": "ceph",
        "keyring": one.password,
    }


_FORMS = {FILE: _local, BLOCK: _local, NBD: _nbd, ISCSI: _iscsi, RBD: _rbd}


def _read(tx: Tx, attachment_id: str) -> Any:
    table = volume_attachments
    return tx.first(select(table).where(table.c.id == attachment_id))


async def connected(store: Store, attachment_id: str, wait_s: float) -> Any:
    """The row of an attachment once its volume's node has opened it.

    Raises ConnectionRefused where the node can't, ConnectionLate where it has not said so in time.
    """
    told = asyncio.Event()

    def hear(published: Published) -> None:
        if any(one.kind == CONNECTED and one.resource_id == attachment_id for one in published.events):
            told.set()

    unsubscribe = store.subscribe(hear)
    try:
        until = asyncio.get_running_loop().time() + wait_s
        while True:
            row = await store.read(_read, attachment_id)
            if row is None:
                raise AttachmentNotFound(id=attachment_id)
            if row.connection is not None:
                return row
            if row.error is not None:
                raise ConnectionRefused(id=row.volume_id, reason=row.error)
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                raise ConnectionLate(id=row.volume_id)
            try:
                async with asyncio.timeout(min(left, _LOOK_AGAIN_S)):
                    await told.wait()
            except TimeoutError:
                pass  # another server may have heard it
            told.clear()
    finally:
        unsubscribe()
