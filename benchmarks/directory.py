"""Figures of LDAP directories: look-ups and log-ins a second, with connections that are kept and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.api.identity.directory_world import PEOPLE, config, person
from tests.ldap import Ldap

from benchmarks.table import Row
from pileus.services.identity.directory.client import Directory
from pileus.services.identity.rules.directory import Options

FOR_S = 2.0


def measure() -> Iterator[Row]:
    """Of a slapd on this machine, one call after the other: by TLS, as directories are used, and without."""
    server = Ldap(tls=True)
    try:
        server.add(PEOPLE + "\n" + person("u1", "Ann"))
        secure: dict[str, Any] = {"url": server.tls_url, "tls_cacertfile": str(server.authority)}
        for way, more in (("ldap", {}), ("ldaps", secure)):
            for pools in (True, False):
                values = {**config(server, **more)["ldap"], "use_pool": pools, "use_auth_pool": pools}
                directory = Directory(Options("d", "D", values))
                how = "connections kept" if pools else "a connection a call"
                for what, call in (("look-ups", _look), ("log-ins", _log_in)):
                    yield Row(
                        f"{what} a second, {way}, {how}", _rate(directory, call), "/s", more_is_better=True
                    )
                directory.close()
    finally:
        server.close()


def _look(directory: Directory) -> object:
    return directory.people([("uid", "equals", "u1")])


def _log_in(directory: Directory) -> object:
    return directory.log_in("Ann", "Ann-secret")


def _rate(directory: Directory, call: Callable[[Directory], object]) -> float:
    assert call(directory)
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < FOR_S:
        call(directory)
        count += 1
    return count / (time.perf_counter() - began)
