"""``pins.py PYTHON``: the lock files' pins, with hashes, of what a package for that Python holds.

That is all of ``lock/run.txt`` and, of ``lock/test.txt``, the drivers of other databases and of RabbitMQ with
what they need.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[1] / "lock"
DRIVERS = frozenset(
    {
        "psycopg",
        "psycopg-binary",
        "pymysql",
        "aio-pika",
        "aiormq",
        "pamqp",
        "exceptiongroup",
        "typing-extensions",
    }
)
_PIN = re.compile(r"^(?P<line>[A-Za-z0-9_.\[\],-]+==.*?)(?: *\\)?$")


def pins(text: str) -> list[str]:
    """The pins of a lock file, each with its lines of hashes."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(" "):
            found[-1] += f"\n{line}"
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def requirement(pin: str) -> Requirement:
    """The requirement that a pin states, without its hashes."""
    match = _PIN.match(pin.splitlines()[0])
    assert match is not None, pin
    return Requirement(match["line"])


def wanted(python: str) -> list[str]:
    """The pins that hold for ``python`` on Linux, each once."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    found: dict[str, str] = {}
    for file in ("run.txt", "test.txt"):
        for pin in pins((LOCK / file).read_text()):
            stated = requirement(pin)
            name = stated.name.lower().replace("_", "-")
            held = file == "run.txt" or name in DRIVERS
            if held and (stated.marker is None or stated.marker.evaluate(environment)):
                found.setdefault(name, pin)
    return list(found.values())


if __name__ == "__main__":
    sys.stdout.write("\n".join(wanted(sys.argv[1])) + "\n")
