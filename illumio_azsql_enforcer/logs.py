"""Log lines: structlog's and the standard library's through one set of processors, to one stream, safe to read.

Every value is data: control characters become escapes, tokens and secrets become `***`. Libraries are heard from
WARNING on, without their tracebacks. Nothing is set up at import; `configure` does it.
"""

import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import date, datetime
from typing import TextIO, cast

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from illumio_azsql_enforcer.secret import Secret
from illumio_azsql_enforcer.text import printable

FORMATS = ("console", "json")
PACKAGE = "illumio_azsql_enforcer"
HIDDEN = "***"

# What a line begins with, for systemd to know its priority: see sd-daemon(3).
_PRIORITIES = ((logging.CRITICAL, "<2>"), (logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))

_MAX_TEXT = 8192
_MAX_DEPTH = 6
_MULTI_LINE = ("exception", "stack")
_SECRET_KEYS = frozenset(
    {"authorization", "token", "access_token", "refresh_token", "client_secret", "password", "api_secret", "webhook"}
)
_SECRETS = (
    (re.compile(r"\b(bearer)[\s:]+(?!tokens?\b)[\w.~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (
        re.compile(r"""(authorization[\\"']*\s*[:=]\s*[\\"']*)(?:[a-z]+\s+)?[^\s\\"',;}]+""", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*)*"), HIDDEN),
    (
        re.compile(
            r"""\b((?:client_secret|client_assertion|assertion|(?:access|refresh|id)_token|password|api_secret|sig)"""
            r"""[\\"']*\s*[:=]\s*[\\"']*)[^\s\\"'&,;}]+""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{HIDDEN}@"),
)


def configure(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Send the log to `stream` (default: stderr): our loggers from `level` on, all others from WARNING on.

    `json` writes one object a line, with timestamp (UTC), level, logger and event. `console` is for people, with colour
    only on a terminal and without NO_COLOR. Where systemd's journal reads `json`, a line begins with its priority,
    which the journal takes off. What is bound in structlog's contextvars is part of every line. To call it again
    replaces what it set up before. Raises KeyError for a level, ValueError for a format, that does not exist.
    """
    if log_format not in FORMATS:
        raise ValueError(f"log format {log_format!r} is none of {', '.join(FORMATS)}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    sink = _Sink(stream or sys.stderr)
    sink.setFormatter(_formatter(log_format, sink.stream))
    sink.prefixed = log_format == "json" and _is_journal(sink.stream)
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Sink)] + [sink]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger(PACKAGE).setLevel(threshold)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[*_common(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def scrub(text: str) -> str:
    """`text` without bearer tokens, JSON web tokens, authorization headers, passwords and users of addresses."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class _Sink(logging.StreamHandler[TextIO]):
    """Writes to the stream; a stream that is gone is no reason to stop enforcing, nor to print a traceback."""

    prefixed = False  # with the priority, for systemd

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record if hasattr(record, "_logger") else _of_library(record))
        return _priority(record.levelno) + text if self.prefixed else text

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name is logging's)
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handleError(record)


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd reads the stream: $JOURNAL_STREAM holds its device and inode."""
    try:
        told = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file behind it
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{told.st_dev}:{told.st_ino}"


def _priority(level: int) -> str:
    return next((prefix for least, prefix in _PRIORITIES if level >= least), "<7>")


def _of_library(record: logging.LogRecord) -> logging.LogRecord:
    """A copy with its text alone: of a traceback only the name of the error is kept."""
    plain = logging.makeLogRecord(record.__dict__)
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):  # the library's arguments do not fit its own text
        text = str(record.msg)
    kind = record.exc_info[0] if record.exc_info else None
    plain.msg = f"{text} ({kind.__name__})" if kind else text
    plain.args = ()
    plain.exc_info = plain.exc_text = plain.stack_info = None
    return plain


def _common() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(log_format: str, stream: TextIO) -> ProcessorFormatter:
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    console = structlog.dev.ConsoleRenderer(
        colors=colour, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )
    rendering: list[Processor] = [_first_things_first, structlog.processors.JSONRenderer()]
    return ProcessorFormatter(
        foreign_pre_chain=_common(),
        processors=[
            ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _safe,
            *([_for_people, console] if log_format == "console" else rendering),
        ],
    )


def _safe(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Every key and value made safe."""
    return {printable(str(key), 200): _safe_item(str(key), value) for key, value in event_dict.items()}


def _safe_item(key: str, value: object, depth: int = 0) -> object:
    if key.lower() in _SECRET_KEYS and value is not None:
        return HIDDEN
    if key in _MULTI_LINE and isinstance(value, str) and not depth:
        return "\n".join(printable(line, _MAX_TEXT) for line in scrub(value).split("\n"))
    return _safe_value(value, depth)


def _safe_value(value: object, depth: int) -> object:
    """A value of JSON with safe texts in it."""
    if isinstance(value, Secret):
        return HIDDEN
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _safe_collection(value, depth + 1) if depth < _MAX_DEPTH else "…"
    return printable(scrub(value.isoformat() if isinstance(value, datetime | date) else str(value)), _MAX_TEXT)


def _safe_collection(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return {printable(str(key), 200): _safe_item(str(key), inner, depth) for key, inner in value.items()}
    items = cast("list[object]", value)
    return [
        _safe_value(item, depth) for item in (sorted(items, key=str) if isinstance(value, set | frozenset) else items)
    ]


def _first_things_first(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """The fields that every line has, in front."""
    first = {key: event_dict.pop(key) for key in ("timestamp", "level", "logger", "event") if key in event_dict}
    return {**first, **event_dict}


def _for_people(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Nothing for null, and tracebacks set off, so that no line of them can pass for a line of the log."""
    shown = {key: value for key, value in event_dict.items() if value is not None}
    for key in _MULTI_LINE:
        if key in shown:
            shown[key] = "\n".join(f"  | {line}" for line in str(shown[key]).split("\n"))
    return shown
