"""The face of identity: the part that the app, other services and edges use."""

from __future__ import annotations

import asyncio
import datetime as dt
from calendar import timegm
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pileus.core import log
from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.core.errors import Invalid
from pileus.services.identity.application_credentials.access_rules import AccessRuleHandlers
from pileus.services.identity.application_credentials.access_rules import noun as access_rules
from pileus.services.identity.application_credentials.noun import ApplicationCredentialHandlers
from pileus.services.identity.application_credentials.noun import noun as application_credentials
from pileus.services.identity.assignments import noun as assignments
from pileus.services.identity.audit import noun as audit_log
from pileus.services.identity.audit.book import AuditBook
from pileus.services.identity.audit.logins import audited
from pileus.services.identity.audit.work import Bounds, audit_trim
from pileus.services.identity.auth.body import METHODS
from pileus.services.identity.auth.issuer import Issuer
from pileus.services.identity.auth.noun import AuthHandlers
from pileus.services.identity.auth.noun import noun as auth
from pileus.services.identity.auth.receipts import Receipts
from pileus.services.identity.auth.totp import TotpCheck
from pileus.services.identity.catalog import endpoints, regions, services
from pileus.services.identity.catalog.catalog import endpoint_url
from pileus.services.identity.common.dialect import IdentityDialect
from pileus.services.identity.common.policy import BASE_RULES
from pileus.services.identity.credentials.ec2 import Ec2Handlers
from pileus.services.identity.credentials.ec2 import noun as ec2_credentials
from pileus.services.identity.credentials.ec2tokens import Ec2TokenHandlers
from pileus.services.identity.credentials.ec2tokens import noun as ec2_tokens
from pileus.services.identity.credentials.noun import CredentialHandlers
from pileus.services.identity.credentials.noun import noun as credentials
from pileus.services.identity.credentials.s3tokens import S3TokenHandlers
from pileus.services.identity.credentials.s3tokens import noun as s3_tokens
from pileus.services.identity.credentials.signers import Signers, refuse_ec2_tokens
from pileus.services.identity.directory.directories import Directories
from pileus.services.identity.directory.mappings import noun as mappings
from pileus.services.identity.directory.nouns import groups_with, users_with
from pileus.services.identity.domain_config.noun import DomainConfigHandlers
from pileus.services.identity.domain_config.noun import noun as domain_config
from pileus.services.identity.endpoint_filter import noun as endpoint_filter
from pileus.services.identity.federation.auth import FederationHandlers, FederationSettings
from pileus.services.identity.federation.auth import noun as federation
from pileus.services.identity.federation.nouns import NOUNS as FEDERATION
from pileus.services.identity.federation.openid import OpenId, OpenIdSettings
from pileus.services.identity.grants import noun as grants
from pileus.services.identity.groups import noun as groups
from pileus.services.identity.limits.noun import noun as limits
from pileus.services.identity.limits.noun import tree_require
from pileus.services.identity.oauth1 import consumers
from pileus.services.identity.oauth1.access_tokens import AccessTokenHandlers
from pileus.services.identity.oauth1.access_tokens import noun as oauth1_access_tokens
from pileus.services.identity.oauth1.secrets import secrets_seal
from pileus.services.identity.oauth1.tokens import OAuthHandlers
from pileus.services.identity.oauth1.tokens import noun as oauth1_tokens
from pileus.services.identity.oauth2.noun import OAuth2Handlers, OAuth2Settings
from pileus.services.identity.oauth2.noun import noun as oauth2
from pileus.services.identity.passwords.check import PasswordCheck
from pileus.services.identity.passwords.hashing import HashingLimits, Passwords
from pileus.services.identity.policies import associations as policy_associations
from pileus.services.identity.policies import noun as policies
from pileus.services.identity.projects import domains
from pileus.services.identity.projects.noun import noun as projects
from pileus.services.identity.revoke.noun import RevocationHandlers
from pileus.services.identity.revoke.noun import noun as revocation_events
from pileus.services.identity.roles import noun as roles
from pileus.services.identity.rules.cadf import Format, Record, notification
from pileus.services.identity.rules.compliance import Compliance
from pileus.services.identity.rules.limits import ModelName
from pileus.services.identity.rules.passwords import BadPasswordRegex, Lockout, PasswordPolicy
from pileus.services.identity.section import (
    FederationSection,
    IdentitySection,
    OAuth2Section,
    SecurityComplianceSection,
)
from pileus.services.identity.seed import EndpointSeed, Seed, identity_seed
from pileus.services.identity.sessions.authenticator import Authenticator
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import KeyRing
from pileus.services.identity.trusts.noun import TrustHandlers
from pileus.services.identity.trusts.noun import noun as trusts
from pileus.services.identity.users.compliance import ComplianceHandlers
from pileus.services.identity.users.compliance import noun as security_compliance
from pileus.services.identity.users.inactive import InactiveUsers
from pileus.services.identity.users.noun import noun as users
from pileus.services.identity.users.passwords import PasswordHandlers
from pileus.store import Published, Store
from pileus.web.dialects import ApiVersion
from pileus.web.face import ServiceFace
from pileus.web.noun import Noun
from pileus.web.service import Service

__all__ = ["Beginning", "EndpointSeed", "Identity", "IdentitySettings", "Seed", "from_settings"]

VERSION = ApiVersion(
    id="v3.14",
    path="/v3/",
    status="stable",
    updated="2020-04-07T00:00:00Z",
    media_types=("application/vnd.openstack.identity-v3+json",),
)


logger = log.get("identity")

OBSERVER = "identity"
"""The id under which the service stands in its notifications."""

Notify = Callable[[str, dict[str, Any], dt.datetime], None]
"""``(event type, payload, when)``: send a notification, or keep it to be sent."""

CATALOG = (
    regions.NOUN,
    services.NOUN,
    endpoints.NOUN,
    endpoint_filter.NOUN,
    policies.NOUN,
    policy_associations.NOUN,
)
"""The nouns of the catalog, and of the policies of what stands in it."""


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """``token_lifetime_s`` is how long a token lives that was given for a password.

    ``max_redelegation_count`` is how often a trust may be passed on,
    ``max_project_tree_depth`` how many projects may be below each other,
    ``oauth1_token_lifetimes_s`` how long request and access tokens live (0: for ever).
    ``password_regex`` is what new passwords must match; ``password_regex_description`` says so in words.
    """

    token_lifetime_s: int = 3600
    list_limit: int = 0
    limit_model: ModelName = "flat"
    notification_format: Format = "cadf"
    notification_opt_out: tuple[str, ...] = ()
    keep_audit_days: float = 90
    audit_bounds: Bounds = Bounds(1_000_000, 100_000)
    password_regex: str = ""
    password_regex_description: str = ""
    max_redelegation_count: int = 3
    max_project_tree_depth: int = 5
    oauth1_token_lifetimes_s: tuple[int, int] = (28800, 86400)
    lockout: Lockout = Lockout()
    compliance: Compliance = Compliance()
    federation: FederationSettings = FederationSettings()
    openid: OpenIdSettings = OpenIdSettings()
    oauth2: OAuth2Settings = OAuth2Settings()
    hashing: HashingLimits = HashingLimits()
    receipt_lifetime_s: int = 300
    return_all_endpoints_if_no_filter: bool = True
    totp_previous_windows: int = 1
    directory_period_s: float = 600


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """The first contents of a cloud: the addresses of its services, the password of its administrator."""

    endpoints: tuple[EndpointSeed, ...]
    region: str
    admin_password: str


class BadPasswordSetting(Invalid):
    """The administrator's expression can't be used."""

    message = "security_compliance.password_regex: {reason}"


def from_settings(
    settings: IdentitySection,
    rules: SecurityComplianceSection,
    federation: FederationSection,
    programs: OAuth2Section,
) -> IdentitySettings:
    """The service's settings, from the sections of the file."""
    return IdentitySettings(
        token_lifetime_s=settings.token_lifetime_s,
        receipt_lifetime_s=settings.receipt_lifetime_s,
        return_all_endpoints_if_no_filter=settings.return_all_endpoints_if_no_filter,
        totp_previous_windows=settings.totp_previous_windows,
        directory_period_s=settings.directory_period_s,
        list_limit=settings.list_limit,
        max_redelegation_count=settings.max_redelegation_count,
        max_project_tree_depth=settings.max_project_tree_depth,
        oauth1_token_lifetimes_s=(settings.oauth1_request_token_s, settings.oauth1_access_token_s),
        limit_model=settings.limit_model,
        notification_format=settings.notification_format,
        notification_opt_out=settings.notification_opt_out,
        keep_audit_days=settings.keep_audit_days,
        audit_bounds=Bounds(settings.keep_audit_events, settings.keep_refused_logins),
        password_regex=rules.password_regex,
        password_regex_description=rules.password_regex_description,
        lockout=Lockout(rules.lockout_failure_attempts, rules.lockout_duration),
        compliance=Compliance(
            password_expires_days=rules.password_expires_days,
            unique_last_password_count=rules.unique_last_password_count,
            minimum_password_age=rules.minimum_password_age,
            change_password_upon_first_use=rules.change_password_upon_first_use,
            disable_user_account_days_inactive=rules.disable_user_account_days_inactive,
        ),
        oauth2=OAuth2Settings(authn_methods=programs.authn_methods, mapping_id=programs.cert_dn_mapping_id),
        federation=FederationSettings(
            trusted_dashboards=federation.trusted_dashboards,
            default_authorization_ttl=federation.default_authorization_ttl,
        ),
        openid=OpenIdSettings(
            audiences=federation.openid_audiences,
            client_id=federation.openid_client_id,
            client_secret=federation.openid_client_secret,
            plain_issuers=federation.openid_plain_issuers,
        ),
        hashing=HashingLimits(settings.logins_waiting, settings.logins_waiting_per_address),
    )


class Identity(ServiceFace):
    """``keys_path`` is the file of the keys that seal tokens; those that seal what users keep here have a
    file of their own, ``credentials`` beside it unless said otherwise. ``authenticator`` goes to the web app.
    ``beginning`` says what a cloud begins with; each start makes what is missing of it.
    """

    def __init__(
        self,
        store: Store,
        keys_path: Path,
        *,
        clock: Clock,
        settings: IdentitySettings | None = None,
        credential_keys_path: Path | None = None,
        prefix: str = "/identity",
        beginning: Callable[[], Beginning] | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._store = store
        self._beginning = beginning
        self._clock = clock
        self._settings = settings = settings or IdentitySettings()
        self.keys = TokenKeys(keys_path)
        self.credential_keys = TokenKeys(credential_keys_path or keys_path.with_name("credentials"))
        self.passwords = Passwords(settings.hashing)
        self.authenticator = Authenticator(store, self.keys, clock)
        self._credential_ring = KeyRing(store, self.credential_keys, "credential")
        self._tasks: set[asyncio.Task[None]] = set()
        self._notify = notify
        told = self._told if notify is not None else None
        self._directories = Directories(store, self.credential_keys)
        self.audit = AuditBook(store, told, settings.notification_opt_out)
        issuer = Issuer(
            self.authenticator,
            dt.timedelta(seconds=settings.token_lifetime_s),
            unfiltered_catalogs=settings.return_all_endpoints_if_no_filter,
        )
        keys = self.credential_keys
        self._inactive_users = InactiveUsers(settings.compliance, clock)
        self.service = Service(
            name="keystone",
            type="identity",
            dialect=IdentityDialect(settings.list_limit or None),
            base_rules=BASE_RULES,
            nouns=self._audited(
                *self._entrance(issuer),
                domains.NOUN,
                projects(settings.max_project_tree_depth),
                *self._programs(issuer),
                groups_with(groups.NOUN, self._directories),
                mappings(self._directories),
                roles.NOUN,
                grants.NOUN,
                assignments.NOUN,
                *CATALOG,
                limits(settings.limit_model),
                audit_log.NOUN,
                revocation_events(RevocationHandlers(dt.timedelta(seconds=settings.token_lifetime_s))),
                domain_config(DomainConfigHandlers(keys)),
            ),
            prefix=prefix,
            versions=[VERSION],
            accept=refuse_ec2_tokens,
            description="Identity: users, projects, roles, tokens and the catalog",
        )

    def _programs(self, issuer: Issuer) -> tuple[Noun, ...]:
        """The nouns of what users let programs and other users do."""
        settings, keys = self._settings, self.credential_keys
        signers = Signers(issuer, keys, settings.compliance)
        return (
            application_credentials(ApplicationCredentialHandlers(self.authenticator, self.passwords)),
            access_rules(AccessRuleHandlers(self.authenticator)),
            credentials(CredentialHandlers(self.authenticator, keys)),
            ec2_credentials(Ec2Handlers(self.authenticator, keys)),
            ec2_tokens(Ec2TokenHandlers(signers)),
            s3_tokens(S3TokenHandlers(signers)),
            trusts(TrustHandlers(self.authenticator, settings.max_redelegation_count)),
            consumers.noun(consumers.ConsumerHandlers(keys)),
            oauth1_tokens(OAuthHandlers(self.authenticator, keys, *settings.oauth1_token_lifetimes_s)),
            oauth1_access_tokens(AccessTokenHandlers(self.authenticator)),
        )

    def _audited(self, *nouns: Noun) -> tuple[Noun, ...]:
        return tuple(audited(noun, self.audit) for noun in nouns)

    def _entrance(self, issuer: Issuer) -> tuple[Noun, ...]:
        """The nouns of logging in, and of what it is done with. Raises BadPasswordSetting."""
        settings, compliance = self._settings, self._settings.compliance
        try:
            policy = PasswordPolicy(settings.password_regex, settings.password_regex_description)
        except BadPasswordRegex as error:
            raise BadPasswordSetting(reason=str(error)) from None
        check = PasswordCheck(self.passwords, settings.lockout)
        totp = TotpCheck(self.credential_keys, check, settings.totp_previous_windows)
        receipts = Receipts(
            self.authenticator.ring, dt.timedelta(seconds=settings.receipt_lifetime_s), METHODS
        )
        lifetime = dt.timedelta(seconds=settings.token_lifetime_s)
        logins = AuthHandlers(
            self.authenticator,
            issuer,
            self.passwords,
            check,
            totp,
            receipts,
            self.credential_keys,
            compliance,
            self._directories,
        )
        return (
            oauth2(OAuth2Handlers(logins, issuer, receipts, settings.oauth2, compliance)),
            *FEDERATION,
            federation(
                FederationHandlers(
                    OpenId(settings.openid),
                    issuer,
                    receipts,
                    self.authenticator.ring,
                    lifetime,
                    settings.federation,
                    compliance,
                )
            ),
            auth(logins),
            users_with(
                users(PasswordHandlers(self.passwords, check, policy, self.authenticator, compliance)),
                self._directories,
            ),
            security_compliance(
                ComplianceHandlers(settings.password_regex, settings.password_regex_description)
            ),
        )

    @property
    def rings(self) -> tuple[KeyRing, KeyRing]:
        """The keys of tokens, and those of credentials."""
        return self.authenticator.ring, self._credential_ring

    def _told(self, record: Record) -> None:
        assert self._notify is not None
        payload = notification(record, self._settings.notification_format, OBSERVER)
        self._notify(record.event_type, payload, record.event_time)

    def _published(self, published: Published) -> None:
        if self._credential_ring.changed(published):
            task = asyncio.ensure_future(self._refresh_keys())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refresh_keys(self) -> None:
        try:
            for ring in self.rings:
                await ring.refresh()
        except Exception as error:  # the next change or token tries again
            logger.warning("the keys could not be read", error=str(error))

    async def start(self, store: Store) -> None:
        for ring in self.rings:
            await ring.refresh()
        await secrets_seal(store, self.credential_keys, timegm(self._clock.now().timetuple()))
        store.subscribe(self._published)
        self.audit.start()
        keep = dt.timedelta(days=self._settings.keep_audit_days)
        store.trim_also(lambda tx, now: audit_trim(tx, now - keep, self._settings.audit_bounds))
        await store.read(tree_require, self._settings.limit_model)
        if self._beginning is not None:
            first = self._beginning()
            password_hash = await self.passwords.hash(first.admin_password)
            seed = Seed(endpoints=first.endpoints, region=first.region, password_hash=password_hash)
            await self.seed(system_context(self._clock.now()), seed)
        self._inactive_users.start(store)
        self._directories.start(self._clock, self._settings.directory_period_s)

    async def seed(self, context: Context, seed: Seed) -> bool:
        """Make the first contents of the cloud that are missing; True if the administrator was made."""
        return await self._store.write(identity_seed, context, seed)

    async def find_endpoint(self, service_type: str, region: str, interface: str) -> str | None:
        """The address of a service in a region, by the catalog; None where it has none without holes."""
        return await self._store.read(endpoint_url, service_type, region, interface)

    async def close(self) -> None:
        await self.audit.close()
        await self._directories.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._inactive_users.close()
        self.passwords.close()
