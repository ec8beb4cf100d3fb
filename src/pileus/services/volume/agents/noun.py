"""The calls of storage agents: what pools should have, and what became of it."""

from __future__ import annotations

from functools import partial

from pileus.services.volume.agents.report import Parts, volume_report
from pileus.services.volume.agents.state import volume_state
from pileus.web.answers import Answer
from pileus.web.noun import Noun
from pileus.wire.calls import VOLUME_REPORT, VOLUME_STATE


def agents_noun(parts: Parts) -> Noun:
    """The noun."""
    return Noun(
        name="storage_agent",
        answers=(
            Answer(VOLUME_STATE, partial(volume_state, files=parts.images)),
            Answer(VOLUME_REPORT, partial(volume_report, parts=parts), writes=True),
        ),
    )
