"""The status page: one HTML document, drawn from a report. It loads nothing, runs nothing, and escapes every text."""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from typing import TypeVar

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.health import Verdict
from illumio_azsql_enforcer.model.firewall import Desired, LiveRule, Note, StepResult
from illumio_azsql_enforcer.report import GRAVEST_FIRST, Outcome, Report, ServerReport, live_after
from illumio_azsql_enforcer.report_text import first_sources
from illumio_azsql_enforcer.text import plural, printable

MOST_SERVERS = 100  # shown in full, the gravest first; the table names all
MOST_ROWS = 100  # of each table of a server
LONGEST = 2000  # characters of one text
T = TypeVar("T")
ORDER = (*GRAVEST_FIRST, Outcome.IN_SYNC, Outcome.SKIPPED)

STYLE = """\
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--text:#1c2430;--faint:#5d6878;--line:#dce1e8;
--good:#17693a;--good-ground:#dff3e6;--watch:#7d5200;--watch-ground:#fdf0d0;--bad:#a3201b;--bad-ground:#fde5e3;
--calm:#4a5563;--calm-ground:#e9edf2}
@media (prefers-color-scheme:dark){:root{--ground:#12161c;--card:#1a2029;--text:#e4e9f0;--faint:#9aa6b6;--line:#303a47;
--good:#7fdca4;--good-ground:#143524;--watch:#f0c66b;--watch-ground:#3a2c0c;--bad:#ff9d96;--bad-ground:#45191a;
--calm:#b8c3d1;--calm-ground:#28313d}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main,header,footer{max-width:72rem;margin:0 auto;padding:1rem 1.25rem}
h1{font-size:1.35rem;margin:.4rem 0}h2{font-size:1.05rem;margin:1.6rem 0 .5rem}h3{font-size:.9rem;margin:1rem 0 .3rem}
p{margin:.35rem 0;overflow-wrap:anywhere}.faint,footer{color:var(--faint)}footer{font-size:.85rem}
a{color:inherit}code,.mono{font-family:ui-monospace,monospace;font-size:.87em}
.badge{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-size:.83rem;font-weight:600}
.badge,td code{white-space:nowrap}
.good{color:var(--good);background:var(--good-ground)}.watch{color:var(--watch);background:var(--watch-ground)}
.bad{color:var(--bad);background:var(--bad-ground)}.calm{color:var(--calm);background:var(--calm-ground)}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:.8rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.45rem .85rem;min-width:6rem}
.tile b{display:block;font-size:1.3rem}
.box{border-radius:.5rem;padding:.5rem .85rem;margin:.6rem 0}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.32rem .7rem;vertical-align:top}
th{font-size:.8rem;color:var(--faint);font-weight:600}tr+tr td,thead+tbody td{border-top:1px solid var(--line)}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
td.text{overflow-wrap:anywhere;min-width:5rem}td.text:last-child{min-width:9rem}main{padding-top:0}
details{background:var(--card);border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;padding:.5rem .85rem}
details .wide{border-radius:.3rem}summary{cursor:pointer;font-weight:600;overflow-wrap:anywhere}
"""
STYLE_HASH = "sha256-" + b64encode(sha256(STYLE.encode()).digest()).decode()  # for the content security policy

TONE = {
    Outcome.IN_SYNC: "good",
    Outcome.CHANGED: "good",
    Outcome.PENDING: "watch",
    Outcome.REFUSED: "bad",
    Outcome.FAILED: "bad",
    Outcome.SKIPPED: "calm",
}


def page(cycle: str, live: Verdict, ready: Verdict) -> str:
    """The whole document around what `last_cycle` made of the last report."""
    health = "".join(
        f"<p>{_pill(word if verdict.ok else f'not {word}', 'good' if verdict.ok else 'bad')} "
        f'<span class="faint">{_safe(verdict.reason)}</span></p>'
        for word, verdict in (("live", live), ("ready", ready))
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>illumio-azsql-enforcer</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>\n"
        f"<header><h1>illumio-azsql-enforcer</h1>{health}</header>\n<main>{cycle}</main>\n"
        f'<footer>Version {_safe(__version__)} · <a href="/api/report">report as JSON</a> · '
        '<a href="/metrics">metrics</a> · <a href="/livez">live</a> · <a href="/readyz">ready</a></footer>'
        "</body></html>\n"
    )


def last_cycle(report: Report | None) -> str:
    """What there is to see of the last cycle; None: none has ended yet."""
    if report is None:
        return '<h2>Last cycle</h2><p class="faint">No cycle has ended yet.</p>'
    servers = sorted(report.servers, key=lambda s: (ORDER.index(s.outcome), s.server.name))
    return _cycle(report) + _tiles(report) + _all_servers(servers) + "".join(_details(servers))


def _cycle(report: Report) -> str:
    version = "not read" if report.policy_version is None else str(report.policy_version)
    calls = report.calls
    error = f'<p class="box bad">{_safe(report.error)}</p>' if report.error else ""
    dry_run = _pill("dry run", "calm") if report.dry_run else ""
    return (
        f"<h2>Last cycle {_badge(report.outcome)} {dry_run}</h2>{error}"
        f"<p>Ended {report.finished_at:%Y-%m-%d %H:%M:%S} UTC after "
        f"{(report.finished_at - report.started_at).total_seconds():.1f} s; policy version {version}; "
        f"{calls.pce} PCE requests, {calls.azure_reads} Azure reads, {calls.azure_writes} Azure writes. "
        f'<span class="faint mono">run {_safe(report.run_id)}</span></p>'
    )


def _tiles(report: Report) -> str:
    outcomes = Counter(server.outcome for server in report.servers)
    statuses = Counter(result.status for server in report.servers for result in server.steps)
    servers = [_tile(outcomes[outcome], "server", _badge(outcome)) for outcome in ORDER if outcomes[outcome]]
    steps = [_tile(count, "step", _safe(status.replace("_", " "))) for status, count in sorted(statuses.items())]
    return f'<div class="tiles">{"".join(servers + steps)}</div>'


def _tile(count: int, noun: str, what: str) -> str:
    return f'<div class="tile"><b>{count:,}</b>{noun}{"" if count == 1 else "s"} {what}</div>'


def _all_servers(servers: Sequence[ServerReport]) -> str:
    if not servers:
        return ""
    heads = ("server", "outcome", "mode", "#ranges wanted", "#rules now, ours", "#others'", "#steps", "#notes")
    return "<h2>Servers</h2>" + _table(heads, [_server_row(server) for server in servers], most=len(servers))


def _server_row(report: ServerReport) -> tuple[str, ...]:
    rules = live_after(report)
    ours = sum(rule.owned for rule in rules)
    numbers = (len(report.desired), ours, len(rules) - ours, len(report.steps), len(report.notes))
    known = report.plan_id is not None
    return (
        _safe(report.server.name),
        _badge(report.outcome),
        _safe(report.mode),
        *(str(number) if known else "–" for number in numbers),
    )


def _details(servers: Sequence[ServerReport]) -> Iterator[str]:
    yield from (_detail(server) for server in servers[:MOST_SERVERS])
    if len(servers) > MOST_SERVERS:
        yield f'<p class="faint">{plural(len(servers) - MOST_SERVERS, "more server")}: see the report as JSON.</p>'


def _detail(report: ServerReport) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in report.labels.items()) or "none"
    origin = f", from {report.labels_from.value}" if report.labels_from else ""
    reason = f'<p class="box {TONE[report.outcome]}">{_safe(report.reason)}</p>' if report.reason else ""
    plan = f"; plan <code>{_safe(report.plan_id)}</code>" if report.plan_id and report.steps else ""
    limit = f"; room for {report.max_rules} rules" if report.max_rules is not None else ""
    return (
        f"<details{' open' if report.reason and report.outcome is not Outcome.SKIPPED else ''}>"
        f"<summary>{_safe(report.server.name)} {_badge(report.outcome)}</summary>{reason}"
        f'<p class="faint">{_safe(report.server.fqdn)}; labels{origin}: {_safe(labels)}{plan}{limit}</p>'
        + _part("Steps", ("action", "rule", "range", "why", "status"), report.steps, _step_row)
        + _part("Wanted by the policy", ("range", "because of"), report.desired, _desired_row)
        + _part("Rules read before the steps", ("rule", "range", "whose"), report.live, _live_row)
        + _part("Notes", ("note", "#count", "detail"), report.notes, _note_row)
        + "</details>"
    )


def _part(title: str, heads: Sequence[str], items: Sequence[T], row: Callable[[T], tuple[str, ...]]) -> str:
    if not items:
        return ""
    more = len(items) - MOST_ROWS
    rest = f'<p class="faint">and {more:,} more: see the report as JSON.</p>' if more > 0 else ""
    return f"<h3>{title}</h3>{_table(heads, [row(item) for item in items[:MOST_ROWS]], MOST_ROWS)}{rest}"


def _step_row(result: StepResult) -> tuple[str, ...]:
    step = result.step
    change = f"{step.previous} → {step.range}" if step.previous else str(step.range)
    status = _safe(result.status) + (f": {_safe(result.error)}" if result.error else "")
    return _safe(step.action), _code(step.name), _code(change), _safe(step.reason), status


def _desired_row(desired: Desired) -> tuple[str, ...]:
    return _code(str(desired.range)), _safe(first_sources(desired.sources))


def _live_row(live: LiveRule) -> tuple[str, ...]:
    whose = ("ours" if live.owned else "others'") + (", protected" if live.protected else "")
    return _code(live.rule.name), _code(str(live.rule.range)), whose


def _note_row(note: Note) -> tuple[str, ...]:
    return _safe(note.code), f"{note.count:,}", _safe(note.detail)


def _table(heads: Iterable[str], rows: Sequence[tuple[str, ...]], most: int) -> str:
    """Cells are HTML; a head that begins with # is of a column of numbers."""
    kinds = ["number" if head.startswith("#") else "text" for head in heads]
    head = "".join(
        f'<th class="{kind}">{_safe(name.lstrip("#"))}</th>' for kind, name in zip(kinds, heads, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows[:most]
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _badge(outcome: Outcome) -> str:
    return _pill(outcome.value.replace("_", " "), TONE[outcome])


def _pill(text: str, tone: str) -> str:
    return f'<span class="badge {tone}">{_safe(text)}</span>'


def _code(text: str) -> str:
    return f"<code>{_safe(text)}</code>"


def _safe(text: str) -> str:
    return escape(printable(text, LONGEST))
