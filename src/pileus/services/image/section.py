"""The section of the settings file that the image service reads."""

from __future__ import annotations

from typing import Annotated, Literal

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
    import_schemes: Annotated[
        tuple[Literal["http", "https"], ...], Description(description="schemes that web-download may use")
    ] = ("http", "https")
    import_ports: Annotated[tuple[int, ...], Description(description="ports that web-download may ask")] = (
        80,
        443,
    )
    import_networks: Annotated[
        tuple[str, ...],
        Description(description="networks (CIDR) that web-download may ask though they are not public"),
    ] = ()
    import_within_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds that the download of one image may take")
    ] = 14_400
