"""Units of work of domains' own options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, select

from pileus.core.context import Context
from pileus.core.ids import new_hex_id
from pileus.services.identity.common.domains import domains_require
from pileus.services.identity.common.generation import announce
from pileus.services.identity.rules.domain_config import (
    Config,
    DomainConfigNotFound,
    is_sensitive,
    part,
    require_known,
    require_only,
    require_valid,
    words,
)
from pileus.services.identity.tables.domain_config import domain_options
from pileus.services.identity.tokens.keys import TokenKeys
from pileus.services.identity.tokens.ring import blobs_open
from pileus.services.identity.tokens.sealing import blob_seal
from pileus.store.tx import Tx

_c = domain_options.c
_OF_DOMAIN = select(domain_options).where(_c.domain_id == bindparam("domain"))
_ONE = and_(
    _c.domain_id == bindparam("domain"),
    _c.group_name == bindparam("of_group"),
    _c.option_name == bindparam("of_option"),
)
_FORGET = domain_options.delete().where(_c.domain_id == bindparam("domain"))
_FORGET_GROUP = domain_options.delete().where(
    _c.domain_id == bindparam("domain"), _c.group_name == bindparam("of_group")
)
_FORGET_ONE = domain_options.delete().where(_ONE)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def config_read(tx: Tx, domain_id: str, keys: TokenKeys | None = None) -> dict[str, dict[str, Any]]:
    """A domain's options, in groups; the sensitive ones only with the ``keys`` that open them."""
    rows = tx.rows(_OF_DOMAIN.order_by(_c.group_name, _c.option_name), {"domain": domain_id})
    hidden = [row for row in rows if row.sealed is not None]
    opened: dict[str, Any] = {}
    if keys is not None:
        blobs = blobs_open(tx, keys, [row.sealed for row in hidden])
        opened = {row.id: _decode(blob) for row, blob in zip(hidden, blobs, strict=True)}
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.sealed is None or row.id in opened:
            value = row.value if row.sealed is None else opened[row.id]
            found.setdefault(row.group_name, {})[row.option_name] = value
    return found


def config_show(tx: Tx, domain_id: str, group: str | None, option: str | None) -> dict[str, Any]:
    """The part of a domain's options that is shown. Raises DomainNotFound, DomainConfigNotFound."""
    domains_require(tx, [domain_id])
    require_known(group, option)
    shown = part(config_read(tx, domain_id), group, option)
    if not shown:
        raise DomainConfigNotFound(what=words(group, option), id=domain_id)
    return shown


def config_replace(
    tx: Tx, context: Context, domain_id: str, config: Any, keys: TokenKeys, seconds: int
) -> tuple[dict[str, Any], bool]:
    """Give a domain these options and no others: those that are shown, and whether it had none before."""
    domains_require(tx, [domain_id])
    require_valid(config)
    tx.lock(f"domain_config:{domain_id}")
    had = tx.execute(_FORGET, {"domain": domain_id}).rowcount
    _insert(tx, domain_id, config, keys, seconds)
    announce(tx, context, "domain_config.create", domain_id, changed=_names(config))
    return part(config_read(tx, domain_id), None, None), not had


def config_update(
    tx: Tx,
    context: Context,
    domain_id: str,
    config: Any,
    group: str | None,
    option: str | None,
    keys: TokenKeys,
    seconds: int,
) -> dict[str, Any]:
    """Change options; a part that is named must be there already. Returns all that is shown."""
    domains_require(tx, [domain_id])
    wanted: Any = {group: config} if group is not None and option is not None else config
    require_valid(wanted)
    require_known(group, option)
    require_only(wanted, group, option)
    tx.lock(f"domain_config:{domain_id}")
    if group is not None:
        _require_there(tx, domain_id, group, option)
    for name, options in wanted.items():
        for one in options:
            tx.execute(_FORGET_ONE, {"domain": domain_id, "of_group": name, "of_option": one})
    _insert(tx, domain_id, wanted, keys, seconds)
    announce(tx, context, "domain_config.update", domain_id, changed=_names(wanted))
    return config_show(tx, domain_id, None, None)


def config_delete(tx: Tx, context: Context, domain_id: str, group: str | None, option: str | None) -> None:
    """Delete a domain's options, or a part. Raises DomainConfigNotFound for a part that is not there."""
    domains_require(tx, [domain_id])
    require_known(group, option)
    if group is None:
        tx.execute(_FORGET, {"domain": domain_id})
    else:
        _require_there(tx, domain_id, group, option)
        of_part = {"domain": domain_id, "of_group": group}
        if option is None:
            tx.execute(_FORGET_GROUP, of_part)
        else:
            tx.execute(_FORGET_ONE, {**of_part, "of_option": option})
    announce(tx, context, "domain_config.delete", domain_id, deleted=words(group, option))


def _require_there(tx: Tx, domain_id: str, group: str, option: str | None) -> None:
    rows = tx.rows(_OF_DOMAIN, {"domain": domain_id})
    if not any(row.group_name == group and option in (None, row.option_name) for row in rows):
        raise DomainConfigNotFound(what=words(group, option), id=domain_id)


def _insert(tx: Tx, domain_id: str, config: Config, keys: TokenKeys, seconds: int) -> None:
    rows = []
    for group, options in config.items():
        for option, value in options.items():
            hidden = is_sensitive(group, option)
            rows.append(
                {
                    "id": new_hex_id(),
                    "domain_id": domain_id,
                    "group_name": group,
                    "option_name": option,
                    "value": None if hidden else value,
                    "sealed": blob_seal(keys, _encode(value).decode(), seconds) if hidden else None,
                }
            )
    tx.insert(domain_options, rows)


def _names(config: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return sorted(f"{group}.{option}" for group, options in config.items() for option in options)
