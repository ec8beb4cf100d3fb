"""The face of a service: what app starts, serves and closes, the same for every service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pileus.store import Store
from pileus.web.answers import Handler
from pileus.web.service import Service


class ServiceFace:
    """One service of the control side, made of its settings and of the parts that it needs.

    ``service`` is its API as data. A service that answers no agents, begins with nothing or holds nothing
    inherits what is here.
    """

    service: Service

    def answers(self, store: Store) -> Mapping[str, Handler]:
        """The handlers of agents' calls, by the names of the calls."""
        return {}

    async def start(self, store: Store) -> None:
        """Make what the service begins with, take up what a crash left, start what runs beside requests."""

    async def close(self) -> None:
        """End what ``start`` started, and let go of threads."""


def all_answers(faces: Iterable[ServiceFace], store: Store) -> dict[str, Handler]:
    """The answers of all services. Raises ValueError where two answer one call."""
    found: dict[str, Handler] = {}
    for face in faces:
        answers = face.answers(store)
        if twice := found.keys() & answers.keys():
            raise ValueError(
                f"{', '.join(sorted(twice))}: answered by {face.service.name} and another service"
            )
        found |= answers
    return found
