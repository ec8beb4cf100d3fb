"""The declaration of tasks. Source: Image API v2, "Tasks"."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.glance import GLANCE
from pileus.services.image.tasks.tables import image_tasks

PENDING, PROCESSING, SUCCESS, FAILURE = STATUSES = ("pending", "processing", "success", "failure")
LEGACY_IMPORT, IMPORT = TYPES = ("import", "api_image_import")


class TaskNotFound(NotFound):
    message = "No task found with ID {id}"


_TEXT = types.string(None)

TASK = Resource(
    "task",
    table=image_tasks,
    wording=GLANCE,
    not_found=TaskNotFound,
    attributes=(
        Attribute("id", types.uuid, description="An identifier for the task"),
        Attribute("type", types.enum(*TYPES), description="The type of task represented by this content"),
        Attribute("status", types.enum(*STATUSES), description="The current status of this task"),
        Attribute("owner", _TEXT, description="An identifier for the owner of this task"),
        Attribute("image_id", types.nullable(types.uuid), description="Image associated with the task"),
        Attribute("user_id", types.nullable(_TEXT), description="User associated with the task"),
        Attribute("request_id", types.nullable(_TEXT), description="Human-readable informative request-id"),
        Attribute("input", types.anything, description="The parameters required by task, JSON blob"),
        Attribute("result", types.anything, description="The result of current task, JSON blob"),
        Attribute("message", _TEXT, description="Human-readable informative message"),
        Attribute("created_at", types.timestamp, description="Datetime when this resource was created"),
        Attribute("updated_at", types.timestamp, description="Datetime when this resource was updated"),
        Attribute(
            "expires_at",
            types.nullable(types.timestamp),
            description="Datetime when this resource would be subject to removal",
        ),
    ),
)

SHORT = ("id", "type", "status", "owner", "created_at", "updated_at", "expires_at")
"""The attributes that lists show."""
