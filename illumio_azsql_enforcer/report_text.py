"""The report as text for people: a diff for each server, every range with the policy that it comes from."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import (
    Action,
    ConsumerKind,
    Desired,
    NoteCode,
    Source,
    Step,
    StepResult,
    StepStatus,
)
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport
from illumio_azsql_enforcer.text import plural, printable

Paint = Callable[[str, str], str]  # text, colour name -> text

SIGN = {Action.ADD: "+", Action.DELETE: "-", Action.UPDATE: "~"}
SIGN_COLOUR = {Action.ADD: "green", Action.DELETE: "red", Action.UPDATE: "yellow"}
OUTCOME_COLOUR = {
    Outcome.IN_SYNC: "green",
    Outcome.CHANGED: "green",
    Outcome.PENDING: "yellow",
    Outcome.REFUSED: "red",
    Outcome.FAILED: "red",
    Outcome.SKIPPED: "bright_black",
}
NEWS = {NoteCode.DRIFT, NoteCode.GAP}
QUIET = {Outcome.IN_SYNC, Outcome.SKIPPED}
KIND_WORDS = {
    ConsumerKind.LABEL: "label",
    ConsumerKind.LABEL_GROUP: "label group",
    ConsumerKind.ALL_WORKLOADS: "all workloads",
    ConsumerKind.WORKLOAD: "workload",
    ConsumerKind.IP_LIST: "IP list",
    ConsumerKind.VIRTUAL_SERVICE: "virtual service",
}
MOST_SOURCES = 3  # of one range, for people; the JSON has all


def plain(text: str, _colour: str) -> str:
    """Paint for anything that is not a terminal."""
    return text


def render(report: Report, paint: Paint = plain, *, news_only: bool = False) -> str:
    """The whole report, without a final newline; `news_only` leaves out quiet servers and notes that repeat."""
    lines: list[str] = []
    for server in report.servers:
        if not news_only or server.outcome not in QUIET:
            lines += [*_server(_news(server) if news_only else server, paint), ""]
    if report.error:
        lines += [f"{paint('error', 'red')}: {printable(report.error)}", ""]
    lines.append(summary(report, paint))
    return "\n".join(lines)


def _news(report: ServerReport) -> ServerReport:
    return replace(report, notes=tuple(note for note in report.notes if note.code in NEWS))


def summary(report: Report, paint: Paint = plain) -> str:
    """One line for the cycle."""
    outcomes = Counter(server.outcome for server in report.servers)
    statuses = Counter(result.status for server in report.servers for result in server.steps)
    calls = report.calls
    parts = [
        ("dry run: " if report.dry_run else "") + paint(report.outcome.value, OUTCOME_COLOUR[report.outcome]),
        f"policy version {report.policy_version}" if report.policy_version is not None else "policy not read",
        plural(len(report.servers), "server") + _tally(outcomes),
        plural(sum(statuses.values()), "step") + _tally(statuses),
        f"calls: {calls.pce} PCE, {calls.azure_reads} Azure reads, {calls.azure_writes} Azure writes",
        f"{(report.finished_at - report.started_at).total_seconds():.1f} s",
    ]
    return " · ".join(parts)


def _tally(counts: "Counter[Outcome] | Counter[StepStatus]") -> str:
    told = ", ".join(f"{count} {word.value}" for word, count in sorted(counts.items()))
    return f" ({told})" if told else ""


def _server(report: ServerReport, paint: Paint) -> Iterator[str]:
    labels = ", ".join(f"{printable(key)}={printable(value)}" for key, value in report.labels.items())
    origin = f", labels from {report.labels_from.value}: {labels}" if report.labels_from else ""
    name = paint(printable(report.server.name), "bold")
    yield f"{name}  {paint(report.outcome.value, OUTCOME_COLOUR[report.outcome])}  ({report.mode.value}{origin})"
    if report.reason:
        yield f"  {paint(printable(report.reason), OUTCOME_COLOUR[report.outcome])}"
    if report.plan_id and report.steps:
        yield f"  plan {report.plan_id}"
    yield from _steps(report, paint)
    if report.steps and (kept := _kept(report)):
        yield f"  = {plural(kept, 'rule')} unchanged"
    for note in report.notes:
        yield f"  {paint('!', 'yellow')} {note.code.value}: {printable(note.detail)}"


def _kept(report: ServerReport) -> int:
    touched = {result.step.name.casefold() for result in report.steps}
    return sum(live.rule.name.casefold() not in touched for live in report.live)


def _steps(report: ServerReport, paint: Paint) -> Iterator[str]:
    rows = [(result, printable(result.step.name), _change(result.step)) for result in report.steps]
    names = max((len(name) for _, name, _ in rows), default=0)
    changes = max((len(change) for _, _, change in rows), default=0)
    for result, name, change in rows:
        action = result.step.action
        sign = paint(SIGN[action], SIGN_COLOUR[action])
        why = _why(result.step, report.desired) + _trouble(result, paint)
        yield f"  {sign} {name:<{names}}  {change:<{changes}}  {why}"


def _change(step: Step) -> str:
    return f"{_range(step.previous)} -> {_range(step.range)}" if step.previous else _range(step.range)


def _why(step: Step, desired: tuple[Desired, ...]) -> str:
    sources = () if step.action is Action.DELETE else _sources(step.range, desired)
    return printable(first_sources(sources) or step.reason)


def _trouble(result: StepResult, paint: Paint) -> str:
    if result.status not in (StepStatus.FAILED, StepStatus.NOT_RUN):
        return ""
    return f"  {paint(result.status.value, 'red')}: {printable(result.error or 'not reached')}"


def _range(found: Range) -> str:
    return found.start if found.size == 1 else f"{found.start} - {found.end}"


def _sources(wanted: Range, desired: tuple[Desired, ...]) -> Iterator[Source]:
    for item in desired:
        if item.range.first <= wanted.last and wanted.first <= item.range.last:
            yield from item.sources


def first_sources(sources: Iterable[Source]) -> str:
    """The first few, and how many more there are."""
    told = list(dict.fromkeys(map(source_words, sources)))
    more = [f"and {len(told) - MOST_SOURCES} more"] if len(told) > MOST_SOURCES else []
    return "; ".join(told[:MOST_SOURCES] + more)


def source_words(source: Source) -> str:
    """`'Azure DB access': label 'SQL Client' (workload 'app-1')`."""
    kind = KIND_WORDS[source.consumer]
    consumer = kind if source.consumer is ConsumerKind.ALL_WORKLOADS else f"{kind} '{source.consumer_name}'"
    workload = f" (workload '{source.workload_name}')" if source.workload_name else ""
    return f"'{source.rule_set_name}': {consumer}{workload}"
