"""The calls of agents that the compute service answers: machines, what became of them, metadata."""

from __future__ import annotations

from functools import partial

from pileus.services.compute.agents.report import hypervisor_report
from pileus.services.compute.agents.state import hypervisor_state
from pileus.services.compute.instance_metadata.service import metadata_answer, metadata_post
from pileus.services.compute.servers.chains.common import Parts
from pileus.web.answers import Answer
from pileus.web.noun import Noun
from pileus.wire.calls import HYPERVISOR_REPORT, HYPERVISOR_STATE, METADATA, METADATA_POST


def agents_noun(parts: Parts) -> Noun:
    """The noun."""
    return Noun(
        name="agent",
        answers=(
            Answer(HYPERVISOR_STATE, partial(hypervisor_state, files=parts.images)),
            Answer(HYPERVISOR_REPORT, partial(hypervisor_report, parts=parts), writes=True),
            Answer(METADATA, metadata_answer),
            Answer(METADATA_POST, metadata_post, writes=True),
        ),
    )
