"""A small service with one noun, as a service of Pileus declares it, and a client without a network."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Column, Integer, Table
from tests import databases
from tests.asgi import Answer, ask, encoded

from pileus.core.clock import ManualClock
from pileus.core.context import Context
from pileus.core.errors import Unauthenticated
from pileus.policy import Policies, Rule
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values, fresh_id
from pileus.resource.quota import Quota, count_rows, quota_spend
from pileus.resource.standard import PROJECT, STANDARD, standard_columns
from pileus.resource.wordings.neutron import NEUTRON
from pileus.store import Store, Tx
from pileus.store.schema import Id, JsonText, Name, metadata
from pileus.web.app import App, create_app
from pileus.web.crud import change_plain, crud, remove_plain
from pileus.web.dialects import ApiVersion
from pileus.web.dialects.neutron import NEUTRON_API
from pileus.web.noun import Noun
from pileus.web.service import Service
from pileus.web.settings import WebSettings
from pileus.web.tags import tag_routes

widgets = Table(
    "test_widgets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("project_id", Id, index=True),
    Column("name", Name, nullable=False),
    Column("size", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("address", Name, nullable=True),
    Column("parts", JsonText),
    Column("host", Name, nullable=False),
    *standard_columns(),
)

WIDGET = Resource(
    "widget",
    table=widgets,
    wording=NEUTRON,
    attributes=(
        Attribute("id", types.uuid, default=fresh_id, filter=True, sort=True),
        PROJECT,
        Attribute("name", types.string(255), default="", create=True, update=True, filter=True, sort=True),
        Attribute("size", types.integer(1, 10), create=True, required=True, filter=True, sort=True),
        Attribute("enabled", types.boolean, default=True, create=True, update=True, filter=True, sort=True),
        Attribute(
            "address",
            types.nullable(types.ip_address),
            create=True,
            update=True,
            filter=True,
            sort=True,
        ),
        Attribute("parts", types.list_of(types.anything), default=[], create=True, update=True),
        Attribute(
            "widget:host",
            types.string(255),
            column=widgets.c.host,
            default="",
            create=True,
            update=True,
            filter=True,
            policy=True,
        ),
        *STANDARD,
    ),
)

WIDGET_QUOTA = Quota("widgets", "widget", default=500, count=count_rows(widgets.c.project_id))


def widget_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Count, then write all."""
    quota_spend(tx, Counter(spec["project_id"] for spec in specs), WIDGET_QUOTA)
    return WIDGET.insert(tx, context, specs)


OWNER = "role:admin or project_id:%(project_id)s"
RULES = [
    Rule("create_widget", OWNER),
    Rule("create_widget:widget:host", "role:admin"),
    Rule("get_widget", "role:admin or role:reader or project_id:%(project_id)s"),
    Rule("get_widget:widget:host", "role:admin"),
    Rule("update_widget", OWNER),
    Rule("update_widget:widget:host", "role:admin"),
    Rule("delete_widget", OWNER),
]

WIDGETS = Noun(
    name="widget",
    routes=(
        *crud(
            WIDGET,
            "/v2.0/widgets",
            create=widget_create,
            update=change_plain(WIDGET),
            delete=remove_plain(WIDGET),
        ),
        *tag_routes(WIDGET, "/v2.0/widgets"),
    ),
    rules=RULES,
    quotas=(WIDGET_QUOTA,),
)

SERVICE = Service(
    name="widgets",
    type="widget",
    dialect=NEUTRON_API,
    prefix="/widgets",
    nouns=(WIDGETS,),
    versions=(ApiVersion("v2.0", "/v2.0"),),
)


def service_with(**changes: Any) -> Service:
    """The service of widgets with something else in its noun."""
    return dataclasses.replace(SERVICE, nouns=(dataclasses.replace(WIDGETS, **changes),))


P1, P2 = "a" * 32, "b" * 32
CLOCK = ManualClock()
PEOPLE = {
    "admin": Context(now=CLOCK.now(), user_id="u0", project_id=P2, roles=("admin",), is_admin=True),
    "alice": Context(now=CLOCK.now(), user_id="u1", project_id=P1, roles=("member",)),
    "bob": Context(now=CLOCK.now(), user_id="u2", project_id=P2, roles=("member",)),
    "reader": Context(now=CLOCK.now(), user_id="u3", project_id=P2, roles=("reader",)),
}


async def authenticate(token: str) -> Context:
    """The token is the person's name."""
    if token not in PEOPLE:
        raise Unauthenticated
    return PEOPLE[token]


class Client:
    """Speaks ASGI to an app, as one person."""

    def __init__(self, app: App, token: str | None = "alice", base: str = "/widgets/v2.0") -> None:
        self.app = app
        self.token = token
        self.base = base

    def as_(self, token: str | None) -> Client:
        return Client(self.app, token, self.base)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        raw: bytes | None = None,
    ) -> Answer:
        content = raw if raw is not None else encoded(body)
        sent = {"host": "cloud:8080", "content-length": str(len(content)), **(headers or {})}
        if content:
            sent.setdefault("content-type", "application/json")
        if self.token:
            sent["x-auth-token"] = self.token
        return await ask(self.app, method, self.base + path, sent, [content])


@contextlib.asynccontextmanager
async def widget_app(
    folder: Path,
    *services: Service,
    url: str | None = None,
    statement_timeout_s: float = 20.0,
    **settings: Any,
) -> AsyncIterator[App]:
    """The app of these services (the widgets' by default) over a fresh SQLite file, or a database's URL."""
    chosen = services or (SERVICE,)
    if url is None:
        url = f"sqlite:///{folder / 'widgets.sqlite'}"
        databases.make_tables(url)
    store = await Store.open(url, statement_timeout_s=statement_timeout_s)
    try:
        yield create_app(
            chosen,
            store=store,
            authenticator=authenticate,
            policy=Policies({one.type: one.rules for one in chosen}, {}),
            clock=CLOCK,
            settings=WebSettings(**settings),
        )
    finally:
        await store.close()
