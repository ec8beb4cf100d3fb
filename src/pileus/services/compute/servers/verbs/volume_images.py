"""An image of a server that began from a volume: snapshots of its volumes, and an image that names them.

Source: Compute API reference, "Create Image": the image has no bytes, and ``block_device_mapping`` among its
properties. The volumes' nodes make the snapshots while the server runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pileus.core.context import Context
from pileus.resource.declaration import Values
from pileus.services.compute.errors import BadRequest, QuotaError
from pileus.services.compute.servers.attached_volumes import ATTACHED
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.uses.volume import InvalidVolume, snapshot_begin, volumes_held
from pileus.services.compute.uses.volume import QuotaError as VolumeQuotaError
from pileus.store.tx import Tx


def snapshots_begin(
    tx: Tx, context: Context, rows: Sequence[Any], name: str, parts: Parts
) -> list[dict[str, Any]]:
    """Have snapshots made of a server's volumes; the mapping by which a server is made of them. Raises
    BadRequest and QuotaError. Few volumes: some statements for each."""
    held = volumes_held(tx, [row.volume_id for row in rows])
    mapping = []
    for row in rows:
        volume = held[row.volume_id]
        if row.state != ATTACHED:
            raise BadRequest(f"Invalid volume: volume {row.volume_id} is {row.state}.")
        try:
            made = snapshot_begin(
                *(tx, context, volume, parts.volumes), name=f"snapshot for {name}", description=""
            )
        except VolumeQuotaError as refused:
            raise QuotaError(refused.text) from None
        except InvalidVolume as refused:
            raise BadRequest(refused.text) from None
        mapping.append(_entry(row, volume, made["id"]))
    return mapping


def _entry(row: Any, volume: Values, snapshot_id: str) -> dict[str, Any]:
    return {
        "source_type": "snapshot",
        "destination_type": "volume",
        "snapshot_id": snapshot_id,
        "volume_size": volume["size"],
        "boot_index": row.boot_index,
        "delete_on_termination": row.delete_on_termination,
        "device_name": f"/dev/{row.target}",
        "device_type": "disk",
        "disk_bus": row.bus,
        "tag": row.tag,
        "volume_type": None,
        "guest_format": None,
        "image_id": None,
        "volume_id": None,
        "no_device": None,
    }


def mapping_properties(mapping: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The properties of an image that say what a server of it is made of."""
    root = next(one for one in mapping if one["boot_index"] == 0)
    return {
        "block_device_mapping": msgspec.json.encode(mapping).decode(),
        "bdm_v2": "True",
        "root_device_name": str(root["device_name"]),
    }
