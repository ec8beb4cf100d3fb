"""The folder of one dnsmasq: only what has changed is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.drivers.dnsmasq import files


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: files.Memory = {}
    wanted = {f"hosts/p{number}": f"{number}\n" for number in range(20)}
    assert len(files.bring(tmp_path, wanted, memory).added) == 20
    reads: list[str] = []
    read_text = Path.read_text

    def counted(self: Path) -> str:
        reads.append(self.name)
        return read_text(self)

    monkeypatch.setattr(Path, "read_text", counted)
    assert files.bring(tmp_path, wanted, memory) == files.Changes((), (), (), {})
    assert len(reads) == 20
    reads.clear()
    changes = files.bring(tmp_path, {**wanted, "hosts/p20": "20\n"}, memory)
    assert (changes.added, reads) == (("hosts/p20",), [])
    # What somebody else changes, in place or by another file, is seen.
    (tmp_path / "hosts/p3").write_text("forged\n")
    (tmp_path / "hosts/p4").unlink()
    other = tmp_path / "other"
    other.write_text("5 \n")
    other.replace(tmp_path / "hosts/p5")
    changes = files.bring(tmp_path, wanted, memory)
    assert (changes.added, set(changes.replaced), changes.deleted) == (
        ("hosts/p4",),
        {"hosts/p3", "hosts/p5"},
        ("hosts/p20",),
    )
    assert files.read(tmp_path, memory) == wanted
