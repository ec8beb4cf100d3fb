"""The server process: HTTP, rules, database. It decides; agents act.

Started as root it binds its sockets, imports everything, becomes its unprivileged user, and
only then reads a database, a key or a request. (It imports first because its own source may
lie where that user can't go.)
"""

from __future__ import annotations

import datetime as dt
import gc
import importlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.app import bootstrap, privileges
from pileus.app.database import database_url
from pileus.app.prepare import Secrets, prepare, public_url
from pileus.app.processes import lifecycle
from pileus.app.processes.keys import KeyAdministration
from pileus.app.processes.node_tokens import NodeTokenBook
from pileus.app.processes.notify import notify
from pileus.app.processes.services import make_services
from pileus.app.serving.access_log import access_log
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp, listen_unix
from pileus.app.settings import Settings
from pileus.app.state import StateFolder, default_root
from pileus.bus.endpoint import PREFIX, Endpoint
from pileus.bus.hub import Hub
from pileus.bus.node import NodeTokens
from pileus.bus.notifications import Notifier
from pileus.bus.rabbit import RabbitAnnouncer
from pileus.bus.streams import Streams
from pileus.core import log
from pileus.core.clock import SystemClock
from pileus.core.errors import Fault
from pileus.core.ids import new_id
from pileus.policy import Overrides, Policies, PolicyError, load_policy
from pileus.services.compute import service as compute
from pileus.services.identity.service import Beginning, EndpointSeed, Identity
from pileus.store import Published, Store, migrations
from pileus.web.app import App, create_app
from pileus.web.bodies import BodyLimits
from pileus.web.client import Proxies
from pileus.web.face import ServiceFace, all_answers
from pileus.web.settings import WebSettings

logger = log.get("server")


def main(state: Path | None, config: Path | None, listen: str | None) -> None:
    """Run until SIGTERM or SIGINT."""
    folder = StateFolder((state or default_root(False)).absolute())
    options = {"server.listen": listen} if listen else {}
    settings = lifecycle.start(folder, config, options)
    try:
        secrets = prepare(folder, settings, ())
        overrides = load_policy(settings.server.policy_file, settings.server.policy_folder)
        server = Server(folder, settings, overrides, secrets)
        gate = Gate(settings.limits, Proxies(settings.server.trusted_proxies))
        http = HttpServer(
            server,
            gate,
            [listen_tcp(settings.server.listen)],
            [listen_unix(folder.socket)],
            certificate=settings.server.tls_certificate,
            key=settings.server.tls_key,
            client_ca=settings.server.tls_client_ca,
        )
        _preload(settings)
        if _source_is_closed(settings):
            _migrate(database_url(folder, settings), settings.server.user)
            for module in _LATE_MODULES:
                importlib.import_module(module)
    except (Fault, OSError, PolicyError) as error:
        bootstrap.fail(str(error))
    privileges.drop(settings.server.user)
    lifecycle.run(lambda: _serve(server, http))


_LATE_MODULES = ("aiohttp", "encodings.idna", "pileus.services.identity.directory.client")
"""Modules that the first download, or the first look into a directory, imports."""


def _preload(settings: Settings) -> None:
    """Import what would otherwise be imported by the first use, while the source can be read."""
    modules = [
        "sqlalchemy.dialects.sqlite",
    ]
    url = settings.server.database
    if url.startswith("postgresql"):
        modules += ["psycopg", "sqlalchemy.dialects.postgresql.psycopg"]
    if url.startswith(("mariadb", "mysql")):
        modules += ["pymysql", "sqlalchemy.dialects.mysql.pymysql"]
    if settings.server.rabbitmq or settings.identity.notifications or settings.network.notifications:
        modules.append("aio_pika")
    if settings.federation.openid_client_id or settings.federation.openid_audiences:
        modules += ["aiohttp", "joserfc.jwk", "joserfc.jwt"]
    for module in modules:
        importlib.import_module(module)


_MISSING_REVISIONS = 64  # an exit status that nothing else has


def _migrate(url: str, user: str) -> None:
    """Bring the tables up to date in a process of its own, which imports what no server needs, and as the
    server's user, whose files they are."""
    migrations.preload_snapshot()

    def told(work: Callable[[str], Any]) -> Any:
        try:
            return work(url)
        except Fault as error:
            bootstrap.fail(str(error))

    def look() -> None:
        if told(migrations.runs_revisions):
            raise SystemExit(_MISSING_REVISIONS)

    try:
        privileges.as_user(user, look)
    except SystemExit as end:
        if end.code != _MISSING_REVISIONS:
            raise
        privileges.as_user(user, lambda: told(migrations.prepare), first=migrations.preload)


def _source_is_closed(settings: Settings) -> bool:
    """Whether the server's user can't read our source or Python's own (a checkout in root's home).

    Migrations are files that are read when they run, and need modules that nothing else needs: then
    they run before this process becomes that user.
    """
    user = settings.server.user
    if os.geteuid() != 0 or user == "root":
        return False
    return not all(privileges.may_read(Path(file), user) for file in (__file__, os.__file__))


async def _serve(server: Server, http: HttpServer) -> None:
    stop = lifecycle.stop_requested()
    try:
        await server.start()
    except (Fault, PolicyError) as error:
        bootstrap.fail(str(error))
    await http.start()
    # What lives as long as the process need not be looked at by each collection, and a long list
    # makes many values that are no garbage: with the defaults a list of 5,000 takes a quarter longer.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    notify("READY=1")
    logger.info("the server is ready", url=public_url(server.settings))
    await stop.wait()
    notify("STOPPING=1")
    server.endpoint.close()
    await http.stop()
    await server.close()
    logger.info("the server has stopped")


class Server:
    """Everything of the control side, built in one place. Call it as ASGI servers do, after ``start``."""

    def __init__(
        self, folder: StateFolder, settings: Settings, overrides: Overrides, secrets: Secrets
    ) -> None:
        self.folder = folder
        self.settings = settings
        self._overrides = overrides
        self._secrets = secrets
        self._proxies = Proxies(settings.server.trusted_proxies)
        self.clock = SystemClock()
        self.hub = Hub()
        self.streams = Streams(self.hub)
        self.endpoint: Endpoint
        self.store: Store
        self.services: tuple[ServiceFace, ...] = ()
        self._app: App
        self._rabbit: RabbitAnnouncer | None = None
        self._notifier: Notifier | None = None
        self._metering_notifier: Notifier | None = None
        self._token_book: NodeTokenBook

    async def start(self) -> None:
        """Open the database, start the services, listen to events."""
        settings = self.settings
        self.store = await Store.open(
            database_url(self.folder, settings),
            clock=self.clock,
            statement_timeout_s=settings.server.statement_timeout_s,
            keep_events=dt.timedelta(days=settings.server.keep_events_days),
            unified_limits=(
                settings.identity.region if settings.identity.quota_driver == "unified_limits" else None
            ),
        )
        self.store.subscribe(self._published)
        if settings.server.rabbitmq:
            self._rabbit = RabbitAnnouncer(settings.server.rabbitmq, new_id(), self.store.announce)
            self._rabbit.start()
        self._start_notifiers()
        identity, self.services = make_services(
            self.folder,
            settings,
            self.clock,
            self.store,
            self.hub.ask,
            self.streams.open,
            self._beginning,
            self._notifier.send if self._notifier is not None else None,
            self._metering_notifier.send if self._metering_notifier is not None else None,
        )
        for face in self.services:
            await face.start(self.store)
        self._app = self._make_app(identity)
        tokens = NodeTokens(self._secrets.node, lifetime_s=settings.server.node_token_lifetime_s)
        self._token_book = NodeTokenBook(self.store, tokens, self.clock, self.hub.wake_all)
        await self._token_book.start()
        keys = KeyAdministration(
            identity,
            self.clock,
            settings.identity.max_active_keys,
            dt.timedelta(seconds=settings.identity.token_lifetime_s),
        )
        self.endpoint = Endpoint(
            all_answers(self.services, self.store),
            self.hub,
            self._look,
            tokens,
            {**self._token_book.administration(), **keys.answers()},
            self.streams,
        )

    def _start_notifiers(self) -> None:
        settings = self.settings
        if settings.identity.notifications:
            self._notifier = Notifier(
                settings.identity.notifications,
                exchange="keystone",
                topic=settings.identity.notification_topic,
                publisher=f"identity.{socket.gethostname()}",
            )
            self._notifier.start()
        if settings.network.notifications:
            self._metering_notifier = Notifier(
                settings.network.notifications,
                exchange="neutron",
                topic=settings.network.notification_topic,
                publisher=f"metering.{socket.gethostname()}",
            )
            self._metering_notifier.start()

    def _make_app(self, identity: Identity) -> App:
        settings, services = self.settings, [face.service for face in self.services]
        return create_app(
            services,
            store=self.store,
            authenticator=identity.authenticator,
            policy=Policies({service.type: service.rules for service in services}, self._overrides),
            clock=self.clock,
            settings=WebSettings(
                bodies=_body_limits(settings),
                public_url=settings.server.public_url,
                proxies=self._proxies,
                certificate_header=settings.server.client_certificate_header,
            ),
            written=access_log(self.folder.access_log, settings.log) if settings.log.access else None,
        )

    def _beginning(self) -> Beginning:
        base = public_url(self.settings)
        services = [face.service for face in self.services]
        return Beginning(
            endpoints=tuple(
                EndpointSeed(kind, name, base + one.prefix + one.endpoint_path)
                for one in services
                for kind, name in ((one.type, one.name), *one.aliases)
            ),
            region=self.settings.identity.region,
            admin_password=self._secrets.admin_password,
        )

    async def close(self) -> None:
        """Let everything go, the database last."""
        if self._rabbit is not None:
            await self._rabbit.close()
        await self._token_book.close()
        for face in reversed(self.services):
            await face.close()
        for notifier in (self._notifier, self._metering_notifier):
            if notifier is not None:
                await notifier.close()
        await self.store.close()

    def _published(self, published: Published) -> None:
        self.hub.publish(published.position, published.scopes)
        if self._rabbit is not None:
            self._rabbit.announce(published.position)

    async def _look(self, host: str, scopes: tuple[str, ...]) -> tuple[frozenset[str], int]:
        return await self.store.read(compute.look, host, scopes)

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        path = scope.get("path", "")
        if path.startswith(PREFIX):
            await self.endpoint(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _body_limits(settings: Settings) -> BodyLimits:
    limits = settings.limits
    return BodyLimits(
        largest_bytes=settings.server.max_body_bytes,
        within_s=limits.body_within_s,
        held_bytes=limits.bodies_mib << 20,
        held_bytes_of_one=limits.bodies_per_address_mib << 20,
        idle_s=limits.idle_s,
        least_bytes_per_s=limits.least_bytes_per_s,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else None, None)
