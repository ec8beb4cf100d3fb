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
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.app import bootstrap, privileges
from pileus.app.database import database_url
from pileus.app.prepare import Secrets, prepare, public_url
from pileus.app.processes import lifecycle
from pileus.app.processes.node_tokens import NodeTokenBook
from pileus.app.processes.notify import notify
from pileus.app.serving.access_log import access_log
from pileus.app.serving.connections import Gate
from pileus.app.serving.http import HttpServer, listen_tcp, listen_unix
from pileus.app.settings import Settings
from pileus.app.state import StateFolder, default_root
from pileus.bus.endpoint import PREFIX, Endpoint
from pileus.bus.hub import Hub
from pileus.bus.node import NodeTokens
from pileus.bus.rabbit import RabbitAnnouncer
from pileus.core import log
from pileus.core.clock import SystemClock
from pileus.core.context import system_context
from pileus.core.errors import Fault
from pileus.core.files import read_or_create_secret
from pileus.core.ids import new_id
from pileus.policy import Overrides, Policies, PolicyError, load_policy
from pileus.services.compute import service as compute
from pileus.services.identity.service import EndpointSeed, Identity, Seed
from pileus.services.identity.service import from_settings as identity_settings
from pileus.services.image import service as image
from pileus.services.network.service import from_settings, network_service, wire_handlers
from pileus.store import Published, Store, migrations
from pileus.web.app import App, create_app
from pileus.web.bodies import BodyLimits
from pileus.web.client import Proxies
from pileus.web.settings import WebSettings

_ENDPOINT = {"compute": compute.ENDPOINT_PATH}
"""What the catalog's address of a service has after the service's prefix."""

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
        )
        _preload(settings)
        if _source_is_closed(settings):
            migrations.preload()
    except (Fault, OSError, PolicyError) as error:
        bootstrap.fail(str(error))
    privileges.drop(settings.server.user)
    lifecycle.run(lambda: _serve(server, http))


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
    if settings.server.rabbitmq:
        modules.append("aio_pika")
    for module in modules:
        importlib.import_module(module)


def _source_is_closed(settings: Settings) -> bool:
    """Whether the server's user can't read our source or Python's own (a checkout in root's home).

    Migrations are files that are read when they run, and need modules that nothing else needs: then
    they are read before this process becomes that user.
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
        self.endpoint: Endpoint
        self.store: Store
        self.identity: Identity
        self.images: image.Images
        self.compute: compute.Compute
        self._app: App
        self._rabbit: RabbitAnnouncer | None = None
        self._token_book: NodeTokenBook

    async def start(self) -> None:
        """Open the database, seed what a cloud begins with, listen to events."""
        settings, folder, clock = self.settings, self.folder, self.clock
        self.store = await Store.open(
            database_url(folder, settings),
            clock=clock,
            statement_timeout_s=settings.server.statement_timeout_s,
            keep_events=dt.timedelta(days=settings.server.keep_events_days),
        )
        self.store.subscribe(self._published)
        if settings.server.rabbitmq:
            self._rabbit = RabbitAnnouncer(settings.server.rabbitmq, new_id(), self.store.announce)
            self._rabbit.start()
        network_config = from_settings(settings.network, compute.projects_of_servers, compute.holders_of)
        self.identity = Identity(
            self.store,
            folder.keys / "fernet",
            clock=clock,
            settings=identity_settings(settings.identity),
        )
        self.images = image.Images(
            image.FileStore(folder.images, settings.image.kept_free_mib << 20),
            read_or_create_secret(folder.image_ticket_key, 32),
            image.from_settings(settings.image),
            clock,
        )
        await self.images.start(self.store)
        self.compute = compute.Compute(
            compute.from_settings(settings.compute),
            network_config,
            clock,
            ticket=self._image_path,
            ask=self.hub.ask,
        )
        await self.compute.start(self.store)
        keep_servers = dt.timedelta(days=settings.compute.keep_deleted_servers_days)
        self.store.trim_also(lambda tx, now: compute.forget(tx, now - keep_servers))
        services = [
            self.identity.service,
            network_service(network_config, clock),
            self.images.service,
            self.compute.service,
        ]
        self._app = create_app(
            services,
            store=self.store,
            authenticator=self.identity.authenticator,
            policy=Policies({service.type: service.rules for service in services}, self._overrides),
            clock=clock,
            settings=WebSettings(
                bodies=_body_limits(settings),
                public_url=settings.server.public_url,
                proxies=self._proxies,
            ),
            written=access_log(folder.access_log, settings.log) if settings.log.access else None,
        )
        tokens = NodeTokens(self._secrets.node, lifetime_s=settings.server.node_token_lifetime_s)
        self._token_book = NodeTokenBook(self.store, tokens, clock, self.hub.wake_all)
        await self._token_book.start()
        self.endpoint = Endpoint(
            {**wire_handlers(self.store, network_config, clock), **self.compute.wire(self.store)},
            self.hub,
            self._look,
            tokens,
            self._token_book.administration(),
        )
        base = public_url(settings)
        endpoints = tuple(
            EndpointSeed(service.type, service.name, base + service.prefix + _ENDPOINT.get(service.type, ""))
            for service in services
        )
        seed = Seed(
            endpoints=endpoints,
            region=settings.identity.region,
            password_hash=await self.identity.passwords.hash(self._secrets.admin_password),
        )
        await self.identity.seed(system_context(clock.now()), seed)

    async def close(self) -> None:
        """Let everything go, the database last."""
        if self._rabbit is not None:
            await self._rabbit.close()
        await self._token_book.close()
        await self.compute.close()
        self.identity.close()
        self.images.close()
        await self.store.close()

    def _image_path(self, image_id: str) -> str:
        """Where a node gets an image's bytes: below this server's address, with its ticket."""
        ticket = self.images.ticket(image_id, seconds=3600)
        return f"{image.PREFIX}/v2/images/{image_id}/file?ticket={ticket}"

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
