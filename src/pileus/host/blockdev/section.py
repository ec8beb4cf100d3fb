"""The section of the settings file about the pools of volumes of a node."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pileus.core.settings import Description, Section

PoolName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
Word = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{0,64}\Z")]
FolderPath = Annotated[str, Meta(pattern=r"\A/[^\x00-\x1f\x7f]{1,1000}\Z")]


class PoolDeclaration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of every pool. ``backend_name``: as volume types name it; empty: the pool's name."""

    name: PoolName
    backend_name: Word = ""
    over_subscription_ratio: Annotated[float, Meta(ge=1.0, le=1000.0)] = 20.0
    reserved_percentage: Annotated[int, Meta(ge=0, le=100)] = 5
    thick: bool = False
    """Whether volumes take all their room at once."""


class DirectoryDeclaration(PoolDeclaration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pool of files in a folder. ``shared``: a word by which other nodes with the same folder call it."""

    path: FolderPath
    format: Literal["qcow2", "raw"] = "qcow2"
    shared: Word = ""


class BlockStorageSection(Section, frozen=True):
    """``[block_storage]``: tables ``[[block_storage.directory]]``."""

    directory: Annotated[
        tuple[DirectoryDeclaration, ...],
        Description(description="pools of volumes in folders of this node"),
    ] = ()
    default_pool: Annotated[
        bool,
        Description(description="have a pool named local in the state folder where no other is declared"),
    ] = True
    export_address: Annotated[
        str,
        Description(
            description="address at which other hosts open this node's volumes; empty: "
            "hypervisor.migration_address, or the switch's tunneling_ip; without one they can't"
        ),
    ] = ""
    iscsi_port: Annotated[int, Meta(ge=1, le=65535, description="TCP port at which they do so by iSCSI")] = (
        3260
    )
    backup_folder: Annotated[
        str, Description(description="folder for backups of volumes; empty: in the state folder")
    ] = ""
    backup_place: Annotated[
        Word, Description(description="a word by which other nodes with the same backup folder call it")
    ] = ""
