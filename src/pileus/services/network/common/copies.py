"""A unit of work may be run again after a deadlock: what it was handed must be as it was.

Units fill in what they decide (addresses, segments, bindings). They do so in copies, or the
second run would take what the first one drew for what the caller asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from pileus.resource.declaration import Update, Values


def copied(specs: Sequence[Values]) -> list[Values]:
    """Copies to fill in."""
    return [Values(spec, spec.given) for spec in specs]


def copied_updates(updates: Sequence[Update]) -> list[Update]:
    """The same for changes; the originals are read anew by each run."""
    return [Update(one.original, Values(one.changes, one.changes.given)) for one in updates]
