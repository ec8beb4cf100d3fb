"""``/v3/domains/{id}/config/security_compliance``: what passwords have to be, for anybody with a token."""

from __future__ import annotations

from pileus.core.errors import Forbidden
from pileus.resource import types
from pileus.services.identity.common.attributes import DEFAULT_DOMAIN
from pileus.services.identity.common.policy import rules
from pileus.services.identity.common.replies import TEXT_OR_NONE, shape
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Route

_RULE = "identity:get_security_compliance_domain_config"


class InvalidDomainConfig(Forbidden):
    """A part of a domain's configuration that can't be read or written so (403)."""

    message = "Invalid domain specific configuration: {reason}."


class ComplianceHandlers:
    """The handlers; an expression that is not set is null."""

    def __init__(self, password_regex: str, password_regex_description: str) -> None:
        self._readable = {
            "password_regex": password_regex or None,
            "password_regex_description": password_regex_description or None,
        }

    async def group(self, request: Request) -> Reply:
        """GET …/security_compliance"""
        self._check(request)
        return Reply.json({"config": {"security_compliance": self._readable}})

    async def option(self, request: Request) -> Reply:
        """GET …/security_compliance/{option}"""
        self._check(request)
        option = request.path["option"]
        if option not in self._readable:
            raise InvalidDomainConfig(
                reason=(
                    "Reading security compliance values other than password_regex and "
                    "password_regex_description is not allowed."
                )
            )
        return Reply.json({"config": {option: self._readable[option]}})

    async def refuse(self, request: Request) -> Reply:
        """PATCH or DELETE …/security_compliance, …/security_compliance/{option}: the settings are a file's.

        As in Keystone, whoever may not change a domain's configuration is told that first.
        """
        rule = request.route.rule
        assert rule is not None
        request.authorise(rule)
        option = request.path.get("option")
        raise InvalidDomainConfig(
            reason=(
                "Group security_compliance is not supported for domain specific configurations"
                if option is None
                else f"Option {option} in group security_compliance is not supported for domain specific "
                "configurations"
            )
        )

    def _check(self, request: Request) -> None:
        request.authorise(_RULE)
        if request.path["id"] != DEFAULT_DOMAIN:
            raise InvalidDomainConfig(
                reason=(
                    "Reading security compliance information for any domain other than the default domain is "
                    "not allowed or supported."
                )
            )


_READABLE = {"password_regex": TEXT_OR_NONE, "password_regex_description": TEXT_OR_NONE}


def noun(handlers: ComplianceHandlers) -> Noun:
    """Make the noun."""
    path = "/v3/domains/{id}/config/security_compliance"
    return Noun(
        name="security_compliance",
        routes=(
            Route(
                "GET",
                path,
                handlers.group,
                rule=_RULE,
                reply=shape({"config": shape({"security_compliance": shape(_READABLE)})}),
                summary="Show what passwords have to be",
            ),
            Route(
                "GET",
                f"{path}/{{option}}",
                handlers.option,
                rule=_RULE,
                reply=shape({"config": types.dict_of(_READABLE)}),
                summary="Show a part of what passwords have to be",
            ),
            *(
                Route(
                    method,
                    f"{path}{part}",
                    handlers.refuse,
                    status=403,
                    body=NO_BODY,
                    reply=NO_BODY,
                    rule=f"identity:{verb}_domain_config",
                    summary="Refuse to change what passwords have to be",
                )
                for method, verb in (("PATCH", "update"), ("DELETE", "delete"))
                for part in ("", "/{option}")
            ),
        ),
        rules=rules({"get_security_compliance_domain_config": ""}),
    )
