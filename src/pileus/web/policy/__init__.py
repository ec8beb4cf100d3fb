"""Policy: the rule language of oslo.policy, compiled once to closures and to SQL conditions."""

from pileus.web.policy.enforcer import Decision, Enforcer, Rule
from pileus.web.policy.language import PolicyError
from pileus.web.policy.overrides import load_overrides, parse_overrides

__all__ = ["Decision", "Enforcer", "PolicyError", "Rule", "load_overrides", "parse_overrides"]
