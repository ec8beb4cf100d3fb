"""A small guest image, made from Debian packages alone; see ``build``."""

from pileus.drivers.guestimage.build import BUILD_PACKAGES, GuestImage, build_image
from pileus.drivers.guestimage.errors import CannotBuildImage

__all__ = ["BUILD_PACKAGES", "CannotBuildImage", "GuestImage", "build_image"]
