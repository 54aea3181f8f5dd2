"""The example and the documentation name every key, and say the truth about defaults."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.config.schema import CONFIG
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.secret import Secret
from tests.config.support import MINIMAL, Loader

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"
INSIDE = ("azure.cloud.", "servers.overrides.", "policy.nat.")  # shown in comments


def test_the_example_loads_and_shows_the_defaults(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "pce-api-secret").write_text("from-systemd\n")
    config = load(EXAMPLE, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.pce.api_secret == Secret("from-systemd")
    bare = loader(MINIMAL)
    shown = replace(
        config,
        pce=replace(config.pce, api_secret=bare.pce.api_secret),
        enforcement=replace(config.enforcement, mode=Mode.SYNC),
    )
    assert shown == bare


def test_the_example_has_every_key_in_order() -> None:
    given = _paths(yaml.safe_load(EXAMPLE.read_text()))
    assert given == [path for path in CONFIG.paths() if not path.startswith(INSIDE)]


def _paths(data: object, prefix: str = "") -> list[str]:
    found = []
    for name, value in data.items() if isinstance(data, dict) else ():
        found += [prefix + name, *_paths(value, f"{prefix}{name}.")]
    return found


@pytest.mark.parametrize("path", [path for path in CONFIG.paths() if path.startswith(INSIDE)])
def test_the_example_shows_inner_keys_in_comments(path: str) -> None:
    comments = [line for line in EXAMPLE.read_text().splitlines() if line.lstrip().startswith("#")]
    assert any(f"{path.rpartition('.')[2]}:" in line for line in comments)


@pytest.mark.parametrize("path", [path for path in CONFIG.paths() if path not in CONFIG.keys or path == "state_dir"])
def test_every_key_is_documented(path: str) -> None:
    assert f"| `{path}` |" in (ROOT / "docs" / "configuration.md").read_text()


def test_the_smallest_file_in_the_documentation_works(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "pce-api-secret").write_text("x\n")
    text = (ROOT / "docs" / "configuration.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert loader(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).enforcement.mode is Mode.OBSERVE


def test_the_errors_in_the_documentation_are_real(loader: Loader) -> None:
    text = MINIMAL.replace("org_id: 1", "org_id: 012") + "servers: {overrides: {orders-sql: {labels: {loc: NO}}}}\n"
    shown = (ROOT / "docs" / "configuration.md").read_text()
    for problem in loader.problems(text.replace("azure:", "  time_out: 30s\nazure:")):
        assert f"{problem.key}: {problem.message}" in shown
