"""The options of users, by which a user is exempt from a rule or has rules of his own.

Source: the Identity API v3 reference, "Users" (``options``), and its "Resource Options".
"""

from __future__ import annotations

from pileus.resource import types
from pileus.services.identity.rules.compliance import (
    IGNORE_CHANGE,
    IGNORE_EXPIRY,
    IGNORE_INACTIVITY,
    IGNORE_LOCKOUT,
    LOCK_PASSWORD,
)
from pileus.services.identity.rules.methods import MFA_ENABLED, MFA_RULES

_SWITCH = types.nullable(types.strict_boolean)
_METHODS = types.list_of(types.string(255), unique=True, minimum=1, maximum=20)
_RULES = types.nullable(types.list_of(_METHODS, unique=True, maximum=100))

_SWITCHES = (IGNORE_CHANGE, IGNORE_EXPIRY, IGNORE_LOCKOUT, IGNORE_INACTIVITY, LOCK_PASSWORD, MFA_ENABLED)

USER_OPTIONS = types.dict_of({**dict.fromkeys(_SWITCHES, _SWITCH), MFA_RULES: _RULES})
"""The options that a body may have: one that is null is taken away, one that is not named stays."""
