"""Domain-specific configuration: the options that there are, and checks of what is asked of them. Pure.

Names and defaults are Keystone's (``[identity]`` and ``[ldap]``); there are no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.errors import Forbidden, NotFound

Config = Mapping[str, Mapping[str, Any]]

DEFAULTS: Config = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost",
        "user": None,
        "suffix": "cn=example,cn=com",
        "query_scope": "one",
        "page_size": 0,
        "alias_dereferencing": "default",
        "debug_level": None,
        "chase_referrals": None,
        "user_tree_dn": None,
        "user_filter": None,
        "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn",
        "user_name_attribute": "sn",
        "user_mail_attribute": "mail",
        "user_description_attribute": "description",
        "user_pass_attribute": "userPassword",
        "user_enabled_attribute": "enabled",
        "user_enabled_invert": False,
        "user_enabled_mask": 0,
        "user_enabled_default": "True",
        "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None,
        "user_enabled_emulation": False,
        "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False,
        "user_additional_attribute_mapping": [],
        "group_tree_dn": None,
        "group_filter": None,
        "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn",
        "group_name_attribute": "ou",
        "group_members_are_ids": False,
        "group_ad_nesting": False,
        "group_member_attribute": "member",
        "group_desc_attribute": "description",
        "group_attribute_ignore": [],
        "group_additional_attribute_mapping": [],
        "tls_cacertfile": None,
        "tls_cacertdir": None,
        "use_tls": False,
        "tls_req_cert": "demand",
        "use_pool": True,
        "pool_size": 10,
        "pool_retry_max": 3,
        "pool_retry_delay": 0.1,
        "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600,
        "use_auth_pool": True,
        "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    },
}
SENSITIVE: Mapping[str, frozenset[str]] = {"ldap": frozenset({"password"})}


class InvalidDomainConfig(Forbidden):
    """Options that there are not, or that the request does not mean (403)."""

    message = "Invalid domain specific configuration: {reason}."


class DomainConfigNotFound(NotFound):
    """The domain has no such options (404)."""

    message = "Could not find {what} in domain configuration for domain {id}."


def is_sensitive(group: str, option: str) -> bool:
    """Whether an option is never shown."""
    return option in SENSITIVE.get(group, ())


def words(group: str | None, option: str | None) -> str:
    """The part of a configuration, as refusals call it."""
    if option is not None:
        return f"option {option} in group {group}"
    return f"group {group}" if group is not None else "any options"


def require_known(group: str | None, option: str | None = None) -> None:
    """Raise InvalidDomainConfig for a group or option that there is not."""
    if group is None:
        return
    if group not in DEFAULTS:
        raise InvalidDomainConfig(reason=f"Group {group} is not supported for domain specific configurations")
    if option is not None and option not in DEFAULTS[group] and not is_sensitive(group, option):
        raise InvalidDomainConfig(
            reason=f"Option {option} in group {group} is not supported for domain specific configurations"
        )


def require_valid(config: Any) -> None:
    """Raise InvalidDomainConfig unless it is groups of options that there are."""
    if not config or not isinstance(config, dict):
        raise InvalidDomainConfig(reason="No options specified")
    for group, options in config.items():
        if not options or not isinstance(options, dict):
            raise InvalidDomainConfig(
                reason=f"The value of group {group} specified in the config should be a dictionary of options"
            )
        for option in options:
            require_known(group, option)


def require_only(config: Config, group: str | None, option: str | None) -> None:
    """Raise InvalidDomainConfig unless an update of a part names that part and nothing else."""
    if group is None:
        return
    if len(config) != 1 or (option is not None and len(next(iter(config.values()))) != 1):
        what = words(group, option)
        only = "option" if option is not None else "group"
        raise InvalidDomainConfig(
            reason=f"Trying to update {what}, so that, and only that, {only} must be specified in the config"
        )
    if group not in config:
        raise InvalidDomainConfig(
            reason=f"request to update group {group}, but config provided contains group "
            f"{next(iter(config))} instead"
        )
    if option is not None and option not in config[group]:
        raise InvalidDomainConfig(
            reason=f"Trying to update option {option} in group {group}, but config provided contains option "
            f"{next(iter(config[group]))} instead"
        )


def part(config: Config, group: str | None, option: str | None) -> dict[str, Any]:
    """The part of a configuration that is shown: an option without its group around it."""
    if group is None:
        return {name: dict(options) for name, options in config.items() if options}
    options = config.get(group, {})
    if option is None:
        return {group: dict(options)} if options else {}
    return {option: options[option]} if option in options else {}
