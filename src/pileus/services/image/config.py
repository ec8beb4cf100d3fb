"""The configuration of the image service."""

from __future__ import annotations

import ipaddress

import msgspec

from pileus.core.settings import BadSettings
from pileus.services.image.section import ImageSection

MIB = 1 << 20

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IMPORT_METHODS = ("glance-direct", "web-download", "glance-download")


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``largest_bytes`` bounds one image; ``project_mib`` and ``project_images`` what one project has (-1: no
    bound). ``require_format_match`` refuses content of no known format that is called by a known one's name;
    content that is dangerous, or a known format under another's name, is refused in any case.
    ``properties_bytes`` bounds the names and values of one image's properties together: they lie in the
    database, where no quota counts them. ``import_networks`` are those besides the public ones that images
    may be downloaded from; a download has ``import_within_s`` for all.
    """

    largest_bytes: int = 1 << 40
    project_mib: int = -1
    project_images: int = -1
    require_format_match: bool = True
    tags: int = 128
    properties: int = 128
    properties_bytes: int = 256 << 10
    members: int = 128
    import_schemes: tuple[str, ...] = ("http", "https")
    import_ports: tuple[int, ...] = (80, 443)
    import_networks: tuple[Network, ...] = ()
    import_within_s: float = 4 * 3600


def from_settings(settings: ImageSection) -> ImageConfig:
    """Make the configuration from the section of the settings file. Raises BadSettings."""
    return ImageConfig(
        largest_bytes=settings.largest_bytes,
        project_mib=settings.project_mib,
        project_images=settings.project_images,
        require_format_match=settings.require_format_match,
        import_schemes=tuple(settings.import_schemes),
        import_ports=tuple(settings.import_ports),
        import_networks=tuple(map(_network, settings.import_networks)),
        import_within_s=settings.import_within_s,
    )


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise BadSettings(f"image.import_networks: {error}") from None
