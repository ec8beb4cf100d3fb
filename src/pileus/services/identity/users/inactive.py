"""Disable users who were not active for too long, so that lists and filters show it.

A log-in looks for itself (``auth/admission.py``); this comes round once an hour.
"""

from __future__ import annotations

import asyncio
import contextlib

from sqlalchemy import bindparam, func, select

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.services.identity.common.generation import announce_token_changes
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.tables.users import users
from pileus.store import Store
from pileus.store.tx import Tx

PERIOD_S = 3600

_log = log.get("identity")
_active_at = func.coalesce(users.c.last_active_at, users.c.created_at)
_LATE = (
    select(users.c.id, users.c.options, _active_at.label("active_at"))
    .where(
        users.c.enabled.is_(True),
        users.c.local_id.is_(None),
        _active_at < bindparam("before", type_=_active_at.type),
    )
    .with_for_update()
)
_DISABLE = (
    users.update()
    .where(users.c.id.in_(bindparam("ids", expanding=True)))
    .values(enabled=False, tokens_after=bindparam("now"))
)


def users_disable_inactive(tx: Tx, context: Context, compliance: Compliance) -> list[str]:
    """Disable the users who count as inactive now, and end their tokens; returns their ids."""
    before = compliance.inactive_before(context.now)
    if before is None:
        return []
    ids = [
        row.id
        for row in tx.rows(_LATE, {"before": before})
        if compliance.is_inactive(context.now, row.options, row.active_at)
    ]
    if ids:
        tx.execute(_DISABLE, {"ids": ids, "now": context.now})
        announce_token_changes(tx, context, "user.update", [(key, {"changed": ["enabled"]}) for key in ids])
    return ids


class InactiveUsers:
    """Disables them now and then, from ``start`` to ``close``."""

    def __init__(self, compliance: Compliance, clock: Clock) -> None:
        self._compliance = compliance
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self, store: Store) -> None:
        """Begin, where the settings ask for it."""
        if self._compliance.disable_user_account_days_inactive:
            self._task = asyncio.create_task(self._run(store), name="inactive users")

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, store: Store) -> None:
        while True:
            try:
                await store.write(users_disable_inactive, system_context(self._clock.now()), self._compliance)
            except Exception:
                _log.exception("inactive users could not be looked for")
            await asyncio.sleep(PERIOD_S)
