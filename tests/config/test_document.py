"""The file as a whole: lines, syntax, encodings, bounds."""

from pathlib import Path

import pytest

from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.config.document import MAX_BYTES, MAX_DEPTH
from illumio_azsql_enforcer.errors import ConfigError
from tests.config.support import MINIMAL, SUBSCRIPTION, Loader, with_key

MANY = """\
pce:
  url: http://pce.example.com
  org_id:
    nought
  api_key: api_1a2b
  api_secret: s
  timeout: 5m
  time_out: 5m

  timeout: 6m
azure:
  subscriptions:
    - 00000000-0000-0000-0000-000000000000
    - mine
enforcement:
  guards: {max_revoked: x}
nonsense: 1
"""


def test_every_problem_has_its_line(loader: Loader) -> None:
    found = [(p.line, p.key) for p in loader.problems(MANY)]
    assert found == [
        (2, "pce.url"),
        (3, "pce.org_id"),
        (8, "pce.time_out"),
        (10, "pce.timeout"),
        (14, "azure.subscriptions[1]"),
        (15, "enforcement.mode"),
        (16, "enforcement.guards.max_revoked"),
        (17, "nonsense"),
    ]


def test_text_is_one_line_a_problem(loader: Loader) -> None:
    first, *rest = str_of(loader, MANY).splitlines()
    assert first == (
        f"{loader.path}:2: pce.url: "
        '"http://pce.example.com" is not encrypted; write https:// (http is for a loopback address only)'
    )
    assert len(rest) == 7


def str_of(loader: Loader, text: str) -> str:
    return "\n".join(map(str, loader.problems(text)))


def test_very_many_problems_are_cut_in_the_text_only(loader: Loader) -> None:
    loader.path.write_text("".join(f"key{at}: 1\n" for at in range(300)))
    with pytest.raises(ConfigError) as caught:
        load(loader.path, {})
    assert len(caught.value.problems) == 306
    assert str(caught.value).endswith("… and 206 more")


@pytest.mark.parametrize(
    ("unknown", "hint"),
    [
        ("pce.urll", "(did you mean url?)"),
        ("pce.org-id", "(did you mean org_id?)"),
        ("pce.URL", "(did you mean url?)"),
        ("enforcement.guards.max_revoke", "(did you mean max_revoked?)"),
        ("polcy", "(did you mean policy?)"),
        ("mode", "(did you mean enforcement.mode?)"),
        ("notify.qqq", "known here: webhook"),
    ],
)
def test_unknown_keys(loader: Loader, unknown: str, hint: str) -> None:
    problem = loader.problem(with_key(unknown, "1"))
    assert problem.key == unknown
    assert problem.message.startswith("unknown key")
    assert hint in problem.message


@pytest.mark.parametrize("empty", ["", "\n\n", "# nothing\n", "---\n", "null\n", "{}"])
def test_empty_file_lists_what_is_required(loader: Loader, empty: str) -> None:
    problems = loader.problems(empty)
    assert [p.key for p in problems] == [
        "pce.url", "pce.org_id", "pce.api_key", "pce.api_secret", "azure.subscriptions", "enforcement.mode",
    ]  # fmt: skip
    assert {p.line for p in problems} == {1}


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("- pce\n", 1, "a mapping is wanted"),
        ("pce\n", 1, "a mapping is wanted"),
        ("pce:\n\turl: x\n", 2, "indent with spaces"),
        ("servers:\n  include: [*]\n", 2, "quote it"),
        ("servers:\n  include: [*-test]\n", 2, "quote it"),
        ("azure:\n  subscriptions: [${env:S}]\n", 2, "needs quotes"),
        ("pce:\n  url: a: b\n", 2, "colon"),
        ("pce:\n  url: 'a\n", 3, "never closed"),
        ("pce: {\n", 2, "not valid YAML"),
        ("pce: ]\n", 1, "not valid YAML"),
        ("a: 1\n---\na: 2\n", 2, "second document"),
        ('a: "\\UFFFFFFFF"\n', 1, "escape"),
        ("a: 1\n? [b]\n: 1\n", 2, "plain text"),
        ("pce:\n  url: !!python/object/apply:os.system [ls]\n", 2, "a tag"),
        ("pce:\n  url: !secret x\n", 2, "a tag"),
        ("a: !!set {b, c}\n", 1, "a tag"),
        ("a: 1\nb: \x1b[31m\n", 2, "control character"),
        ("a: 1\nb: \0\n", 2, "control character"),
        (b"a: 1\nb: \xe9\n", 2, "UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "UTF-8"),
        ("&a [*a]\n", 1, "nested deeper"),
        ("[" * (MAX_DEPTH + 1), 1, "nested deeper"),
        ("[" * 500_000, 1, "nested deeper"),
        ("a: &a 1\nb:\n  <<: *a\n", 3, "merge key"),
    ],
)
def test_files_that_are_no_config(loader: Loader, text: str | bytes, line: int, advice: str) -> None:
    problem = next(p for p in loader.problems(text) if advice in p.message)
    assert (problem.file, problem.line) == (str(loader.path), line)


def test_aliases_are_bounded(loader: Loader) -> None:
    laughs = "l0: &l0 [x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "more than 50000 values" in loader.problem(laughs).message


def test_large_files_are_refused(loader: Loader) -> None:
    loader.path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="too large"):
        load(loader.path, {})


@pytest.mark.parametrize("name", ["missing.yaml", ".", "nul\0.yaml", "esc\x1b[31m.yaml", "x" * 300])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^Cannot read the config file .*\.$") as caught:
        load(tmp_path / name, {})
    assert str(caught.value).isprintable()
    assert caught.value.problems == ()


def test_unreadable_file(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match="Permission denied"):
        load(loader.path, {})


def test_anchors_aliases_and_merges(loader: Loader) -> None:
    text = MINIMAL + (
        "servers:\n"
        "  overrides:\n"
        "    orders: &base {mode: observe, labels: &labels {env: Test, loc: Azure}}\n"
        "    web: *base\n"
        "    stock: {<<: *base, mode: upsert}\n"
        "    bills: {labels: {<<: [*labels, {app: Bills}], loc: On-site}}\n"
    )
    overrides = loader(text).servers.overrides
    assert overrides["web"] == overrides["orders"]
    assert (overrides["stock"].mode, overrides["stock"].labels) == ("upsert", {"env": "Test", "loc": "Azure"})
    assert overrides["bills"].labels == {"env": "Test", "app": "Bills", "loc": "On-site"}


def test_problem_in_an_alias_has_the_line_of_its_use(loader: Loader) -> None:
    text = MINIMAL + "policy:\n  ports: [&port 70000]\nservers:\n  include: &names [web]\n  exclude: *names\n"
    assert loader.problem(text).line == 11
    text = MINIMAL + "servers:\n  overrides:\n    a: &a\n      mode: off\n    b: *a\n"
    assert [p.line for p in loader.problems(text)] == [13, 14]
    text = MINIMAL + "servers:\n  include: &names [web]\nenforcement2: 1\npolicy:\n  ports: *names\n"
    assert [(p.line, p.key) for p in loader.problems(text)] == [(12, "enforcement2"), (14, "policy.ports[0]")]


def test_byte_order_mark_and_crlf(loader: Loader) -> None:
    assert loader(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode()) == loader(MINIMAL)


def test_json_is_yaml(loader: Loader) -> None:
    text = (
        '{"pce": {"url": "https://pce.example.com:8443", "org_id": 1, "api_key": "api_1a2b3c4d5e6f", '
        f'"api_secret": "open-sesame"}}, "azure": {{"subscriptions": ["{SUBSCRIPTION}"]}}, '
        '"enforcement": {"mode": "sync"}}'
    )
    assert loader(text) == loader(MINIMAL)
