"""What the log says of a cycle: a line for the cycle, one for each step, one for each change of a server's state."""

import re

import structlog

from illumio_azsql_enforcer.model.firewall import StepResult, StepStatus
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport

log = structlog.get_logger()

TROUBLE = {Outcome.FAILED, Outcome.REFUSED}


class Narrator:
    """Remembers what it said last of each server, so that a lasting state is told when it begins and ends."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Outcome, str | None]] = {}
        self._error: str | None = None  # of the last cycle, as far as it is the same each time
        self._failures = 0  # cycles in a row that had an error
        self._idle = False  # whether the last cycle had nothing to govern

    def tell(self, report: Report) -> None:
        """Log one cycle."""
        bound = log.bind(run_id=report.run_id, policy_version=report.policy_version)
        for server in report.servers:
            self._server(bound.bind(server=server.server.name), server)
        if not report.error:  # else it is not known which servers are gone
            there = {server.server.id for server in report.servers}
            self._said = {key: said for key, said in self._said.items() if key in there}
        self._trouble(bound, report.error)
        _cycle(bound, report)
        idle = not report.error and all(server.outcome is Outcome.SKIPPED for server in report.servers)
        if idle and not self._idle:
            bound.warning("no server is governed: none was found that has labels", servers=len(report.servers))
        self._idle = idle

    def _server(self, bound: structlog.typing.FilteringBoundLogger, report: ServerReport) -> None:
        for result in report.steps:
            if result.status is not StepStatus.PLANNED:
                _step(bound.bind(plan_id=report.plan_id), result)
        before = self._said.get(report.server.id, (Outcome.IN_SYNC, None))
        now = (report.outcome, _gist(report.reason) if report.outcome is Outcome.FAILED else report.reason)
        self._said[report.server.id] = now
        if now == before or (report.outcome in (Outcome.IN_SYNC, Outcome.CHANGED) and before[0] not in TROUBLE):
            return
        say = bound.error if report.outcome in TROUBLE else bound.info
        say(f"server is {report.outcome.value}", reason=report.reason, plan_id=report.plan_id, was=before[0].value)

    def _trouble(self, bound: structlog.typing.FilteringBoundLogger, error: str | None) -> None:
        """An error of whole cycles: when it begins, when it becomes another one, and when it ends."""
        before, self._error = self._error, _gist(error)
        if error is None and before is not None:
            bound.info("cycles succeed again", failed=self._failures)
        elif error is not None and self._error != before:
            bound.error("cycle failed; while that lasts, it is not said again", reason=error)
        self._failures = self._failures + 1 if error else 0


def _gist(text: str | None) -> str | None:
    """The text without the words that hold a digit: request ids, times and the like differ each time."""
    return None if text is None else re.sub(r"\S*\d\S*", "#", text)


def _cycle(bound: structlog.typing.FilteringBoundLogger, report: Report) -> None:
    counts = {outcome: sum(s.outcome is outcome for s in report.servers) for outcome in Outcome}
    bound.info(
        "cycle",
        outcome=report.outcome.value,
        error=report.error,
        dry_run=report.dry_run,
        seconds=round((report.finished_at - report.started_at).total_seconds(), 3),
        servers={outcome.value: count for outcome, count in counts.items() if count},
        steps_done=sum(r.status is StepStatus.DONE for s in report.servers for r in s.steps),
        pce_requests=report.calls.pce,
        azure_reads=report.calls.azure_reads,
        azure_writes=report.calls.azure_writes,
    )


def _step(bound: structlog.typing.FilteringBoundLogger, result: StepResult) -> None:
    step = result.step
    say = bound.info if result.status is StepStatus.DONE else bound.error
    say(
        f"step {result.status.value}",
        action=step.action.value,
        rule=step.name,
        start=step.range.start,
        end=step.range.end,
        why=step.reason,
        error=result.error,
    )
