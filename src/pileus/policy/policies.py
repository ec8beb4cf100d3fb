"""The policies of all services: a rule's name belongs to the service that declares it.

Cinder's ``admin_or_owner`` is not Neutron's: each service has an :class:`Enforcer` of its own rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pileus.policy.enforcer import Enforcer, Rule, references
from pileus.policy.language import PolicyError, parse
from pileus.policy.overrides import EVERY, Overrides


class Policies:
    """An enforcer for each service.

    ``rules`` are what the services declare, by service. The ``overrides`` for every service replace the
    rules of that name wherever one is declared. Raises PolicyError for overrides of an unknown service.
    """

    def __init__(self, rules: Mapping[str, Iterable[Rule]], overrides: Overrides) -> None:
        unknown = overrides.keys() - rules.keys() - {EVERY}
        if unknown:
            raise PolicyError(min(unknown), None, "there is no such service.")
        self._enforcers = {}
        for service, declared in rules.items():
            own = overrides.get(service, {})
            several = list(declared)
            common = _concerning({rule.name for rule in several} | own.keys(), own, overrides.get(EVERY, {}))
            self._enforcers[service] = Enforcer(several, {**common, **own})

    def of(self, service: str) -> Enforcer:
        """The rules of one service, ready to be asked."""
        return self._enforcers[service]


def _concerning(names: Iterable[str], own: Mapping[str, str], common: Mapping[str, str]) -> dict[str, str]:
    """Those of the common rules that replace one of a service's, and the helpers that they refer to."""
    found: dict[str, str] = {}
    asked = [name for name in names if name in common]
    asked += [one.name for name, text in own.items() for one in references(parse(name, text))]
    while asked:
        name = asked.pop()
        if name in common and name not in found:
            found[name] = common[name]
            asked += [one.name for one in references(parse(name, found[name]))]
    return found
