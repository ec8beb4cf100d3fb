"""Connections to a domain's LDAP server, kept open between calls. Everything here blocks.

There are two kinds: those bound as the domain's own user, which search, and those that only check the
passwords of people. Each of the second kind is bound anew for every log-in, so that a password is good as
long as the server says so, and is not remembered here. The settings are Keystone's (``use_pool``,
``pool_size`` and those beside them); how many calls run at once is up to the caller.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ldap3
from ldap3.core.exceptions import LDAPException

from pileus.services.identity.directory.errors import DirectoryUnavailable
from pileus.services.identity.rules.directory import Options

CONNECT_S = 5.0
ANSWER_S = 10.0
"""Bounds where the configuration gives none: nobody waits for ever."""

_TROUBLE = (LDAPException, OSError, ValueError)

T = TypeVar("T")
Clock = Callable[[], float]


class _Kept:
    """Idle connections, of which the one used last is taken first; older ones are closed."""

    def __init__(self, size: int, lifetime_s: float, clock: Clock) -> None:
        self._size = size
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._idle: list[tuple[Any, float]] = []
        self._lock = threading.Lock()
        self._open = True

    def take(self) -> tuple[Any, float] | None:
        """A connection with the time when it was made; None where there is none that is still good."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, born = self._idle.pop()
            if not connection.closed and self._clock() - born < self._lifetime_s:
                return connection, born
            unbind(connection)

    def give(self, connection: Any, born: float) -> None:
        """Keep a connection for the next caller, or close it."""
        with self._lock:
            keeps = self._open and len(self._idle) < self._size and not connection.closed
            if keeps:
                self._idle.append((connection, born))
        if not keeps:
            unbind(connection)

    def clear(self) -> None:
        """Close those that are idle: the server has closed one, and so perhaps all."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            unbind(connection)

    def close(self) -> None:
        """Close the idle ones; those that are in use are closed when they come back."""
        with self._lock:
            self._open = False
        self.clear()


class Connections:
    """The connections of one domain."""

    def __init__(self, options: Options, clock: Clock = time.monotonic) -> None:
        self.options = options
        self._clock = clock
        self._searching = self._kept("use_pool", "pool_size", "pool_connection_lifetime")
        self._checking = self._kept("use_auth_pool", "auth_pool_size", "auth_pool_connection_lifetime")

    def _kept(self, use: str, size: str, lifetime: str) -> _Kept:
        options = self.options
        most = options.number(size) if options.flag(use) else 0
        return _Kept(most, options.seconds(lifetime), self._clock)

    def search(self, work: Callable[[Any], T]) -> T:
        """Call ``work`` with a connection that is bound as the domain's user.

        It is called again, with another connection, where the server has closed this one: it only reads.
        Raises DirectoryUnavailable.
        """
        return self._tried(self._searching, self._bound, work)

    def binds(self, dn: str, password: str) -> bool:
        """Whether the server takes this password of an entry. Raises DirectoryUnavailable."""

        def check(connection: Any) -> bool:
            try:
                # Whatever else the directory says (locked, expired, forbidden now), it is no log-in.
                return bool(connection.rebind(dn, password))
            finally:
                connection.user = connection.password = None

        return self._tried(self._checking, self._opened, check)

    def close(self) -> None:
        """Close all of them."""
        self._searching.close()
        self._checking.close()

    def _tried(self, kept: _Kept, make: Callable[[], Any], work: Callable[[Any], T]) -> T:
        until = self._clock() + CONNECT_S
        tries = self.options.number("pool_retry_max")
        while True:
            found = kept.take()
            connection: Any = None
            try:
                connection, born = found if found is not None else (make(), self._clock())
                result = work(connection)
            except _TROUBLE:
                unbind(connection)
                if found is not None:  # perhaps the server was started anew: then all have ended
                    kept.clear()
                elif tries > 1 and self._clock() < until:
                    tries -= 1
                    time.sleep(min(self.options.seconds("pool_retry_delay"), 1.0))
                else:
                    raise DirectoryUnavailable(url=self.options["url"]) from None
            except BaseException:
                unbind(connection)
                raise
            else:
                kept.give(connection, born)
                return result

    def _bound(self) -> Any:
        """A new connection, bound as the domain's user."""
        options = self.options
        connection = self._opened()
        try:
            taken = connection.rebind(options["user"], options["password"])
        except BaseException:
            unbind(connection)
            raise
        if not taken:
            unbind(connection)
            raise DirectoryUnavailable(url=options["url"])
        return connection

    def _opened(self) -> Any:
        """A new connection, behind TLS where the configuration wants that, bound as nobody."""
        options = self.options
        validate = ssl.CERT_NONE if options["tls_req_cert"] == "never" else ssl.CERT_REQUIRED
        authorities = {
            "ca_certs_file": options["tls_cacertfile"] or None,
            "ca_certs_path": options["tls_cacertdir"] or None,
        }
        wait_s = options.seconds("pool_connection_timeout")
        tls = ldap3.Tls(validate=validate, **authorities)
        server = ldap3.Server(
            options["url"], get_info=ldap3.NONE, connect_timeout=min(wait_s, CONNECT_S), tls=tls
        )
        connection = ldap3.Connection(
            server,
            receive_timeout=math.ceil(min(wait_s, ANSWER_S)),
            read_only=True,
            auto_referrals=False,
            check_names=False,
        )
        try:
            connection.open()
            if options.flag("use_tls") and not connection.start_tls():
                raise DirectoryUnavailable(url=options["url"])
        except BaseException:
            unbind(connection)
            raise
        return connection


def unbind(connection: Any) -> None:
    """Close a connection, whatever its state."""
    if connection is None:
        return
    for end in (connection.unbind, connection.strategy.close):  # where the first could not send, the second
        with contextlib.suppress(*_TROUBLE):
            end()
