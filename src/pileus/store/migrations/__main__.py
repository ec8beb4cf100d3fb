"""``python -m pileus.store.migrations SERVICE "what changes"`` writes the next revision in a source checkout;
``--snapshot`` writes ``sqlite.sql`` anew."""

from __future__ import annotations

import sys

from pileus.store.migrations.lines import SERVICES
from pileus.store.migrations.writing import write_revision, write_snapshot

match sys.argv[1:]:
    case ["--snapshot"]:
        write_snapshot()
    case [service, message] if service in SERVICES:
        sys.stdout.write(f"{write_revision(service, message)}\n")
    case _:
        sys.exit(f"{__doc__}\nServices: {', '.join(SERVICES)}")
