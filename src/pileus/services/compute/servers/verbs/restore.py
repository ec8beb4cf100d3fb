"""Deletion that can be taken back: the machine is switched off and kept for a time (``restore``).

Source: Nova's ``reclaim_instance_interval``; Compute API reference, "Restore Soft-Deleted Instance".
"""

from __future__ import annotations

from typing import Any

from pileus.core.context import Context
from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.services.compute.policy import ADMIN_OR_MEMBER, rules
from pileus.services.compute.quotas.counting import spend
from pileus.services.compute.rules import states
from pileus.services.compute.servers.chains.common import Parts, update_told
from pileus.services.compute.servers.chains.delete import CLEARING_UP, DELETED_MEANWHILE
from pileus.services.compute.servers.chains.sweep import images_away
from pileus.services.compute.servers.instance_actions import action_begin, action_finish
from pileus.services.compute.servers.lookup import change
from pileus.services.compute.servers.verbs.common import permitted, wake
from pileus.store.operations import FAILED, operation_end
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


def delete_softly(tx: Tx, context: Context, server: Values, parts: Parts) -> None:
    """Delete a server so that it can be restored: what was under way with it is void, but for its images."""
    key = server["id"]
    action_begin(tx, context, [key], "delete")
    operation_end(tx, FAILED, context.now, resource_ids=[key], but=CLEARING_UP, error=DELETED_MEANWHILE)
    images_away(tx, context, [(server, server["shelved_image_id"])], parts)
    action_finish(tx, context.now, [key], actions=("delete",), host=server["host"])
    action_finish(tx, context.now, [key], error=DELETED_MEANWHILE)
    changes = {
        "vm_state": states.SOFT_DELETED,
        "task_state": None,
        "task_since": None,
        "wanted": states.WANT_STOPPED,
        "rested_at": context.now,
        "rescue_image_id": None,
        "shelved_image_id": None,
    }
    change(tx, context, server, **changes)
    tx.emit(update_told(context, server, vm_state=states.SOFT_DELETED))


def _restore(tx: Tx, request: Request) -> None:
    server = permitted(tx, request, "restore")
    spend(tx, server["project_id"], server["user_id"], 1, server["vcpus"], server["memory_mib"])
    action_begin(tx, request.context, [server["id"]], "restore")
    change(
        tx,
        request.context,
        server,
        wanted=states.WANT_RUNNING,
        task_state=states.RESTORING,
        task_since=request.context.now,
    )
    wake(tx, request, server, task_state=states.RESTORING)


async def restore(request: Request, argument: Any) -> Reply:
    """Take a deletion back: the server runs again."""
    await request.write(_restore, request)
    return Reply.empty(202)


RESTORE_ACTIONS = {
    "restore": Action(
        types.anything,
        restore,
        rule="os_compute_api:os-deferred-delete:restore",
        summary="Restore a deleted server",
    ),
}

RESTORES = Noun(name="server_restore", rules=rules({"os-deferred-delete:restore": ADMIN_OR_MEMBER}))
