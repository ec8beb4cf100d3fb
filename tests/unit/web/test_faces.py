"""App takes services by one face, and each call of an agent has one answer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import cast

import pytest

from pileus.services.compute.service import Compute
from pileus.services.identity.service import Identity
from pileus.services.image.service import Images
from pileus.services.network.service import Network
from pileus.store import Store
from pileus.web.answers import Handler
from pileus.web.face import ServiceFace, all_answers
from pileus.web.service import Service


class _Named:
    name = "widgets"


class _Face(ServiceFace):
    service = cast(Service, _Named())

    def __init__(self, *calls: str) -> None:
        self._calls = calls

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return {call: cast(Handler, f"{call} of {id(self)}") for call in self._calls}


STORE = cast(Store, None)


def test_the_answers_of_services_are_one_table() -> None:
    assert set(all_answers([_Face("a", "b"), ServiceFace(), _Face("c")], STORE)) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="b: answered by widgets and another service"):
        all_answers([_Face("a", "b"), _Face("b")], STORE)


@pytest.mark.parametrize("face", [Identity, Network, Images, Compute])
def test_services_are_started_and_closed_alike(face: type[ServiceFace]) -> None:
    for name in ("answers", "start", "close"):
        assert inspect.signature(getattr(face, name)) == inspect.signature(getattr(ServiceFace, name))
