"""Imports: handlers and routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.core.errors import Forbidden, Invalid
from pileus.core.ids import new_hex_id, new_id
from pileus.resource import types
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.resource.types import BadValue
from pileus.services.image.images.resource import IMAGE, SETTABLE
from pileus.services.image.imports.chain import Parts
from pileus.services.image.imports.methods import GLANCE, IMPORT_BODY, WEB, Import, read_import, read_uri
from pileus.services.image.imports.work import import_start, legacy_import_start
from pileus.services.image.tasks.noun import ACCESS, TASKS, task_view
from pileus.services.image.tasks.resource import LEGACY_IMPORT, TASK, TYPES
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route
from pileus.web.view import show

_TASK_BODY = types.dict_of(
    {"type": types.enum(*TYPES), "input": types.dict_of({}, additional=types.anything)},
    required=("type", "input"),
    additional=types.anything,
)


class Imports:
    """The handlers. ``parts`` and ``wake`` are there once the service has started."""

    parts: Parts
    wake: Callable[[], None]

    async def start(self, request: Request) -> Reply:
        """POST /v2/images/{image_id}/import"""
        body = request.json()
        wanted = read_import(body, self.parts.config)
        task_id = new_id()
        if wanted.method == GLANCE:
            self.parts.tokens[task_id] = request.header("x-auth-token") or ""
        name = f"{request.path['image_id'][:36]}.{new_hex_id()}"
        try:
            fetching = await request.write(import_start, request, wanted, body, task_id, name, self.parts)
        except BaseException:
            self.parts.tokens.pop(task_id, None)
            raise
        if fetching:
            self.wake()
        return Reply.empty(202)

    async def create_task(self, request: Request) -> Reply:
        """POST /v2/tasks: only administrators, and only the older way to import (type ``import``)."""
        request.authorise(ACCESS)
        request.authorise("add_task")
        body = request.json()
        for name in ("type", "input"):
            if not isinstance(body, dict) or name not in body:
                raise Invalid(f"Task '{name}' is required")
        try:
            given = _TASK_BODY.parse(body)
        except BadValue as bad:
            raise Invalid(f"Provided object does not match schema 'task': {bad.schema}") from None
        if given["type"] != LEGACY_IMPORT:
            raise Forbidden(f"Tasks of type {given['type']} are begun by imports only.")
        wanted, image = self._read_legacy(request, given["input"])
        task = await request.write(
            legacy_import_start,
            request.context,
            image,
            wanted,
            given["input"],
            new_id(),
            f"{image['id']}.{new_hex_id()}",
            self.parts,
        )
        self.wake()
        view = task_view(request, "create", show(request, TASK, [task])[0])
        return Reply.json(view, 201, [(b"location", f"{request.service_url}{view['self']}".encode())])

    def _read_legacy(self, request: Request, given: dict[str, Any]) -> tuple[Import, Values]:
        """Read where the data is, and the image that it is for."""
        for name in ("import_from", "import_from_format", "image_properties"):
            if name not in given:
                raise Invalid(f"Input does not contain '{name}' field")
        uri = read_uri(given["import_from"], self.parts.config)
        properties = given["image_properties"]
        if not isinstance(properties, dict):
            raise Invalid("'image_properties' is no object")
        own = {name: value for name, value in properties.items() if name in SETTABLE}
        own = {"disk_format": given["import_from_format"], "container_format": "bare", **own}
        added = {name: value for name, value in properties.items() if name not in SETTABLE}
        if any(not isinstance(value, str) for value in added.values()):
            raise Invalid("Properties of an image are texts.")
        image = check_create(IMAGE, request.context, own)
        request.authorise("add_image", {**image, "project_id": image["owner"]})
        if image["visibility"] == "public":
            request.authorise("publicize_image", {**image, "project_id": image["owner"]})
        image["properties"] = added
        return Import(method=WEB, uri=uri), image


def noun(imports: Imports) -> Noun:
    """Make the noun."""
    return Noun(
        name="image_import",
        routes=(
            Route(
                "POST",
                "/v2/images/{image_id}/import",
                imports.start,
                status=202,
                rule="modify_image",
                body=IMPORT_BODY,
                reply=NO_BODY,
                summary="Import data",
            ),
            Route(
                "POST",
                TASKS,
                imports.create_task,
                status=201,
                rule=ACCESS,
                body=_TASK_BODY,
                reply=types.dict_of({}, additional=types.anything),
                summary="Import an image by a task",
            ),
        ),
    )
