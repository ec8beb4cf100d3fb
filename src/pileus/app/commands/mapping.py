"""``pileus mapping``: users and groups of LDAP directories that are known here, as ``keystone-manage
mapping_purge`` has them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pileus.app import bootstrap
from pileus.app.local import IDENTITY, LocalApi
from pileus.app.state import StateFolder, default_root
from pileus.core.errors import Fault

PATH = f"{IDENTITY}/OS-PILEUS-DIRECTORY/mappings"

Wanted = dict[str, str]
"""``domain_name``, ``public_id``, ``local_id`` and ``type``, where they were given."""


class UnknownDomain(Fault):
    """There is no domain of that name."""


def show(wanted: Wanted, only_gone: bool, look: bool, as_json: bool, folder: Path) -> None:
    """Print the mappings meant; with ``look`` the directories are asked first."""
    try:
        with LocalApi(StateFolder(folder)) as api:
            query = _query(api, wanted)
            if look:
                found = api.call("POST", f"{PATH}/look", {"look": query})["mappings"]
            else:
                found = api.get(f"{PATH}?{urlencode(query)}")["mappings"]
    except Fault as fault:
        bootstrap.fail(fault.text)
    _print([one for one in found if one["gone_at"] or not only_gone], as_json)


def purge(wanted: Wanted, everything: bool, even_present: bool, as_json: bool, folder: Path) -> None:
    """Delete those meant that are gone from their directories, with their roles and credentials."""
    if not everything and not wanted:
        bootstrap.fail("At least one option must be provided")
    if everything and wanted:
        bootstrap.fail("--all option cannot be mixed with other options")
    try:
        with LocalApi(StateFolder(folder)) as api:
            body = {**_query(api, wanted), "all": everything, "even_present": even_present}
            done = api.call("POST", f"{PATH}/purge", {"purge": body})
    except Fault as fault:
        bootstrap.fail(fault.text)
    _print(done["purged"], as_json)
    if not as_json:
        sys.stdout.write(f"{len(done['purged'])} purged, {len(done['kept'])} kept\n")


def folder_of(simulated: bool, state: Path | None) -> Path:
    """The state folder that a command is about."""
    return (state or default_root(simulated)).absolute()


def _query(api: LocalApi, wanted: Wanted) -> Wanted:
    """The same with the domain's id for its name. Raises UnknownDomain."""
    query = dict(wanted)
    name = query.pop("domain_name", None)
    if name is not None:
        domains = api.get(f"{IDENTITY}/domains?{urlencode({'name': name})}")["domains"]
        if not domains:
            raise UnknownDomain(f"Unknown domain '{name}' specified by --domain-name")
        query["domain_id"] = domains[0]["id"]
    return query


def _print(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    rows = [("public id", "type", "domain", "local id", "name", "gone since")]
    rows += [
        (
            one["public_id"],
            one["type"],
            one["domain_id"],
            one["local_id"] or "-",
            one["name"],
            one["gone_at"] or "-",
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for row in rows:
        sys.stdout.write("  ".join(map(str.ljust, row, widths)).rstrip() + "\n")
