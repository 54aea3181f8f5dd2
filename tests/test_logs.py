"""What log lines look like, and what never gets into one."""

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from illumio_azsql_enforcer import logs
from illumio_azsql_enforcer.model.settings import Mode
from illumio_azsql_enforcer.secret import Secret

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL21hbmFnZW1lbnQifQ.c2lnbmF0dXJl-_x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """The process's logging as it was before."""
    loggers = [logging.getLogger(), logging.getLogger(logs.PACKAGE)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers = handlers
    logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def ours() -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("illumio_azsql_enforcer.enforcer")
    return logger


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    """A stream that the log is sent to as JSON, from INFO on."""
    made = io.StringIO()
    logs.configure("json", "info", made)
    return made


def test_json_line(stream: io.StringIO) -> None:
    ours().info("cycle", outcome=Mode.SYNC, servers={"changed": 1}, error=None, seconds=0.5, ranges=("a", "b"))
    (line,) = json_lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    stamp = line.pop("timestamp")
    assert stamp.endswith("Z")
    assert "T" in stamp
    assert line == {
        "level": "info",
        "logger": "illumio_azsql_enforcer.enforcer",
        "event": "cycle",
        "outcome": "sync",
        "servers": {"changed": 1},
        "error": None,
        "seconds": 0.5,
        "ranges": ["a", "b"],
    }


def test_context_is_on_every_line(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        ours().info("inside")
        logging.getLogger("azure.core").warning("from a library")
    ours().info("outside")
    assert [line.get("run_id") for line in json_lines(stream)] == ["r1", "r1", None]


def test_levels(stream: io.StringIO) -> None:
    ours().debug("hidden")
    ours().info("shown")
    logging.getLogger("azure.identity").info("hidden")
    logging.getLogger("urllib3").warning("shown %s", "too")
    assert [line["event"] for line in json_lines(stream)] == ["shown", "shown too"]


def test_debug_does_not_open_the_libraries() -> None:
    logs.configure("json", "debug", stream := io.StringIO())
    ours().debug("shown")
    logging.getLogger("azure.core.pipeline").debug("Authorization: Bearer abc")
    assert [line["event"] for line in json_lines(stream)] == ["shown"]
    assert not logging.getLogger("azure.core.pipeline").isEnabledFor(logging.INFO)


def test_error_level_closes_the_libraries_too() -> None:
    logs.configure("json", "ERROR", stream := io.StringIO())
    logging.getLogger("urllib3").warning("hidden")
    ours().warning("hidden")
    ours().error("shown")
    assert [line["event"] for line in json_lines(stream)] == ["shown"]


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="console, json"):
        logs.configure("xml", "info")


def test_unknown_level() -> None:
    with pytest.raises(KeyError):
        logs.configure("json", "loud")


def test_configuring_again_replaces(stream: io.StringIO) -> None:
    logs.configure("json", "info", second := io.StringIO())
    ours().info("once")
    assert stream.getvalue() == ""
    assert len(json_lines(second)) == 1


def test_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    ours().info("here")
    captured = capsys.readouterr()
    assert (captured.out, json.loads(captured.err)["event"]) == ("", "here")


def test_library_tracebacks_are_stripped(stream: io.StringIO) -> None:
    try:
        _fail()
    except RuntimeError:
        logging.getLogger("azure.identity").exception("get_token failed", stack_info=True)
    (line,) = json_lines(stream)
    assert line["event"] == "get_token failed (RuntimeError)"
    assert set(line) == {"timestamp", "level", "logger", "event"}


def test_library_arguments_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own handlers fail on such a message
    logs.configure("json", "info", stream := io.StringIO())
    logging.getLogger("urllib3").warning("%d retries", "many")
    assert json_lines(stream)[0]["event"] == "%d retries"
    assert capsys.readouterr().err == ""


def test_warnings_are_log_lines(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logs.configure("json", "info", stream)
        warnings.warn("unverified\x1b[31m", UserWarning, stacklevel=1)
    (line,) = json_lines(stream)
    assert line["logger"] == "py.warnings"
    assert "unverified\\x1b[31m" in line["event"]


def _fail() -> None:
    password = "local-value"  # a traceback with locals would show it
    raise RuntimeError(f"broken\nlevel=info event=forged \x1b[31m {len(password)}")


def test_our_own_defects_keep_their_traceback_without_locals() -> None:
    for log_format in ("json", "console"):
        logs.configure(log_format, "info", stream := io.StringIO())
        try:
            _fail()
        except RuntimeError:
            ours().exception("a defect")
        assert "RuntimeError: broken" in stream.getvalue()
        assert "in _fail" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()
        assert "password = " not in stream.getvalue().replace('password = "local-value"', "")
    forged = [line for line in stream.getvalue().splitlines() if "forged" in line]
    assert {line[:4] for line in forged} == {"  | "}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_control_characters_are_escaped(log_format: str) -> None:
    logs.configure(log_format, "info", stream := io.StringIO())
    evil = "a\x1b[31m\nb\r\x9b\u202e\u2028c"
    ours().info(evil, **{"rule": evil, evil: 1, "deep": [{"name": evil, evil: {evil}}]})
    logging.getLogger(evil).warning("%s", evil)
    assert len(stream.getvalue().splitlines()) == 2
    assert stream.getvalue().replace("\n", "").isprintable()
    if log_format == "json":
        assert json_lines(stream)[0]["rule"] == r"a\x1b[31m\nb\r\x9b\u202e\u2028c"


SECRETS = [
    f"Bearer {JWT}",
    f"bearer\n{JWT}",
    "Bearer s3cr3t-opaque.token==",
    f"headers: {{'Authorization': 'Bearer {JWT}'}}",
    "Authorization: Basic czNjcjN0LXVzZXI6czNjcjN0",
    '{"authorization":"Basic czNjcjN0LXVzZXI6czNjcjN0"}',
    "Authorization=s3cr3t",
    f"the token {JWT} expired",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6Ikp",
    '{"access_token": "s3cr3t", "expires_in": 3599}',
    '{\\"access_token\\": \\"s3cr3t\\"}',
    "grant_type=client_credentials&client_secret=s3cr3t&scope=x",
    "https://bob:s3cr3t@proxy.example.com:3128/",
    "https://s3cr3t@hooks.example.com/",
    "password=s3cr3t",
    "https://blob.example.com/x?sv=1&sig=s3cr3t%3D&se=2",
]


@pytest.mark.parametrize("text", SECRETS)
def test_tokens_are_scrubbed_everywhere(stream: io.StringIO, text: str) -> None:
    ours().info(text, error=text, reasons=[text], nested={"inner": text}, failure=ValueError(text))
    logging.getLogger("azure.identity").warning("failed: %s", text)
    assert "***" in json_lines(stream)[0]["event"]
    for leak in ("s3cr3t", "eyJ", "czNjcjN0"):
        assert leak not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "The client does not have authorization to perform action 'Microsoft.Sql/servers/read'.",
        "AuthorizationFailed: the client does not have permission",
        "rule illumio-203.0.113.0-203.0.113.255 added",
        "https://pce.example.com:8443/api/v2/orgs/1/labels?max_results=0",
        "tokens are renewed in time",
        "Bearer token authentication is not permitted for non-TLS protected (non-https) URLs.",
        "mail bob@example.com",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert logs.scrub(text) == text


def test_secrets_and_keys_of_secrets(stream: io.StringIO) -> None:
    ours().info("x", key=Secret("s3cr3t"), keys=[Secret("s3cr3t")], headers={"Authorization": "s3cr3t"}, token="s3cr3t")
    (line,) = json_lines(stream)
    assert (line["key"], line["keys"], line["headers"], line["token"]) == (
        "***",
        ["***"],
        {"Authorization": "***"},
        "***",
    )
    assert "s3cr3t" not in stream.getvalue()


def test_odd_values_are_json(stream: io.StringIO) -> None:
    loop: list[object] = []
    loop.append(loop)
    ours().info("x", nan=float("nan"), loop=loop, data=b"\x00", unordered={2, 1}, long="x" * 100_000, item=object())
    (line,) = json_lines(stream)
    assert (line["nan"], line["data"], line["unordered"]) == ("nan", r"b'\x00'", [1, 2])
    assert len(line["long"]) == 8192


def test_console_line() -> None:
    logs.configure("console", "info", stream := io.StringIO())
    ours().info("step done", rule="web x=1", server="orders-sql", error=None, counts={"added": 1})
    text = stream.getvalue()
    assert text.endswith(" rule='web x=1' server=orders-sql counts={'added': 1}\n")
    assert "info" in text
    assert "step done" in text
    assert "[illumio_azsql_enforcer.enforcer]" in text
    assert "error" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("", True), ("1", False)])
def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    logs.configure("console", "info", stream := Terminal())
    ours().info("x", evil="\x1b[5m")
    assert ("\x1b[" in stream.getvalue()) is coloured
    assert "\x1b[5m" not in stream.getvalue()


def test_json_has_no_colour_on_a_terminal() -> None:
    logs.configure("json", "info", stream := Terminal())
    ours().info("x")
    assert "\x1b" not in stream.getvalue()


def test_a_closed_stream_does_not_matter(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    stream.close()
    ours().info("into the void")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("log_format", "reader", "prefixes"),
    [
        ("json", "the journal", ["<2>", "<3>", "<4>", "<6>", "<7>"]),
        ("json", "another", ["{"] * 5),
        ("console", "the journal", ["2"] * 5),  # the year
    ],
)
def test_the_journal_is_told_the_priority_of_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str, reader: str, prefixes: list[str]
) -> None:
    with (tmp_path / "log").open("w+") as stream:
        told = os.fstat(stream.fileno())
        inode = told.st_ino if reader == "the journal" else told.st_ino + 1
        monkeypatch.setenv("JOURNAL_STREAM", f"{told.st_dev}:{inode}")
        logs.configure(log_format, "debug", stream)
        for level in ("critical", "error", "warning", "info", "debug"):
            getattr(ours(), level)("said")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert len(lines) == 5
    for line, prefix in zip(lines, prefixes, strict=True):
        assert line.startswith(prefix)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(event=st.text(max_size=30), values=st.dictionaries(st.text(max_size=8), ANY, max_size=4))
def test_any_line_is_one_printable_line(event: str, values: dict[str, object]) -> None:
    for log_format in ("json", "console"):
        logs.configure(log_format, "info", stream := io.StringIO())
        ours().bind(**values).info(event)
        (line,) = stream.getvalue().split("\n")[:-1]
        assert line.isprintable()
