"""A cloud from a package: settings in /etc, and a node beside its server that needs no token by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.app import bootstrap
from pileus.app.processes import agent
from pileus.app.settings import load_settings
from pileus.app.state import StateFolder
from pileus.bus.node import SECRET_BYTES, read_token


def test_settings_of_an_installed_cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = tmp_path / "etc.toml"
    installed = StateFolder(tmp_path / "installed")
    installed.root.mkdir()
    monkeypatch.setattr(bootstrap, "INSTALLED", installed.root)
    monkeypatch.setattr(bootstrap, "SYSTEM_SETTINGS", system)

    def listens(folder: StateFolder) -> str:
        return bootstrap.read_settings(folder, None, {}).settings.server.listen

    usual = listens(installed)
    system.write_text('[server]\nlisten = "127.0.0.1:1"\n')
    assert listens(installed) == "127.0.0.1:1"
    assert listens(StateFolder(tmp_path / "other")) == usual, "they are those of one cloud"
    installed.settings.write_text('[server]\nlisten = "127.0.0.1:2"\n')
    assert listens(installed) == "127.0.0.1:2", "the folder's own come first"


@pytest.mark.parametrize("elsewhere", ["", 'server = "https://cloud:8770"', 'token_file = "/etc/token"'])
def test_a_node_beside_its_server_makes_its_own_token(tmp_path: Path, elsewhere: str) -> None:
    folder = StateFolder(tmp_path)
    folder.agent.mkdir()
    folder.secrets.mkdir()
    folder.settings.write_text(f"[agent]\n{elsewhere}\n")
    settings = load_settings(folder.settings, {}, {}).settings
    agent._renew_own_token(folder, settings, "node-1")
    assert not folder.node_token.exists(), "there is no server here"
    folder.node_secret.write_bytes(bytes(SECRET_BYTES))
    agent._renew_own_token(folder, settings, "node-1")
    assert folder.node_token.exists() is not bool(elsewhere)
    if not elsewhere:
        assert read_token(folder.node_token.read_text()).host == "node-1"
        assert folder.node_token.stat().st_mode & 0o777 == 0o600
