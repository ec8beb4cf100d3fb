"""A tree of files as values: what an archive or a file system is filled with.

Paths have no slash in front. ``newc`` writes the tree as a cpio archive (the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst), ``stage`` as files in a folder.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Node:
    """One file, folder or symbolic link; ``mode`` has its type, ``content`` a link's target."""

    mode: int
    content: bytes = b""
    owner: int = 0  # user and group alike


@dataclass
class Tree:
    """Nodes by path; folders on the way to a node are made with it."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add a folder, or give one that is there another mode and owner."""
        self._parents(path)
        self.nodes[path] = Node(stat.S_IFDIR | mode, owner=owner)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add an ordinary file of root's."""
        self._parents(path)
        self.nodes[path] = Node(stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link, unless something is there."""
        self._parents(path)
        self.nodes.setdefault(path, Node(stat.S_IFLNK | 0o777, target.encode()))

    def overlay(self, source: Path) -> None:
        """Add all files below ``source``; those that start with ``#!`` may be executed."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                content = file.read_bytes()
                mode = 0o755 if content.startswith(b"#!") else 0o644
                self.file(str(PurePosixPath(file.relative_to(source))), content, mode)

    def _parents(self, path: str) -> None:
        for parent in PurePosixPath(path).parents:
            if str(parent) not in (".", *self.nodes):
                self.nodes[str(parent)] = Node(stat.S_IFDIR | 0o755)


def newc(tree: Tree, epoch: int) -> bytes:
    """The tree as a cpio archive of the form ``newc``, every file dated ``epoch`` (seconds since 1970)."""
    parts: list[bytes] = []
    # Sorted, so a folder comes before what is in it.
    entries = [*sorted(tree.nodes.items()), ("TRAILER!!!", Node(0))]
    for inode, (path, node) in enumerate(entries, 1):
        name = path.encode() + b"\0"
        numbers = (inode, node.mode, node.owner, node.owner, 1, epoch, len(node.content), 0, 0, 0, 0)
        header = "070701" + "".join(f"{number:08X}" for number in (*numbers, len(name), 0))
        parts += [_padded(header.encode() + name), _padded(node.content)]
    return b"".join(parts)


def _padded(block: bytes) -> bytes:
    return block + b"\0" * (-len(block) % 4)


def stage(tree: Tree, folder: Path, epoch: int) -> None:
    """Write the tree into an empty ``folder``, dated ``epoch``. Owners are left as they are: setting them
    would need root."""
    for path, node in sorted(tree.nodes.items()):
        place = folder / path
        if stat.S_ISDIR(node.mode):
            place.mkdir()
        elif stat.S_ISLNK(node.mode):
            place.symlink_to(node.content.decode())
        else:
            place.write_bytes(node.content)
        if not stat.S_ISLNK(node.mode):
            place.chmod(stat.S_IMODE(node.mode))
    for path in sorted(tree.nodes, reverse=True):  # folders after what is in them
        os.utime(folder / path, (epoch, epoch), follow_symlinks=False)
    os.utime(folder, (epoch, epoch))
