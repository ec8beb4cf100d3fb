"""``pileus users``: take over what another Keystone knows of users."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from pileus.app import bootstrap
from pileus.app.local import IDENTITY, LocalApi, NotRunning, Refused
from pileus.app.state import StateFolder, default_root

COLUMNS = "user_id (or domain and user) and password_hash"


def import_passwords(file: Path, simulated: bool, state: Path | None) -> None:
    """Set the hash of each row of a CSV file with a header; tells which rows were refused, and why.

    One row that is refused keeps none of the others. Ends the program with 1 where there was one.
    """
    folder = StateFolder((state or default_root(simulated)).absolute())
    done, refused = 0, 0
    try:
        with LocalApi(folder) as api:
            for number, row in _rows(file):
                try:
                    path = f"{IDENTITY}/users/{quote(_user_id(api, row), safe='')}/password_hash"
                    api.call("PUT", path, {"password_hash": row.get("password_hash") or ""})
                    done += 1
                except (Refused, LookupError) as error:
                    refused += 1
                    sys.stderr.write(f"{file}:{number}: {error}\n")
    except (NotRunning, OSError, UnicodeDecodeError, csv.Error) as error:
        bootstrap.fail(str(error))
    sys.stdout.write(f"{done} passwords taken over, {refused} refused\n")
    if refused:
        sys.exit(1)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their line numbers."""
    with file.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        names = set(reader.fieldnames or ())
        if "password_hash" not in names or not ("user_id" in names or {"domain", "user"} <= names):
            bootstrap.fail(f"{file}: its first line has to name the columns {COLUMNS}")
        for row in reader:
            yield reader.line_num, row


def _user_id(api: LocalApi, row: dict[str, str]) -> str:
    """The id of a row's user. Raises LookupError."""
    if row.get("user_id"):
        return row["user_id"]
    domains = api.get(f"{IDENTITY}/domains?{urlencode({'name': row.get('domain') or ''})}")["domains"]
    if len(domains) != 1:
        raise LookupError(f"there is no domain {row.get('domain')!r}")
    query = urlencode({"name": row.get("user") or "", "domain_id": domains[0]["id"]})
    users = api.get(f"{IDENTITY}/users?{query}")["users"]
    if len(users) != 1:
        raise LookupError(f"there is no user {row.get('user')!r} in domain {row.get('domain')!r}")
    return str(users[0]["id"])
