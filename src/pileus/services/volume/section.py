"""The section of the settings file that the volume service reads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pileus.core.settings import Description, Section


class VolumeSection(Section, frozen=True):
    """``[volume]``: the control side of volumes."""

    default_volume_type: Annotated[
        str, Description(description="name of the type of volumes that name none; made if missing")
    ] = "__DEFAULT__"
    default_availability_zone: Annotated[
        str, Description(description="zone of pools whose agent names none")
    ] = "nova"
    service_down_time_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds without a word after which a pool counts as down")
    ] = 75.0
    operation_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds that a pool may take to make, grow or delete a volume"),
    ] = 3600.0
    copy_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds that a pool may take to copy an image, a backup, a volume"),
    ] = 86400.0
    connection_wait_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds that a request waits until a volume is open for its host"),
    ] = 20.0
    message_days: Annotated[float, msgspec.Meta(gt=0, description="days that messages to users are kept")] = (
        30.0
    )
