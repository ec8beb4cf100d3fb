"""Messages to users: why something that was accepted went wrong. Source: Block Storage API reference,
"Messages"."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.replies import LINKS, MOMENT, TEXT, TEXT_OR_NULL, UUID, UUID_OR_NULL, always, named
from pileus.resource.replies import named_list as listed
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import root_url
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.policy import MEMBER, READER, rules
from pileus.services.volume.tables.pools import volume_messages
from pileus.store.tx import Tx
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.request import Request

VOLUME, SNAPSHOT, BACKUP = "VOLUME", "VOLUME_SNAPSHOT", "VOLUME_BACKUP"

ACTIONS = {
    "schedule allocate volume": "001",
    "attach volume": "002",
    "copy volume to image": "003",
    "update attachment": "004",
    "copy image to volume": "005",
    "unmanage volume": "006",
    "extend volume": "007",
    "create volume from backend storage": "008",
    "create snapshot": "009",
    "delete snapshot": "010",
    "update snapshot": "011",
    "update snapshot metadata": "012",
    "create backup": "013",
    "delete backup": "014",
    "restore backup": "015",
    "reimage volume": "016",
    "delete volume": "017",
    "retype volume": "018",
    "revert to snapshot": "019",
}
"""The words of an action, and its part of an event's id."""

UNKNOWN, NO_BACKEND, NO_SPACE = "001", "002", "010"
"""Parts of an event's id that say why."""


class MessageNotFound(NotFound):
    message = "Message {id} could not be found."


def message_create(
    tx: Tx,
    context: Context,
    config: VolumeConfig,
    several: Sequence[tuple[str, str, str]],
    action: str,
    *,
    about: str = VOLUME,
    detail: str = UNKNOWN,
) -> None:
    """Tell the owners of things, each ``(id, project id, reason)``, why an action went wrong."""
    rows = [
        {
            "id": new_id(),
            "project_id": project_id,
            "request_id": context.request_id,
            "resource_type": about,
            "resource_uuid": key,
            "event_id": f"VOLUME_{about}_{ACTIONS[action]}_{detail}",
            "user_message": f"{action}:{reason}",
            "message_level": "ERROR",
            "created_at": context.now,
            "guaranteed_until": context.now + dt.timedelta(days=config.message_days),
        }
        for key, project_id, reason in several
    ]
    tx.insert(volume_messages, rows)


def messages_trim(tx: Tx, now: dt.datetime) -> int:
    """Forget messages whose time is over; how many there were."""
    gone = tx.execute(delete(volume_messages).where(volume_messages.c.guaranteed_until < now))
    return gone.rowcount


_PLAIN = types.timestamp_plain

MESSAGE = Resource(
    "message",
    table=volume_messages,
    wording=CINDER,
    not_found=MessageNotFound,
    rules={"get": "message:get", "list": "message:get_all", "delete": "message:delete"},
    attributes=(
        Attribute("id", types.uuid, sort=True),
        Attribute("project_id", types.uuid, visible=False),
        Attribute("request_id", types.nullable(types.string()), filter=True, sort=True),
        Attribute("resource_type", types.string(), filter=True, sort=True),
        Attribute("resource_uuid", types.nullable(types.uuid), filter=True, sort=True),
        Attribute("event_id", types.string(), filter=True, sort=True),
        Attribute("user_message", types.string(None)),
        Attribute("message_level", types.string(), filter=True, sort=True),
        Attribute("created_at", _PLAIN, sort=True),
        Attribute("guaranteed_until", _PLAIN, sort=True),
    ),
    default_sort=(("created_at", True),),
)


def _message_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    MESSAGE.remove(tx, originals)


def _view(request: Request, action: str, view: dict[str, Any]) -> dict[str, Any]:
    path = f"/messages/{view['id']}"
    base = root_url(request)
    return {
        **view,
        "links": [{"rel": "self", "href": base + path}, {"rel": "bookmark", "href": base + path}],
    }


_SHOWN = always(
    {
        "id": UUID,
        "request_id": TEXT_OR_NULL,
        "resource_type": TEXT,
        "resource_uuid": UUID_OR_NULL,
        "event_id": TEXT,
        "user_message": TEXT,
        "message_level": TEXT,
        "created_at": MOMENT,
        "guaranteed_until": MOMENT,
        "links": LINKS,
    }
)

MESSAGES = Noun(
    name="message",
    rules=rules({"message:get": READER, "message:get_all": READER, "message:delete": MEMBER}),
    routes=crud_routes(
        Crud(
            resource=MESSAGE,
            delete=_message_delete,
            view=_view,
            replies={
                "get": named("message", _SHOWN),
                "list": listed("messages", _SHOWN, links="messages_links"),
            },
        ),
        "/v3/messages",
        versions=("3.3", ""),
    ),
)
