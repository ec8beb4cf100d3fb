"""Kernel modules out of an unpacked package: which need which, and the files that modprobe reads.

depmod would do the same, but needs kmod and writes for the whole kernel; the guest has a dozen modules.
What a module says of itself is in its section ``.modinfo``: NUL-terminated ``key=value`` strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pileus.drivers.guestimage.errors import CannotBuildImage

_INFO = re.compile(rb"\0(depends|alias)=([^\0]*)")


class Modules:
    """The modules below ``folder``, a ``lib/modules/VERSION`` of an unpacked kernel package."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {_name(file.name): file for file in folder.rglob("*.ko")}
        self._built_in = {_name(Path(line).name) for line in (folder / "modules.builtin").read_text().split()}

    @property
    def version(self) -> str:
        """The kernel's release, as ``uname -r`` says it."""
        return self._folder.name

    def closure(self, names: Iterable[str]) -> list[str]:
        """``names`` and all that they depend on, each after what it needs; built-in ones are left out."""
        ordered: dict[str, None] = {}

        def visit(name: str) -> None:
            name = _name(name)
            if name in ordered or name in self._built_in:
                return
            for other in self._info(name, "depends"):
                visit(other)
            ordered[name] = None

        for name in names:
            visit(name)
        return list(ordered)

    def file(self, name: str) -> Path:
        """Where the module ``name`` is. Raises CannotBuildImage where the kernel has none of that name."""
        try:
            return self._files[_name(name)]
        except KeyError:
            raise CannotBuildImage(reason=f"the kernel {self.version} has no module {name}") from None

    def path(self, name: str) -> str:
        """The module's place below the folder: ``kernel/drivers/net/virtio_net.ko``."""
        return str(self.file(name).relative_to(self._folder))

    def dep_file(self, names: Iterable[str]) -> str:
        """``modules.dep`` for ``names``, a closure: a line each, with all that it needs, nearest first."""
        lines = []
        for name in names:
            needs = [other for other in reversed(self.closure([name])) if other != _name(name)]
            lines.append(f"{self.path(name)}:{''.join(f' {self.path(other)}' for other in needs)}\n")
        return "".join(lines)

    def alias_file(self, names: Iterable[str]) -> str:
        """``modules.alias`` for ``names``: which devices and file systems they serve."""
        return "".join(f"alias {alias} {name}\n" for name in names for alias in self._info(name, "alias"))

    def _info(self, name: str, key: str) -> list[str]:
        found = [
            value.decode()
            for found, value in _INFO.findall(b"\0" + self.file(name).read_bytes())
            if found == key.encode()
        ]
        return [part for value in found for part in value.split(",") if part] if key == "depends" else found


def _name(file: str) -> str:
    """Modules are named with underscores, files with either: ``virtio-rng.ko`` is ``virtio_rng``."""
    return file.removesuffix(".ko").replace("-", "_")
