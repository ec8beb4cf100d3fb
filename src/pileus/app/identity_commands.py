"""The commands ``pileus keys``, ``users`` and ``mapping``. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pileus.app.options import Simulated, State

keys = typer.Typer(help="The keys that seal tokens and credentials.", no_args_is_help=True)
users = typer.Typer(help="Users.", no_args_is_help=True)
mapping = typer.Typer(help="Users and groups of LDAP directories.", no_args_is_help=True)

OfCredentials = Annotated[
    bool, typer.Option("--credentials", help="The keys of credentials instead of those of tokens.")
]


@keys.command("list")
def keys_list(
    credentials: OfCredentials = False,
    simulated: Simulated = False,
    state: State = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """List the keys that all servers use, without their secrets."""
    from pileus.app.commands.keys import show

    show(credentials, simulated, state, as_json)


@keys.command("rotate")
def keys_rotate(
    credentials: OfCredentials = False, simulated: Simulated = False, state: State = None
) -> None:
    """Seal with the staged key from now on; the one before still opens what it sealed."""
    from pileus.app.commands.keys import rotate

    rotate(credentials, simulated, state)


@keys.command("withdraw")
def keys_withdraw(
    key: Annotated[str, typer.Argument(help="The id of a key, as `pileus keys list` shows it.")],
    credentials: OfCredentials = False,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Forget a key that has leaked: all servers refuse what it sealed, at once."""
    from pileus.app.commands.keys import withdraw

    withdraw(key, credentials, simulated, state)


@keys.command("migrate")
def keys_migrate(simulated: Simulated = False, state: State = None) -> None:
    """Encrypt all credentials with the primary key, after a rotation of theirs."""
    from pileus.app.commands.keys import migrate

    migrate(simulated, state)


@keys.command("rewrap")
def keys_rewrap(
    stage: Annotated[
        bool, typer.Option("--stage", help="Only make the file, to be copied to the other servers first.")
    ] = False,
    credentials: OfCredentials = False,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Replace the key file that seals the keys in the database, after it has leaked."""
    from pileus.app.commands.keys import rewrap

    rewrap(stage, credentials, simulated, state)


@users.command("import-passwords")
def users_import_passwords(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: user_id or domain and user, and password_hash.")
    ],
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Take over the password hashes of a Keystone: users log in with the passwords that they had."""
    from pileus.app.commands.users import import_passwords

    import_passwords(file, simulated, state)


OfDomain = Annotated[str | None, typer.Option("--domain-name", metavar="NAME", help="Those of this domain.")]
OfPublicId = Annotated[
    str | None, typer.Option("--public-id", metavar="ID", help="The one with this id here.")
]
OfLocalId = Annotated[
    str | None, typer.Option("--local-id", metavar="ID", help="Those with this id in their directory.")
]
OfKind = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="user or group.")]


def _wanted(
    domain_name: str | None, public_id: str | None, local_id: str | None, kind: str | None
) -> dict[str, str]:
    if kind not in (None, "user", "group"):
        raise typer.BadParameter("--type is user or group")
    given = {"domain_name": domain_name, "public_id": public_id, "local_id": local_id, "type": kind}
    return {name: value for name, value in given.items() if value is not None}


@mapping.command("list")
def mapping_list(
    domain_name: OfDomain = None,
    public_id: OfPublicId = None,
    local_id: OfLocalId = None,
    kind: OfKind = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Only those that their directory no longer has.")
    ] = False,
    look: Annotated[bool, typer.Option("--look", help="Ask the directories first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """List users and groups of directories with their ids here and there, and since when they are gone."""
    from pileus.app.commands.mapping import folder_of, show

    wanted = _wanted(domain_name, public_id, local_id, kind)
    show(wanted, gone, look, as_json, folder_of(simulated, state))


@mapping.command("purge")
def mapping_purge(
    domain_name: OfDomain = None,
    public_id: OfPublicId = None,
    local_id: OfLocalId = None,
    kind: OfKind = None,
    everything: Annotated[bool, typer.Option("--all", help="All of all domains.")] = False,
    even_present: Annotated[
        bool,
        typer.Option("--even-present", help="Those too that their directory still has, or that have none."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Delete those who are gone from their directories, with their roles and credentials."""
    from pileus.app.commands.mapping import folder_of, purge

    wanted = _wanted(domain_name, public_id, local_id, kind)
    purge(wanted, everything, even_present, as_json, folder_of(simulated, state))
