"""Tasks: routes and rules. They come into being by imports, and go when their time is over."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Invalid
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.listing import Listing, Sort
from pileus.services.image.policy import ADMIN, rules
from pileus.services.image.tasks.resource import SHORT, STATUSES, TASK, TYPES
from pileus.services.image.tasks.tables import image_tasks
from pileus.services.image.tasks.work import tasks_of_image
from pileus.web.crud import Crud, crud_routes
from pileus.web.faults import MethodNotAllowed
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route
from pileus.web.view import show

TASKS = "/v2/tasks"
ACCESS = "tasks_api_access"
_SORT_KEYS = ("created_at", "updated_at", "id", "status", "type", "owner")


def task_view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    """A task as replies have it; what it lacks is not shown, but for its result."""
    kept = {name: value for name, value in view.items() if value is not None or name == "result"}
    return {**kept, "self": f"{TASKS}/{view['id']}", "schema": "/v2/schemas/task"}


def _judge(request: Request, action: str, values: Values | None) -> None:
    request.authorise(ACCESS)
    request.authorise("get_task")


def _judge_list(request: Request) -> None:
    request.authorise(ACCESS)
    request.authorise("get_tasks")


def _read_listing(request: Request) -> Listing:
    sort_key = request.parameter("sort_key") or "created_at"
    direction = request.parameter("sort_dir") or "desc"
    if sort_key not in _SORT_KEYS:
        raise Invalid(
            f"Invalid sort key: {sort_key}. It must be one of the following: {', '.join(_SORT_KEYS)}."
        )
    if direction not in ("asc", "desc"):
        raise Invalid(f"Invalid sort direction: {direction}")
    keys = (sort_key, *(key for key in ("created_at", "id") if key != sort_key))
    listing = Listing(sort=[Sort(key, direction == "desc") for key in keys])
    limit = request.parameter("limit")
    if limit is not None:
        if not limit.isascii() or not limit.isdigit() or len(limit) > 9:
            raise Invalid("limit param must be an integer")
        listing.limit = int(limit)
    listing.marker = request.parameter("marker") or None
    for name, known in (("status", STATUSES), ("type", TYPES)):
        wanted = request.parameter(name)
        if wanted and wanted not in known:
            raise Invalid(f"Invalid {name} value: {wanted}")
        if wanted:
            listing.where.append(image_tasks.c[name] == wanted)
    return listing


async def list_of_image(request: Request) -> Reply:
    """GET /v2/images/{image_id}/tasks"""
    found = await request.read(tasks_of_image, request)
    views = [task_view(request, "list", view) for view in show(request, TASK, found)]
    return Reply.json({"tasks": views})


async def refuse_delete(request: Request) -> Reply:
    """DELETE /v2/tasks/{task_id}: refused, since a task goes by itself."""
    request.authorise(ACCESS)
    raise MethodNotAllowed(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the "
        "time based on their expires_at property."
    )


_CRUD = Crud(
    resource=TASK,
    parameter="task_id",
    judge=_judge,
    list_judge=_judge_list,
    listing=_read_listing,
    shown={"list": SHORT},
    view=task_view,
)

NOUN = Noun(
    name="task",
    routes=(
        *crud_routes(_CRUD, TASKS),
        Route(
            "DELETE",
            f"{TASKS}/{{task_id}}",
            refuse_delete,
            status=204,
            rule=ACCESS,
            summary="Refused: a task goes by itself",
        ),
        Route(
            "GET",
            "/v2/images/{image_id}/tasks",
            list_of_image,
            rule="get_image",
            reply=types.dict_of({"tasks": types.list_of(types.anything)}, required=("tasks",)),
            summary="List the tasks of an image",
        ),
    ),
    rules=rules({ACCESS: ADMIN, "get_task": "", "get_tasks": "", "add_task": ""}),
)
