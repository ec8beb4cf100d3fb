"""The sections of the settings file that the identity service reads."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class IdentitySection(Section, frozen=True):
    """``[identity]``"""

    region: Annotated[str, Description(description="name of the region in the catalog")] = "RegionOne"
    token_lifetime_s: Annotated[int, msgspec.Meta(ge=60, description="seconds until a token expires")] = 3600
    limit_model: Annotated[
        Literal["flat", "strict_two_level"],
        Description(description="how limits of projects and domains go together: flat or strict_two_level"),
    ] = "flat"
    notifications: Annotated[
        str,
        Description(description="amqp:// URL to which notifications of changes and log-ins go; empty: none"),
    ] = ""
    notification_format: Annotated[
        Literal["cadf", "basic"],
        Description(description="the payload of notifications: cadf or basic (log-ins are always cadf)"),
    ] = "cadf"
    notification_topic: Annotated[
        str, Description(description="the topic, and the name of the queue before .info, of notifications")
    ] = "notifications"
    notification_opt_out: Annotated[
        tuple[str, ...],
        Description(description="event types that are not sent, such as identity.authenticate.success"),
    ] = ()
    keep_audit_days: Annotated[
        float, msgspec.Meta(gt=0, description="days that lines of the audit log are kept")
    ] = 90.0
    keep_audit_events: Annotated[
        int, msgspec.Meta(ge=1000, description="lines of the audit log that are kept at most")
    ] = 1_000_000
    keep_refused_logins: Annotated[
        int, msgspec.Meta(ge=100, description="of them, lines of log-ins that were refused")
    ] = 100_000
    max_active_keys: Annotated[
        int,
        msgspec.Meta(ge=3, description="keys of tokens, and of credentials, that are kept after a rotation"),
    ] = 3
    quota_driver: Annotated[
        Literal["local", "unified_limits"],
        Description(description="where quotas of all services come from: their own, or identity's limits"),
    ] = "local"
    list_limit: Annotated[
        int, msgspec.Meta(ge=0, description="length of a list where the request names none; 0: no bound")
    ] = 0
    return_all_endpoints_if_no_filter: Annotated[
        bool,
        Description(description="a project without endpoints of its own has all in its catalog"),
    ] = True
    oauth1_request_token_s: Annotated[
        int, msgspec.Meta(ge=0, description="seconds until an OAuth request token expires; 0: never")
    ] = 28800
    oauth1_access_token_s: Annotated[
        int, msgspec.Meta(ge=0, description="seconds until an OAuth access token expires; 0: never")
    ] = 86400
    max_project_tree_depth: Annotated[
        int, msgspec.Meta(ge=1, le=50, description="projects that may be below each other in a domain")
    ] = 5
    max_redelegation_count: Annotated[
        int,
        msgspec.Meta(ge=0, le=10, description="times that a trust may be passed on, each by a trust more"),
    ] = 3
    receipt_lifetime_s: Annotated[
        int,
        msgspec.Meta(ge=0, le=86400, description="seconds until a receipt of a partial log-in ends"),
    ] = 300
    totp_previous_windows: Annotated[
        int, msgspec.Meta(ge=0, le=10, description="earlier passcodes that are good besides the present one")
    ] = 1
    directory_period_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="seconds between looks into LDAP for users who are gone or changed; 0: none"
        ),
    ] = 600.0
    logins_waiting: Annotated[
        int, msgspec.Meta(ge=1, description="passwords of all clients that may wait to be checked")
    ] = 512
    logins_waiting_per_address: Annotated[
        int, msgspec.Meta(ge=1, description="of one client's address (or IPv6 /64)")
    ] = 128


class FederationSection(Section, frozen=True):
    """``[federation]``: identity providers, which are OpenID Connect's."""

    trusted_dashboards: Annotated[
        tuple[str, ...], Description(description="addresses of dashboards that log-ins may post tokens to")
    ] = ()
    default_authorization_ttl: Annotated[
        int,
        msgspec.Meta(ge=0, description="minutes that groups from claims hold; 0: as long as a token"),
    ] = 0
    openid_audiences: Annotated[
        tuple[str, ...], Description(description="clients (aud or azp) whose tokens are taken")
    ] = ()
    openid_client_id: Annotated[
        str, Description(description="this cloud's own client at the identity providers")
    ] = ""
    openid_client_secret: Annotated[
        str, Description(description="its secret, for browsers' log-ins and to ask about opaque tokens")
    ] = ""
    openid_plain_issuers: Annotated[
        tuple[str, ...],
        Description(description="issuers that may be http:// and on this host: for trials only"),
    ] = ()


class OAuth2Section(Section, frozen=True):
    """``[oauth2]``: access tokens for programs; Keystone's settings of that name."""

    authn_methods: Annotated[
        tuple[str, ...],
        Description(description="how clients show who they are: tls_client_auth, client_secret_basic"),
    ] = ("tls_client_auth", "client_secret_basic")
    cert_dn_mapping_id: Annotated[
        str, Description(description="mapping that reads the names in clients' certificates")
    ] = "oauth2_mapping"


class SecurityComplianceSection(Section, frozen=True):
    """``[security_compliance]``: the settings of Keystone's section of that name."""

    disable_user_account_days_inactive: Annotated[
        int, msgspec.Meta(ge=0, description="days without a log-in after which a user is disabled; 0: never")
    ] = 0
    lockout_failure_attempts: Annotated[
        int, msgspec.Meta(ge=0, description="wrong passwords after which a user is locked out; 0: never")
    ] = 0
    lockout_duration: Annotated[
        int, msgspec.Meta(ge=0, description="seconds of a lock-out; 0: until the user is enabled again")
    ] = 1800
    password_expires_days: Annotated[
        int,
        msgspec.Meta(ge=0, le=36500, description="days that a new password is good; 0: for ever"),
    ] = 0
    unique_last_password_count: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=100, description="of his last so many passwords a user chooses none again; 0: any"
        ),
    ] = 0
    minimum_password_age: Annotated[
        int, msgspec.Meta(ge=0, le=36500, description="days until a user may change a password that he chose")
    ] = 0
    password_regex: Annotated[
        str, Description(description="expression that new passwords must match; empty: any")
    ] = ""
    password_regex_description: Annotated[
        str, Description(description="what password_regex wants, in words, for who chose another password")
    ] = ""
    change_password_upon_first_use: Annotated[
        bool, Description(description="a password that an administrator set has to be changed by its owner")
    ] = False
