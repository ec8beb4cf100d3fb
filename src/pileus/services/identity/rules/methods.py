"""Which methods of authentication a user has to show together: his ``multi_factor_auth_rules``.

Methods that this cloud does not have are passed over, as in Keystone: a rule is what is left of it, and a
user whose rules name none that exist is not locked out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

MFA_RULES = "multi_factor_auth_rules"
MFA_ENABLED = "multi_factor_auth_enabled"


def _rules(options: Mapping[str, Any], known: Collection[str]) -> list[list[str]]:
    """The methods that the rules ask for, each in its own order; none where they are switched off."""
    if options.get(MFA_ENABLED) is False:
        return []
    asked = [[method for method in rule if method in known] for rule in options.get(MFA_RULES) or ()]
    return [rule for rule in asked if rule]


def asks_for_several(options: Mapping[str, Any]) -> bool:
    """Whether one method may not be enough for a user, so that a right one ends no count of wrong ones."""
    return options.get(MFA_ENABLED) is not False and any(
        len(rule) > 1 for rule in options.get(MFA_RULES) or ()
    )


def methods_suffice(options: Mapping[str, Any], shown: Collection[str], known: Collection[str]) -> bool:
    """Whether the methods that were shown are enough for a user with these options."""
    rules = _rules(options, known)
    return not rules or any(set(rule) <= set(shown) for rule in rules)


def methods_required(
    options: Mapping[str, Any], shown: Collection[str], known: Collection[str]
) -> list[list[str]]:
    """The rules that the methods shown are a part of: what a receipt names."""
    return [rule for rule in _rules(options, known) if set(rule) & set(shown)]
