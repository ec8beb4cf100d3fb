"""A switch that is configured by commands over ssh, in the templates of its settings.

The lines of a template are written to one session, as a person would type them. What stands in them is a port
of the settings and a number; each is put in quoted all the same. OpenSSH's own client connects: it takes the
switch's host key from a file of known hosts and no other, asks nobody anything, and reads no configuration of
a user's. A password comes from a file, by a program that prints it (SSH_ASKPASS), and stands in no argument.

Such a switch tells nothing, so what was written is kept in a file; a full pass writes all of it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.core.files import write_atomically
from pileus.drivers.physical.switch import Facts, SwitchFailed, Wanted

REFUSAL = r"(?im)^\s*(%|error\b|invalid\b)"
"""Beginnings of lines by which most switches refuse."""
_ANSWERS_WITHIN_S = 30.0
_SHOWN = 300
_ASKPASS = b'#!/bin/sh\nexec cat -- "$PILEUS_PASSWORD_FILE"\n'


_Entry = tuple[str, int, int]
"""A port, the tag on it (0: none), and the VLAN of the network."""


class Commands(msgspec.Struct, frozen=True):
    """Lines with ``{port}`` and ``{vlan}``: for a tagged VLAN on a port and without a tag, each to and from.
    ``before`` and ``after`` stand around all of a session."""

    attach: tuple[str, ...]
    detach: tuple[str, ...]
    attach_untagged: tuple[str, ...] = ()
    detach_untagged: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    refusal: str = REFUSAL
    """A regular expression: output that it is found in is a refusal."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """``host_keys``: a file of known hosts. A key or a password, from a file each."""

    address: str
    port: int = 22
    user: str
    host_keys: Path
    key_file: Path | None = None
    password_file: Path | None = None


class SshSwitch:
    """``memory``: the file that keeps what was written."""

    kind = "ssh"

    def __init__(
        self, name: str, login: Login, ports: Sequence[str], commands: Commands, memory: Path
    ) -> None:
        self.name = name
        self.changed = asyncio.Event()
        self._login = login
        self._ports = tuple(ports)
        self._commands = commands
        self._refusal = re.compile(commands.refusal)
        self._memory = memory

    async def close(self) -> None:
        """There is no connection between two passes."""

    async def facts(self) -> Facts:
        return Facts(self._ports)

    async def learned(self) -> dict[str, frozenset[str]]:
        return {}

    async def bring(self, wanted: Wanted, *, whole: bool) -> int:
        vlans = {network.network_id: network.number for network in wanted.networks}
        new = {(one.port, one.vlan, vlans[one.network_id]) for one in wanted.attachments}
        for port, tag, vlan in new:
            if port not in self._ports:
                raise SwitchFailed(f"{self.name} has no port {port}")
            if tag not in (0, vlan):
                raise SwitchFailed(f"{self.name} can't translate VLAN {vlan} to {tag} on port {port}")
        done, begun = self._remembered()
        gone = sorted((done | begun) - new)
        added = sorted(new if whole else new - done)
        if not gone and not added:
            return 0
        lines = [
            *self._commands.before,
            *(line for one in gone for line in self._filled(one, attach=False)),
            *(line for one in added for line in self._filled(one, attach=True)),
            *self._commands.after,
        ]
        # Written down first: what may be on the switch is taken away from it later.
        self._remember(done & new, done | begun | new)
        await self._say(lines)
        self._remember(new, set())
        return len(gone) + len(new - done)

    def _filled(self, one: tuple[str, int, int], *, attach: bool) -> list[str]:
        port, tag, vlan = one
        commands = self._commands
        if tag:
            lines = commands.attach if attach else commands.detach
        else:
            lines = commands.attach_untagged if attach else commands.detach_untagged
            if not lines:
                raise SwitchFailed(f"{self.name} has no commands for ports without a tag")
        values = {"port": shlex.quote(port), "vlan": shlex.quote(str(vlan))}
        return [line.format_map(values) for line in lines]

    async def _say(self, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        environment, arguments = self._client()
        try:
            child = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,  # nobody is asked at a terminal
            )
        except OSError as error:
            raise SwitchFailed(f"{self.name}: ssh: {error}") from error
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                said, wrong = await child.communicate(text.encode())
        except TimeoutError:
            raise SwitchFailed(f"{self.name} did not answer within {_ANSWERS_WITHIN_S:g} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        output = said.decode(errors="replace")
        if child.returncode:
            why = wrong.decode(errors="replace").strip() or output.strip()
            raise SwitchFailed(f"{self.name}: {why[-_SHOWN:]}")
        if (found := self._refusal.search(output)) is not None:
            line = output[output.rfind("\n", 0, found.start()) + 1 :].lstrip().splitlines()[0]
            raise SwitchFailed(f"{self.name} refuses: {line[:_SHOWN]}")

    def _client(self) -> tuple[dict[str, str], list[str]]:
        login = self._login
        program = shutil.which("ssh")
        if program is None:
            raise SwitchFailed("OpenSSH's client is not installed")
        options = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(login.host_keys),
            "GlobalKnownHostsFile": "none",
            "UpdateHostKeys": "no",
            "ConnectTimeout": "10",
            "ForwardAgent": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "NumberOfPasswordPrompts": "1",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "LogLevel": "ERROR",
        }
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        if login.password_file is not None:
            options["PreferredAuthentications"] = "password,keyboard-interactive"
            environment |= {
                "SSH_ASKPASS": str(self._askpass()),
                "SSH_ASKPASS_REQUIRE": "force",
                "PILEUS_PASSWORD_FILE": str(login.password_file),
            }
        else:
            options |= {"BatchMode": "yes", "PreferredAuthentications": "publickey"}
        identity = ["-i", str(login.key_file)] if login.key_file is not None else []
        return environment, [
            *(program, "-F", "none", "-T", "-p", str(login.port), "-l", login.user),
            *identity,
            *(word for key, value in options.items() for word in ("-o", f"{key}={value}")),
            "--",
            login.address,
        ]

    def _askpass(self) -> Path:
        """The program that prints the password; ssh runs it."""
        program = self._memory.with_suffix(".askpass")
        write_atomically(program, _ASKPASS, 0o700)
        return program

    def _remembered(self) -> tuple[set[_Entry], set[_Entry]]:
        """Read which entries are on the switch, and which may be."""
        try:
            kept = json.loads(self._memory.read_text())
            return _entries(kept["done"]), _entries(kept["begun"])
        except FileNotFoundError:
            return set(), set()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SwitchFailed(f"{self._memory} can't be read: {error}") from error

    def _remember(self, done: set[_Entry], begun: set[_Entry]) -> None:
        kept = {"done": sorted(done), "begun": sorted(begun)}
        write_atomically(self._memory, json.dumps(kept).encode(), 0o600)


def _entries(kept: Iterable[Iterable[Any]]) -> set[_Entry]:
    return {(str(port), int(tag), int(vlan)) for port, tag, vlan in kept}


def _quoted(path: Path) -> str:
    return f'"{path}"'
