"""The alert rules and the dashboard ask for metrics, labels and values that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from illumio_azsql_enforcer.metrics import DEFINITIONS, GUARDS, PREFIX
from illumio_azsql_enforcer.model.firewall import Action, NoteCode, StepStatus
from illumio_azsql_enforcer.report import Outcome

DOCS = Path(__file__).parents[1] / "docs"
LABELS = {PREFIX + definition.name: set(definition.labels) for definition in DEFINITIONS}
VALUES: dict[str, set[str]] = {
    "outcome": set(Outcome),
    "code": set(NoteCode),  # of notes; the code of a request is a number
    "action": set(Action),
    "status": set(StepStatus),
    "guard": set(GUARDS),
    "owned": {"true", "false"},
}
ADDED = {"instance"}  # by Prometheus
SELECTOR = re.compile(rf"({PREFIX}\w+)(?:\{{([^}}]*)\}})?")
MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')
ALERTS = yaml.safe_load((DOCS / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text())
EXPRESSIONS = [
    *(rule["expr"] for rule in ALERTS),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"),
]


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    for found in SELECTOR.finditer(expression):
        yield found[1], MATCHER.findall(found[2] or "")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_label_and_value_exists(expression: str) -> None:
    asked = list(selectors(expression))
    assert asked
    for name, matchers in asked:
        assert name in LABELS
        for label, operator, value in matchers:
            assert label in LABELS[name]
            if operator in {"=", "!="} and not value.isdecimal():
                assert value in VALUES[label]
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    assert grouped <= set().union(*(LABELS[name] for name, _ in asked)) | ADDED


def test_every_metric_is_watched_or_shown() -> None:
    asked = {name for expression in EXPRESSIONS for name, _ in selectors(expression)}
    assert set(LABELS) - asked == {PREFIX + "last_cycle_outcome"}  # for those who want it


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_and_how_bad(rule: dict[str, dict[str, str]]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
