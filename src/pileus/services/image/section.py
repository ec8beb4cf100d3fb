"""The section of the settings file that the image service reads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pileus.core.settings import Description, Section


class ImageSection(Section, frozen=True):
    """``[image]``"""

    largest_bytes: Annotated[int, msgspec.Meta(ge=1, description="bytes that one image may have")] = 1 << 40
    project_mib: Annotated[
        int, msgspec.Meta(ge=-1, description="MiB of images that one project may have; -1: no bound")
    ] = 20_480
    project_images: Annotated[
        int, msgspec.Meta(ge=-1, description="images that one project may have; -1: no bound")
    ] = 1000
    kept_free_mib: Annotated[
        int, msgspec.Meta(ge=0, description="MiB of the disk that images leave free, for the database")
    ] = 1024
    require_format_match: Annotated[
        bool, Description(description="refuse data of no known format that is declared as one")
    ] = True
