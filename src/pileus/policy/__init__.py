"""Policy: the rule language of oslo.policy, compiled once to closures and to SQL conditions."""

from pileus.policy.enforcer import Decision, Enforcer, Rule
from pileus.policy.language import PolicyError
from pileus.policy.overrides import Overrides, load_policy, parse_overrides
from pileus.policy.policies import Policies

__all__ = [
    "Decision",
    "Enforcer",
    "Overrides",
    "Policies",
    "PolicyError",
    "Rule",
    "load_policy",
    "parse_overrides",
]
