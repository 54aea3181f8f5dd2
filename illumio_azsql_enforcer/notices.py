"""When somebody has to be told, and in what words. Pure: reports in, notices out, never one for a state that lasts.

A notice is due when a guard begins to refuse a server's plan, when something failed three cycles in a row, and when
what a notice was about is well again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from illumio_azsql_enforcer.clock import rfc3339
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport
from illumio_azsql_enforcer.text import plural, printable

SCHEMA = "illumio-azsql-enforcer/notice/1"
LASTING = 3  # cycles in a row that failed
IN_TEXT = 10  # servers that the text names
IN_DATA = 100  # servers that the structured fields hold
LINE = 300  # characters for each server in the text
LONGEST = 2000  # characters of one structured field


class Kind(StrEnum):
    """What a notice is about."""

    REFUSAL = "refusal"
    FAILURE = "failure"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell: servers, the cycles as a whole, or both."""

    kind: Kind
    report: Report
    servers: tuple[ServerReport, ...] = ()
    whole: bool = False  # the cycles as a whole


@dataclass(slots=True)
class _Trouble:
    """Of one server, or of the cycles as a whole."""

    failures: int = 0  # in a row
    told_failure: bool = False
    told_guards: tuple[str, ...] = ()

    def failed(self) -> Kind | None:
        self.failures += 1
        if self.told_failure or self.failures < LASTING:
            return None
        self.told_failure = True
        return Kind.FAILURE

    def refused(self, guards: tuple[str, ...]) -> Kind | None:
        known, self.told_guards = self.told_guards, guards
        self.failures, self.told_failure = 0, False
        return Kind.REFUSAL if guards != known else None

    def well(self) -> Kind | None:
        told = self.told_failure or self.told_guards
        self.failures, self.told_failure, self.told_guards = 0, False, ()
        return Kind.RECOVERY if told else None


@dataclass(slots=True)
class Watch:
    """Remembers the troubles that it was told of."""

    _whole: _Trouble = field(default_factory=_Trouble)
    _servers: dict[str, _Trouble] = field(default_factory=dict)  # by server id

    def tell(self, report: Report) -> list[Notice]:
        """The notices that are due now: at most one of each kind."""
        whole = self._whole.failed() if report.error else self._whole.well()
        due = [(self._due(server), server) for server in report.servers]
        self._forget(report)
        notices = [
            Notice(kind, report, tuple(server for its_kind, server in due if its_kind is kind), whole is kind)
            for kind in Kind
        ]
        return [notice for notice in notices if notice.whole or notice.servers]

    def _due(self, report: ServerReport) -> Kind | None:
        trouble = self._servers.setdefault(report.server.id, _Trouble())
        if report.outcome is Outcome.FAILED:
            return trouble.failed()
        if report.outcome is Outcome.REFUSED:
            return trouble.refused(report.guards or ("a guard",))
        return trouble.well()

    def _forget(self, report: Report) -> None:
        """Servers that are gone; after an error it is not known which are."""
        if not report.error:
            seen = {server.server.id for server in report.servers}
            self._servers = {key: trouble for key, trouble in self._servers.items() if key in seen}


# --- what is posted


def to_json(notice: Notice) -> dict[str, Any]:
    """The body of the POST (schema notice/1): `text` for chats, the same in fields for programs."""
    report = notice.report
    return {
        "text": _text(notice),
        "schema": SCHEMA,
        "kind": notice.kind.value,
        "run_id": report.run_id,
        "at": rfc3339(report.finished_at),
        "outcome": report.outcome.value,
        "error": _cut(report.error),
        "policy_version": report.policy_version,
        "servers_total": len(notice.servers),
        "servers": [_server(server) for server in notice.servers[:IN_DATA]],
    }


def _server(report: ServerReport) -> dict[str, Any]:
    return {
        "name": printable(report.server.name, LONGEST),
        "id": printable(report.server.id, LONGEST),
        "outcome": report.outcome.value,
        "guards": list(report.guards),
        "reason": _cut(report.reason),
        "plan_id": report.plan_id,
    }


def _cut(text: str | None) -> str | None:
    return None if text is None else printable(text, LONGEST)


def _text(notice: Notice) -> str:
    lines = [*_heads(notice), *(_line(server) for server in notice.servers[:IN_TEXT])]
    if len(notice.servers) > IN_TEXT:
        lines.append(f"• and {plural(len(notice.servers) - IN_TEXT, 'more server')}")
    return _escaped("\n".join(lines))


def _heads(notice: Notice) -> Sequence[str]:
    who = "illumio-azsql-enforcer:"
    some = plural(len(notice.servers), "server")
    of_servers = {
        Kind.REFUSAL: f"{who} a guard refuses the plan for {some}; what it holds back was not written.",
        Kind.FAILURE: f"{who} {some} failed {LASTING} cycles in a row.",
        Kind.RECOVERY: f"{who} {some} recovered.",
    }
    of_cycles = {
        Kind.FAILURE: f"{who} {LASTING} cycles in a row failed: {printable(notice.report.error or '', LINE)}",
        Kind.RECOVERY: f"{who} cycles succeed again.",
    }
    return [*([of_cycles[notice.kind]] if notice.whole else []), *([of_servers[notice.kind]] if notice.servers else [])]


def _line(report: ServerReport) -> str:
    told = f": {report.reason}" if report.reason else f" is {report.outcome.value}"
    return "• " + printable(report.server.name + told, LINE)


def _escaped(text: str) -> str:
    """Slack's own three: without them a name could call a channel (`<!channel>`) or make a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
