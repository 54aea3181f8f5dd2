"""References, the environment, and what must never be said about either."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from illumio_azsql_enforcer.config.references import Unresolved, resolve
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.secret import Secret
from tests.config.support import MINIMAL, SUBSCRIPTION, Loader, with_key, without_key


def test_env(loader: Loader) -> None:
    config = loader(with_key("pce.org_id", "${env:ORG}"), {"ORG": "42"})
    assert config.pce.org_id == 42


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pce.timeout", "90s"),
        ("pce.max_response", "1MiB"),
        ("policy.skip_offline", "false"),
        ("enforcement.mode", "observe"),
        ("azure.subscriptions", "all"),
        ("servers.include", "web"),
    ],
)
def test_converted_to_the_type_of_the_key(loader: Loader, key: str, value: str) -> None:
    written, referred = (value, "${env:V}") if key != "servers.include" else (f"[{value}]", "['${env:V}']")
    assert loader(with_key(key, referred), {"V": value}) == loader(with_key(key, written))


def test_what_yaml_would_read_otherwise_is_text_in_a_reference(loader: Loader) -> None:
    text = with_key("servers.overrides", "{orders: {labels: {loc: '${env:L}', '${env:K}': x}}}")
    labels = loader(text, {"L": "NO", "K": "012"}).servers.overrides["orders"].labels
    assert labels == {"loc": "NO", "012": "x"}


def test_file_is_its_first_line_stripped(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  s3cret \r\nsecond line\n")
    config = loader(with_key("pce.api_secret", f"${{file:{tmp_path}/secret}}"))
    assert config.pce.api_secret == Secret("s3cret")


def test_credential(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "pce-api-secret").write_text("s3cret\n")
    text = with_key("pce.api_secret", "${credential:pce-api-secret}")
    assert loader(text, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).pce.api_secret == Secret("s3cret")


def test_several_in_one_string(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("8443")
    text = with_key("pce.url", f"https://${{env:HOST}}.example.com:${{file:{tmp_path}/port}}")
    assert loader(text, {"HOST": "pce"}).pce.url == "https://pce.example.com:8443"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a$${env:X}b", "a${env:X}b"),
        ("$${", "${"),
        ("${env:X}$${${env:X}", "v${v"),
        ("$5 {a} $$", "$5 {a} $$"),
        ("${env:REF}", "${env:X}"),
    ],
)
def test_literals(text: str, wanted: str) -> None:
    assert resolve(text, {"X": "v", "REF": "${env:X}"}) == wanted


UNRESOLVED = [
    ("${env:NOPE}", "${env:NOPE} does not resolve: the environment variable is not set"),
    ("${env:}", "write ${env:NAME}"),
    ("${env:A B}", "write ${env:NAME}"),
    ("${vault:x}", "begins no reference"),
    ("${env:X", "begins no reference"),
    ("${}", "begins no reference"),
    ("${ENV:X}", "begins no reference"),
    ("${file:relative}", "the path is not absolute"),
    ("${file:/nowhere/secret}", "${file:/nowhere/secret} does not resolve: No such file or directory"),
    ("${file:/dev}", "it is no regular file"),
    ("${file:/dev/zero}", "it is no regular file"),
    ("${credential:../passwd}", "not the name of a credential"),
    ("${credential:..}", "not the name of a credential"),
    ("${credential:/etc/passwd}", "not the name of a credential"),
    ("${credential:absent}", "No such file"),
]


@pytest.mark.parametrize(("reference", "wanted"), UNRESOLVED)
def test_unresolved_references(loader: Loader, tmp_path: Path, reference: str, wanted: str) -> None:
    environ = {"X": "value", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    for key in ("pce.api_secret", "enforcement.owner"):
        problem = loader.problem(with_key(key, f"'{reference}'"), environ)
        assert problem.key == key
        assert wanted in problem.message


def test_no_credentials_directory(loader: Loader) -> None:
    problem = loader.problem(with_key("pce.api_secret", "${credential:pce-api-secret}"))
    assert "LoadCredential=pce-api-secret:" in problem.message


@pytest.mark.parametrize(
    ("content", "wanted"),
    [(b"\nsecond", "is empty"), (b"", "is empty"), (b"a\x1b[31mb", "control character"), (b"\xff", "not UTF-8")],
)
def test_files_with_nothing_usable(loader: Loader, tmp_path: Path, content: bytes, wanted: str) -> None:
    (tmp_path / "secret").write_bytes(content)
    for key in ("pce.api_secret", "enforcement.owner"):
        assert wanted in loader.problem(with_key(key, f"${{file:{tmp_path}/secret}}")).message


def test_long_first_line(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 100_000)
    assert "longer than" in loader.problem(with_key("pce.api_secret", f"${{file:{tmp_path}/secret}}")).message


FILLED = {
    "ILLUMIO_PCE_HOST": "pce.example.com",
    "ILLUMIO_PCE_PORT": "8443",
    "ILLUMIO_PCE_ORG_ID": "1",
    "ILLUMIO_API_KEY_USERNAME": "api_1a2b3c4d5e6f",
    "ILLUMIO_API_KEY_SECRET": "open-sesame",
}
NO_PCE = f"azure: {{subscriptions: [{SUBSCRIPTION}]}}\nenforcement: {{mode: sync}}\n"


@pytest.mark.parametrize("pce", ["", "pce:\n", "pce: {url: null, org_id: null}\n", "pce: {timeout: 30s}\n"])
def test_environment_fills_what_the_file_leaves_out(loader: Loader, pce: str) -> None:
    assert loader(pce + NO_PCE, FILLED) == loader(MINIMAL)


def test_the_file_wins_over_the_environment(loader: Loader) -> None:
    other = dict.fromkeys(FILLED, "!")
    assert loader(MINIMAL, other) == loader(MINIMAL)
    assert loader(without_key("pce.org_id"), FILLED | {"ILLUMIO_PCE_HOST": "!"}) == loader(MINIMAL)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("pce.example.com", "", "https://pce.example.com:8443"),
        ("pce.example.com", "9443", "https://pce.example.com:9443"),
        ("pce.example.com:9443", "", "https://pce.example.com:9443"),
        ("pce.example.com:9443", "9443", "https://pce.example.com:9443"),
        ("https://pce.example.com:9443/", "", "https://pce.example.com:9443"),
        ("https://pce.example.com", "", "https://pce.example.com"),
        ("https://pce.example.com/", "9443", "https://pce.example.com:9443"),
        ("http://127.0.0.1:8080", "", "http://127.0.0.1:8080"),
        ("scp1.illum.io", "", "https://scp1.illum.io:443"),
        ("::1", "", "https://[::1]:8443"),
        ("[::1]", "9443", "https://[::1]:9443"),
    ],
)
def test_host_and_port_of_the_environment(loader: Loader, host: str, port: str, url: str) -> None:
    environ = {"ILLUMIO_PCE_HOST": host, "ILLUMIO_PCE_PORT": port}
    assert loader(without_key("pce.url"), environ).pce.url == url


@pytest.mark.parametrize(
    ("key", "variable", "value", "wanted"),
    [
        ("pce.url", "ILLUMIO_PCE_HOST", "http://pce.example.com", "not encrypted"),
        ("pce.url", "ILLUMIO_PCE_HOST", "https://bob:pw@pce.example.com", "user name"),
        ("pce.url", "ILLUMIO_PCE_HOST", "pce.example.com/api", "goes on after the port"),
        ("pce.url", "ILLUMIO_PCE_HOST", "pce.example.com:1234", "another port than $ILLUMIO_PCE_PORT"),
        ("pce.url", "ILLUMIO_PCE_PORT", "https", "$ILLUMIO_PCE_PORT is no port"),
        ("pce.org_id", "ILLUMIO_PCE_ORG_ID", "zero", "the value of $ILLUMIO_PCE_ORG_ID"),
        ("pce.api_key", "ILLUMIO_API_KEY_USERNAME", "a:b", "auth username"),
        ("pce.api_secret", "ILLUMIO_API_KEY_SECRET", "a b", "without blanks"),
    ],
)
def test_wrong_environment(loader: Loader, key: str, variable: str, value: str, wanted: str) -> None:
    problem = loader.problem("# comment\n" + without_key(key), FILLED | {variable: value})
    assert (problem.key, problem.line) == (key, 2)
    assert wanted in problem.message
    assert value not in problem.message


def test_environment_values_are_no_references(loader: Loader) -> None:
    environ = FILLED | {"ILLUMIO_API_KEY_SECRET": "${env:OTHER}", "OTHER": "x"}
    assert loader(without_key("pce.api_secret"), environ).pce.api_secret == Secret("${env:OTHER}")


HIDDEN = "hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        with_key("pce.api_secret", f"[{HIDDEN}]"),
        with_key("pce.api_secret", f"'{HIDDEN} {HIDDEN}'"),
        with_key("pce.api_secret", f"{{{HIDDEN}: {HIDDEN}}}"),
        with_key("pce.api_secret", f"!!int {HIDDEN}"),
        with_key("pce.api_secret", f"!{HIDDEN}"),
        with_key("pce.api_secret", f"*{HIDDEN}"),
        with_key("pce.api_secret", f"%{HIDDEN}"),
        with_key("pce.api_secret", f"'{HIDDEN}"),
        with_key("pce.api_secret", f'"{HIDDEN}\\q"'),
        with_key("pce.api_secret", f"{HIDDEN}: {HIDDEN}"),
        with_key("pce.api_secret", f"'{HIDDEN}${{'"),
        with_key("pce.api_secret", f"{HIDDEN}\n  api_secret: {HIDDEN}"),
        with_key("pce.api_key", f"'{HIDDEN}:{HIDDEN}'"),
        with_key("pce.url", f"https://bob:{HIDDEN}@pce.example.com"),
        with_key("pce.url", f"ftp://bob:{HIDDEN}@pce.example.com"),
        with_key("pce.url", "ftp://${env:H}"),
        with_key("notify.webhook", f"ftp://hooks.example.com/{HIDDEN}"),
        with_key("notify.webhook", f"http://hooks.example.com/{HIDDEN}"),
        with_key("enforcement.owner", "'${env:H}!'"),
        with_key("enforcement.mode", "${env:H}"),
        with_key("enforcement.interval", "${env:H}"),
        with_key("pce.ca_file", "/nowhere/${env:H}"),
        with_key("azure.cloud", "${env:H}"),
        with_key("azure.client_id", "${env:H}"),
        with_key("servers.overrides", "{'${env:H}.x': {}}"),
        f"pce: {{'api_secret:{HIDDEN}': null}}\n",
        f"pce:\n  api_secret:{HIDDEN}\n",
        f"pce: 'api_secret {HIDDEN}'\n",
    ],
)
def test_no_message_holds_a_secret_or_what_a_reference_brought(loader: Loader, text: str) -> None:
    assert HIDDEN in text or "${env:H}" in text
    problems = loader.problems(text, {"H": HIDDEN})
    assert problems
    assert not [p for p in problems if HIDDEN in str(p)]


def test_a_config_can_be_printed(loader: Loader) -> None:
    config = loader(MINIMAL)
    assert "open-sesame" not in f"{config!r} {config}"
    assert config.enforcement.mode is Mode.SYNC


@given(st.text(alphabet="${}:envfilcrdta/.X \n\0é\ud800", max_size=20))
def test_any_text_resolves_or_says_why(text: str) -> None:
    assert _reason(text).isprintable()


def _reason(text: str) -> str:
    try:
        resolve(text, {"X": "v", "CREDENTIALS_DIRECTORY": "/nowhere"})
    except Unresolved as unresolved:
        return str(unresolved)
    return ""
