"""Metrics for Prometheus, drawn from the report of each cycle. The values change all at once, when a cycle ends."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.model.firewall import Action, NoteCode, StepStatus
from illumio_azsql_enforcer.report import Outcome, Report, ServerReport, live_after
from illumio_azsql_enforcer.text import printable

PREFIX = "illumio_azsql_"
GUARDS = ("max_revoked", "never_empty", "widest_range", "max_rules")
COUNTER = "_total"
LAST_SUCCESS = "last_success_timestamp_seconds"

Samples = Mapping[tuple[str, ...], float]  # label values, in the order of the definition -> value


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, without the prefix; a name that ends in `_total` is a counter, any other a gauge."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


OF_CYCLES = (
    Definition("cycles_total", "Cycles that ended, by outcome.", ("outcome",)),
    Definition("cycle_duration_seconds", "How long the last cycle took."),
    Definition("last_cycle_timestamp_seconds", "When the last cycle ended, however it ended."),
    Definition("last_cycle_outcome", "1 for the outcome of the last cycle, 0 for the others.", ("outcome",)),
    Definition(LAST_SUCCESS, "When the last cycle ended that did not fail; 0: none yet."),
    Definition("policy_version", "Version of the PCE's active policy, as last read."),
    Definition(
        "pce_requests_total", "Requests to the PCE, retries included; code none: no answer.", ("endpoint", "code")
    ),
    Definition(
        "azure_requests_total",
        "Requests to Azure Resource Manager and Resource Graph, retries included; code none: no answer.",
        ("method", "code"),
    ),
    Definition(
        "steps_total",
        "Steps by what became of them; a planned one (dry run, observe, refused) counts again in each cycle.",
        ("action", "status"),
    ),
    Definition(
        "guard_refusals_total", "Plans refused, by guard; a refusal that lasts counts again in each cycle.", ("guard",)
    ),
    Definition("build_info", "Always 1; the version is in the label.", ("version",)),
)
OF_SERVERS = (  # of the last cycle that got as far as the servers
    Definition("servers", "Servers by outcome, in the last cycle that got as far as the servers.", ("outcome",)),
    Definition("rules_desired", "Ranges that the policy wants on the server.", ("server",)),
    Definition(
        "rules_live", "Firewall rules that the server holds after the cycle; owned: ours by name.", ("server", "owned")
    ),
    Definition("rule_slots_free", "Firewall rules for which the server still has room after the cycle.", ("server",)),
    Definition("steps_held_back", "Steps that a guard holds back.", ("server",)),
    Definition(
        "notes", "What was left out of the policy or noticed, counted over all servers, by note code.", ("code",)
    ),
)
DEFINITIONS = (*OF_CYCLES, *OF_SERVERS)
COUNTERS = tuple(definition for definition in DEFINITIONS if definition.name.endswith(COUNTER))
STARTS: Mapping[str, Iterable[tuple[str, ...]]] = {  # counters whose labels are known: they begin at 0
    "cycles_total": [(outcome,) for outcome in Outcome if outcome is not Outcome.SKIPPED],
    "steps_total": list(product(Action, StepStatus)),
    "guard_refusals_total": [(guard,) for guard in GUARDS],
}


class Metrics:
    """Fed by the loop, asked from other threads. A collector of the Prometheus client, in a registry of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[tuple[str, ...]]] = {
            definition.name: Counter(dict.fromkeys(STARTS.get(definition.name, ()), 0)) for definition in COUNTERS
        }
        self._gauges: dict[str, Samples] = {LAST_SUCCESS: {(): 0}, "build_info": {(__version__,): 1}}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def tell(self, report: Report) -> None:
        """A cycle ended."""
        counted, gauges = counts_of(report), gauges_of(report)
        with self._lock:
            for name, counts in counted.items():
                self._counts[name].update(counts)
            self._gauges = {**self._gauges, **gauges}

    def resume(self, text: str) -> None:
        """Go on from what an earlier process wrote with `render`: its counters, and when it last succeeded.

        Raises ValueError when the text cannot be read.
        """
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        labels = {PREFIX + definition.name: definition.labels for definition in COUNTERS}
        with self._lock:
            for sample in samples:
                if sample.name in labels:
                    key = tuple(sample.labels.get(label, "") for label in labels[sample.name])
                    self._counts[sample.name.removeprefix(PREFIX)][key] += int(sample.value)
                elif sample.name == PREFIX + LAST_SUCCESS:
                    self._gauges[LAST_SUCCESS] = {(): sample.value}

    def render(self) -> bytes:
        """The text that Prometheus reads (exposition format 0.0.4)."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for; all values are of one moment."""
        with self._lock:
            samples: dict[str, Samples] = {**self._gauges, **{name: dict(c) for name, c in self._counts.items()}}
        for definition in DEFINITIONS:
            yield _family(definition, samples.get(definition.name, {}))


def _family(definition: Definition, samples: Samples) -> Metric:
    kind = CounterMetricFamily if definition in COUNTERS else GaugeMetricFamily
    family = kind(PREFIX + definition.name, definition.help, labels=definition.labels)
    for labels, value in sorted(samples.items()):
        family.add_metric([printable(label) for label in labels], value)
    return family


def counts_of(report: Report) -> dict[str, Counter[tuple[str, ...]]]:
    """What one cycle adds to each counter."""
    refused = (server for server in report.servers if server.outcome is Outcome.REFUSED)
    return {
        "cycles_total": Counter([(report.outcome,)]),
        "pce_requests_total": Counter(report.calls.pce_by),
        "azure_requests_total": Counter(report.calls.azure_by),
        "steps_total": Counter((r.step.action, r.status) for server in report.servers for r in server.steps),
        "guard_refusals_total": Counter((guard,) for server in refused for guard in server.guards),
    }


def gauges_of(report: Report) -> dict[str, Samples]:
    """The gauges that one cycle sets; what it did not get to know is left out, so that the last value stays."""
    ended = report.finished_at.timestamp()
    gauges: dict[str, Samples] = {
        "cycle_duration_seconds": {(): (report.finished_at - report.started_at).total_seconds()},
        "last_cycle_timestamp_seconds": {(): ended},
        "last_cycle_outcome": {(o,): o is report.outcome for o in Outcome if o is not Outcome.SKIPPED},
    }
    if report.outcome is not Outcome.FAILED:
        gauges[LAST_SUCCESS] = {(): ended}
    if report.policy_version is not None:
        gauges["policy_version"] = {(): report.policy_version}
    if report.servers or not report.error:
        gauges |= _of_servers(report.servers)
    return gauges


def _of_servers(servers: tuple[ServerReport, ...]) -> dict[str, Samples]:
    outcomes = Counter(server.outcome for server in servers)
    notes = Counter(dict.fromkeys(NoteCode, 0))
    for note in (note for server in servers for note in server.notes):
        notes[note.code] += max(1, note.count)
    planned = [server for server in servers if server.plan_id is not None]
    live = {server.server.name: live_after(server) for server in planned}
    return {
        "servers": {(outcome,): outcomes[outcome] for outcome in Outcome},
        "rules_desired": {(s.server.name,): len(s.desired) for s in planned},
        "rules_live": {
            (name, word): sum(rule.owned is owned for rule in rules)
            for name, rules in live.items()
            for word, owned in (("true", True), ("false", False))
        },
        "rule_slots_free": {
            (s.server.name,): s.max_rules - len(live[s.server.name]) for s in planned if s.max_rules is not None
        },
        "steps_held_back": {(s.server.name,): _held_back(s) for s in planned},
        "notes": {(code,): count for code, count in notes.items()},
    }


def _held_back(report: ServerReport) -> int:
    refused = report.outcome is Outcome.REFUSED
    return sum(refused and result.status is StepStatus.PLANNED for result in report.steps)


PAGE = """\
# Metrics

Served at `/metrics` when `http.listen` is set, and written as a textfile for node-exporter after each cycle with
`--metrics-file PATH`, in the daemon and with `--once`. A textfile goes on counting from what an earlier run wrote into
it. [alerts.yaml](alerts.yaml) holds alert rules, [grafana-dashboard.json](grafana-dashboard.json) a dashboard.

All values change at once, when a cycle ends. Those with the label `server`, and `servers` and `notes`, are of the last
cycle that got as far as the servers: while the PCE cannot be read, they stay. A server about which that cycle could not
tell what it holds and should hold has none.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def documentation() -> str:
    """docs/metrics.md."""
    rows = (
        f"| `{PREFIX}{d.name}` | {'counter' if d in COUNTERS else 'gauge'} "
        f"| {', '.join(f'`{label}`' for label in d.labels)} | {d.help} |\n"
        for d in DEFINITIONS
    )
    return PAGE + "".join(rows)
