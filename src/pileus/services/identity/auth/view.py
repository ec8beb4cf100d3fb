"""A token as the API shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pileus.resource import types
from pileus.services.identity.catalog.catalog import CATALOG, CatalogRow, catalog_view
from pileus.services.identity.common.replies import REFERENCE, TEXT, TEXT_OR_NONE, shape
from pileus.services.identity.sessions.session import Session
from pileus.services.identity.tokens.payload import Token

_ID = shape({"id": TEXT})
_USER = shape(
    {"domain": REFERENCE, "id": TEXT, "name": TEXT},
    {
        "password_expires_at": TEXT_OR_NONE,
        "OS-FEDERATION": shape({"groups": types.list_of(_ID), "identity_provider": _ID, "protocol": _ID}),
    },
)
_ID = shape({"id": TEXT})
_ACCESS_RULE = shape({"id": TEXT, "service": TEXT, "method": TEXT, "path": TEXT})
_TOKEN = shape(
    {
        "methods": types.list_of(TEXT),
        "user": _USER,
        "audit_ids": types.list_of(TEXT),
        "expires_at": TEXT,
        "issued_at": TEXT,
    },
    {
        "oauth2_credential": shape({"x5t#S256": TEXT}),
        "system": shape({"all": types.strict_boolean}),
        "domain": REFERENCE,
        "project": shape(
            {"domain": shape({"id": TEXT_OR_NONE, "name": TEXT_OR_NONE}), "id": TEXT, "name": TEXT}
        ),
        "is_domain": types.strict_boolean,
        "application_credential": shape(
            {"id": TEXT, "name": TEXT, "restricted": types.strict_boolean},
            {"access_rules": types.list_of(_ACCESS_RULE)},
        ),
        "OS-OAUTH1": shape({"access_token_id": TEXT, "consumer_id": TEXT}),
        "OS-TRUST:trust": shape(
            {"id": TEXT, "impersonation": types.strict_boolean, "trustor_user": _ID, "trustee_user": _ID}
        ),
        "service_providers": types.list_of(shape({"auth_url": TEXT, "id": TEXT, "sp_url": TEXT})),
        "roles": types.list_of(REFERENCE),
        "catalog": CATALOG,
    },
)
TOKEN_REPLY = shape({"token": _TOKEN})


def token_view(
    token: Token,
    session: Session,
    catalog: Sequence[CatalogRow] | None,
    providers: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The document below ``token``; the catalog is left out of unscoped ones, and where it is None."""
    user = session.user
    view: dict[str, Any] = {
        "methods": list(token.methods),
        "user": {
            "domain": {"id": user.domain_id, "name": user.domain_name},
            "id": user.id,
            "name": user.name,
            "password_expires_at": user.password_expires_at
            and user.password_expires_at.isoformat(timespec="microseconds"),
        },
        "audit_ids": list(token.audit_ids),
        "expires_at": _time(token.expires_at),
        "issued_at": _time(token.issued_at),
    }
    if providers:
        view["service_providers"] = list(providers)
    _show_origin(view, token, session)
    place = session.place
    match session.scope.kind:
        case "unscoped":
            return view
        case "system":
            view["system"] = {"all": True}
        case "domain":
            assert place is not None
            view["domain"] = {"id": place.id, "name": place.name}
        case "project":
            assert place is not None
            view["project"] = {
                "domain": {"id": place.domain_id, "name": place.domain_name},
                "id": place.id,
                "name": place.name,
            }
            if session.trust is None:
                view["is_domain"] = place.is_domain
    view |= _bounds(session)
    view["roles"] = [{"id": role.id, "name": role.name} for role in session.roles]
    if catalog is not None:
        view["catalog"] = catalog_view(catalog, substitutions(session))
    return view


def _bounds(session: Session) -> dict[str, Any]:
    """The parts that say for whom somebody acts, or which program it is."""
    view: dict[str, Any] = {}
    if session.trust is not None:
        view["OS-TRUST:trust"] = {
            "id": session.trust.id,
            "impersonation": session.trust.impersonation,
            "trustor_user": {"id": session.trust.trustor_user_id},
            "trustee_user": {"id": session.trust.trustee_user_id},
        }
    if session.credential is not None:
        view["application_credential"] = {
            "id": session.credential.id,
            "name": session.credential.name,
            "restricted": not session.credential.unrestricted,
        }
        if session.credential.access_rules:
            view["application_credential"]["access_rules"] = [
                {"id": key, "service": rule.service, "method": rule.method, "path": rule.path}
                for key, rule in session.credential.access_rules
            ]
    if session.access is not None:
        view["OS-OAUTH1"] = {
            "access_token_id": session.access.id,
            "consumer_id": session.access.consumer_id,
        }
    return view


def _show_origin(view: dict[str, Any], token: Token, session: Session) -> None:
    """Add the identity provider that showed the user, and the certificate that the token is bound to."""
    if token.idp_id:
        del view["user"]["password_expires_at"]
        view["user"]["OS-FEDERATION"] = {
            "groups": [{"id": key} for key in session.user.groups],
            "identity_provider": {"id": token.idp_id},
            "protocol": {"id": token.protocol_id},
        }
    if token.certificate:
        view["oauth2_credential"] = {"x5t#S256": token.certificate}


def substitutions(session: Session) -> dict[str, str]:
    """The values of the variables in endpoints' URLs."""
    values = {"user_id": session.trust.trustor_user_id if session.trust else session.user.id}
    if session.scope.kind == "project":
        values |= {"project_id": session.scope.id, "tenant_id": session.scope.id}
    return values


def _time(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"
