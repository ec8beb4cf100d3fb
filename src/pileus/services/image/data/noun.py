"""The data of images: routes and rules."""

from __future__ import annotations

from pileus.resource import types
from pileus.services.image.data.handlers import ImageData
from pileus.services.image.policy import ADMIN, ADMIN_OR_MEMBER, VISIBLE, rules
from pileus.web.noun import Noun
from pileus.web.routes import Route

_FILE, _STAGE = (f"/v2/images/{{image_id}}/{name}" for name in ("file", "stage"))


def noun(data: ImageData) -> Noun:
    """Make the noun."""
    return Noun(
        name="image_data",
        routes=(
            # open to a node, which has a ticket and no token
            Route(
                "PUT",
                _FILE,
                data.upload,
                authenticated=False,
                stream=True,
                status=204,
                rule="upload_image",
                body=types.binary,
                summary="Upload data",
            ),
            Route(
                "GET",
                _FILE,
                data.download,
                authenticated=False,
                rule="download_image",
                reply=types.binary,
                summary="Download data",
            ),
            Route(
                "PUT",
                _STAGE,
                data.stage,
                stream=True,
                status=204,
                rule="modify_image",
                body=types.binary,
                summary="Stage data",
            ),
        ),
        rules=rules(
            {
                "download_image": f"{ADMIN} or (role:member and {VISIBLE})",
                "upload_image": ADMIN_OR_MEMBER,
            }
        ),
    )
