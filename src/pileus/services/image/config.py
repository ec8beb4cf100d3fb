"""The configuration of the image service."""

from __future__ import annotations

import msgspec

from pileus.services.image.section import ImageSection

MIB = 1 << 20

IMPORT_METHODS = ("glance-direct",)


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``largest_bytes`` bounds one image; ``project_mib`` and ``project_images`` what one project has (-1: no
    bound). ``require_format_match`` refuses content of no known format that is called by a known one's name;
    content that is dangerous, or a known format under another's name, is refused in any case.
    ``properties_bytes`` bounds the names and values of one image's properties together: they lie in the
    database, where no quota counts them.
    """

    largest_bytes: int = 1 << 40
    project_mib: int = -1
    project_images: int = -1
    require_format_match: bool = True
    tags: int = 128
    properties: int = 128
    properties_bytes: int = 256 << 10
    members: int = 128


def from_settings(settings: ImageSection) -> ImageConfig:
    """Make the configuration from the section of the settings file."""
    return ImageConfig(
        largest_bytes=settings.largest_bytes,
        project_mib=settings.project_mib,
        project_images=settings.project_images,
        require_format_match=settings.require_format_match,
    )
