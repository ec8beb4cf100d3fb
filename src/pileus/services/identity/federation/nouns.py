"""``/v3/OS-FEDERATION``: identity providers, protocols, mappings and service providers, made by PUT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.ids import new_hex_id
from pileus.resource.check import check_create
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.domains import domains_require
from pileus.services.identity.common.errors import SchemaValidationError
from pileus.services.identity.common.generation import announce_token_change
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.federation.resources import (
    IDENTITY_PROVIDER,
    MAPPING,
    PROTOCOL,
    SERVICE_PROVIDER,
    FederatedProtocolNotFound,
    InvalidMappingId,
    is_new,
)
from pileus.services.identity.projects.resource import DOMAIN
from pileus.services.identity.projects.work import domain_create
from pileus.services.identity.rules.mapping import BadMapping, mapping_check
from pileus.services.identity.tables import cascade
from pileus.services.identity.tables.federation import federated_users, federation_protocols
from pileus.store.tx import Tx
from pileus.web.crud import Crud, list_reply, shown_reply
from pileus.web.noun import Noun
from pileus.web.parse import parse_update
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_BASE = "/v3/OS-FEDERATION"
Check = Callable[[Tx, Context, Values], None]
"""``(tx, context, values)``: complete and check what is to be written. Raises Invalid."""


class Handlers:
    """The five routes of a kind of thing whose id is the client's; the rule is asked before all else."""

    def __init__(self, resource: Resource, check: Check | None = None) -> None:
        self.resource = resource
        self._crud = Crud(resource=resource)
        self._check = check

    async def list(self, request: Request) -> Reply:
        request.authorise(self.resource.rule("list"))
        return await list_reply(request, self._crud, ())

    async def get(self, request: Request) -> Reply:
        request.authorise(self.resource.rule("get"))
        return shown_reply(request, self.resource, await request.read(self.find, request.path["id"]))

    async def create(self, request: Request) -> Reply:
        resource, key = self.resource, request.path["id"]
        request.authorise(resource.rule("create"))
        body = request.json()
        if not isinstance(body, dict) or not isinstance(body.get(resource.name), dict):
            raise request.dialect.no_object(resource, body)
        # The stock client sends the id of the path in the body as well.
        wanted = {name: value for name, value in body[resource.name].items() if name != "id" or value != key}
        spec = check_create(resource, request.context, wanted)
        spec["id"] = _key(key)

        def unit(tx: Tx) -> Values:
            is_new(fetch(tx, resource, [key]), resource.name, key)
            self.complete(tx, request.context, spec)
            resource.insert(tx, request.context, [spec])
            announce_token_change(tx, request.context, f"{resource.name}.create", key)
            return spec

        return shown_reply(request, resource, await request.write(unit), 201)

    async def update(self, request: Request) -> Reply:
        resource, key = self.resource, request.path["id"]
        request.authorise(resource.rule("update"))
        changes = parse_update(resource, request)

        def unit(tx: Tx) -> Values:
            before = self.find(tx, key, lock=True)
            self.complete(tx, request.context, Values({**before, **changes}))
            after = resource.change(tx, request.context, [Update(before, changes)])[0]
            announce_token_change(tx, request.context, f"{resource.name}.update", key)
            return after

        return shown_reply(request, resource, await request.write(unit))

    async def delete(self, request: Request) -> Reply:
        request.authorise(self.resource.rule("delete"))

        def unit(tx: Tx) -> None:
            found = self.find(tx, request.path["id"], lock=True)
            self.remove(tx, found)
            announce_token_change(tx, request.context, f"{self.resource.name}.delete", found["id"])

        await request.write(unit)
        return Reply.empty()

    def find(self, tx: Tx, key: str, *, lock: bool = False) -> Values:
        """The one with that id. Raises NotFound."""
        found = fetch(tx, self.resource, [key], lock=lock)
        if not found:
            raise self.resource.not_found(key)
        return found[0]

    def complete(self, tx: Tx, context: Context, values: Values) -> None:
        """Complete and check what is to be written."""
        if self._check is not None:
            self._check(tx, context, values)

    def remove(self, tx: Tx, values: Values) -> None:
        """Delete one with what hangs on it."""
        self.resource.remove(tx, [values])

    def routes(self, path: str) -> tuple[Route, ...]:
        """The routes below ``path``."""
        one, what = f"{path}/{{id}}", self.resource.name.replace("_", " ")

        def route(method: str, at: str, handler: Any, action: str, status: int = 200) -> Route:
            return Route(
                method,
                at,
                handler,
                resource=self.resource,
                action=action,
                status=status,
                rule=self.resource.rule(action),
                summary=f"{action.capitalize()} {what}",
            )

        return (
            route("GET", path, self.list, "list"),
            route("GET", one, self.get, "get"),
            route("PUT", one, self.create, "create", 201),
            route("PATCH", one, self.update, "update"),
            route("DELETE", one, self.delete, "delete", 204),
        )


def _key(key: str) -> str:
    if not key or len(key) > 64:
        raise SchemaValidationError(f"Invalid input for field 'id': {key!r} is too long")
    return key


class IdentityProviders(Handlers):
    """Identity providers. One without a domain gets its own; with one go the users who came from it."""

    def complete(self, tx: Tx, context: Context, values: Values) -> None:
        if values.get("domain_id"):
            domains_require(tx, [values["domain_id"]])
            return
        text = f"Auto generated federated domain for Identity Provider: {values['id']}"
        wanted = check_create(DOMAIN, context, {"name": new_hex_id(), "description": text})
        values["domain_id"] = domain_create(tx, context, [wanted])[0]["id"]

    def remove(self, tx: Tx, values: Values) -> None:
        rows = tx.rows(select(federated_users.c.user_id).where(federated_users.c.idp_id == values["id"]))
        gone = [row.user_id for row in rows]
        super().remove(tx, values)
        if gone:
            cascade.federated_users_of(tx, gone)


class Protocols(Handlers):
    """Protocols, below their identity provider."""

    async def list(self, request: Request) -> Reply:
        request.authorise(self.resource.rule("list"))
        of = federation_protocols.c.idp_id == request.path["idp_id"]
        return await list_reply(request, self._crud, [of])

    async def get(self, request: Request) -> Reply:
        request.authorise(self.resource.rule("get"))
        return shown_reply(request, PROTOCOL, await request.read(_protocol, request))

    async def create(self, request: Request) -> Reply:
        request.authorise(PROTOCOL.rule("create"))
        body = request.json()
        if not isinstance(body, dict) or not isinstance(body.get("protocol"), dict):
            raise request.dialect.no_object(PROTOCOL, body)
        spec = check_create(PROTOCOL, request.context, body["protocol"])
        spec |= {"id": _key(request.path["id"]), "idp_id": request.path["idp_id"]}

        def unit(tx: Tx) -> Values:
            IDPS.find(tx, spec["idp_id"])
            is_new(_protocols(tx, request), "federation_protocol", spec["id"])
            self.complete(tx, request.context, spec)
            PROTOCOL.insert(tx, request.context, [spec])
            announce_token_change(tx, request.context, "protocol.create", spec["id"])
            return spec

        return shown_reply(request, PROTOCOL, await request.write(unit), 201)

    async def update(self, request: Request) -> Reply:
        request.authorise(PROTOCOL.rule("update"))
        changes = parse_update(PROTOCOL, request)

        def unit(tx: Tx) -> Values:
            before = _protocol(tx, request)
            after = Values({**before, **changes})
            self.complete(tx, request.context, after)
            tx.execute(federation_protocols.update().where(*_one(request)).values(PROTOCOL.row(changes)))
            announce_token_change(tx, request.context, "protocol.update", before["id"])
            return after

        return shown_reply(request, PROTOCOL, await request.write(unit))

    async def delete(self, request: Request) -> Reply:
        request.authorise(PROTOCOL.rule("delete"))

        def unit(tx: Tx) -> None:
            _protocol(tx, request)
            tx.execute(federation_protocols.delete().where(*_one(request)))
            announce_token_change(tx, request.context, "protocol.delete", request.path["id"])

        await request.write(unit)
        return Reply.empty()


def _one(request: Request) -> tuple[Any, Any]:
    table = federation_protocols.c
    return table.idp_id == request.path["idp_id"], table.id == request.path["id"]


def _protocols(tx: Tx, request: Request) -> Sequence[Values]:
    return fetch(tx, PROTOCOL, None, _one(request))


def _protocol(tx: Tx, request: Request) -> Values:
    found = _protocols(tx, request)
    if not found:
        raise FederatedProtocolNotFound(id=request.path["id"], idp_id=request.path["idp_id"])
    return found[0]


def _check_mapping(tx: Tx, context: Context, values: Values) -> None:
    try:
        mapping_check(values["rules"], values["schema_version"])
    except BadMapping as bad:
        raise SchemaValidationError(str(bad)) from None


def _check_protocol(tx: Tx, context: Context, values: Values) -> None:
    if not fetch(tx, MAPPING, [values["mapping_id"]]):
        raise InvalidMappingId(values["mapping_id"])


IDPS = IdentityProviders(IDENTITY_PROVIDER)


def _rules(*kinds: tuple[str, str]) -> Any:
    found: dict[str, str] = {}
    for one, several in kinds:
        found |= {f"get_{one}": READ, f"list_{several}": READ}
        found |= {f"{verb}_{one}": ADMIN for verb in ("create", "update", "delete")}
    return rules(found, NOT_DOMAINS)


NOUNS = (
    Noun(
        name="identity_provider",
        routes=(
            *IDPS.routes(f"{_BASE}/identity_providers"),
            *Protocols(PROTOCOL, _check_protocol).routes(f"{_BASE}/identity_providers/{{idp_id}}/protocols"),
        ),
        rules=_rules(("identity_provider", "identity_providers"), ("protocol", "protocols")),
    ),
    Noun(
        name="mapping",
        routes=Handlers(MAPPING, _check_mapping).routes(f"{_BASE}/mappings"),
        rules=_rules(("mapping", "mappings")),
    ),
    Noun(
        name="service_provider",
        routes=Handlers(SERVICE_PROVIDER).routes(f"{_BASE}/service_providers"),
        rules=_rules(("service_provider", "service_providers")),
    ),
)
