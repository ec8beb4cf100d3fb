"""``pileus users import-passwords``: rows of a file become requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from pileus.app.commands import users
from pileus.app.local import Refused


class Api:
    """In the place of the local API."""

    def __init__(self, folder: Any) -> None:
        self.put: dict[str, Any] = {}
        Api.made = self

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get(self, path: str) -> Any:
        if "/domains?" in path:
            return {"domains": [{"id": "default"}] if "name=Default" in path else []}
        return {"users": [{"id": "id-of-ann"}] if "name=ann&domain_id=default" in path else []}

    def call(self, method: str, path: str, body: Any) -> None:
        if body["password_hash"] == "bad":
            raise Refused("Invalid input")
        self.put[path.rpartition("/users/")[2]] = body["password_hash"]


@pytest.fixture(autouse=True)
def _api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "LocalApi", Api)


def test_one_bad_row_keeps_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "users.csv"
    file.write_text("domain,user,password_hash\nDefault,ann,$2b$x\nDefault,bob,$2b$y\nNone,ann,$2b$z\n")
    with pytest.raises(SystemExit) as ended:
        users.import_passwords(file, True, tmp_path)
    assert ended.value.code == 1
    assert Api.made.put == {"id-of-ann/password_hash": "$2b$x"}
    said = capsys.readouterr()
    assert said.out == "1 passwords taken over, 2 refused\n"
    assert "users.csv:3: there is no user 'bob' in domain 'Default'" in said.err
    assert "users.csv:4: there is no domain 'None'" in said.err


def test_ids_are_taken_and_refusals_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "users.csv"
    file.write_text("user_id,password_hash\na/b,$2b$x\n")
    users.import_passwords(file, True, tmp_path)
    assert Api.made.put == {"a%2Fb/password_hash": "$2b$x"}
    file.write_text("user_id,password_hash\na,bad\n")
    with pytest.raises(SystemExit):
        users.import_passwords(file, True, tmp_path)
    assert "Invalid input" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "user,password_hash\n", "user_id\nx\n"])
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text: str):
    file = tmp_path / "users.csv"
    file.write_text(text)
    with pytest.raises((SystemExit, typer.Exit)):
        users.import_passwords(file, True, tmp_path)
