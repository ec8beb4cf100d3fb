"""Refusals of the image API, with Glance's words and statuses."""

from __future__ import annotations

from pileus.core.errors import Conflict, Fault, Forbidden, Invalid, Kind, NotFound


class ImageNotFound(NotFound):
    message = "No image found with ID {id}"


class DuplicateImage(Conflict):
    message = "Image ID {id} already exists!"


class ProtectedImage(Forbidden):
    message = "Image {id} is protected and cannot be deleted."


class WrongStatus(Conflict):
    """The image is not in a state from which this goes (409)."""

    message = "Image status transition from {now} to {wanted} is not allowed."


class ReadOnly(Forbidden):
    message = "Attribute '{name}' is read-only."


class Reserved(Forbidden):
    message = "Attribute '{name}' is reserved."


class LimitExceeded(Fault):
    """More than one image or project may have (413)."""

    kind = Kind.TOO_LARGE


class ImageTooLarge(LimitExceeded):
    message = "The incoming image is too large: the limit is {limit} bytes."


class ImageGone(Fault):
    """The image was deleted while its data came (410 in Glance, 409 here, where there is no such kind)."""

    kind = Kind.CONFLICT
    message = (
        "Image {id} could not be found after upload. The image may have been deleted during the upload, "
        "cleaning up the chunks uploaded."
    )


class MissingFormats(Invalid):
    message = "Properties {names} must be set prior to saving data."
