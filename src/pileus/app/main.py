"""The command ``pileus``. Each command imports what it needs when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pileus import __version__
from pileus.app.identity_commands import keys, mapping, users
from pileus.app.options import Config, Listen, Simulated, State

app = typer.Typer(
    name="pileus",
    help="A whole private cloud that speaks the OpenStack APIs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database.", no_args_is_help=True)
config = typer.Typer(help="The settings.", no_args_is_help=True)
node = typer.Typer(help="The nodes.", no_args_is_help=True)
image = typer.Typer(help="Images.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")
app.add_typer(config, name="config")
app.add_typer(node, name="node")
app.add_typer(image, name="image")
service = typer.Typer(help="The cloud as a service of systemd.", no_args_is_help=True)
app.add_typer(service, name="service")
app.add_typer(users, name="users")
app.add_typer(mapping, name="mapping")

COMPLETION = "_PILEUS_COMPLETE"


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Say the version.")] = False) -> None:
    if version:
        typer.echo(f"pileus {__version__}")
        raise typer.Exit


@app.command()
def up(
    simulated: Simulated = False,
    state: State = None,
    listen: Listen = None,
    config: Config = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the cloud is ready.")] = False,
    hosts: Annotated[int | None, typer.Option("--hosts", min=1, help="How many simulated hosts.")] = None,
) -> None:
    """Start the cloud and watch it: server and agents of this machine.

    Ctrl-C, SIGTERM and `pileus down` stop Pileus and leave what it built running.
    """
    from pileus.app.commands.up import bring_up

    bring_up(simulated, state, listen, config, detach, hosts)


@app.command()
def down(
    simulated: Simulated = False,
    state: State = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove what was built on this machine, and the state folder.")
    ] = False,
) -> None:
    """Stop the cloud that `up` started; what it built keeps running."""
    from pileus.app.commands.up import take_down

    take_down(simulated, state, purge)


@app.command()
def status(simulated: Simulated = False, state: State = None) -> None:
    """Say how the cloud is: processes, API, agents."""
    from pileus.app.commands.up import show_status

    show_status(simulated, state)


@app.command()
def agents(
    host: Annotated[str | None, typer.Argument(help="Those of this host only.")] = None,
    simulated: Simulated = False,
    state: State = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """List the agents of all hosts: what each serves, how far it is behind, its last pass."""
    from pileus.app.commands.agents import show

    show(host, simulated, state, as_json)


@app.command()
def routes(
    service: Annotated[str, typer.Argument(help="identity, network, image or compute; all if none.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """Print every operation of the APIs: verb, path, policy rule, microversions."""
    from pileus.app.commands.routes import show

    show(service, as_json)


@app.command()
def server(state: State = None, config: Config = None, listen: Listen = None) -> None:
    """Run the server in the foreground (API, rules, database); as root it drops its rights at once."""
    from pileus.app.processes.server import main

    main(state, config, listen)


@app.command()
def agent(
    state: State = None,
    config: Config = None,
    simulated: Simulated = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove what this node's agents built, and end.")
    ] = False,
) -> None:
    """Run this node's agents in the foreground (root, unless simulated)."""
    from pileus.app.processes.agent import main

    main(state, config, simulated, purge)


@app.command()
def lab(
    hosts: Annotated[int, typer.Argument(min=1, max=20, help="How many hosts.")] = 2,
    state: State = None,
    listen: Listen = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the cloud is ready.")] = False,
    machine: Annotated[
        str,
        typer.Option(
            metavar="SUITE", help="Instead: a shell on a fresh Debian (bookworm, trixie) with this checkout."
        ),
    ] = "",
) -> None:
    """Start a cloud of several hosts on this machine: namespaces with a real switch each (root).

    `pileus plug PORT --host n2 --state DIR` plugs there; `pileus down --purge --state DIR` removes it all.
    """
    if machine:
        from pileus.app.lab.machine.shell import shell

        shell(machine)
        return
    from pileus.app.lab.cloud import bring_up_lab

    bring_up_lab(hosts, state, listen, detach)


@app.command()
def plug(
    port: Annotated[str, typer.Argument(help="Name or id of a port.")],
    host: Annotated[str | None, typer.Option("--host", help="The host; otherwise this one.")] = None,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Give a port a guest on this machine: a network namespace, or a simulated interface."""
    from pileus.app.commands.plug import plug as run

    run(port, host, simulated, state)


@app.command()
def unplug(
    port: Annotated[str, typer.Argument(help="Name or id of a port.")],
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Take the guest of a port away, and unbind the port."""
    from pileus.app.commands.plug import unplug as run

    run(port, simulated, state)


@app.command()
def demo(
    clean: Annotated[bool, typer.Option("--clean", help="Take away everything that the demo made.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With --clean: also packages, user and caches that Pileus brought.")
    ] = False,
    state: State = None,
    listen: Listen = None,
    external_range: Annotated[
        str,
        typer.Option(
            help="IPv4 prefix of the external network; without it one in which this machine reaches nothing."
        ),
    ] = "",
) -> None:
    """Show a whole cloud working: image, networks, servers, floating IP, ssh (root)."""
    from pileus.app.commands import demo as shown

    if clean:
        shown.clean(state, everything)
    else:
        shown.demo(state, listen, external_range)


@app.command()
def timeline(
    name: Annotated[str, typer.Argument(help="Name or id of a server or a port.")],
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Show what happened to a server or a port, when, where, and how long it took."""
    from pileus.app.commands.timeline import show

    show(name, simulated, state)


@app.command()
def audit(
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="Of this user.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="ID", help="About this.")] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Such as identity.user.created, identity.authenticate.")
    ] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="success or failure.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Not before.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="The newest so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    simulated: Simulated = False,
    state: State = None,
) -> None:
    """Show who did what to users, projects, roles and the rest, and who logged in or failed to."""
    from pileus.app.commands.audit import show

    wanted = {
        "initiator_id": user,
        "target_id": target,
        "event_type": event_type,
        "outcome": outcome,
        "since": since,
        "until": until,
    }
    show(wanted, limit, simulated, state, as_json)


@db.command("upgrade")
def db_upgrade(simulated: Simulated = False, state: State = None, config: Config = None) -> None:
    """Bring the database's tables up to date."""
    from pileus.app.commands.db import upgrade

    upgrade(simulated, state, config)


@config.command("show")
def config_show(
    simulated: Simulated = False,
    state: State = None,
    file: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Every setting, its value, where it came from, and what it means."""
    from pileus.app.commands.config import show

    show(simulated, state, file, as_json)


@node.command("token")
def node_token(host: str, simulated: Simulated = False, state: State = None) -> None:
    """Print the token with which the agents of HOST show who they are."""
    from pileus.app.commands.node import show_token

    show_token(host, simulated, state)


@node.command("tokens")
def node_tokens(
    simulated: Simulated = False,
    state: State = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list.")] = False,
) -> None:
    """List the hosts that have shown a token, until when it is good, and whose are revoked."""
    from pileus.app.commands.node import show_tokens

    show_tokens(simulated, state, as_json)


@node.command("revoke")
def node_revoke(host: str, simulated: Simulated = False, state: State = None) -> None:
    """Refuse all tokens that the agents of HOST have now; `pileus node token HOST` makes a new one."""
    from pileus.app.commands.node import revoke

    revoke(host, simulated, state)


@node.command("network")
def node_network(
    form: Annotated[
        str, typer.Option("--format", help="interfaces (ifupdown), netplan or networkd.")
    ] = "interfaces",
    output: Annotated[
        Path | None, typer.Option("--output", help="The file to be written; of networkd, the folder.")
    ] = None,
    simulated: Simulated = False,
    state: State = None,
    file: Config = None,
) -> None:
    """Write this node's declared network ([host_network]) as the operating system's own files."""
    from pileus.app.commands.node_network import show

    show(form, output, simulated, state, file)


Name = Annotated[str, typer.Option("--name", help="The unit's name.")]


@service.command("install")
def service_install(
    simulated: Simulated = False,
    state: State = None,
    listen: Listen = None,
    config: Config = None,
    name: Name = "pileus",
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start it now.")] = True,
) -> None:
    """Have systemd start this cloud now and whenever the machine starts (root)."""
    from pileus.app.commands.service import install

    install(simulated, state, listen, config, name=name, start=start)


@service.command("uninstall")
def service_uninstall(name: Name = "pileus") -> None:
    """Stop the service and remove its unit; what the cloud built keeps running."""
    from pileus.app.commands.service import uninstall

    uninstall(name)


@service.command("start")
def service_start(name: Name = "pileus") -> None:
    """Start the installed service, and wait until the cloud is ready."""
    from pileus.app.commands.service import control

    control("start", name)


@service.command("stop")
def service_stop(name: Name = "pileus") -> None:
    """Stop the service; what the cloud built keeps running."""
    from pileus.app.commands.service import control

    control("stop", name)


@service.command("status")
def service_status(name: Name = "pileus") -> None:
    """Say how the service is; `pileus status` says how the cloud is."""
    from pileus.app.commands.service import show

    show(name)


@image.command("build")
def image_build(
    kind: Annotated[
        Literal["guest", "gateway", "tester"],
        typer.Argument(
            help="guest: for trying a cloud out; gateway: of routers that are virtual machines; tester: for "
            "OpenStack's scenario tests."
        ),
    ] = "guest",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to put it (./pileus-KIND.qcow2).")
    ] = None,
) -> None:
    """Build a small bootable image from Debian packages."""
    from pileus.app.commands.image import build

    build(output, kind=kind)


def main() -> None:
    """The entry point of the installed command."""
    if COMPLETION in os.environ:  # a shell asks how to go on
        from typer._completion_classes import completion_init

        completion_init()
    app(prog_name="pileus", complete_var=COMPLETION)


if __name__ == "__main__":
    main()
