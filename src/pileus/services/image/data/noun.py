"""The data of images: routes and rules."""

from __future__ import annotations

from pileus.resource import types
from pileus.services.image.data.handlers import IMPORT_BODY, ImageData
from pileus.services.image.policy import ADMIN, ADMIN_OR_MEMBER, VISIBLE, rules
from pileus.web.noun import Noun
from pileus.web.routes import NO_BODY, Route

_FILE, _STAGE, _IMPORT = (f"/v2/images/{{image_id}}/{name}" for name in ("file", "stage", "import"))


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
            Route(
                "POST",
                _IMPORT,
                data.import_staged,
                status=202,
                rule="modify_image",
                body=IMPORT_BODY,
                reply=NO_BODY,
                summary="Import staged data",
            ),
        ),
        rules=rules(
            {
                "download_image": f"{ADMIN} or (role:member and {VISIBLE})",
                "upload_image": ADMIN_OR_MEMBER,
            }
        ),
    )
