"""Settings know where they came from, and errors name key and line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.app.settings import load_settings as load
from pileus.core.settings import BadSettings


def settings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pileus.toml"
    path.write_text(text)
    return path


def test_defaults_are_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path / "absent.toml", {})
    assert loaded.settings.server.listen == "127.0.0.1:8770"
    assert {origin.source for origin in loaded.origins()} == {"default"}
    assert all(origin.meaning for origin in loaded.origins())


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path, '[server]\nlisten = "127.0.0.1:1"\n\n[network]\nmtu = 1600\nvlan_ranges = []\n'
    )
    loaded = load(path, {"PILEUS_NETWORK_MTU": "9000"}, {"server.listen": "127.0.0.1:2"})
    came_from = {origin.key: (origin.value, origin.source) for origin in loaded.origins()}
    assert came_from["server.listen"] == ("127.0.0.1:2", "command line")
    assert came_from["network.mtu"] == (9000, "environment")
    assert came_from["network.vlan_ranges"] == ((), f"{path}, line 6")
    assert came_from["log.level"] == ("info", "default")


def test_environment_values_take_the_type_of_their_setting() -> None:
    environment = {"PILEUS_LOG_JSON": "yes", "PILEUS_SWITCH_TUNNEL_TYPES": "vxlan, gre"}
    settings = load(None, environment).settings
    assert settings.log.json is True
    assert settings.switch.tunnel_types == ("vxlan", "gre")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[server]\n\nlistn = "x"\n', "line 3: there is no setting server.listn"),
        ('[servers]\nlisten = "x"\n', "line 1: there is no section [servers]"),
        ('[network]\nmtu = "wide"\n', "line 2: network.mtu: Expected `int`, got `str`"),
        ("[network]\nmtu = 99999\n", "line 2: network.mtu: Expected `int` <= 9216"),
        ('[log]\nlevel = "loud"\n', "line 2: log.level: Invalid enum value 'loud'"),
        ("server = 3\n", "server is a section"),
        ("[server\n", "line 1"),
    ],
)
def test_errors_name_key_and_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadSettings) as error:
        load(settings_file(tmp_path, text), {})
    assert said in error.value.text


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(BadSettings, match=r"environment: network\.mtu"):
        load(None, {"PILEUS_NETWORK_MTU": "wide"})


def test_names_defaults_and_meanings(golden: Callable[[str, str], None]) -> None:
    """A name or a default that changes is seen by whoever has a settings file."""
    lines = [f"{one.key} = {one.value!r}  # {one.meaning}" for one in load(None, {}).origins()]
    golden("settings.txt", "\n".join(lines) + "\n")


def test_reading_settings_imports_no_service() -> None:
    """Commands that only look start quickly: sections are declared in modules that import next to nothing."""
    program = "import sys, pileus.app.settings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    everything = done.stdout.split()
    loaded = [name for name in everything if name.startswith("pileus.")]
    own = {"pileus.app.sections", "pileus.app.settings"}
    assert {name for name in loaded if "section" not in name} - own <= {
        *("pileus.app", "pileus.core", "pileus.core.errors", "pileus.core.settings"),
        *("pileus.host", "pileus.host.l2", "pileus.host.hypervisor", "pileus.host.uplinks"),
        "pileus.host.blockdev",
        *(
            "pileus.drivers",
            "pileus.drivers.dns",
            "pileus.drivers.interfaces",
            "pileus.drivers.interfaces.spec",
        ),
        "pileus.host.physical",
        *("pileus.services", "pileus.services.identity", "pileus.services.network"),
        *("pileus.services.image", "pileus.services.compute", "pileus.services.volume"),
    }
    assert "sqlalchemy" not in everything
