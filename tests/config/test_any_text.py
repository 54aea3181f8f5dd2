"""Whatever is in the file, the answer is a Config or a ConfigError that is safe to print."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.config.schema import CONFIG
from illumio_azsql_enforcer.errors import ConfigError
from tests.config.support import MINIMAL

WORDS = sorted({part for path in CONFIG.paths() for part in path.split(".")})
VALUES = [
    "null", "true", "yes", "NO", "012", "1:30", "2026-01-01", "30s", "1GiB", "all", "both", "sync", "[]", "{}",
    "[1433]", "https://[::1", "http://127.0.0.1:1", "10.0.0.0/8", "1.2.3.4-1.2.3.5", "${env:A}",
    "${file:/dev/null}", "${", "$${", "&a x", "*a", "<<: *a", "!!int x", "!!binary x", "? ", "- ", "|\n  x", "'",
    '"\\e"', '"\\ud800"', "\t", "\x85", "\u2028", "...", "---", "%YAML 1.1", "# x", "9" * 5000,
]  # fmt: skip
FRAGMENTS = st.lists(
    st.sampled_from([*WORDS, *VALUES, ": ", ":", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", "]), max_size=30
).map("".join)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=8), st.sampled_from(VALUES)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | LEAVES, inner, max_size=4),
    max_leaves=12,
)
SECTIONS = st.dictionaries(
    st.sampled_from(list(CONFIG.keys)), st.dictionaries(st.sampled_from(WORDS), TREES, max_size=6), max_size=5
)
PROBLEM = re.compile(r"[^\n]+:\d+: .+")


def complaint(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        load(path, {"A": "value-of-a", "CREDENTIALS_DIRECTORY": "/nowhere"})
    except ConfigError as error:
        return str(error)
    return ""


def check(path: Path, content: bytes) -> None:
    text = complaint(path, content)
    lines = text.split("\n") if text else []
    assert all(line.isprintable() for line in lines)
    assert all(PROBLEM.fullmatch(line) for line in lines)
    assert "value-of-a" not in text


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(content=st.binary(max_size=60))
def test_bytes(tmp_path: Path, content: bytes) -> None:
    check(tmp_path / "config.yaml", content)


@many
@given(text=FRAGMENTS)
def test_fragments_of_yaml(tmp_path: Path, text: str) -> None:
    check(tmp_path / "config.yaml", text.encode("utf-8", "surrogatepass"))


@many
@given(tree=SECTIONS)
def test_sections_with_any_values(tmp_path: Path, tree: object) -> None:
    check(tmp_path / "config.yaml", yaml.safe_dump(tree).encode("utf-8", "surrogatepass"))


@many
@given(at=st.integers(0, len(MINIMAL)), cut=st.integers(0, 20), text=FRAGMENTS | st.text(max_size=5))
def test_a_good_file_that_was_damaged(tmp_path: Path, at: int, cut: int, text: str) -> None:
    damaged = MINIMAL[:at] + text + MINIMAL[at + cut :]
    check(tmp_path / "config.yaml", damaged.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("path", CONFIG.paths())
def test_every_key_with_every_odd_value(tmp_path: Path, path: str) -> None:
    *sections, last = path.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(sections)]
    for value in VALUES:
        check(tmp_path / "config.yaml", "\n".join([*lines, f"{'  ' * len(sections)}{last}: {value}\n"]).encode())
