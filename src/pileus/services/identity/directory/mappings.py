"""``/v3/OS-PILEUS-DIRECTORY/mappings``: who is known of directories, who is gone there, and their purge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.resource import types
from pileus.services.identity.common.errors import ValidationError
from pileus.services.identity.common.naming import authorised
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.common.replies import TEXT, TEXT_OR_NONE, page_links, shape
from pileus.services.identity.directory.directories import Directories
from pileus.services.identity.directory.gone import Mapped, Wanted, mapped_read
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v3/OS-PILEUS-DIRECTORY/mappings"
_KIND = types.enum("user", "group")
_NAMES = ("domain_id", "public_id", "local_id", "type")
_WANTED = {**dict.fromkeys(_NAMES[:3], types.string(255)), "type": _KIND}

LOOK_BODY = types.dict_of({"look": types.dict_of(_WANTED)}, required=("look",))
PURGE_BODY = types.dict_of(
    {"purge": types.dict_of({**_WANTED, "all": types.strict_boolean, "even_present": types.strict_boolean})},
    required=("purge",),
)
_MAPPING = shape(
    {
        **dict.fromkeys(("public_id", "type", "domain_id", "name"), TEXT),
        "local_id": TEXT_OR_NONE,
        "gone_at": TEXT_OR_NONE,
    }
)
_LIST = types.list_of(_MAPPING)


class MappingHandlers:
    """The handlers."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    async def list(self, request: Request) -> Reply:
        """GET …/mappings"""
        authorised(request)
        found = await request.read(mapped_read, _wanted(dict(request.query)))
        return Reply.json({"mappings": _shown(found), "links": page_links(request)})

    async def look(self, request: Request) -> Reply:
        """POST …/mappings/look"""
        authorised(request)
        wanted = _wanted(declared_body(request)["look"])
        await self._directories.look(request.context, wanted)
        return Reply.json({"mappings": _shown(await request.read(mapped_read, wanted))})

    async def purge(self, request: Request) -> Reply:
        """POST …/mappings/purge"""
        authorised(request)
        body = declared_body(request)["purge"]
        everything, some = body.get("all", False), any(name in body for name in _NAMES)
        if not everything and not some:
            raise ValidationError("At least one option must be provided")
        if everything and some:
            raise ValidationError("--all option cannot be mixed with other options")
        purged, kept = await self._directories.purge(
            request.context, _wanted(body), even_present=body.get("even_present", False)
        )
        return Reply.json({"purged": _shown(purged), "kept": _shown(kept)})


def _wanted(values: Mapping[str, Any]) -> Wanted:
    kind = values.get("type")
    if kind not in (None, "user", "group"):
        raise ValidationError("type is user or group")
    return Wanted(
        domain_id=values.get("domain_id"),
        public_id=values.get("public_id"),
        local_id=values.get("local_id"),
        type=kind,
    )


def _shown(found: list[Mapped]) -> list[dict[str, Any]]:
    return [msgspec.structs.asdict(one) for one in found]


def noun(directories: Directories) -> Noun:
    """Make the noun."""
    handlers = MappingHandlers(directories)
    return Noun(
        name="directory_mapping",
        routes=(
            Route(
                "GET",
                PATH,
                handlers.list,
                rule="identity:list_directory_mappings",
                query=_WANTED,
                reply=shape({"mappings": _LIST, "links": types.anything}),
                summary="List the users and groups that are known of directories",
            ),
            Route(
                "POST",
                f"{PATH}/look",
                handlers.look,
                rule="identity:look_directory_mappings",
                body=LOOK_BODY,
                reply=shape({"mappings": _LIST}),
                summary="Ask directories who is there and who is gone",
            ),
            Route(
                "POST",
                f"{PATH}/purge",
                handlers.purge,
                rule="identity:purge_directory_mappings",
                body=PURGE_BODY,
                reply=shape({"purged": _LIST, "kept": _LIST}),
                summary="Delete the users and groups that are gone",
            ),
        ),
        rules=rules(
            {
                "list_directory_mappings": READ,
                "look_directory_mappings": ADMIN,
                "purge_directory_mappings": ADMIN,
            },
            NOT_DOMAINS,
        ),
    )
