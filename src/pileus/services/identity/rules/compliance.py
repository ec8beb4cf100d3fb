"""Rules about passwords and accounts that a site may set: Keystone's ``[security_compliance]``.

Times are naive UTC. ``options`` are the user's own (``users/options.py``), by their names in the API.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

IGNORE_CHANGE = "ignore_change_password_upon_first_use"
IGNORE_EXPIRY = "ignore_password_expiry"
IGNORE_LOCKOUT = "ignore_lockout_failure_attempts"
IGNORE_INACTIVITY = "ignore_user_inactivity"
LOCK_PASSWORD = "lock_password"  # noqa: S105 - the name of an option

Options = Mapping[str, Any]


class Compliance(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, in Keystone's names; 0 and False switch a rule off."""

    password_expires_days: int = 0
    unique_last_password_count: int = 0
    minimum_password_age: int = 0
    change_password_upon_first_use: bool = False
    disable_user_account_days_inactive: int = 0

    @property
    def kept_passwords(self) -> int:
        """How many passwords are remembered besides the present one."""
        return max(0, self.unique_last_password_count - 1)

    def expiry(self, now: dt.datetime, options: Options, *, by_owner: bool) -> dt.datetime | None:
        """When a password ends that is set now, by its owner or by an administrator."""
        if self.change_password_upon_first_use and not by_owner and options.get(IGNORE_CHANGE) is not True:
            return now
        if not self.password_expires_days or options.get(IGNORE_EXPIRY) is True:
            return None
        return (now + dt.timedelta(days=self.password_expires_days)).replace(microsecond=0)

    def days_to_wait(self, now: dt.datetime, changed_at: dt.datetime | None) -> int | None:
        """Whole days until a password that its owner set then may be changed by him; None: now."""
        if not self.minimum_password_age or changed_at is None:
            return None
        allowed = changed_at + dt.timedelta(days=self.minimum_password_age)
        return None if now >= allowed else (allowed - now).days

    def inactive_before(self, now: dt.datetime) -> dt.datetime | None:
        """The moment before which a user must not have been active last; None: any. Whole days count."""
        if not self.disable_user_account_days_inactive:
            return None
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return today - dt.timedelta(days=self.disable_user_account_days_inactive - 1)

    def is_inactive(self, now: dt.datetime, options: Options, last_active: dt.datetime | None) -> bool:
        """Whether a user who was active last then (or made then) counts as disabled."""
        before = self.inactive_before(now)
        if before is None or last_active is None or options.get(IGNORE_INACTIVITY) is True:
            return False
        return last_active < before

    def notes_activity(self, now: dt.datetime, last_active: dt.datetime | None) -> bool:
        """Whether a log-in has to be written down: once a day, where inactivity counts."""
        if not self.disable_user_account_days_inactive:
            return False
        return last_active is None or last_active.date() < now.date()


def password_is_expired(now: dt.datetime, options: Options, expires_at: dt.datetime | None) -> bool:
    """Whether a password that ends then has to be changed before it is good for a log-in."""
    return expires_at is not None and options.get(IGNORE_EXPIRY) is not True and now >= expires_at
