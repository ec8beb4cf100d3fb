"""The declaration of members."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.glance import GLANCE
from pileus.services.image.members.tables import image_members

STATUSES = ("pending", "accepted", "rejected")


class MemberNotFound(NotFound):
    message = "{member_id} not found in the member list of the image {image_id}."


MEMBER = Resource(
    "member",
    table=image_members,
    wording=GLANCE,
    key="member_id",
    not_found=MemberNotFound,
    attributes=(
        Attribute(
            "member_id",
            types.string(255, minimum=1),
            description="An identifier for the image member (tenantId)",
        ),
        Attribute("image_id", types.string(36), description="An identifier for the image"),
        Attribute("status", types.enum(*STATUSES), description="The status of this image member"),
        Attribute("created_at", types.timestamp, description="Date and time of image member creation"),
        Attribute(
            "updated_at",
            types.timestamp,
            description="Date and time of last modification of image member",
        ),
    ),
)
