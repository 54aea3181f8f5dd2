"""The report of one cycle: what was seen, wanted and done for each server. Text, JSON and health all draw from it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from illumio_azsql_enforcer.clock import rfc3339
from illumio_azsql_enforcer.model.firewall import (
    Desired,
    LabelsFrom,
    LiveRule,
    Note,
    Server,
    Source,
    StepResult,
    StepStatus,
    rules_after,
)
from illumio_azsql_enforcer.model.settings import Mode

SCHEMA = "illumio-azsql-enforcer/report/1"


class Outcome(StrEnum):
    """How it ended, for one server or for the cycle."""

    IN_SYNC = "in_sync"
    CHANGED = "changed"
    PENDING = "pending"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"


GRAVEST_FIRST = (Outcome.FAILED, Outcome.REFUSED, Outcome.PENDING, Outcome.CHANGED)


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests on the wire, retries included; `azure_reads` leaves token requests out."""

    pce: int = 0
    azure_reads: int = 0
    azure_writes: int = 0
    pce_by: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (endpoint, HTTP status or `none`) -> number
    azure_by: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (method, HTTP status or `none`) -> number

    def __sub__(self, other: "Calls") -> "Calls":
        return Calls(
            self.pce - other.pce,
            self.azure_reads - other.azure_reads,
            self.azure_writes - other.azure_writes,
            Counter(self.pce_by) - Counter(other.pce_by),
            Counter(self.azure_by) - Counter(other.azure_by),
        )


@dataclass(frozen=True, slots=True)
class ServerReport:
    """One candidate server in one cycle."""

    server: Server
    outcome: Outcome
    mode: Mode
    reason: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    labels_from: LabelsFrom | None = None
    plan_id: str | None = None
    guards: tuple[str, ...] = ()  # names of the guards that said no
    max_rules: int | None = None  # how many rules the server can hold, as far as is known; None: no plan was made
    desired: tuple[Desired, ...] = ()
    live: tuple[LiveRule, ...] = ()  # as read before the steps
    steps: tuple[StepResult, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One cycle."""

    run_id: str
    dry_run: bool
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    error: str | None = None
    policy_version: int | None = None
    calls: Calls = Calls()
    servers: tuple[ServerReport, ...] = ()


def gravest(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a cycle: the gravest of its servers'; a skipped server weighs nothing."""
    seen = set(outcomes)
    return next((outcome for outcome in GRAVEST_FIRST if outcome in seen), Outcome.IN_SYNC)


def live_after(report: ServerReport) -> list[LiveRule]:
    """The rules that the server holds after the steps that were done."""
    done = (result.step for result in report.steps if result.status is StepStatus.DONE)
    return list(rules_after(report.live, done).values())


def exit_code(report: Report, *, detailed: bool) -> int:
    """The exit code of `--once`: 0, 1 failed, 3 refused; of a dry run 0 or 1, `detailed` adds 3 and 2 (pending)."""
    if report.outcome is Outcome.FAILED:
        return 1
    if report.dry_run and not detailed:
        return 0
    if report.outcome is Outcome.REFUSED:
        return 3
    return 2 if detailed and report.outcome is Outcome.PENDING else 0


# --- JSON (schema report/1, published in docs/report.md)


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "schema": SCHEMA,
        "run_id": report.run_id,
        "dry_run": report.dry_run,
        "started_at": rfc3339(report.started_at),
        "finished_at": rfc3339(report.finished_at),
        "outcome": report.outcome.value,
        "error": report.error,
        "policy_version": report.policy_version,
        "calls": {
            "pce": report.calls.pce,
            "azure_reads": report.calls.azure_reads,
            "azure_writes": report.calls.azure_writes,
        },
        "servers": [_server(server) for server in report.servers],
    }


def _server(report: ServerReport) -> dict[str, Any]:
    return {
        "name": report.server.name,
        "id": report.server.id,
        "fqdn": report.server.fqdn,
        "labels": dict(report.labels),
        "labels_from": report.labels_from.value if report.labels_from else None,
        "mode": report.mode.value,
        "outcome": report.outcome.value,
        "reason": report.reason,
        "plan_id": report.plan_id,
        "desired": [_desired(desired) for desired in report.desired],
        "live": [_live(rule) for rule in report.live],
        "steps": [_step(result) for result in report.steps],
        "notes": [{"code": note.code.value, "count": note.count, "detail": note.detail} for note in report.notes],
    }


def _desired(desired: Desired) -> dict[str, Any]:
    return {
        "start": desired.range.start,
        "end": desired.range.end,
        "sources": [source_to_json(source) for source in desired.sources],
    }


def source_to_json(source: Source) -> dict[str, Any]:
    """One source; `workload` only where the consumer is of a label kind."""
    told: dict[str, Any] = {
        "rule_set": source.rule_set,
        "rule_set_name": source.rule_set_name,
        "rule": source.rule,
        "consumer": source.consumer.value,
        "consumer_href": source.consumer_href,
        "consumer_name": source.consumer_name,
    }
    if source.workload_href is not None:
        told["workload"] = {"href": source.workload_href, "name": source.workload_name}
    return told


def _live(live: LiveRule) -> dict[str, Any]:
    return {
        "name": live.rule.name,
        "start": live.rule.range.start,
        "end": live.rule.range.end,
        "owned": live.owned,
        "protected": live.protected,
    }


def _step(result: StepResult) -> dict[str, Any]:
    step = result.step
    return {
        "action": step.action.value,
        "name": step.name,
        "start": step.range.start,
        "end": step.range.end,
        "previous": {"start": step.previous.start, "end": step.previous.end} if step.previous else None,
        "phase": step.phase,
        "why": step.reason,
        "status": result.status.value,
        "error": result.error,
    }
