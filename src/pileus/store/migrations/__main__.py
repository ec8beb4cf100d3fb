"""``python -m pileus.store.migrations MESSAGE MODULE…`` writes the next revision in a source checkout."""

from __future__ import annotations

import sys

from pileus.store.migrations import revision

if len(sys.argv) < 2:
    sys.exit(__doc__)
sys.stdout.write(f"{revision(sys.argv[1], sys.argv[2:])}\n")
